"""Other views as targets: their cameras, maps and mirror images agree with the given view's truth."""

import numpy as np
import pytest
import torch

from humanlrm.body.landmarks import MIRROR
from humanlrm.camera import Cameras
from humanlrm.data.dataset import SampleSettings, TrainingDataset, build_sample
from humanlrm.data.shards import ShardFolder
from humanlrm.data.targets import TargetView, build_targets, relative_camera
from humanlrm.frame import canonical_camera
from humanlrm.views import Batch, collate

SETTINGS = SampleSettings(points=16, surface=600, augment=False, target_views=1)


def as_target(view) -> TargetView:
    return TargetView(view.to_frame, view.depth[0], view.target, view.normal)


def pair(rendered, settings=SETTINGS, seed=0) -> Batch:
    given, other = rendered.views
    return build_sample(given, rendered.samples, settings, np.random.default_rng(seed), [as_target(other)])


def project(sample: Batch, points: torch.Tensor) -> torch.Tensor:
    """x px, y px, camera z of points of the sample's frame in its first target."""
    targets = sample.supervision.targets
    own = torch.linalg.inv(targets.to_input[0])
    return canonical_camera(targets.alpha.shape[-1]).project(points @ own[:3, :3].T + own[:3, 3])


def read(maps: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    size = maps.shape[-1]
    x, y = (pixels[:, k].long().clamp(0, size - 1) for k in (0, 1))
    return maps[..., y, x]


def test_the_relative_camera_sees_landmarks_where_the_other_view_has_them(rendered):
    given, other = rendered.views
    w2c = torch.from_numpy(relative_camera(given.to_frame, other.to_frame))
    camera = canonical_camera(128)
    there = Cameras(camera.K, w2c, (128, 128)).project(torch.from_numpy(given.landmarks))
    own = camera.project(torch.from_numpy(other.landmarks))
    torch.testing.assert_close(there, own, atol=2e-3, rtol=1e-4)


def test_a_view_seen_from_itself_is_the_canonical_camera(rendered):
    frame = rendered.views[0].to_frame
    np.testing.assert_allclose(relative_camera(frame, frame), canonical_camera(8).w2c, atol=1e-5)


def facing(sample: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels of the sample's surface points in the target, and which of them it sees."""
    pixels = project(sample, sample.supervision.surface)
    return pixels, (4 - read(sample.supervision.targets.depth[0, 0], pixels) - pixels[:, 2]).abs() < 0.012


@pytest.mark.parametrize("seed", range(6))
def test_depth_normals_and_colors_of_targets_are_those_of_the_samples_surface(rendered, seed):
    augmented = SampleSettings(points=16, surface=600, target_views=1)
    sample = pair(rendered, augmented, seed)
    wanted, targets = sample.supervision, sample.supervision.targets
    pixels, seen = facing(sample)
    assert seen.float().mean() > 0.12
    turn = targets.to_input[0, :3, :3]
    normals = read(targets.normal[0], pixels).T @ (turn / turn[0].norm()).T
    agree = (normals * wanted.normals).sum(-1)[seen]
    assert agree.nanmedian() > 0.97
    colors = read(targets.rgb[0], pixels).T
    assert (colors - wanted.rgb).abs().mean(-1)[seen].nanmedian() < 0.06
    assert (read(targets.alpha[0, 0], pixels)[seen] == 1).all()


def test_mirrored_samples_have_mirrored_targets(rendered):
    other, both = rendered.views[1], set()
    own = canonical_camera(128).project(torch.from_numpy(other.landmarks))
    for seed in range(8):
        sample = pair(rendered, SampleSettings(points=16, surface=16, target_views=1), seed)
        mirrored = not np.allclose(sample.supervision.landmarks, rendered.views[0].landmarks)
        expected = own.clone()
        if mirrored:
            expected = expected[MIRROR]
            expected[:, 0] = 128 - expected[:, 0]
        torch.testing.assert_close(project(sample, sample.supervision.landmarks), expected, atol=2e-3, rtol=1e-4)
        depth = torch.from_numpy(other.depth[0].astype(np.float32))
        depth = depth.flip(-1) if mirrored else depth
        torch.testing.assert_close(sample.supervision.targets.depth[0, 0], depth, equal_nan=True)
        assert torch.linalg.det(sample.supervision.targets.to_input[0, :3, :3]) > 0
        both.add(mirrored)
    assert both == {True, False}


def test_what_a_shard_lacks_is_nan(rendered):
    view = rendered.views[1]
    targets = build_targets(rendered.views[0].to_frame, [TargetView(view.to_frame, view.depth[0], None, None)])
    assert targets.rgb.isnan().all()
    assert targets.normal.isnan().all()
    assert targets.alpha.mean() > 0.02
    assert targets.depth.isfinite().any()


def test_the_loader_brings_other_views_of_the_same_subject(shards):
    data = TrainingDataset(ShardFolder(shards), SampleSettings(16, 400, augment=False, target_views=2), seed=0)
    batch = collate([data[0], data[1]])
    assert batch.supervision.targets.rgb.shape[:3] == (2, 2, 3)
    for k in range(2):
        _, seen = facing(data[k])
        assert seen.float().mean() > 0.08
    small = batch.supervision.targets.reduced(64)
    torch.testing.assert_close(small.alpha[0], torch.nn.functional.avg_pool2d(batch.supervision.targets.alpha[0], 2))
    assert batch.to(torch.device("meta")).supervision.targets.depth.device.type == "meta"
    plain = TrainingDataset(ShardFolder(shards), SampleSettings(16, 400, augment=False), seed=0)
    assert plain[0].supervision.targets is None
    torch.testing.assert_close(plain[0].inputs.image, data[0].inputs.image)
