"""What the network is given and what it is asked for: tensors, batch first, in the sample's frame."""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Given:
    """One view per subject; single samples have no batch axis until :func:`collate`.

    Attributes:
        image: sRGB, alpha, known (1 inside the photo), in [0, 1].
        landmarks: detected, box units, and visibility in [0, 1]; 0 = missing.
    """

    image: Float[Tensor, "*B 5 H W"]
    landmarks: Float[Tensor, "*B J 4"]


@dataclass(frozen=True)
class Wanted:
    """The truth (box units).

    Attributes:
        points, sdf: signed distance samples.
        surface, normals, rgb: surface samples; rgb is sRGB under the input view's light.
        depth: z where a pixel's ray enters and leaves the person; NaN where it misses.
        landmarks: true landmarks.
    """

    points: Float[Tensor, "*B P 3"]
    sdf: Float[Tensor, "*B P"]
    surface: Float[Tensor, "*B S 3"]
    normals: Float[Tensor, "*B S 3"]
    rgb: Float[Tensor, "*B S 3"]
    depth: Float[Tensor, "*B 2 D D"]
    landmarks: Float[Tensor, "*B J 3"]


@dataclass(frozen=True)
class Batch:
    given: Given
    wanted: Wanted

    def to(self, device: torch.device) -> "Batch":
        def move(part):
            return type(part)(*(getattr(part, f.name).to(device) for f in fields(part)))

        return Batch(move(self.given), move(self.wanted))


def collate(samples: list[Batch]) -> Batch:
    """Single samples (without a batch axis) to one batch."""

    def stack(kind, parts):
        return kind(*(torch.stack([getattr(p, f.name) for p in parts]) for f in fields(kind)))

    return Batch(stack(Given, [s.given for s in samples]), stack(Wanted, [s.wanted for s in samples]))
