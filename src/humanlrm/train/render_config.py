"""What the rendering losses can be told, with a reason per number. All of it is our choice: the paper names the terms,
not their weights, and neither resolution nor ray counts."""

from dataclasses import dataclass, field

from humanlrm.render.volume import Sampling


@dataclass(frozen=True)
class RenderWeights:
    """Weight of each rendering term. A reason is given as the term's size for a typical error after some hundred steps;
    weighted terms are then between 0.01 and 0.1, like those of the 3D losses.

    Attributes:
        rgb: squared difference of colours; an error of 0.1 is 0.01.
        perceptual: of patches; unlike patches are about 0.5 apart, and LRM and its relatives give it about the weight
            of the colour term.
        mask: cross entropy of the silhouette; rays are gathered at its edge, where 0.2 is normal. Light, because people
            are built on landmarks with noise: at 0.1 limbs became thin, and the given view lost (docs/log/training.md).
        normal: squared difference of unit normals, 0.1 for 18 degrees; as heavy as on surface samples.
        depth: scale-invariant squared log depth; 0.05 units at 4 units are 0.00015.
        eikonal: as on surface samples; without rendered normals it is what keeps distances distances.
    """

    rgb: float = 1.0
    perceptual: float = 0.1
    mask: float = 0.03
    normal: float = 0.1
    depth: float = 50.0
    eikonal: float = 0.05


@dataclass(frozen=True)
class RenderStage:
    """How much is rendered per subject and step.

    Attributes:
        render_px: side to which targets are reduced; a divisor of their side.
        rays: single pixels, from all target views together.
        edge: share of them on the edge of the silhouette; the others lie in its bounding box.
        patch_px: side of one patch for the perceptual loss, a multiple of 8; 0: none.
        sampling: questions per ray.
        recompute: saves memory for time (gradient checkpointing).
    """

    render_px: int = 64
    rays: int = 128
    edge: float = 0.4
    patch_px: int = 16
    sampling: Sampling = field(default_factory=Sampling)
    recompute: bool = False

    def __post_init__(self) -> None:
        if self.patch_px % 8 or not 0 <= self.patch_px <= self.render_px:
            raise ValueError(
                f"patch_px must be a multiple of 8 (the coarsest features' stride) between 0 and render_px, "
                f"got patch_px={self.patch_px}, render_px={self.render_px}"
            )
        if self.rays < 1 or not 0 <= self.edge <= 1:
            raise ValueError(f"RenderStage needs rays >= 1 and 0 <= edge <= 1, got rays={self.rays}, edge={self.edge}")


def _low() -> RenderStage:
    return RenderStage()


def _high() -> RenderStage:
    return RenderStage(render_px=128, patch_px=24)


@dataclass(frozen=True)
class RenderSchedule:
    """Low resolution first: a pixel then covers more of the person, so that wrong limbs still overlap with right ones
    and a patch sees a whole part of the body; then the resolution of the targets.

    Attributes:
        low: the first stage.
        high: the second.
        switch: share of the run after which the second begins.
        views: target views per sample.
        patch_every: every how many steps a patch is rendered for the perceptual term (a patch costs about as much as
            all single pixels together; its weight is that of such a step).
        weights: of the terms.
    """

    low: RenderStage = field(default_factory=_low)
    high: RenderStage = field(default_factory=_high)
    switch: float = 0.6
    views: int = 2
    patch_every: int = 4
    weights: RenderWeights = field(default_factory=RenderWeights)

    def __post_init__(self) -> None:
        if self.views < 1 or self.patch_every < 1:
            raise ValueError(
                f"RenderSchedule needs views >= 1 and patch_every >= 1, got views={self.views}, "
                f"patch_every={self.patch_every}"
            )

    def at(self, progress: float) -> RenderStage:
        """The stage after this share (0 to 1) of the run."""
        return self.low if progress < self.switch else self.high
