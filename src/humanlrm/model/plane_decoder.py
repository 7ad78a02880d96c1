"""View tokens to a latent triplane: learned plane tokens ask the views, then each other (LRM's decoder)."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.model.blocks import Attention
from humanlrm.model.config import PaperConfig

_EXPANSION = 4
#: Size of new plane tokens: large enough that what all tokens have in common, which is learned first, does not drown
#: where each of them lies (our choice: of 0.02, 0.3 and 1 the one that overfits four people soonest).
_TOKEN = 0.3


class GatedMLP(nn.Module):
    """GEGLU (Shazeer 2020), as in TripoSR's decoder. The output projection starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Linear(width, 2 * _EXPANSION * width)
        self.leave = nn.Linear(_EXPANSION * width, width)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, tokens: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        value, gate = self.enter(tokens).chunk(2, dim=-1)
        return self.leave(value * nn.functional.gelu(gate))


class PlaneBlock(nn.Module):
    """Pre-norm cross-attention to the views, self-attention among all planes, MLP (LRM's order). The output projections
    start at zero, so a new block is the identity."""

    def __init__(self, width: int, memory: int, heads: int) -> None:
        super().__init__()
        self.norm_cross, self.norm_self, self.norm_mlp = (nn.LayerNorm(width) for _ in range(3))
        self.cross = Attention(width, memory, heads)
        self.among = Attention(width, width, heads)
        for part in (self.cross, self.among):
            nn.init.zeros_(part.project.weight)
            nn.init.zeros_(part.project.bias)
        self.mlp = GatedMLP(width)

    def forward(self, tokens: Float[Tensor, "B N D"], memory: Float[Tensor, "B M E"]) -> Float[Tensor, "B N D"]:
        tokens = tokens + self.cross(self.norm_cross(tokens), memory)
        normed = self.norm_self(tokens)
        tokens = tokens + self.among(normed, normed)
        return tokens + self.mlp(self.norm_mlp(tokens))


class PlaneDecoder(nn.Module):
    """Learned tokens of three planes, ``depth`` blocks, and the narrow exit that the latent triplane is."""

    def __init__(self, config: PaperConfig, memory: int) -> None:
        super().__init__()
        self.side = config.plane_side
        self.planes = nn.Parameter(torch.randn(1, 3 * config.plane_side**2, config.width) * _TOKEN)
        self.blocks = nn.ModuleList([PlaneBlock(config.width, memory, config.heads) for _ in range(config.depth)])
        self.norm = nn.LayerNorm(config.width)
        self.leave = nn.Linear(config.width, config.bottleneck)

    def forward(self, memory: Float[Tensor, "B M E"]) -> Float[Tensor, "B 3 C s s"]:
        """Tokens of all views, in any order, to the latent triplane (planes XY, ZY, XZ)."""
        tokens = self.planes.expand(len(memory), -1, -1)
        for block in self.blocks:
            tokens = block(tokens, memory)
        return rearrange(self.leave(self.norm(tokens)), "B (p h w) C -> B p C h w", p=3, h=self.side)
