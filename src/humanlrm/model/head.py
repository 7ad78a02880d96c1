"""Head part of the field: a residual SDF in the frame of the head."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from humanlrm.body.landmarks import INDEX
from humanlrm.model.blocks import fourier, mlp, zero_init

_NECK, _HEAD, _NOSE = INDEX["neck"], INDEX["head"], INDEX["nose"]
#: Lower limit of the distance from the middle of the skull to the nose's tip, box units (an adult's is 0.11).
_LEAST = 0.06
#: Radii between which the head part fades out, in those distances.
_FULL, _OVER = 1.7, 2.3
_HEAD_OCTAVES = 5


@dataclass(frozen=True)
class HeadPlaces:
    """Points in the head's frame.

    Attributes:
        inside: True for points near the head.
        places: those points (one subject after the other): x to the person's left, y up, z to the nose's tip at
            (0, 0, 1).
        share: weight of the head part there, 0 to 1.
    """

    inside: Bool[Tensor, "B P"]
    places: Float[Tensor, "N 3"]
    share: Float[Tensor, "N 1"]


def head_places(points: Float[Tensor, "B P 3"], landmarks: Float[Tensor, "B J 3"]) -> HeadPlaces:
    """Points around heads in the heads' frames. The unit is the distance from the middle of the skull to the nose's
    tip; "up" comes from the neck."""
    head = landmarks[:, _HEAD]
    nose, neck = landmarks[:, _NOSE] - head, landmarks[:, _NECK] - head
    forward = nn.functional.normalize(nose, dim=-1)
    up = nn.functional.normalize((forward * neck).sum(-1, keepdim=True) * forward - neck, dim=-1)
    axes = torch.stack([torch.linalg.cross(up, forward), up, forward], dim=-1)
    size = nose.norm(dim=-1).clamp(min=_LEAST)[:, None, None]
    places = (points - head[:, None]) @ axes / size
    reach = places.norm(dim=-1)
    inside = reach < _OVER
    share = ((_OVER - reach[inside]) / (_OVER - _FULL)).clamp(max=1)
    return HeadPlaces(inside, places[inside], share[:, None])


class Head(nn.Module):
    """Residual SDF of heads beside the body's (not in the paper).

    A face is 25 pixels wide in a picture of a whole person and 4 cells in a plane: too little to build a nose of. In
    the frame of the head every nose is in the same place, so one network learns the shape of heads, and the picture's
    features identify one. It starts at zero and is evaluated near heads only.
    """

    def __init__(self, features: int, width: int = 96, depth: int = 3) -> None:
        super().__init__()
        inputs = features + 3 + 6 * _HEAD_OCTAVES + 1
        self.trunk = nn.Sequential(*mlp(inputs, width, depth), zero_init(nn.Linear(width, 1)))

    def forward(
        self, places: HeadPlaces, features: Float[Tensor, "B P F"], sdf: Float[Tensor, "B P"]
    ) -> Float[Tensor, "B P"]:
        """The distances ``sdf`` with heads; ``features`` are of planes and picture at all points."""
        body = sdf[places.inside][:, None]
        near = [
            features[places.inside],
            places.places,
            fourier(places.places / 2, _HEAD_OCTAVES),
            body.clamp(-0.2, 0.2) * 4,
        ]
        delta = self.trunk(torch.cat(near, dim=-1)) * places.share
        return sdf.masked_scatter(places.inside, (body + delta)[:, 0].to(sdf))
