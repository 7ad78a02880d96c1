"""Landmark correction: the image overrules the detector before anything is built on its points."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.frame import project_ndc
from humanlrm.landmarks import COUNT
from humanlrm.model.blocks import Block, Pointwise
from humanlrm.model.encoder import Pyramid
from humanlrm.model.triplane import sample_plane


class Lifter(nn.Module):
    """Detected landmarks alone to better 3D landmarks: a small MLP over all of them (our choice).

    It knows the detector's biases and what bodies can do. It is fitted to the shards' (detected, true) pairs before
    training starts, because that takes a minute (``train.lift``) and an end-to-end model takes hours to learn as much.
    """

    def __init__(self, width: int = 256) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(COUNT * 5, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, COUNT * 3)
        )
        nn.init.zeros_(self.layers[-1].weight)  # pyright: ignore[reportArgumentType]
        nn.init.zeros_(self.layers[-1].bias)  # pyright: ignore[reportArgumentType]
        self.mean = nn.Parameter(torch.zeros(COUNT, 3))

    def forward(self, detected: Float[Tensor, "B J 4"]) -> Float[Tensor, "B J 3"]:
        """Box units in and out; a point with visibility 0 is missing: its coordinates are ignored and it is guessed."""
        seen = (detected[..., 3:] > 0).to(detected)
        told = torch.cat([detected * seen, seen], dim=-1)
        start = torch.where(seen > 0, detected[..., :3], self.mean)
        return start + self.layers(told.flatten(1)).view(-1, COUNT, 3)


class LandmarkCorrector(nn.Module):
    """Detected landmarks and image features to corrected 3D landmarks (DESIGN section 5; our choice).

    The lifter comes first. Then each landmark is a token made of its position, its visibility and the image features
    under it; it attends to the other landmarks and to the coarse image tokens.
    """

    def __init__(self, channels: tuple[int, ...], width: int, heads: int, depth: int) -> None:
        super().__init__()
        self.lifter = Lifter()
        self.name = nn.Parameter(torch.randn(COUNT, width) * 0.02)
        self.position = nn.Linear(5, width)
        self.under = nn.Linear(channels[2] + channels[3], width)
        self.image = Pointwise(channels[4], width)
        self.blocks = nn.ModuleList([Block(width, heads, 3) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.delta = nn.Linear(width, 3)
        nn.init.zeros_(self.delta.weight)
        nn.init.zeros_(self.delta.bias)

    def forward(
        self, detected: Float[Tensor, "B J 4"], pyramid: Pyramid, place: Float[Tensor, "1 N D"]
    ) -> tuple[Float[Tensor, "B J 3"], Float[Tensor, "B J D"]]:
        """Corrected landmarks (box units) and their tokens.

        Args:
            detected: box units and visibility in [0, 1]; visibility 0 = missing.
            pyramid: the encoder's features.
            place: positional encoding of the stride-32 tokens.
        """
        seen = (detected[..., 3:] > 0).to(detected)
        start = self.lifter(detected)
        ndc = project_ndc(start)
        under = torch.cat([sample_plane(f.float(), ndc) for f in (pyramid.stride8, pyramid.stride16)], dim=-1)
        marks = self.position(torch.cat([start, detected[..., 3:], seen], dim=-1)) + self.under(under) + self.name
        image = self.image(pyramid.stride32).flatten(2).transpose(1, 2) + place
        tokens = torch.cat([marks, image], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        marks = self.norm(tokens[:, :COUNT])
        return start + self.delta(marks).float(), marks
