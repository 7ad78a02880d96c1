"""Whole parameters go through the same functions as split ones; two processes split them in test_loop.py."""

import pytest
import torch
from torch import nn

from humanlrm.train.sharding import clip, split_like, whole


@pytest.mark.parametrize("most", [0.1, 100.0])
def test_gradients_are_clipped_as_torch_clips_them(most: float):
    torch.manual_seed(0)
    ours, theirs = (
        [nn.Parameter(torch.zeros(shape)) for shape in ((3, 4), (), (5,))] + [nn.Parameter(torch.zeros(2))]
        for _ in range(2)
    )
    for a, b in list(zip(ours, theirs, strict=True))[:-1]:  # the last has no gradient
        a.grad = torch.randn_like(a)
        b.grad = a.grad.clone()
    expected = nn.utils.clip_grad_norm_(theirs, most)
    torch.testing.assert_close(clip(ours, most), expected)
    for a, b in zip(ours[:-1], theirs[:-1], strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_what_is_not_split_stays_as_it_is():
    tensor = torch.randn(3)
    assert whole(tensor) is tensor
    assert split_like(tensor, nn.Parameter(torch.zeros(3))) is tensor
