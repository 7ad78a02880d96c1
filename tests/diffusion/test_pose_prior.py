"""Laws of sampled landmarks."""

from dataclasses import replace

import pytest
import torch
from tiny_paper import tiny_paper

from humanlrm.body.landmarks import COUNT, DETECTOR_FEATURE_CHANNELS, LIMBS
from humanlrm.diffusion.pose_prior import k_medoids, pose_condition, sample_poses
from humanlrm.frame import project_ndc
from humanlrm.model.config import tiny
from humanlrm.model.lrm import build
from humanlrm.model.pose_denoiser import PoseDenoiser, PoseDenoiserConfig
from humanlrm.views import Inputs


def some_photos(count: int = 2, side: int = 64) -> Inputs:
    rng = torch.Generator().manual_seed(2)
    image = torch.rand(count, 5, side, side, generator=rng)
    image[:, 3:] = 1  # everything is the person
    image[:, 3:, side * 3 // 4 :] = 0  # but the lowest quarter, which is beyond the photo
    landmarks = torch.rand(count, COUNT, 4, generator=rng) * 1.4 - 0.7
    landmarks[..., 3] = 0.9
    return Inputs(image, landmarks, torch.zeros(count, COUNT, 2, DETECTOR_FEATURE_CHANNELS))


def a_model():
    torch.manual_seed(3)
    return build(tiny()).eval()


def a_denoiser(told: int) -> PoseDenoiser:
    """New: it says that errors are normal, of the given size."""
    torch.manual_seed(4)
    return PoseDenoiser(
        PoseDenoiserConfig(token_channels=told, share=4, width=32, depth=1, scale=(0.2,) * (3 * COUNT))
    ).eval()


def test_a_condition_tells_what_the_model_found_out():
    model, given = a_model(), some_photos()
    condition, found = pose_condition(model, given), model.estimate_landmarks(given)
    torch.testing.assert_close(condition.estimate, found.points)
    assert condition.tokens.shape == (2, COUNT, model.config.width + 16)
    below = project_ndc(found.points)[..., 1] < -0.55
    assert (condition.reach[below] > 10).all()
    assert (condition.reach[project_ndc(found.points)[..., 1] > -0.45] < 10).all()


def test_a_model_without_heat_maps_cannot_be_sampled_around():
    torch.manual_seed(3)
    with pytest.raises(ValueError, match="heat maps"):
        pose_condition(build(tiny_paper(landmarks=True)).eval(), some_photos())


def test_samples_are_repeatable_and_do_not_depend_on_their_number():
    condition = pose_condition(a_model(), some_photos())
    denoiser = a_denoiser(condition.tokens.shape[-1])
    few, many = (sample_poses(denoiser, condition, count, seed=5) for count in (2, 4))
    torch.testing.assert_close(few, many[:, :2])
    assert not torch.allclose(few, sample_poses(denoiser, condition, 2, seed=6))
    assert not torch.allclose(many[:, 0], many[:, 1])


def test_what_the_photo_shows_stays_where_it_is_seen_and_what_it_hides_may_be_anywhere():
    condition = pose_condition(a_model(), some_photos())
    samples = sample_poses(a_denoiser(condition.tokens.shape[-1]), condition, 64, variety=1.0)
    apart = (project_ndc(samples) - project_ndc(condition.estimate)[:, None]).norm(dim=-1)
    assert (apart <= condition.reach[:, None] + 1e-4).all()
    deviation = (samples - condition.estimate[:, None])[..., 2].std(1)
    assert float(deviation.mean()) == pytest.approx(0.2, rel=0.15)  # depth is sampled everywhere
    hidden, held = replace(condition, reach=condition.reach * 0 + 9), replace(condition, reach=condition.reach * 0)
    spreads = [
        sample_poses(a_denoiser(condition.tokens.shape[-1]), told, 64)[..., :2].std(1).mean() for told in (hidden, held)
    ]
    assert spreads[0] > 5 * spreads[1]


def lines(*places: list[float]) -> torch.Tensor:
    """One sampled "person" per place along a line, for each list."""
    return torch.tensor(places)[..., None, None].expand(-1, -1, COUNT, 3)


def test_the_most_typical_sample_is_the_one_nearest_to_all():
    chosen = k_medoids(lines([0.0, 1.0, 1.2, 1.3, 9.0], [5.0, 5.0, 5.0, 5.1, -9.0]))
    torch.testing.assert_close(chosen.mean((2, 3)), torch.tensor([[1.2], [5.0]]))


def test_typical_samples_stand_for_all_of_them_and_more_come_after_fewer():
    poses = lines([0.0, 0.1, 0.2, 0.3, 7.0, 7.1, 7.2, -4.0])
    three = k_medoids(poses, 3)
    torch.testing.assert_close(three.mean((2, 3)).round(), torch.tensor([[0.0, 7.0, -4.0]]))
    torch.testing.assert_close(k_medoids(poses, 2), three[:, :2])
    everybody = k_medoids(poses, 8).mean((2, 3)).sort().values
    torch.testing.assert_close(everybody, poses.mean((2, 3)).sort().values)
    with pytest.raises(ValueError, match="9 of 8"):
        k_medoids(poses, 9)


def test_who_stands_for_some_is_their_middle_and_has_their_limbs():
    torch.manual_seed(0)
    middle = torch.randn(COUNT, 3)
    alike = middle + 0.2 * torch.randn(1, 64, COUNT, 3)
    others = middle + 9 + 0.2 * torch.randn(1, 64, COUNT, 3)
    found = k_medoids(torch.cat([alike, others], dim=1), 2)[0]
    nearer = found[(found - middle).norm(dim=-1).mean(-1).argmin()]
    apart = (alike[0] - middle).norm(dim=-1).mean(-1)
    assert (nearer - middle).norm(dim=-1).mean() < 0.8 * apart.min()
    lengths = lambda poses: (poses[..., LIMBS[:, 0], :] - poses[..., LIMBS[:, 1], :]).norm(dim=-1)  # noqa: E731
    assert float((lengths(nearer) / lengths(alike[0]).mean(0)).mean()) == pytest.approx(1, abs=0.03)
