"""Volume rendering: colour, opacity, depth and normal of rays (paper, section 3.1; VolSDF)."""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from humanlrm.rays import Rays
from humanlrm.render.field import RadianceField
from humanlrm.render.sampling import absorbed, even_edges, fine_edges

#: Added to opacities before they divide: a ray that meets nothing is black and has depth 0.
_NOTHING = 1e-6


@dataclass(frozen=True)
class Rendering:
    """What rays see.

    Attributes:
        rgb: sRGB in [0, 1], not premultiplied; black where alpha is 0.
        alpha: opacity in [0, 1].
        depth: expected camera z, box units; 0 where alpha is 0.
        normal: unit vector (shorter where alpha is 0), axes of the field's frame.
        eikonal: mean of (length of the field's gradient - 1)^2 over the ray's shaded samples.
    """

    rgb: Float[Tensor, "B R 3"]
    alpha: Float[Tensor, "B R"]
    depth: Float[Tensor, "B R"]
    normal: Float[Tensor, "B R 3"]
    eikonal: Float[Tensor, "B R"]

    def over(self, background: Float[Tensor, "B #R 3"]) -> Float[Tensor, "B R 3"]:
        """Colour in front of a background."""
        alpha = self.alpha[..., None]
        return self.rgb * alpha + background * (1 - alpha)


@dataclass(frozen=True)
class Sampling:
    """How many questions a ray may ask (our choice: the paper does not say; LRM asks 128 without a distance field).

    The defaults were measured on the capsule body of ``benchmarks/render.py``: 24 coarse samples come no nearer to the
    plain integral, and eight fine ones stay about twice as far from it.

    Attributes:
        coarse: distances without gradient that tell where the surface is; 0 divides the whole ray evenly.
        fine: intervals that are integrated, with gradient.
        shaded: how many of them, those of the largest weight, get colour and normal; ``None``: all.
    """

    coarse: int = 16
    fine: int = 12
    shaded: int | None = 3

    def __post_init__(self) -> None:
        if self.coarse < 0 or self.fine < 1 or (self.shaded is not None and not 1 <= self.shaded <= self.fine):
            raise ValueError(f"Sampling needs coarse >= 0, fine >= 1 and 1 <= shaded <= fine (or None), got {self}")


#: Every ray evenly divided and shaded everywhere: the twin that documents and checks the others.
PLAIN = Sampling(coarse=0, fine=128, shaded=None)


def integrate(field: RadianceField, rays: Rays, edges: Float[Tensor, "B R S1"], shaded: int | None = None) -> Rendering:
    """The volume rendering integral by the midpoint rule on given intervals.

    Args:
        shaded: colour and normal only at this many samples of the largest weight, which then stand for all of them.
    """
    t = (edges[..., 1:] + edges[..., :-1]) / 2
    subjects, count, intervals = t.shape
    flat = rays.at(t).flatten(1, 2)
    unflat = lambda x, s: x.reshape(subjects, count, s, *x.shape[2:])  # noqa: E731
    if shaded is None or shaded == intervals:
        found = field.samples(flat)
        weight = shown = absorbed(field.density(unflat(found.sdf, intervals)), edges.diff(dim=-1))
        alpha, shaded = weight.sum(-1), intervals
    else:
        weight = absorbed(field.density(unflat(field.distance(flat), intervals)), edges.diff(dim=-1))
        alpha = weight.sum(-1)
        best = weight.detach().topk(shaded, dim=-1).indices
        found = field.samples(rays.at(t.gather(-1, best)).flatten(1, 2))
        shown = weight.gather(-1, best)
        shown = shown * (alpha / (shown.sum(-1) + _NOTHING))[..., None]
    shown = shown / (alpha[..., None] + _NOTHING)
    mix = lambda x: (shown[..., None] * unflat(x, shaded)).sum(-2)  # noqa: E731
    return Rendering(
        rgb=mix(found.rgb),
        alpha=alpha,
        depth=(weight * t).sum(-1) / (alpha + _NOTHING) * rays.cosine,
        normal=torch.nn.functional.normalize(mix(found.normal), dim=-1, eps=_NOTHING),
        eikonal=unflat((found.gradient.norm(dim=-1) - 1) ** 2, shaded).mean(-1),
    )


def render_rays(
    field: RadianceField,
    rays: Rays,
    sampling: Sampling,
    rng: torch.Generator | None = None,
    chunk: int | None = None,
    recompute: bool = False,
) -> Rendering:
    """Renders rays.

    Args:
        rng: moves the samples at random (training); without it they lie evenly.
        chunk: rays per subject that are rendered at once; ``None``: all.
        recompute: keep no activations but compute them again for the gradient (gradient checkpointing).
    """
    count = rays.near.shape[1]
    step = chunk or max(count, 1)
    parts = [_render(field, rays.part(i, i + step), sampling, rng, recompute) for i in range(0, max(count, 1), step)]
    return Rendering(*(torch.cat(values, dim=1) for values in zip(*(vars(p).values() for p in parts), strict=True)))


def _render(
    field: RadianceField, rays: Rays, sampling: Sampling, rng: torch.Generator | None, recompute: bool
) -> Rendering:
    if sampling.coarse:
        edges = fine_edges(field, rays, sampling.coarse, sampling.fine, rng)
    else:
        edges = even_edges(rays, sampling.fine, rng)
    if not recompute:
        return integrate(field, rays, edges, sampling.shaded)
    values = checkpoint(
        lambda: tuple(vars(integrate(field, rays, edges, sampling.shaded)).values()), use_reentrant=False
    )
    return Rendering(*values)  # pyright: ignore[reportGeneralTypeIssues]


def to_image(values: Float[Tensor, "B R *C"], size_px: tuple[int, int]) -> Float[Tensor, "B C H W"]:
    """What the rays of :func:`humanlrm.rays.image_rays` saw, as images; one channel for numbers."""
    return rearrange(values.reshape(*values.shape[:2], -1), "B (H W) C -> B C H W", H=size_px[0], W=size_px[1])
