"""What the rendering losses minimise: a field, rendered from other views, against what they show (paper, 3.1)."""

from dataclasses import asdict, dataclass
from functools import partial

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from humanlrm.frame import CAMERA_DISTANCE, canonical_camera
from humanlrm.model.lrm import Model
from humanlrm.model.triplane import Triplane
from humanlrm.rays import Rays, pixel_centres, pixel_rays
from humanlrm.render.density import Density, RadianceField
from humanlrm.render.volume import render_rays
from humanlrm.train.perceptual import PerceptualLoss
from humanlrm.train.pixels import choose_patch, choose_pixels
from humanlrm.train.render_config import RenderStage, RenderWeights
from humanlrm.views import Targets

#: Share of the mean that the scale-invariant loss forgives: half, as Eigen et al. 2014.
_FORGIVEN = 0.5
#: Opacities are kept this far from 0 in logarithms; added, not clamped, which would take the gradient away.
_LEAST = 1e-4


@dataclass(frozen=True)
class RenderTerms:
    """Unweighted terms, as named in :class:`RenderWeights`."""

    rgb: Float[Tensor, ""]
    perceptual: Float[Tensor, ""]
    mask: Float[Tensor, ""]
    normal: Float[Tensor, ""]
    depth: Float[Tensor, ""]
    eikonal: Float[Tensor, ""]

    def total(self, weights: RenderWeights) -> Float[Tensor, ""]:
        return torch.stack([weight * getattr(self, name) for name, weight in asdict(weights).items()]).sum()

    def numbers(self) -> dict[str, float]:
        return {f"render_{name}": float(value.detach()) for name, value in vars(self).items()}


def radiance_field(model: Model, planes: Triplane, density: Density) -> RadianceField:
    """The model's field on these planes, as the renderer asks for it."""
    return RadianceField(partial(model.field.distance, planes), partial(model.field, planes), density)


def view_scale(to_input: Float[Tensor, "B T 4 4"]) -> Float[Tensor, "B T"]:
    """By how much lengths of each view's own frame grow in the given view's frame.

    Raises:
        ValueError: a matrix mirrors or flattens.
    """
    volume = torch.linalg.det(to_input[..., :3, :3])
    if not bool((volume > 0).all()):
        raise ValueError(
            f"to_given must be rotation, positive scale and shift; the determinants are {volume.flatten().tolist()}: "
            "mirror a sample by mirroring both frames (S M S), not by one reflection"
        )
    return volume.pow(1 / 3)


@dataclass(frozen=True)
class _Pixels:
    """The truth at chosen pixels, in the given view's frame."""

    rays: Rays
    view: Int[Tensor, "B R"]
    rgb: Float[Tensor, "B R 3"]
    alpha: Float[Tensor, "B R"]
    normal: Float[Tensor, "B R 3"]
    depth: Float[Tensor, "B R"]


def render_losses(
    field: RadianceField,
    targets: Targets,
    stage: RenderStage,
    rng: torch.Generator,
    perceptual: PerceptualLoss | None = None,
) -> RenderTerms:
    """Renders some pixels of the target views and compares; every term uses what is known, and is 0 if nothing is.

    Args:
        field: the subjects in the frame of their given views.
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
    truth = _pixels(targets, index)
    seen = render_rays(field, truth.rays, stage.sampling, rng, recompute=stage.recompute)
    # A colour of its own behind each subject: no single colour of clothes can pass for background.
    behind = torch.rand(len(alpha), 1, 3, generator=rng, device=rng.device).to(alpha)
    shown = seen.over(behind)
    opaque = truth.alpha[..., None]
    wanted = torch.where(opaque > 0, truth.rgb, torch.zeros_like(truth.rgb)) * opaque + behind * (1 - opaque)
    patch = alpha.new_zeros(())
    if perceptual is not None and side:
        square = lambda x: rearrange(x[:, stage.rays :], "B (H W) C -> B C H W", H=side)  # noqa: E731
        # Unknown pixels are filled with what was rendered.
        filled = torch.where(wanted.isnan(), shown.detach(), wanted)
        patch = perceptual(square(shown), square(filled))
    # As far as there is anything: a limb that is missing has no depth or normal that could be moved.
    met = seen.alpha.detach()
    return RenderTerms(
        rgb=_mean(*_squared(shown, wanted)) / 3,
        perceptual=patch,
        mask=mask_loss(seen.alpha, truth.alpha),
        normal=_mean(*_squared(seen.normal, truth.normal), met),
        depth=depth_loss(seen.depth, truth.depth, met, truth.view, targets.alpha.shape[1]),
        # Only of rays that meet something: far away, distances are only asked to be large (``sdf_loss``).
        eikonal=_mean(seen.eikonal, met),
    )


def _pixels(targets: Targets, index: Int[Tensor, "B R"]) -> _Pixels:
    """Rays and truth of pixels (indices over T, H, W)."""
    subjects, _, _, height, width = targets.rgb.shape
    camera = canonical_camera(height)
    view, pixel = index // (height * width), index % (height * width)
    row = torch.arange(subjects, device=index.device)[:, None]
    similarity = targets.to_input[row, view]
    centres = pixel_centres(camera.size_px).to(targets.rgb)[pixel]
    rays = pixel_rays(camera, rearrange(centres, "B R xy -> (B R) 1 xy"))
    scale = view_scale(targets.to_input).gather(1, view)
    pick = lambda x: rearrange(x, "B T C H W -> B (T H W) C")[row, index]  # noqa: E731
    normal = torch.einsum("brij,brj->bri", similarity[..., :3, :3], pick(targets.normal)) / scale[..., None]
    return _Pixels(
        rays=rays.moved(rearrange(similarity, "B R i j -> (B R) i j")).grouped(subjects),
        view=view,
        rgb=pick(targets.rgb),
        alpha=pick(targets.alpha)[..., 0],
        normal=normal,
        depth=(CAMERA_DISTANCE - pick(targets.depth)[..., 0]) * scale,
    )


def _squared(
    seen: Float[Tensor, "B R 3"], wanted: Float[Tensor, "B R 3"]
) -> tuple[Float[Tensor, "B R"], Float[Tensor, "B R"]]:
    """Squared lengths of the differences, and 1 where the truth is known. NaN never enters the difference: a zero times
    NaN would poison the gradient."""
    unknown = wanted.isnan().any(-1)
    filled = torch.where(unknown[..., None], seen.detach(), wanted)
    return ((seen - filled) ** 2).sum(-1), (~unknown).to(seen)


def _mean(*factors: Float[Tensor, "B R"]) -> Float[Tensor, ""]:
    """Mean of the first, weighted by the product of the others; 0 if they are."""
    error, *weights = factors
    weight = torch.stack(weights).prod(0)
    return (error * weight).sum() / weight.sum().clamp(min=1)


def mask_loss(alpha: Float[Tensor, "B R"], target: Float[Tensor, "B R"]) -> Float[Tensor, ""]:
    """Binary cross entropy less its least value, so that it is 0 for the truth. Unlike a squared difference it pulls at
    a limb that is not there at all: the nearly empty ray's opacity then still has a gradient in logarithm."""
    known = ~target.isnan()
    target = torch.where(known, target, alpha.detach()).clamp(0, 1)
    gap = lambda wanted, had: wanted * ((wanted + _LEAST).log() - (had + _LEAST).log())  # noqa: E731
    return ((gap(target, alpha) + gap(1 - target, 1 - alpha)) * known).mean()


def depth_loss(
    depth: Float[Tensor, "B R"],
    target: Float[Tensor, "B R"],
    weight: Float[Tensor, "B R"],
    view: Int[Tensor, "B R"],
    views: int,
) -> Float[Tensor, ""]:
    """Scale-invariant squared log error per view (Eigen et al. 2014, eq. 4): half of the mean error is forgiven, so
    that a body in the wrong place along the camera's axis counts less than one of the wrong shape."""
    known = ~target.isnan() & (weight > 0)
    error = torch.where(known, depth, torch.ones_like(depth)).clamp(min=_LEAST).log()
    error = error - torch.where(known, target, torch.ones_like(target)).log()
    share = torch.nn.functional.one_hot(view, views) * (known * weight)[..., None]
    total = share.sum(1).clamp(min=1)
    mean, squares = ((share * (error**power)[..., None]).sum(1) / total for power in (1, 2))
    return (squares - _FORGIVEN * mean**2).sum() / (share.sum(1) > 0).sum().clamp(min=1)
