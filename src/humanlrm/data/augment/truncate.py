"""Photos that end above the feet, in frames that have room for the rest of the body.

The detector squeezes the legs of half a person into the photo, so that the first frame has no room for them.
``reconstruct`` then encodes the photo again in a larger frame. Rendered half bodies have first frames only; truncated
whole people are examples of second ones.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from humanlrm.frame import project_ndc, unproject_ndc
from humanlrm.views import Inputs, Supervision

#: Share of the samples, and range of the photo's end as a share of the person's height from the top.
_TRUNCATED, _ENDS = 0.25, (0.2, 0.9)
#: The detector's errors below the end: share of lost landmarks, the others' remaining distance from the end (range of
#: the factor), and their largest visibility.
_LOST, _NEARNESS, _MOST_VISIBLE = 0.3, (0.1, 0.8), 0.5


def truncated(inputs: Inputs, supervision: Supervision, rng: torch.Generator) -> tuple[Inputs, Supervision]:
    """End a quarter of the photos above the person's feet; detections below are lost or move toward the end.

    z = 0 stays the mask average of the visible part. Points and surface stay as they are.
    """
    count, height = len(inputs.image), inputs.image.shape[-2]
    draw = lambda *shape: torch.rand(shape, generator=rng).to(inputs.image)  # noqa: E731
    chosen, share = draw(count) < _TRUNCATED, _between(*_ENDS, draw(count))
    mask = (inputs.image[:, 3] > 0.5).any(-1)
    rows = torch.arange(height, device=mask.device)
    top = torch.where(mask, rows, height).amin(1)
    bottom = torch.where(mask, rows, -1).amax(1)
    end = (top + share * (bottom - top) + 1) / height
    chosen &= bottom > top
    image = inputs.image.masked_fill(_below(end, chosen, height), 0)
    depth = supervision.depth.masked_fill(_below(end, chosen, supervision.depth.shape[-2]), torch.nan)
    detected = _degrade(inputs.landmarks, 1 - 2 * end, chosen, draw)
    changed = (detected != inputs.landmarks).any(-1)[..., None, None]
    features = torch.where(changed, torch.zeros_like(inputs.detector_features), inputs.detector_features)
    # The mean of (front + back) / 2 of the visible part; 0 where nothing was truncated, or nothing known is left.
    middle = depth.mean(1).flatten(1).nanmean(1).nan_to_num() * chosen
    landmarks = supervision.landmarks
    moved = unproject_ndc(project_ndc(landmarks), landmarks[..., 2] - middle[:, None])
    return (
        replace(inputs, image=image, landmarks=detected, detector_features=features),
        replace(supervision, depth=depth - middle[:, None, None, None], landmarks=moved),
    )


def _below(end: Float[Tensor, "B"], chosen: Bool[Tensor, "B"], height: int) -> Bool[Tensor, "B 1 H 1"]:
    """Rows of the chosen pictures that lie below ``end`` (share of the height)."""
    rows = (torch.arange(height, device=end.device) + 0.5) / height
    return (chosen[:, None] & (rows > end[:, None]))[:, None, :, None]


def _between(low: float, high: float, share: Tensor) -> Tensor:
    return low + (high - low) * share


def _degrade(
    detected: Float[Tensor, "B J 4"], end: Float[Tensor, "B"], chosen: Bool[Tensor, "B"], draw: Callable[..., Tensor]
) -> Float[Tensor, "B J 4"]:
    """Lose detected landmarks below the end (NDC) of the chosen photos, or move them toward it."""
    ndc = project_ndc(detected[..., :3])
    below = chosen[:, None] & (ndc[..., 1] < end[:, None]) & (detected[..., 3] > 0)
    nearness = _between(*_NEARNESS, draw(len(end)))[:, None]
    y = end[:, None] + (ndc[..., 1] - end[:, None]) * nearness
    points = unproject_ndc(torch.stack([ndc[..., 0], y], -1), detected[..., 2] * nearness)
    visibility = detected[..., 3] * draw(len(end))[:, None] * _MOST_VISIBLE
    guess = torch.cat([points, visibility[..., None]], -1)
    lost = draw(*below.shape) < _LOST
    guess = torch.where(lost[..., None], torch.zeros_like(guess), guess)
    return torch.where(below[..., None], guess, detected)
