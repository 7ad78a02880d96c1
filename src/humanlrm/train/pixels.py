"""Which pixels of the target views are rendered. Indices run over views, rows and columns: (view H + y) W + x."""

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

#: Half width of the edge band, in pixels.
_BAND = 2
#: The silhouette's box is widened by this share of the image's side.
_MARGIN = 0.06


def _spread(mask: Float[Tensor, "N H W"], pixels: tuple[int, int]) -> Float[Tensor, "N H W"]:
    kernel = (2 * pixels[0] + 1, 2 * pixels[1] + 1)
    return nn.functional.max_pool2d(mask[:, None], kernel, stride=1, padding=pixels)[:, 0]


def box_map(alpha: Float[Tensor, "N H W"]) -> Float[Tensor, "N H W"]:
    """1 inside the silhouette's bounding box and a margin; everywhere, if there is no silhouette."""
    height, width = alpha.shape[1:]
    solid = (alpha > 0.5).to(alpha)
    reach = (round(_MARGIN * height), round(_MARGIN * width))
    rows = _spread(solid.amax(2, keepdim=True), (reach[0], 0))
    columns = _spread(solid.amax(1, keepdim=True), (0, reach[1]))
    box = rows * columns
    return torch.where(box.sum((1, 2), keepdim=True) > 0, box, torch.ones_like(box))


def edge_map(alpha: Float[Tensor, "N H W"]) -> Float[Tensor, "N H W"]:
    """1 within two pixels of the silhouette's edge."""
    reach = (_BAND, _BAND)
    return ((_spread(alpha, reach) + _spread(-alpha, reach)) > 0.1).to(alpha)


def choose_pixels(
    alpha: Float[Tensor, "B T H W"], count: int, edge: float, rng: torch.Generator
) -> Int[Tensor, "B count"]:
    """Pixels of every subject's views, all views alike: a share ``edge`` of them near the silhouette's edge, the others
    in its box. May repeat a pixel."""
    flat = rearrange(alpha, "B T H W -> (B T) H W")
    share = lambda x: x / x.sum((1, 2), keepdim=True).clamp(min=1)  # noqa: E731
    chance = (1 - edge) * share(box_map(flat)) + edge * share(edge_map(flat))
    chance = rearrange(chance, "(B T) H W -> B (T H W)", B=len(alpha))
    return torch.multinomial(chance.to(rng.device), count, replacement=True, generator=rng).to(alpha.device)


def choose_patch(alpha: Float[Tensor, "B T H W"], side: int, rng: torch.Generator) -> Int[Tensor, "B P2"]:
    """One square patch per subject around a pixel that shows the person, in any view; row after row."""
    height, width = alpha.shape[2:]
    middle = choose_pixels(alpha * 0 + (alpha > 0.5), 1, 0.0, rng)
    view, y, x = middle // (height * width), middle // width % height, middle % width
    top, left = (y - side // 2).clamp(0, height - side), (x - side // 2).clamp(0, width - side)
    step = torch.arange(side, device=alpha.device)
    rows, columns = top + step, left + step
    return ((view * height + rows)[:, :, None] * width + columns[:, None]).flatten(1)
