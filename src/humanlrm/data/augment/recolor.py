"""Batches whose people wear other colours and are hidden in parts: what the landmark estimate must not go by."""

import math
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from humanlrm.views import Inputs

#: Shares of the samples whose colours are turned, over which a patch of another's picture lies, and that lack a patch.
_DYED, _PASTED, _HIDDEN = 0.5, 0.2, 0.15
#: Largest factor of the distance of a colour from its grey.
_VIVID = 1.5
#: Least and largest side of a patch, as a share of the picture's.
_SIDES = (0.08, 0.35)


def recolored(inputs: Inputs, rng: torch.Generator) -> Inputs:
    """Hues turned by any angle, with more or less colour; patches that show somebody else's picture, as a print or a
    thing that is carried does; and patches that the mask lacks, as where something stood in front (our choice).

    Landmarks, detected ones too, and all that is true stay: they do not depend on it. Patches are put where people
    mostly are; colours beside the mask change with them, which nobody sees.
    """
    count, (height, width) = len(inputs.image), inputs.image.shape[-2:]
    draw = lambda *shape: torch.rand(shape, generator=rng).to(inputs.image)  # noqa: E731
    rgb, alpha, known = inputs.image.split([3, 1, 1], dim=1)
    chances = zip(draw(3, count, 1, 1, 1), (_DYED, _PASTED, _HIDDEN), strict=True)
    dyed, pasted, hidden = (chance < share for chance, share in chances)
    rgb = torch.where(dyed, _redyed(rgb, draw(count) * 2 * math.pi, draw(count) * _VIVID), rgb)
    rgb = torch.where(pasted & _patches(draw(count, 4), height, width), rgb.roll(1, dims=0), rgb)
    alpha = alpha.masked_fill(hidden & _patches(draw(count, 4), height, width), 0)
    return replace(inputs, image=torch.cat([rgb, alpha, known], dim=1))


def _redyed(
    rgb: Float[Tensor, "B 3 H W"], angle: Float[Tensor, "B"], vivid: Float[Tensor, "B"]
) -> Float[Tensor, "B 3 H W"]:
    """Colours turned about the axis of greys, and drawn to it or away from it; in [0, 1]."""
    grey = torch.full((3, 3), 1 / 3).to(rgb)
    axis = torch.tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]).to(rgb) / math.sqrt(3)
    across = torch.eye(3).to(rgb) - grey
    turn = grey + vivid[:, None, None] * (angle.cos()[:, None, None] * across + angle.sin()[:, None, None] * axis)
    return torch.einsum("bij,bjhw->bihw", turn, rgb).clamp(0, 1)


def _patches(where: Float[Tensor, "B 4"], height: int, width: int) -> Bool[Tensor, "B 1 H W"]:
    """Of each sample a rectangle, given its middle (nearer to the picture's) and its sides as numbers in [0, 1]."""
    middle = 0.5 + (where[:, :2] - 0.5) * 0.8
    half = (_SIDES[0] + where[:, 2:] * (_SIDES[1] - _SIDES[0])) / 2
    rows, columns = ((torch.arange(n, device=where.device) + 0.5) / n for n in (height, width))
    down = (rows - middle[:, :1]).abs() < half[:, :1]
    across = (columns - middle[:, 1:]).abs() < half[:, 1:]
    return (down[:, :, None] & across[:, None, :])[:, None]
