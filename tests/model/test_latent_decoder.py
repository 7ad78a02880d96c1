import pytest
import torch
from tiny_paper import tiny_paper
from torch import nn

from humanlrm.model.latent_decoder import LatentUpsampler

#: How much power the tokens' period may have compared with the frequencies beside it.
MOST = 1.5


def lively(upsample: int) -> LatentUpsampler:
    """Random weights everywhere, biases too."""
    torch.manual_seed(0)
    decoder = LatentUpsampler(tiny_paper(upsample=upsample))
    for parameter in decoder.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return decoder


def power_at_period(planes: torch.Tensor, period_px: int) -> float:
    """Largest power at multiples of a period's frequency over the mean power of their neighbours, rows and columns."""
    spectrum = torch.fft.fft2(planes).abs().square().flatten(0, -3).mean(0)
    side, ratios = len(spectrum), []
    for along in (spectrum.sum(0), spectrum.sum(1)):
        for k in range(side // period_px, side // 2 + 1, side // period_px):
            beside = along[[k - 3, k - 2, k - 1]].mean()
            ratios.append(float(along[k] / beside))
    return max(ratios)


@pytest.mark.parametrize("upsample", [2, 4])
def test_upsampling_leaves_no_pattern_of_the_tokens_period(upsample):
    with torch.no_grad():
        planes = lively(upsample)(torch.rand(4, 3, 8, 16, 16))
    assert planes.shape == (4, 3, 8, 16 * upsample, 16 * upsample)
    assert planes.std() > 1e-3
    assert power_at_period(planes, upsample) < MOST


@pytest.mark.parametrize("upsample", [2, 4])
def test_a_deconvolution_leaves_one(upsample):
    """What the law above forbids: the measure sees it."""
    deconvolution = nn.ConvTranspose2d(8, 8, upsample, upsample)
    with torch.no_grad():
        planes = deconvolution(torch.rand(12, 8, 16, 16))
    assert power_at_period(planes, upsample) > 10 * MOST


def test_an_even_latent_gives_even_planes():
    latent = torch.randn(2, 3, 8, 1, 1).expand(-1, -1, -1, 8, 8)
    with torch.no_grad():
        planes = lively(4)(latent)
    torch.testing.assert_close(planes, planes[..., :1, :1].expand_as(planes), rtol=1e-3, atol=1e-4)


def test_planes_share_weights_but_not_their_embedding():
    latent, decoder = torch.randn(1, 1, 8, 8, 8).expand(-1, 3, -1, -1, -1), lively(2)
    with torch.no_grad():
        xy, zy, xz = decoder(latent)[0]
        assert not torch.allclose(xy, zy)
        decoder.which.zero_()
        xy, zy, xz = decoder(latent)[0]
    torch.testing.assert_close(xy, zy)
    torch.testing.assert_close(xy, xz)


def test_a_latent_pixel_tells_its_neighbourhood_only():
    decoder, latent = lively(2), torch.randn(1, 3, 8, 16, 16)
    moved = latent.clone()
    moved[0, 1, :, 2, 3] += 1
    with torch.no_grad():
        change = (decoder(moved) - decoder(latent)).abs().amax(2)[0]
    assert change[0].max() == change[2].max() == 0
    assert change[1, 4:6, 6:8].min() > 1e-4
    assert change[1, 24:].max() == 0
