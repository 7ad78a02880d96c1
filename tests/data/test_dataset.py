from dataclasses import fields, replace
from itertools import islice

import numpy as np
import pytest
import torch

from humanlrm.body.landmarks import COUNT, INDEX, MIRROR
from humanlrm.data.augment import add_teacher_noise
from humanlrm.data.dataset import SampleSettings, TrainingDataset, batches, build_sample
from humanlrm.data.records import ShardError
from humanlrm.data.shards import ShardFolder
from humanlrm.views import Batch

SETTINGS = SampleSettings(points=40, surface=16)


def tensors(batch: Batch) -> dict[str, torch.Tensor]:
    return {
        f"{kind}.{f.name}": getattr(part, f.name)
        for kind, part in (("given", batch.inputs), ("wanted", batch.supervision))
        for f in fields(part)
        if f.name != "targets"
    }


def same(a: Batch, b: Batch) -> bool:
    """Bit for bit; NaN equals NaN."""
    other = tensors(b)
    return all(torch.equal(t.nan_to_num(9e9), other[name].nan_to_num(9e9)) for name, t in tensors(a).items())


@pytest.fixture
def data(shards) -> TrainingDataset:
    return TrainingDataset(ShardFolder(shards), SETTINGS, seed=1)


def test_seed_and_index_decide_a_sample_bit_for_bit(shards, data):
    again = TrainingDataset(ShardFolder(shards), SETTINGS, seed=1)
    order = [5, 0, 9, 3]
    first = {i: data[i] for i in sorted(order)}
    assert all(same(first[i], again[i]) for i in order)
    assert not same(data[0], TrainingDataset(ShardFolder(shards), SETTINGS, seed=2)[0])


def test_every_pass_visits_every_view_once(shards):
    data = TrainingDataset(ShardFolder(shards), SampleSettings(8, 8, augment=False), seed=1)
    assert len(data) == 4
    for passes in range(3):
        frames = [data[passes * 4 + i].supervision.landmarks.numpy().tobytes() for i in range(4)]
        assert len(set(frames)) == 4


def test_passes_come_in_different_orders(shards):
    data = TrainingDataset(ShardFolder(shards), SampleSettings(8, 8, augment=False), seed=1)
    orders = {tuple(float(data[p * 4 + i].supervision.landmarks.sum()) for i in range(4)) for p in range(6)}
    assert len(orders) > 1


def test_resuming_at_a_sample_continues_the_sequence(data):
    whole = list(islice(batches(data, 2, workers=0), 4))
    rest = list(islice(batches(data, 2, start=4, workers=0), 2))
    assert same(whole[2], rest[0])
    assert same(whole[3], rest[1])
    assert not same(whole[0], whole[1])


def test_processes_share_the_samples_without_overlap(data):
    def scenes(start: int) -> list[torch.Tensor]:
        return [b.supervision.points[0] for b in islice(batches(data, 1, start, stride=2, workers=0), 3)]

    dealt = [tensor for pair in zip(scenes(0), scenes(1), strict=True) for tensor in pair]
    common = [b.supervision.points[0] for b in islice(batches(data, 1, workers=0), 6)]
    assert all(torch.equal(a, b) for a, b in zip(dealt, common, strict=True))


def test_a_worker_process_gives_the_same_samples(data):
    here, there = (next(iter(batches(data, 2, start=3, workers=w))) for w in (0, 1))
    assert same(here, there)


def test_without_augmentation_the_truth_is_the_subject_in_the_frame_of_the_view(rendered):
    view, samples = rendered.views[0], rendered.samples
    sample = build_sample(view, samples, SampleSettings(64, 16, augment=False), np.random.default_rng(0))
    np.testing.assert_allclose(sample.supervision.landmarks, view.landmarks)
    np.testing.assert_allclose(sample.inputs.landmarks, view.detected)
    np.testing.assert_allclose(sample.inputs.image[:3].permute(1, 2, 0) * 255, view.rgb, atol=1e-3)
    # Back in the subject's metres, points, distances and normals are the stored ones.
    scale = np.linalg.norm(view.to_frame[0, :3])
    back = (sample.supervision.points.numpy() - view.to_frame[:3, 3]) @ np.linalg.inv(view.to_frame[:3, :3]).T
    stored = samples.points.astype(np.float32)
    gap = np.linalg.norm(back[:, None] - stored[None], axis=-1)
    assert gap.min(1).max() < 1e-3
    np.testing.assert_allclose(
        sample.supervision.sdf / scale, samples.sdf[gap.argmin(1)].astype(np.float32), rtol=1e-3, atol=1e-3
    )
    np.testing.assert_allclose(sample.supervision.normals.norm(dim=-1), 1, atol=0.02)


def test_five_eighths_of_the_points_are_near_the_surface(rendered):
    sample = build_sample(
        rendered.views[0], rendered.samples, SampleSettings(400, 8, augment=False), np.random.default_rng(0)
    )
    sdf = sample.supervision.sdf.abs()
    assert sdf[:250].median() < 0.03 < 0.1 < sdf[250:].median()


def mirrored_and_not(rendered) -> tuple[Batch, Batch]:
    """Two augmented samples of one view, of which the second is mirrored."""
    found: dict[bool, Batch] = {}
    for seed in range(40):
        sample = build_sample(rendered.views[0], rendered.samples, SETTINGS, np.random.default_rng(seed))
        flipped = not np.allclose(sample.supervision.landmarks, rendered.views[0].landmarks)
        found.setdefault(flipped, sample)
    return found[False], found[True]


def test_mirroring_swaps_sides_and_turns_the_picture_with_the_truth(rendered):
    view = rendered.views[0]
    plain, mirrored = mirrored_and_not(rendered)
    turned = view.landmarks[MIRROR] * np.array([-1, 1, 1], np.float32)
    np.testing.assert_allclose(mirrored.supervision.landmarks, turned)
    np.testing.assert_array_equal(mirrored.supervision.depth, plain.supervision.depth.flip(-1))
    overlap = (mirrored.inputs.image[3].flip(-1) > 0.5) == (plain.inputs.image[3] > 0.5)
    assert overlap.float().mean() > 0.97


def test_mirroring_keeps_distances_and_normals_true(rendered):
    view, mirrored = rendered.views[0], mirrored_and_not(rendered)[1].supervision
    linear, offset = view.to_frame[:3, :3], view.to_frame[:3, 3]
    stored = rendered.samples.points.astype(np.float32) @ linear.T + offset
    there = mirrored.points.numpy() * np.array([-1, 1, 1], np.float32)
    gap = np.linalg.norm(there[:, None] - stored[None], axis=-1)
    assert gap.min(1).max() < 1e-4
    sdf = rendered.samples.sdf[gap.argmin(1)].astype(np.float32) * np.linalg.norm(linear[0])
    np.testing.assert_allclose(mirrored.sdf, sdf, rtol=1e-3, atol=1e-4)
    on = rendered.samples.surface.astype(np.float32) @ linear.T + offset
    nearest = np.linalg.norm(mirrored.surface.numpy()[:, None] * [-1, 1, 1] - on[None], axis=-1).argmin(1)
    normals = rendered.samples.normals[nearest].astype(np.float32) / 127 @ linear.T / np.linalg.norm(linear[0])
    np.testing.assert_allclose(mirrored.normals, normals * [-1, 1, 1], atol=1e-4)


def test_augmentation_stays_in_range_and_changes_pictures(rendered):
    originals = build_sample(
        rendered.views[0], rendered.samples, SampleSettings(8, 8, augment=False), np.random.default_rng(0)
    )
    changed = 0
    for seed in range(12):
        sample = build_sample(rendered.views[0], rendered.samples, SETTINGS, np.random.default_rng(seed))
        assert sample.inputs.image.min() >= 0
        assert sample.inputs.image.max() <= 1
        assert sample.supervision.rgb.min() >= 0
        assert sample.supervision.rgb.max() <= 1
        changed += not torch.equal(sample.inputs.image, originals.inputs.image)
    assert changed == 12


def test_a_share_of_the_samples_is_around_the_head(rendered):
    view = rendered.views[0]
    head = torch.from_numpy(view.landmarks[INDEX["head"]]).float()
    reach = 0.24 * float(np.linalg.norm(view.to_frame[0, :3])) + 1e-3

    def around(share: float, landmarks: np.ndarray) -> float:
        settings = SampleSettings(points=16, surface=800, augment=False, head=share)
        shown = replace(view, landmarks=landmarks)
        sample = build_sample(shown, rendered.samples, settings, np.random.default_rng(0))
        return float(((sample.supervision.surface - head).norm(dim=-1) < reach).float().mean())

    usual = around(0.0, view.landmarks)
    assert around(1.0, view.landmarks) == 1
    assert abs(around(0.5, view.landmarks) - (0.5 + usual / 2)) < 0.08
    nobody = np.full_like(view.landmarks, np.nan)
    assert abs(around(0.5, nobody) - usual) < 0.06  # an unknown head is no reason to fail


def test_a_share_of_what_is_around_the_head_is_around_the_nose(rendered):
    view = rendered.views[0]
    nose = torch.from_numpy(view.landmarks[INDEX["nose"]]).float()
    reach = 0.07 * float(np.linalg.norm(view.to_frame[0, :3])) + 1e-3

    def around(face: float) -> float:
        settings = SampleSettings(points=16, surface=800, augment=False, head=1.0, face=face)
        sample = build_sample(view, rendered.samples, settings, np.random.default_rng(0))
        return float(((sample.supervision.surface - nose).norm(dim=-1) < reach).float().mean())

    usual = around(0.0)
    assert usual < 0.5
    assert abs(around(0.5) - (0.5 + usual / 2)) < 0.08


def test_the_noise_of_told_landmarks_has_a_size():
    truth = np.zeros((COUNT, 3))
    full, less, none = (
        np.stack([add_teacher_noise(truth, np.random.default_rng(seed), size) for seed in range(30)])
        for size in (1.0, 0.25, 0.0)
    )
    np.testing.assert_allclose(less, full / 4)
    assert (none == 0).all()


def test_the_nose_errs_with_the_head():
    truth = np.zeros((COUNT, 3))
    found = np.stack([add_teacher_noise(truth, np.random.default_rng(seed)) for seed in range(300)])
    head, nose, wrist = (found[:, INDEX[name]] for name in ("head", "nose", "left_wrist"))
    assert (nose - head).std() < 0.5 * head.std()
    assert (wrist - head).std() > head.std()


def test_sometimes_landmarks_are_missing_and_a_missing_landmark_is_all_zero(rendered):
    missing = 0
    for seed in range(60):
        marks = build_sample(
            rendered.views[0], rendered.samples, SETTINGS, np.random.default_rng(seed)
        ).inputs.landmarks
        gone = marks[:, 3] == 0
        assert (marks[gone] == 0).all()
        missing += bool(gone.all())
    assert 0 < missing < 20


def test_smaller_images_and_depth_maps_are_means_of_their_pixels(rendered):
    def sample(size_px: int | None) -> Batch:
        settings = SampleSettings(8, 8, augment=False, image_px=size_px)
        return build_sample(rendered.views[0], rendered.samples, settings, np.random.default_rng(0))

    small, large, pool = sample(64), sample(None), torch.nn.functional.avg_pool2d
    torch.testing.assert_close(small.inputs.image, pool(large.inputs.image, 4))
    torch.testing.assert_close(small.supervision.depth, pool(large.supervision.depth, 4), equal_nan=True)
    assert small.supervision.depth.isfinite().any()


@pytest.mark.parametrize("size_px", [96, 512])
def test_an_image_size_that_does_not_divide_the_stored_one_is_refused(rendered, size_px):
    settings = SampleSettings(8, 8, image_px=size_px)
    with pytest.raises(ValueError, match=f"256 px, the model asks for {size_px} px"):
        build_sample(rendered.views[0], rendered.samples, settings, np.random.default_rng(0))


def damaged(shards, target, everything: bool) -> ShardFolder:
    """A folder whose first view, or every view, has a blank picture file."""
    (shard,) = shards.glob("*.tar")
    data = bytearray(shard.read_bytes())
    for entry in ShardFolder(shards).entries:
        for name in ("0.webp", "1.webp") if everything else ("0.webp",):
            offset, size = entry.files[name]
            data[offset : offset + size] = bytes(size)
    (target / "a.tar").write_bytes(bytes(data))
    return ShardFolder(target)


def test_a_damaged_view_is_reported_and_another_takes_its_place(shards, tmp_path):
    data = TrainingDataset(damaged(shards, tmp_path, everything=False), SETTINGS, seed=0)
    with pytest.warns(UserWarning, match="damaged"):
        samples = [data[i] for i in range(4)]
    assert len({sample.supervision.points.numpy().tobytes() for sample in samples}) == 4


@pytest.mark.filterwarnings("ignore:skipped")
def test_nothing_but_damaged_views_is_an_error(shards, tmp_path):
    with pytest.raises(ShardError, match="damaged views in a row"):
        TrainingDataset(damaged(shards, tmp_path, everything=True), SETTINGS, seed=0)[0]


def test_people_are_built_on_true_landmarks_with_a_little_noise(rendered):
    view, samples = rendered.views[0], rendered.samples
    exact = build_sample(view, samples, SampleSettings(16, 16, augment=False), np.random.default_rng(0)).supervision
    torch.testing.assert_close(exact.teacher_landmarks, exact.landmarks, equal_nan=True)
    found = [build_sample(view, samples, SETTINGS, np.random.default_rng(seed)).supervision for seed in range(40)]
    noise = torch.stack([w.teacher_landmarks - w.landmarks for w in found])
    deviation = noise.std(dim=(0, 1))
    assert 0.012 < deviation[0] < 0.026
    assert deviation[2] > deviation[0]
    sizes = noise[..., 0].std(dim=1)
    assert sizes.max() > 2 * sizes.min()  # of a different size in each sample
    unknown = np.full((COUNT, 3), np.nan)
    assert add_teacher_noise(unknown, np.random.default_rng(0)).shape == unknown.shape
    assert np.isnan(add_teacher_noise(unknown, np.random.default_rng(0))).all()
