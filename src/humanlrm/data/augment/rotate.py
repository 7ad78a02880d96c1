"""Batches rotated about the optical axis: more poses for the landmark estimate out of the same photos."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from humanlrm.views import Inputs, Supervision

#: Standard deviation of the angle: cameras are held nearly upright, limbs point anywhere.
_ANGLE_DEVIATION_RAD = 0.25


def rotated(inputs: Inputs, supervision: Supervision, rng: torch.Generator) -> tuple[Inputs, Supervision]:
    """Rotate pictures, depths, detected and true landmarks of each sample about the optical axis by its own angle.

    The canonical camera looks along that axis: its view of a rotated person is the rotated picture. Pixels from outside
    of the crop are unknown. Detector features stay: the detector crops people upright itself. So do points and surface.
    """
    angle = torch.randn(len(inputs.image), generator=rng).to(inputs.image) * _ANGLE_DEVIATION_RAD
    c, s = angle.cos(), angle.sin()
    turn = torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], dim=1)

    def moved(points: Float[Tensor, "B J D"]) -> Float[Tensor, "B J D"]:
        return torch.cat([points[..., :2] @ turn.transpose(1, 2), points[..., 2:]], dim=-1)

    # A pixel of the rotated picture comes from the place at the negative angle. Rows go down, so that this is the same
    # matrix.
    back = torch.cat([turn, torch.zeros_like(turn[..., :1])], dim=-1)
    rgb, masks = inputs.image[:, :3], inputs.image[:, 3:]
    # Colors and depths are only known in places: they are weighted by that.
    colors, masks = _sample(torch.cat([rgb * masks[:, 1:], masks], dim=1), back).split([3, 2], dim=1)
    image = torch.cat([colors / masks[:, 1:].clamp(min=1e-4), masks], dim=1)
    known = (~supervision.depth.isnan()).to(image)
    depth, share = _sample(torch.cat([supervision.depth.nan_to_num(), known], dim=1), back).chunk(2, dim=1)
    depth = torch.where(share > 0.5, depth / share.clamp(min=0.5), torch.full_like(depth, torch.nan))
    inputs = replace(inputs, image=image, landmarks=moved(inputs.landmarks))
    return inputs, replace(supervision, landmarks=moved(supervision.landmarks), depth=depth)


def _sample(maps: Float[Tensor, "B C H W"], back: Float[Tensor, "B 2 3"]) -> Float[Tensor, "B C H W"]:
    grid = torch.nn.functional.affine_grid(back, list(maps.shape), align_corners=False)
    return torch.nn.functional.grid_sample(maps, grid, align_corners=False)
