"""The head's own part of the field: what a point is beside the face, told in a frame that turns with the head."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from humanlrm.body.landmarks import INDEX
from humanlrm.model.blocks import fourier

_NECK, _HEAD, _NOSE = INDEX["neck"], INDEX["head"], INDEX["nose"]
#: Least distance of the nose's tip from the middle of the skull that is believed, box units (an adult's is 0.11).
_LEAST = 0.06
#: Where the head's part ends, in those distances: from here on it fades, and there it is over.
_FULL, _OVER = 1.7, 2.3
_OCTAVES = 5


@dataclass(frozen=True)
class HeadPlaces:
    """Points in the head's frame.

    Attributes:
        inside: which points are near enough to the head to be asked for.
        places: those points (all subjects' after each other): x to the person's left, y up, z to the nose's tip at
            (0, 0, 1).
        share: how much the head's part counts there, 0 to 1.
    """

    inside: Bool[Tensor, "B P"]
    places: Float[Tensor, "N 3"]
    share: Float[Tensor, "N 1"]


def head_places(points: Float[Tensor, "B P 3"], landmarks: Float[Tensor, "B J 3"]) -> HeadPlaces:
    """Points around the heads that the landmarks tell of, in the heads' frames. A head is as large as the way from the
    middle of the skull to the nose's tip; "up" comes from the neck."""
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
    """What the SDF of a head is beside the body's field (our choice, not in the paper).

    A face is 25 pixels wide in a picture of a whole person and 4 cells in a plane: too little to build a nose of. In
    the frame of the head every nose is in the same place, so one network knows what heads are like, and the picture's
    features tell which one it is. It starts at zero, and it is asked near heads only.
    """

    def __init__(self, features: int, width: int = 96, depth: int = 3) -> None:
        super().__init__()
        inputs = features + 3 + 6 * _OCTAVES + 1
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [nn.Linear(inputs, width), nn.SiLU()]
            inputs = width
        self.trunk = nn.Sequential(*layers, nn.Linear(width, 1))
        nn.init.zeros_(self.trunk[-1].weight)  # pyright: ignore[reportArgumentType]
        nn.init.zeros_(self.trunk[-1].bias)  # pyright: ignore[reportArgumentType]

    def forward(
        self, places: HeadPlaces, features: Float[Tensor, "B P F"], sdf: Float[Tensor, "B P"]
    ) -> Float[Tensor, "B P"]:
        """The distances ``sdf`` with heads.

        Args:
            features: of planes and picture at the points.
        """
        own = sdf[places.inside][:, None]
        told = [features[places.inside], places.places, fourier(places.places / 2, _OCTAVES), own.clamp(-0.2, 0.2) * 4]
        delta = self.trunk(torch.cat(told, dim=-1)) * places.share
        return sdf.masked_scatter(places.inside, (own + delta)[:, 0].to(sdf))
