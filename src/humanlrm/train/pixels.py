"""Choice of the pixels of target views that are rendered, and their rays and truth.

Indices run over views, rows and columns: (view H + y) W + x.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from humanlrm.frame import CAMERA_DISTANCE, canonical_camera
from humanlrm.rays import Rays, pixel_centres, pixel_rays
from humanlrm.views import Targets

_EDGE_HALF_WIDTH_PX = 2
#: The silhouette's box is widened by this share of the image's side.
_SILHOUETTE_MARGIN = 0.06


def _spread(mask: Float[Tensor, "N H W"], pixels: tuple[int, int]) -> Float[Tensor, "N H W"]:
    kernel = (2 * pixels[0] + 1, 2 * pixels[1] + 1)
    return nn.functional.max_pool2d(mask[:, None], kernel, stride=1, padding=pixels)[:, 0]


def box_map(alpha: Float[Tensor, "N H W"]) -> Float[Tensor, "N H W"]:
    """Mark the silhouette's bounding box and a margin with 1; everything, if there is no silhouette."""
    height, width = alpha.shape[1:]
    solid = (alpha > 0.5).to(alpha)
    reach = (round(_SILHOUETTE_MARGIN * height), round(_SILHOUETTE_MARGIN * width))
    rows = _spread(solid.amax(2, keepdim=True), (reach[0], 0))
    columns = _spread(solid.amax(1, keepdim=True), (0, reach[1]))
    box = rows * columns
    return torch.where(box.sum((1, 2), keepdim=True) > 0, box, torch.ones_like(box))


def edge_map(alpha: Float[Tensor, "N H W"]) -> Float[Tensor, "N H W"]:
    """Mark pixels near the silhouette's edge with 1."""
    reach = (_EDGE_HALF_WIDTH_PX, _EDGE_HALF_WIDTH_PX)
    return ((_spread(alpha, reach) + _spread(-alpha, reach)) > 0.1).to(alpha)


def choose_pixels(
    alpha: Float[Tensor, "B T H W"], count: int, edge: float, rng: torch.Generator
) -> Int[Tensor, "B count"]:
    """Draw pixels of every subject's views, all views alike; may repeat a pixel.

    Args:
        edge: share near the silhouette's edge; the others lie in its box.
    """
    flat = rearrange(alpha, "B T H W -> (B T) H W")
    share = lambda x: x / x.sum((1, 2), keepdim=True).clamp(min=1)  # noqa: E731
    chance = (1 - edge) * share(box_map(flat)) + edge * share(edge_map(flat))
    chance = rearrange(chance, "(B T) H W -> B (T H W)", B=len(alpha))
    return torch.multinomial(chance.to(rng.device), count, replacement=True, generator=rng).to(alpha.device)


def choose_patch(alpha: Float[Tensor, "B T H W"], side: int, rng: torch.Generator) -> Int[Tensor, "B P2"]:
    """Draw one square patch per subject around a pixel that shows the person, in any view; row after row."""
    height, width = alpha.shape[2:]
    middle = choose_pixels(alpha * 0 + (alpha > 0.5), 1, 0.0, rng)
    view, y, x = middle // (height * width), middle // width % height, middle % width
    top, left = (y - side // 2).clamp(0, height - side), (x - side // 2).clamp(0, width - side)
    step = torch.arange(side, device=alpha.device)
    rows, columns = top + step, left + step
    return ((view * height + rows)[:, :, None] * width + columns[:, None]).flatten(1)


def view_scale(to_input: Float[Tensor, "B T 4 4"]) -> Float[Tensor, "B T"]:
    """Return the factor by which lengths of each view's own frame grow in the input view's frame.

    Raises:
        ValueError: a matrix mirrors or flattens.
    """
    volume = torch.linalg.det(to_input[..., :3, :3])
    if not bool((volume > 0).all()):
        raise ValueError(
            f"to_input must be rotation, positive scale and shift; the determinants are {volume.flatten().tolist()}: "
            "mirror a sample by mirroring both frames (S M S), not by one reflection"
        )
    return volume.pow(1 / 3)


@dataclass(frozen=True)
class PixelTruth:
    """Rays and truth of chosen pixels, in the input view's frame."""

    rays: Rays
    view: Int[Tensor, "B R"]
    rgb: Float[Tensor, "B R 3"]
    alpha: Float[Tensor, "B R"]
    normal: Float[Tensor, "B R 3"]
    depth: Float[Tensor, "B R"]


def gather_truth(targets: Targets, index: Int[Tensor, "B R"]) -> PixelTruth:
    """Gather rays and truth of pixels (indices over T, H, W)."""
    subjects, _, _, height, width = targets.rgb.shape
    camera = canonical_camera(height)
    view, pixel = index // (height * width), index % (height * width)
    row = torch.arange(subjects, device=index.device)[:, None]
    similarity = targets.to_input[row, view]
    centres = pixel_centres(camera.size_px).to(targets.rgb)[pixel]
    rays = pixel_rays(camera, rearrange(centres, "B R xy -> (B R) 1 xy"))
    scale = view_scale(targets.to_input).gather(1, view)
    gather = lambda x: rearrange(x, "B T C H W -> B (T H W) C")[row, index]  # noqa: E731
    normal = torch.einsum("brij,brj->bri", similarity[..., :3, :3], gather(targets.normal)) / scale[..., None]
    return PixelTruth(
        rays=rays.moved(rearrange(similarity, "B R i j -> (B R) i j")).grouped(subjects),
        view=view,
        rgb=gather(targets.rgb),
        alpha=gather(targets.alpha)[..., 0],
        normal=normal,
        depth=(CAMERA_DISTANCE - gather(targets.depth)[..., 0]) * scale,
    )
