import pytest
import torch

from humanlrm.model import blocks
from humanlrm.model.blocks import Block, Pointwise, attention, fourier, spread


def test_a_new_block_is_the_identity():
    tokens = torch.randn(2, 5, 12)
    torch.testing.assert_close(Block(12, 3)(tokens), tokens, rtol=0, atol=0)


def test_a_block_attends_to_all_tokens_whatever_their_order():
    torch.manual_seed(0)
    block = Block(12, 3)
    for layer in (block.project, block.mlp[-1]):
        torch.nn.init.normal_(layer.weight, std=0.3)
    tokens, order = torch.randn(1, 6, 12), torch.randperm(6)
    torch.testing.assert_close(block(tokens)[:, order], block(tokens[:, order]), rtol=1e-4, atol=1e-5)
    moved = tokens.clone()
    moved[:, -1, 0] += 1
    assert not torch.allclose(block(moved)[:, 0], block(tokens)[:, 0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_and_its_gradients_are_those_of_torch(dtype: torch.dtype):
    torch.manual_seed(0)
    told = [torch.randn(2, 3, count, 16) for count in (20, 31, 31)]
    wanted, found = ([t.clone().requires_grad_() for t in told] for _ in range(2))
    seen = torch.randn(2, 3, 20, 16)
    expected = torch.nn.functional.scaled_dot_product_attention(*wanted)
    given = attention(*(t.to(dtype) for t in found)).float()
    (expected * seen).sum().backward()
    (given * seen).sum().backward()
    tolerance = 1e-5 if dtype == torch.float32 else 0.02
    torch.testing.assert_close(given, expected, rtol=0, atol=tolerance)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=tolerance * float(b.grad.abs().max()))


def test_scores_of_long_sequences_are_not_kept(monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 2, 24, 16, dtype=torch.bfloat16) for _ in range(3))
    fused = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    assert not torch.equal(attention(q, k, v), fused)
    monkeypatch.setattr(blocks, "_KEPT_SCORES", 24 * 24 - 1)
    torch.testing.assert_close(attention(q, k, v), fused, rtol=0, atol=0)


def test_pointwise_is_a_1x1_convolution():
    layer, x = Pointwise(6, 4), torch.randn(2, 6, 5, 7)
    convolution = torch.nn.functional.conv2d(x, layer.weight[:, :, None, None], layer.bias)
    torch.testing.assert_close(layer(x), convolution, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("factor", [2, 3])
def test_spread_is_pixel_shuffle_up_to_the_order_of_channels(factor):
    x = torch.randn(2, 5 * factor**2, 4, 6)
    # pixel_shuffle counts channels (c p q), spread counts them (p q c).
    reordered = x.unflatten(1, (factor**2, 5)).transpose(1, 2).flatten(1, 2)
    torch.testing.assert_close(spread(x, factor), torch.nn.functional.pixel_shuffle(reordered, factor))


def test_fourier_features_repeat_with_their_period():
    points = torch.rand(7, 3, dtype=torch.float64)
    found = fourier(points, 3)
    assert found.shape == (7, 18)
    torch.testing.assert_close(fourier(points + 2, 3), found)
    torch.testing.assert_close(found[:, 3:6], (2 * torch.pi * points).sin())
    torch.testing.assert_close(found[:, 9:12], (torch.pi * points).cos())
