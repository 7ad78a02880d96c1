"""Synthetic (detected, true) landmarks for the lifter: bodies from any side, with errors like the detector's.

No pixels: thousands per second. Cameras are spread as in ``data.render.camera_sampling``. The errors are like those of
BlazePose on our renders: limbs off by some percent, depth too flat, leaning, noisy, and sometimes inverted.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from humanlrm.body.landmarks import COUNT, INDEX
from humanlrm.data.render.camera_sampling import MILD_PITCH_DEG, MILD_SHARE, PITCH_DEG
from humanlrm.data.settings import FOV_DEG
from humanlrm.frame import CAMERA_DISTANCE, SUBJECT_SPAN

_TRUNK_CORNERS = [INDEX[f"{side}_{part}"] for side in ("left", "right") for part in ("shoulder", "hip")]
#: The mask's box is larger than the landmarks' by about this much, box units.
_BOX_MARGIN = 0.14
#: Least distance of the camera, box units.
_NEAREST_CAMERA = 1.6
#: A body is scaled by its extent in the picture, or by this share of its depth if that is more.
_DEPTH_SHARE = 0.8
#: Share of the detections whose depth is inverted.
_INVERTED = 0.08


class _Dice:
    """Random numbers of one generator, for n bodies."""

    def __init__(self, n: int, rng: torch.Generator) -> None:
        self.n, self.rng = n, rng

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(self.n, *shape, generator=self.rng)

    def normal(self, deviation: float, *shape: int) -> Tensor:
        return deviation * torch.randn(self.n, *shape, generator=self.rng)


def synthetic_detections(
    figures: Float[Tensor, "N J 3"], rng: torch.Generator
) -> tuple[Float[Tensor, "N J 4"], Float[Tensor, "N J 3"]]:
    """Draw a camera and detector errors for each figure.

    Args:
        figures: true landmarks, any unit and place, +Y up.

    Returns:
        (detected, true) landmarks in the sample frame, box units; ``detected`` with a visibility.
    """
    dice = _Dice(len(figures), rng)
    turned = figures @ _view(dice).transpose(1, 2)
    turned = turned - (turned.amax(1, keepdim=True) + turned.amin(1, keepdim=True)) / 2
    # A body that points at the camera would be enlarged until it reaches the camera.
    extent = ((turned.amax(1) - turned.amin(1)) * torch.tensor([1.0, 1.0, _DEPTH_SHARE])).amax(1)
    body = turned * ((SUBJECT_SPAN - _BOX_MARGIN - dice.normal(0.06).abs()) / extent)[:, None, None]
    middle = 0.7 * body[:, _TRUNK_CORNERS, 2].mean(1) + 0.3 * body[..., 2].mean(1) + dice.normal(0.03)
    z = body[..., 2] - middle[:, None]
    narrowest, widest = FOV_DEG
    fov_rad = narrowest * (widest / narrowest) ** dice.uniform(0, 1) * (math.pi / 180)
    distance = (SUBJECT_SPAN / 2 / (dice.uniform(0.62, 0.94) * (fov_rad / 2).tan())).clamp(min=_NEAREST_CAMERA)
    seen = body[..., :2] / (1 - z / distance[:, None])[..., None]
    centre = ((seen.amin(1) + seen.amax(1)) / 2 + dice.normal(0.03, 2))[:, None]
    truth = torch.cat([body[..., :2] - centre, z[..., None]], dim=-1)
    return _detected(seen - centre, truth, dice), truth


def _view(dice: _Dice) -> Float[Tensor, "N 3 3"]:
    """Rotations to the camera's axes: any yaw; pitch and roll of a hand-held camera."""
    middle_deg, deviation_deg = MILD_PITCH_DEG
    mild = dice.uniform(0, 1) < MILD_SHARE
    pitch_deg = torch.where(mild, middle_deg + dice.normal(deviation_deg), dice.uniform(*PITCH_DEG)).clamp(*PITCH_DEG)
    roll, pitch, yaw = dice.normal(0.03), pitch_deg * (math.pi / 180), dice.uniform(0, 2 * math.pi)
    return _turn(roll, 0, 1) @ _turn(pitch, 1, 2) @ _turn(yaw, 2, 0)


def _turn(angle_rad: Float[Tensor, "N"], first: int, second: int) -> Float[Tensor, "N 3 3"]:
    """Rotations that take axis ``first`` toward axis ``second``."""
    out = torch.eye(3).repeat(len(angle_rad), 1, 1)
    out[:, first, first] = out[:, second, second] = angle_rad.cos()
    out[:, second, first], out[:, first, second] = angle_rad.sin(), -angle_rad.sin()
    return out


def _detected(seen: Float[Tensor, "N J 2"], truth: Float[Tensor, "N J 3"], dice: _Dice) -> Float[Tensor, "N J 4"]:
    """Detector errors; x and y follow from pixels and depth, as where detections are lifted into the frame."""
    inverted = dice.uniform(0, 1, 1) < _INVERTED
    gain = dice.uniform(0.3, 1.2, 1) * torch.where(inverted, -1.0, 1.0)
    z = (
        gain * truth[..., 2]
        + dice.normal(0.12, 1) * truth[..., 1]
        + dice.normal(1, COUNT) * dice.uniform(0.03, 0.12, 1)
    )
    z = z - 0.7 * z[:, _TRUNK_CORNERS].mean(1, keepdim=True)
    far = torch.where(dice.uniform(0, 1, COUNT, 1) < 0.1, 4.0, 1.0)
    pixels = seen + dice.normal(1, COUNT, 2) * (0.012 + dice.uniform(0, 0.03, 1, 1) * far)
    xy = pixels * (1 - z / CAMERA_DISTANCE)[..., None]
    return torch.cat([xy, z[..., None], dice.uniform(0.5, 1.1, COUNT, 1).clamp(max=1)], dim=-1)
