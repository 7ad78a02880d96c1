"""Volume rendering: colour, opacity, depth and normal of rays (paper, section 3.1; VolSDF)."""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from humanlrm.rays import Rays
from humanlrm.render.density import RadianceField
from humanlrm.render.sampling import absorbed, even_edges, fine_edges
from humanlrm.render.settings import Sampling

#: Added to opacities before they divide: a ray that meets nothing is black and has depth 0.
_LEAST_ALPHA = 1e-6


@dataclass(frozen=True)
class Rendering:
    """Rendered rays.

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


def integrate(field: RadianceField, rays: Rays, edges: Float[Tensor, "B R S1"], shaded: int | None = None) -> Rendering:
    """The volume rendering integral by the midpoint rule on given intervals.

    Args:
        shaded: colour and normal only at this many samples of the largest weight, which then stand for all of them.
    """
    t = (edges[..., 1:] + edges[..., :-1]) / 2
    subjects, count, intervals = t.shape
    points = rearrange(rays.at(t), "B R S C -> B (R S) C")
    per_ray = lambda x, s: x.reshape(subjects, count, s, *x.shape[2:])  # noqa: E731
    if shaded is None or shaded == intervals:
        samples = field.samples(points)
        weight = shading = absorbed(field.density(per_ray(samples.sdf, intervals)), edges.diff(dim=-1))
        alpha, shaded = weight.sum(-1), intervals
    else:
        weight = absorbed(field.density(per_ray(field.distance(points), intervals)), edges.diff(dim=-1))
        alpha = weight.sum(-1)
        best = weight.detach().topk(shaded, dim=-1).indices
        samples = field.samples(rearrange(rays.at(t.gather(-1, best)), "B R S C -> B (R S) C"))
        shading = weight.gather(-1, best)
        shading = shading * (alpha / (shading.sum(-1) + _LEAST_ALPHA))[..., None]
    shading = shading / (alpha[..., None] + _LEAST_ALPHA)
    mix = lambda x: (shading[..., None] * per_ray(x, shaded)).sum(-2)  # noqa: E731
    return Rendering(
        rgb=mix(samples.rgb),
        alpha=alpha,
        depth=(weight * t).sum(-1) / (alpha + _LEAST_ALPHA) * rays.cosine,
        normal=torch.nn.functional.normalize(mix(samples.normal), dim=-1, eps=_LEAST_ALPHA),
        eikonal=per_ray((samples.gradient.norm(dim=-1) - 1) ** 2, shaded).mean(-1),
    )


def render_rays(
    field: RadianceField,
    rays: Rays,
    sampling: Sampling,
    rng: torch.Generator | None = None,
    chunk: int | None = None,
    recompute: bool = False,
) -> Rendering:
    """Render rays.

    Args:
        rng: moves the samples at random (training); without it they lie evenly.
        chunk: rays per subject that are rendered at once; ``None``: all.
        recompute: keep no activations but compute them again for the gradient (gradient checkpointing).
    """

    def render(part: Rays) -> tuple[Tensor, ...]:
        if sampling.coarse:
            edges = fine_edges(field, part, sampling.coarse, sampling.fine, rng)
        else:
            edges = even_edges(part, sampling.fine, rng)
        integral = lambda: tuple(vars(integrate(field, part, edges, sampling.shaded)).values())  # noqa: E731
        return checkpoint(integral, use_reentrant=False) if recompute else integral()  # pyright: ignore[reportReturnType]

    count = max(rays.near.shape[1], 1)
    step = chunk or count
    parts = [render(rays.part(first, first + step)) for first in range(0, count, step)]
    return Rendering(*(torch.cat(values, dim=1) for values in zip(*parts, strict=True)))


def to_image(values: Float[Tensor, "B R *C"], size_px: tuple[int, int]) -> Float[Tensor, "B C H W"]:
    """Images of the values of :func:`humanlrm.rays.image_rays`; one channel for numbers."""
    return rearrange(values.reshape(*values.shape[:2], -1), "B (H W) C -> B C H W", H=size_px[0], W=size_px[1])
