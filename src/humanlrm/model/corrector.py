"""Landmark correction: the image overrules the detector before anything is built on its points."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.frame import project_ndc
from humanlrm.landmarks import CLUE_CHANNELS, COUNT
from humanlrm.model.blocks import Block, Pointwise
from humanlrm.model.encoder import Pyramid
from humanlrm.model.triplane import sample_plane


class Lifter(nn.Module):
    """Detected landmarks and their clues to better 3D landmarks: a small transformer over the points (our choice).

    It knows the detector's biases, what bodies can do, and what the detector's features say of depth. It is fitted to
    the shards' (detected, true) pairs before training starts, because that takes minutes (``train.lift``) and an
    end-to-end model takes many hours to learn as much.
    """

    def __init__(self, width: int = 128, heads: int = 4, depth: int = 3) -> None:
        super().__init__()
        self.name = nn.Parameter(torch.randn(COUNT, width) * 0.02)
        self.position = nn.Linear(5, width)
        self.whole = nn.Linear(COUNT * 5, width)
        self.clue_mean = nn.Parameter(torch.zeros(CLUE_CHANNELS))
        self.clue_scale = nn.Parameter(torch.ones(CLUE_CHANNELS))
        self.forget = nn.Dropout(0.2)
        self.clue = nn.Linear(2 * CLUE_CHANNELS, width)
        self.blocks = nn.ModuleList([Block(width, heads, 3) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.delta = nn.Linear(width, 3)
        nn.init.zeros_(self.delta.weight)
        nn.init.zeros_(self.delta.bias)
        self.mean = nn.Parameter(torch.zeros(COUNT, 3))

    def forward(self, detected: Float[Tensor, "B J 4"], clues: Float[Tensor, "B J 2 C"]) -> Float[Tensor, "B J 3"]:
        """Box units in and out; a point with visibility 0 is missing: its coordinates are ignored and it is guessed.

        Args:
            clues: the detector's features of the points; all 0 where there are none.
        """
        seen = (detected[..., 3:] > 0).to(detected)
        told = torch.cat([detected * seen, seen], dim=-1)
        start = torch.where(seen > 0, detected[..., :3], self.mean)
        known = seen * (clues.abs().amax(dim=(-2, -1)) > 0)[..., None]
        clear = self.forget((clues - self.clue_mean) * self.clue_scale).flatten(-2) * known
        tokens = self.position(told) + self.whole(told.flatten(1))[:, None] + self.name + self.clue(clear)
        for block in self.blocks:
            tokens = block(tokens)
        return start + self.delta(self.norm(tokens))


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
        self,
        detected: Float[Tensor, "B J 4"],
        clues: Float[Tensor, "B J 2 C"],
        pyramid: Pyramid,
        place: Float[Tensor, "1 N D"],
    ) -> tuple[Float[Tensor, "B J 3"], Float[Tensor, "B J D"]]:
        """Corrected landmarks (box units) and their tokens.

        Args:
            detected: box units and visibility in [0, 1]; visibility 0 = missing.
            clues: the detector's features of the landmarks; all 0 where there are none.
            pyramid: the encoder's features.
            place: positional encoding of the stride-32 tokens.
        """
        seen = (detected[..., 3:] > 0).to(detected)
        start = self.lifter(detected, clues)
        ndc = project_ndc(start)
        under = torch.cat([sample_plane(f.float(), ndc) for f in (pyramid.stride8, pyramid.stride16)], dim=-1)
        marks = self.position(torch.cat([start, detected[..., 3:], seen], dim=-1)) + self.under(under) + self.name
        image = self.image(pyramid.stride32).flatten(2).transpose(1, 2) + place
        tokens = torch.cat([marks, image], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        marks = self.norm(tokens[:, :COUNT])
        return start + self.delta(marks).float(), marks
