"""Rendering losses: pixels of other views, rendered from the field, against their truth (paper, 3.1).

To add a loss, write its line in :func:`render_losses` and its weight in :class:`RenderWeights`.
"""

from dataclasses import dataclass, field
from functools import partial

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from humanlrm.model.lrm import HumanLRM
from humanlrm.model.triplane import Triplane
from humanlrm.render.density import Density, RadianceField
from humanlrm.render.volume import Sampling, render_rays
from humanlrm.train.perceptual import PerceptualLoss
from humanlrm.train.pixels import choose_patch, choose_pixels, gather_truth
from humanlrm.views import Targets

#: Share of the mean that the scale-invariant loss forgives: half, as Eigen et al. 2014.
_FORGIVEN = 0.5
#: Opacities are kept this far from 0 in logarithms; added, not clamped, which would take the gradient away.
_LEAST_OPACITY = 1e-4
#: Least depth in a logarithm, box units.
_LEAST_DEPTH = 1e-4


@dataclass(frozen=True)
class RenderWeights:
    """Weight of each rendering loss.

    The reason is the size of a loss for a typical error after some hundred steps. Weighted losses are then between 0.01
    and 0.1, like those of direct supervision.

    Attributes:
        rgb: squared difference of colors; an error of 0.1 is 0.01.
        perceptual: difference of patches in features; unlike patches are about 0.5 apart. LRM and its relatives weigh
            it about like colors.
        mask: cross entropy of the silhouette; rays are gathered at its edge, where 0.2 is normal. Light, because people
            are built on landmarks with noise: at 0.1 limbs became thin, and the input view lost (docs/log/training.md).
        normal: squared difference of unit normals, 0.1 for 18 degrees; as heavy as on surface samples.
        depth: scale-invariant squared log depth; 0.05 units at 4 units are 0.00015.
        eikonal: as on surface samples; without rendered normals only this keeps distances distances.
    """

    rgb: float = 1.0
    perceptual: float = 0.1
    mask: float = 0.03
    normal: float = 0.1
    depth: float = 50.0
    eikonal: float = 0.05


@dataclass(frozen=True)
class RenderStage:
    """Pixels that are rendered per subject and step.

    Attributes:
        render_px: side to which target views are reduced; a divisor of their side.
        rays: single pixels, from all target views together.
        edge: share of them at the edge of the silhouette; the others lie in its bounding box.
        patch_px: side of one patch for the perceptual loss, a multiple of 8; 0: none.
        sampling: field samples per ray.
        recompute: save memory for time (gradient checkpointing).
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


@dataclass(frozen=True)
class RenderSchedule:
    """Two stages of rendering: low resolution first, then that of the target views.

    At low resolution a pixel covers more of the person: wrong limbs still overlap with right ones, and a patch shows a
    whole part of the body.

    Attributes:
        low: the first stage.
        high: the second stage, at the resolution of the target views.
        switch: share of the run after which the second stage begins.
        views: target views per sample.
        patch_every: steps from one patch for the perceptual loss to the next. A patch costs about as much as all single
            pixels together; its weight is that of such a step.
        weights: weights of the rendering losses.
    """

    low: RenderStage = field(default_factory=RenderStage)
    high: RenderStage = field(default_factory=lambda: RenderStage(render_px=128, patch_px=24))
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
        """Return the stage after this share (0 to 1) of the run."""
        return self.low if progress < self.switch else self.high


def radiance_field(model: HumanLRM, planes: Triplane, density: Density) -> RadianceField:
    """Join the model's field on these planes and a density for the renderer."""
    return RadianceField(partial(model.field.distance, planes), partial(model.field, planes), density)


def render_losses(
    radiance: RadianceField,
    targets: Targets,
    stage: RenderStage,
    rng: torch.Generator,
    perceptual: PerceptualLoss | None = None,
) -> dict[str, Tensor]:
    """Render some pixels of the target views and compare them; unweighted, as named in :class:`RenderWeights`.

    Every loss uses what is known, and is 0 if nothing is.

    Args:
        radiance: the subjects in the frame of their input views.
        rng: chooses pixels, places along rays and the background behind the person.
        perceptual: ``None``: no patch is rendered.

    Raises:
        ValueError: the targets' side is not a whole multiple of ``stage.render_px``, or ``to_input`` mirrors.
    """
    targets = targets.reduced(stage.render_px)
    alpha = targets.alpha[:, :, 0]
    index = choose_pixels(alpha, stage.rays, stage.edge, rng)
    side = stage.patch_px if perceptual is not None else 0
    if side:
        index = torch.cat([index, choose_patch(alpha, side, rng)], dim=1)
    truth = gather_truth(targets, index)
    rendered = render_rays(radiance, truth.rays, stage.sampling, rng, recompute=stage.recompute)
    # A random color behind each subject: no single color of clothes can pass for background.
    background = torch.rand(len(alpha), 1, 3, generator=rng, device=rng.device).to(alpha)
    rgb, opaque = rendered.over(background), truth.alpha[..., None]
    true_rgb = torch.where(opaque > 0, truth.rgb, torch.zeros_like(truth.rgb)) * opaque + background * (1 - opaque)
    patch_loss = alpha.new_zeros(())
    if perceptual is not None and side:
        square = lambda x: rearrange(x[:, stage.rays :], "B (H W) C -> B C H W", H=side)  # noqa: E731
        # Unknown pixels are filled with what was rendered.
        patch_loss = perceptual(square(rgb), square(torch.where(true_rgb.isnan(), rgb.detach(), true_rgb)))
    # As far as there is anything: a limb that is missing has no depth or normal that could be moved.
    hit = rendered.alpha.detach()
    return {
        "rgb": _mean(*_squared_error(rgb, true_rgb)) / 3,
        "perceptual": patch_loss,
        "mask": mask_loss(rendered.alpha, truth.alpha),
        "normal": _mean(*_squared_error(rendered.normal, truth.normal), hit),
        "depth": depth_loss(rendered.depth, truth.depth, hit, truth.view, targets.alpha.shape[1]),
        # Only of rays that hit something: far away, distances are only asked to be large (``sdf_loss``).
        "eikonal": _mean(rendered.eikonal, hit),
    }


def _squared_error(
    rendered: Float[Tensor, "B R 3"], truth: Float[Tensor, "B R 3"]
) -> tuple[Float[Tensor, "B R"], Float[Tensor, "B R"]]:
    """Squared lengths of the differences, and 1 where the truth is known.

    NaN never enters the difference: a zero times NaN would poison the gradient.
    """
    unknown = truth.isnan().any(-1)
    filled = torch.where(unknown[..., None], rendered.detach(), truth)
    return ((rendered - filled) ** 2).sum(-1), (~unknown).to(rendered)


def _mean(*factors: Float[Tensor, "B R"]) -> Float[Tensor, ""]:
    """Mean of the first, weighted by the product of the others; 0 if all weights are 0."""
    error, *weights = factors
    weight = torch.stack(weights).prod(0)
    return (error * weight).sum() / weight.sum().clamp(min=1)


def mask_loss(alpha: Float[Tensor, "B R"], target: Float[Tensor, "B R"]) -> Float[Tensor, ""]:
    """Binary cross entropy less its least value, so that it is 0 for the truth.

    Unlike a squared difference it pulls at a limb that is not there at all: the opacity of a nearly empty ray then
    still has a gradient in logarithm.
    """
    known = ~target.isnan()
    target = torch.where(known, target, alpha.detach()).clamp(0, 1)
    gap = lambda truth, share: truth * ((truth + _LEAST_OPACITY).log() - (share + _LEAST_OPACITY).log())  # noqa: E731
    return ((gap(target, alpha) + gap(1 - target, 1 - alpha)) * known).mean()


def depth_loss(
    depth: Float[Tensor, "B R"],
    target: Float[Tensor, "B R"],
    weight: Float[Tensor, "B R"],
    view: Int[Tensor, "B R"],
    views: int,
) -> Float[Tensor, ""]:
    """Scale-invariant squared log error per view (Eigen et al. 2014, eq. 4).

    Half of the mean error is forgiven, so that a body in the wrong place along the camera's axis counts less than one
    of the wrong shape.
    """
    known = ~target.isnan() & (weight > 0)
    error = torch.where(known, depth, torch.ones_like(depth)).clamp(min=_LEAST_DEPTH).log()
    error = error - torch.where(known, target, torch.ones_like(target)).log()
    share = torch.nn.functional.one_hot(view, views) * (known * weight)[..., None]
    total = share.sum(1).clamp(min=1)
    mean, squares = ((share * (error**power)[..., None]).sum(1) / total for power in (1, 2))
    return (squares - _FORGIVEN * mean**2).sum() / (share.sum(1) > 0).sum().clamp(min=1)
