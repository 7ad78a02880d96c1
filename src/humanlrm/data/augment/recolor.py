"""Recolored and partly hidden people in a batch: the landmark estimate must not depend on clothes."""

import math
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from humanlrm.views import Inputs

#: Shares of the samples that are recolored, that get a patch of another photo, and whose mask gets a hole.
_RECOLORED, _PASTED, _HIDDEN = 0.5, 0.2, 0.15
#: Largest factor of the distance of a color from its grey.
_VIVID = 1.5
#: Least and largest side of a patch, as a share of the picture's.
_PATCH_SIDES = (0.08, 0.35)


def recolored(inputs: Inputs, rng: torch.Generator) -> Inputs:
    """Rotate hues, scale saturation, paste patches of other photos and cut holes into masks.

    A pasted patch is like a print or a carried thing, a hole like something in front of the person. Landmarks, detected
    ones too, and the truth do not depend on either. Patches lie where people mostly are. Colors beside the mask change
    with them; the network never sees those.
    """
    count, (height, width) = len(inputs.image), inputs.image.shape[-2:]
    draw = lambda *shape: torch.rand(shape, generator=rng).to(inputs.image)  # noqa: E731
    rgb, alpha, known = inputs.image.split([3, 1, 1], dim=1)
    chances = zip(draw(3, count, 1, 1, 1), (_RECOLORED, _PASTED, _HIDDEN), strict=True)
    has_new_hue, is_pasted, is_hidden = (chance < share for chance, share in chances)
    rgb = torch.where(has_new_hue, _rotate_hues(rgb, draw(count) * 2 * math.pi, draw(count) * _VIVID), rgb)
    rgb = torch.where(is_pasted & _patches(draw(count, 4), height, width), rgb.roll(1, dims=0), rgb)
    alpha = alpha.masked_fill(is_hidden & _patches(draw(count, 4), height, width), 0)
    return replace(inputs, image=torch.cat([rgb, alpha, known], dim=1))


def _rotate_hues(
    rgb: Float[Tensor, "B 3 H W"], angle_rad: Float[Tensor, "B"], saturation: Float[Tensor, "B"]
) -> Float[Tensor, "B 3 H W"]:
    """Rotate colors about the axis of greys and scale their distance from it; in [0, 1]."""
    grey = torch.full((3, 3), 1 / 3).to(rgb)
    axis = torch.tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]).to(rgb) / math.sqrt(3)
    across = torch.eye(3).to(rgb) - grey
    cos, sin = angle_rad.cos()[:, None, None], angle_rad.sin()[:, None, None]
    turn = grey + saturation[:, None, None] * (cos * across + sin * axis)
    return torch.einsum("bij,bjhw->bihw", turn, rgb).clamp(0, 1)


def _patches(numbers: Float[Tensor, "B 4"], height: int, width: int) -> Bool[Tensor, "B 1 H W"]:
    """One rectangle per sample. ``numbers`` in [0, 1] give its center, drawn toward the picture's, and its sides."""
    center = 0.5 + (numbers[:, :2] - 0.5) * 0.8
    half = (_PATCH_SIDES[0] + numbers[:, 2:] * (_PATCH_SIDES[1] - _PATCH_SIDES[0])) / 2
    rows, columns = ((torch.arange(n, device=numbers.device) + 0.5) / n for n in (height, width))
    down = (rows - center[:, :1]).abs() < half[:, :1]
    across = (columns - center[:, 1:]).abs() < half[:, 1:]
    return (down[:, :, None] & across[:, None, :])[:, None]
