"""Batches of photographs that are cut off: half bodies in frames that have room for the rest.

The detector squeezes the legs of half a person into the photo, so that the first frame has no room for them; where the
estimate puts them below, the network looks again in a larger frame (``reconstruct.framed``). Rendered half bodies come
in first frames only. These are the second ones: whole people, of whom all beyond a line is unknown (our choice).
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from humanlrm.frame import project_ndc, unproject_ndc
from humanlrm.views import Inputs, Supervision

#: Share of the samples; where the line lies, as a share of the person's height from the top.
_SHARE, _LINES = 0.25, (0.2, 0.9)
#: How the detector errs about what it does not see: how often a landmark is lost, how near to the line the others are
#: drawn, and the largest visibility that it claims.
_LOST, _DRAWN, _CLAIMED = 0.3, (0.1, 0.8), 0.5


def truncated(inputs: Inputs, supervision: Supervision, rng: torch.Generator) -> tuple[Inputs, Supervision]:
    """A quarter of the pictures, unknown below a line each; what was detected there is lost or drawn toward the line.

    z = 0 stays the mask average of what is shown. Points and surface are as they were: only landmarks and depth learn
    from it.
    """
    count, height = len(inputs.image), inputs.image.shape[-2]
    draw = lambda *shape: torch.rand(shape, generator=rng).to(inputs.image)  # noqa: E731
    chosen, line = draw(count) < _SHARE, _between(*_LINES, draw(count))
    mask = (inputs.image[:, 3] > 0.5).any(-1)
    rows = torch.arange(height, device=mask.device)
    top = torch.where(mask, rows, height).amin(1)
    bottom = torch.where(mask, rows, -1).amax(1)
    end = (top + line * (bottom - top) + 1) / height
    chosen &= bottom > top
    image = inputs.image.masked_fill(_beyond(end, chosen, height), 0)
    depth = supervision.depth.masked_fill(_beyond(end, chosen, supervision.depth.shape[-2]), torch.nan)
    line_ndc = 1 - 2 * end
    detected = _drawn(inputs.landmarks, line_ndc, chosen, draw)
    gone = (detected != inputs.landmarks).any(-1)
    detector_features = torch.where(
        gone[..., None, None], torch.zeros_like(inputs.detector_features), inputs.detector_features
    )
    middle = _middle(depth, chosen)
    landmarks = supervision.landmarks
    moved = unproject_ndc(project_ndc(landmarks), landmarks[..., 2] - middle[:, None])
    return (
        replace(inputs, image=image, landmarks=detected, detector_features=detector_features),
        replace(supervision, depth=depth - middle[:, None, None, None], landmarks=moved),
    )


def _beyond(end: Float[Tensor, "B"], chosen: Bool[Tensor, "B"], height: int) -> Bool[Tensor, "B 1 H 1"]:
    """Rows of a picture whose middle lies below ``end`` (share of the height), of those that are chosen."""
    rows = (torch.arange(height, device=end.device) + 0.5) / height
    return (chosen[:, None] & (rows > end[:, None]))[:, None, :, None]


def _between(low: float, high: float, share: Tensor) -> Tensor:
    return low + (high - low) * share


def _drawn(
    detected: Float[Tensor, "B J 4"], line: Float[Tensor, "B"], chosen: Bool[Tensor, "B"], draw: Callable[..., Tensor]
) -> Float[Tensor, "B J 4"]:
    """Detected landmarks; those below the line lost, or drawn toward it."""
    ndc = project_ndc(detected[..., :3])
    below = chosen[:, None] & (ndc[..., 1] < line[:, None]) & (detected[..., 3] > 0)
    nearness = _between(*_DRAWN, draw(len(line)))[:, None]
    y = line[:, None] + (ndc[..., 1] - line[:, None]) * nearness
    points = unproject_ndc(torch.stack([ndc[..., 0], y], -1), detected[..., 2] * nearness)
    claimed = detected[..., 3] * draw(len(line))[:, None] * _CLAIMED
    guess = torch.cat([points, claimed[..., None]], -1)
    lost = draw(*below.shape) < _LOST
    guess = torch.where(lost[..., None], torch.zeros_like(guess), guess)
    return torch.where(below[..., None], guess, detected)


def _middle(depth: Float[Tensor, "B 2 H W"], chosen: Bool[Tensor, "B"]) -> Float[Tensor, "B"]:
    """The mean of (front + back) / 2 of what is left; 0 where nothing was cut, or nothing known is left."""
    return depth.mean(1).flatten(1).nanmean(1).nan_to_num() * chosen
