"""Layers that the networks share."""

from typing import Any, TypeVar

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

Layer = TypeVar("Layer", bound=nn.Module)

#: Scores of one head that are kept as a matrix at most: those of 1,024 tokens for themselves (2 MiB in bfloat16).
_KEPT_SCORES = 2**20


def zero_init(layer: Layer) -> Layer:
    """The layer with weight and bias set to 0: a new network starts without its contribution."""
    parameters: Any = layer
    nn.init.zeros_(parameters.weight)
    nn.init.zeros_(parameters.bias)
    return layer


def depth_layer(channels: int) -> "Pointwise":
    """Features to depth maps: z where a pixel's ray enters and leaves the person. A new one predicts 0.12 and -0.12."""
    layer = zero_init(Pointwise(channels, 2))
    layer.bias = nn.Parameter(torch.tensor([0.12, -0.12]))
    return layer


def mlp(inputs: int, width: int, depth: int) -> nn.Sequential:
    """``depth`` hidden layers with SiLU."""
    widths = [inputs] + [width] * (depth - 1)
    return nn.Sequential(*(layer for count in widths for layer in (nn.Linear(count, width), nn.SiLU())))


def attention(
    query: Float[Tensor, "B H N d"], key: Float[Tensor, "B H M d"], value: Float[Tensor, "B H M d"]
) -> Float[Tensor, "B H N d"]:
    """Softmax attention. torch's fused kernel, but for bfloat16 on a CPU: there plain products take 0.6 of its time,
    forward and backward (``benchmarks/attention.py``). Their scores are rounded to bfloat16, and of long sequences they
    would fill the memory, so these stay fused."""
    if query.device.type != "cpu" or query.dtype != torch.bfloat16 or query.shape[2] * key.shape[2] > _KEPT_SCORES:
        return nn.functional.scaled_dot_product_attention(query, key, value)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(2, 3)
    return scores.softmax(-1) @ value


class Attention(nn.Module):
    """Multi-head attention of tokens to a memory, some tokens of which may be masked."""

    def __init__(self, width: int, memory: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(memory, 2 * width)
        self.project = nn.Linear(width, width)

    def forward(
        self, tokens: Float[Tensor, "B N D"], memory: Float[Tensor, "B M E"], counts: Bool[Tensor, "B M"] | None = None
    ) -> Float[Tensor, "B N D"]:
        q = rearrange(self.query(tokens), "B N (H d) -> B H N d", H=self.heads)
        k, v = rearrange(self.key_value(memory), "B M (two H d) -> two B H M d", two=2, H=self.heads)
        if counts is None:
            attended = attention(q, k, v)
        else:
            attended = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=counts[:, None, None])
        return self.project(rearrange(attended, "B H N d -> B N (H d)"))


class Block(nn.Module):
    """Pre-norm self-attention and MLP. The output projections start at zero, so a new block is the identity."""

    def __init__(self, width: int, heads: int, expansion: int = 3) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, expansion * width), nn.GELU(), nn.Linear(expansion * width, width))
        zero_init(self.project)
        zero_init(self.mlp[-1])

    def forward(self, tokens: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        q, k, v = rearrange(
            self.qkv(self.norm_attention(tokens)), "B N (three H d) -> three B H N d", three=3, H=self.heads
        )
        attended = attention(q, k, v)
        tokens = tokens + self.project(rearrange(attended, "B H N d -> B N (H d)"))
        return tokens + self.mlp(self.norm_mlp(tokens))


class Pointwise(nn.Linear):
    """A 1x1 convolution as a matrix product over channels-last memory: on a CPU twice as fast as ``nn.Conv2d``,
    forward and backward, which takes an unoptimised path at one thread."""

    def forward(self, input: Float[Tensor, "B Cin H W"]) -> Float[Tensor, "B Cout H W"]:
        return super().forward(input.movedim(1, -1)).movedim(-1, 1)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each pixel. A pretrained encoder's features have deviations of 2 to 10 and means
    as large, which would drown positions of deviation 0.02."""

    def forward(self, input: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        return super().forward(input.movedim(1, -1)).movedim(-1, 1)


def spread(x: Float[Tensor, "B C H W"], factor: int) -> Float[Tensor, "B c Hf Wf"]:
    """Pixel shuffle for channels-last memory: every ``factor**2`` groups of channels become a square of pixels."""
    return rearrange(x.movedim(1, -1), "B H W (p q c) -> B (H p) (W q) c", p=factor, q=factor).movedim(-1, 1)


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps the size (up to its stride)."""
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)


def fourier(points: Float[Tensor, "*P 3"], octaves: int) -> Float[Tensor, "*P F"]:
    """Sines and cosines of pi * 2^k * x for k < octaves (NeRF's positional encoding; box units)."""
    scaled = torch.cat([points * (torch.pi * 2**k) for k in range(octaves)], dim=-1)
    return torch.cat([scaled.sin(), scaled.cos()], dim=-1)
