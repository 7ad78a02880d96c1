"""Batches turned about the optical axis: more poses for the landmark estimate out of the same photographs."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from humanlrm.views import Given

#: Standard deviation of the angle (radians): cameras are held nearly upright, limbs point anywhere.
_DEVIATION = 0.25


def turned(given: Given, wanted: Float[Tensor, "B J 3"], rng: torch.Generator) -> tuple[Given, Float[Tensor, "B J 3"]]:
    """Pictures, detected and true landmarks, each turned about the optical axis by an angle of its own (our choice).

    The canonical camera looks along that axis, so that what it sees of a turned person is the turned picture. What
    comes in from outside of the crop is unknown. Clues stay: the detector crops people upright itself.
    """
    angle = torch.randn(len(wanted), generator=rng).to(wanted) * _DEVIATION
    c, s = angle.cos(), angle.sin()
    turn = torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], dim=1)

    def moved(points: Float[Tensor, "B J D"]) -> Float[Tensor, "B J D"]:
        return torch.cat([points[..., :2] @ turn.transpose(1, 2), points[..., 2:]], dim=-1)

    # A pixel of the turned picture looks where it came from: back by the same angle, which in rows that go down is the
    # same matrix.
    back = torch.cat([turn, torch.zeros_like(turn[..., :1])], dim=-1)
    grid = torch.nn.functional.affine_grid(back, list(given.image.shape), align_corners=False)
    rgb, rest = given.image[:, :3], given.image[:, 3:]
    # Colours are only known where the photo is: they are weighted by it.
    sampled = torch.nn.functional.grid_sample(torch.cat([rgb * rest[:, 1:], rest], 1), grid, align_corners=False)
    colours, rest = sampled.split([3, 2], dim=1)
    image = torch.cat([colours / rest[:, 1:].clamp(min=1e-4), rest], dim=1)
    return replace(given, image=image, landmarks=moved(given.landmarks)), moved(wanted)
