import pytest
import torch

from humanlrm.model.blocks import Block, Pointwise, fourier, spread


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
