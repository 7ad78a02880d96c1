import torch

from humanlrm.data.augment.recolor import recolored
from humanlrm.views import Inputs

COUNT, SIDE = 64, 40


def people(rgb: torch.Tensor) -> Inputs:
    """As many as there are colors, each of one color all over."""
    image = torch.ones(len(rgb), 5, SIDE, SIDE)
    image[:, :3] = rgb[..., None, None]
    return Inputs(image, torch.zeros(len(rgb), 19, 4), torch.zeros(len(rgb), 19, 2, 480))


def colors() -> torch.Tensor:
    return 0.35 + 0.3 * torch.rand(COUNT, 3, generator=torch.Generator().manual_seed(0))


def recolor(given: Inputs, seed: int = 1) -> torch.Tensor:
    return recolored(given, torch.Generator().manual_seed(seed)).image


def test_the_same_seed_recolors_alike_and_leaves_what_is_known_and_detected():
    given = people(colors())
    before = given.image.clone()
    torch.testing.assert_close(recolor(given), recolor(given))
    assert not torch.equal(recolor(given), recolor(given, seed=2))
    after = recolored(given, torch.Generator().manual_seed(1))
    torch.testing.assert_close(given.image, before)
    torch.testing.assert_close(after.image[:, 4], given.image[:, 4])
    assert after.landmarks is given.landmarks
    assert after.detector_features is given.detector_features


def test_hues_turn_and_brightness_and_greys_stay():
    rgb = colors()
    corner = recolor(people(rgb))[:, :3, 0, 0]  # no patch reaches it
    changed = (corner - rgb).abs().amax(1) > 1e-4
    assert 0.25 < changed.float().mean() < 0.75
    torch.testing.assert_close(corner.mean(1), rgb.mean(1), atol=1e-5, rtol=0)
    greys = rgb[:, :1].expand(-1, 3)
    torch.testing.assert_close(recolor(people(greys))[:, :3, 0, 0], greys, atol=1e-5, rtol=0)


def test_some_patches_show_the_sample_before_and_some_lack_in_the_mask():
    given = people(colors()[:, :1].expand(-1, 3))  # greys: no dye
    image = recolor(given)
    own = (image[:, :3] - given.image[:, :3]).abs().amax(1) < 1e-5
    other = (image[:, :3] - given.image[:, :3].roll(1, dims=0)).abs().amax(1) < 1e-5
    assert (own | other).all()
    pasted = (~own).flatten(1).any(1)
    hidden = (image[:, 3] == 0).flatten(1).any(1)
    for chosen, cells in ((pasted, ~own), (hidden, image[:, 3] == 0)):
        assert 0 < chosen.float().mean() < 0.5
        share = cells[chosen].float().mean((1, 2))
        assert share.min() > 0.002
        assert share.max() < 0.15
