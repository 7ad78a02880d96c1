"""Batches turned about the optical axis: more poses for the landmark estimate out of the same photographs."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from humanlrm.views import Inputs, Supervision

#: Standard deviation of the angle (radians): cameras are held nearly upright, limbs point anywhere.
_DEVIATION = 0.25


def rotated(inputs: Inputs, supervision: Supervision, rng: torch.Generator) -> tuple[Inputs, Supervision]:
    """Pictures, depths, detected and true landmarks, each turned about the optical axis by an angle of its own (our
    choice); points and surface are as they were.

    The canonical camera looks along that axis, so that what it sees of a turned person is the turned picture. What
    comes in from outside of the crop is unknown. Clues stay: the detector crops people upright itself.
    """
    angle = torch.randn(len(inputs.image), generator=rng).to(inputs.image) * _DEVIATION
    c, s = angle.cos(), angle.sin()
    turn = torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], dim=1)

    def moved(points: Float[Tensor, "B J D"]) -> Float[Tensor, "B J D"]:
        return torch.cat([points[..., :2] @ turn.transpose(1, 2), points[..., 2:]], dim=-1)

    # A pixel of the turned picture looks where it came from: back by the same angle, which in rows that go down is the
    # same matrix.
    back = torch.cat([turn, torch.zeros_like(turn[..., :1])], dim=-1)
    rgb, rest = inputs.image[:, :3], inputs.image[:, 3:]
    # Colours and depths are only known in places: they are weighted by that.
    colors, rest = _sampled(torch.cat([rgb * rest[:, 1:], rest], dim=1), back).split([3, 2], dim=1)
    image = torch.cat([colors / rest[:, 1:].clamp(min=1e-4), rest], dim=1)
    known = (~supervision.depth.isnan()).to(image)
    depth, share = _sampled(torch.cat([supervision.depth.nan_to_num(), known], dim=1), back).chunk(2, dim=1)
    depth = torch.where(share > 0.5, depth / share.clamp(min=0.5), torch.full_like(depth, torch.nan))
    shown = replace(inputs, image=image, landmarks=moved(inputs.landmarks))
    return shown, replace(supervision, landmarks=moved(supervision.landmarks), depth=depth)


def _sampled(maps: Float[Tensor, "B C H W"], back: Float[Tensor, "B 2 3"]) -> Float[Tensor, "B C H W"]:
    grid = torch.nn.functional.affine_grid(back, list(maps.shape), align_corners=False)
    return torch.nn.functional.grid_sample(maps, grid, align_corners=False)
