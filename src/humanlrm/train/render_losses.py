"""Rendering losses: pixels of other views, rendered from the field, against their truth (paper, 3.1).

To add a loss, write its line in :func:`render_losses` and its weight in
:class:`humanlrm.train.config.RenderWeights`.
"""

from functools import partial

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from humanlrm.model.lrm import HumanLRM
from humanlrm.model.triplane import Triplane
from humanlrm.render.density import Density, RadianceField
from humanlrm.render.volume import render_rays
from humanlrm.train.config import RenderStage
from humanlrm.train.perceptual import PerceptualLoss
from humanlrm.train.pixels import choose_patch, choose_pixels, gather_truth
from humanlrm.views import Targets

#: Share of the mean that the scale-invariant loss forgives: half, as Eigen et al. 2014.
_FORGIVEN = 0.5
#: Opacities are kept this far from 0 in logarithms; added, not clamped, which would take the gradient away.
_LEAST_OPACITY = 1e-4
#: Least depth in a logarithm, box units.
_LEAST_DEPTH = 1e-4


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
