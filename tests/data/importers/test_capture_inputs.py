"""A capture trains beside scans: its photographs as inputs, and as targets through canonical cameras."""

from dataclasses import replace

import layouts
import numpy as np
import pytest
import torch

from humanlrm.data.capture import Capture, encode_capture, encode_inputs, prepare_inputs
from humanlrm.data.dataset import SampleSettings, TrainingDataset
from humanlrm.data.importers import ADAPTERS
from humanlrm.data.job import Options
from humanlrm.data.records import ShardError, write_records
from humanlrm.data.render.shoot import sample_frame
from humanlrm.data.shards import Mixture, ShardFolder
from humanlrm.frame import canonical_camera
from humanlrm.mesh.raycast import RayScene, pixel_rays
from humanlrm.model.config import tiny
from humanlrm.model.lrm import build
from humanlrm.photo.crop import assemble_crop
from humanlrm.photo.hull import middle_depth, visual_hull
from humanlrm.train.config import RenderSchedule, RenderStage, TrainConfig
from humanlrm.train.objective import Objective, StepContext
from humanlrm.views import collate

IMAGE_PX, DEPTH_PX = 256, 128
STAGE = RenderStage(render_px=32, rays=24, patch_px=16)


@pytest.fixture(scope="module")
def scene(person) -> RayScene:
    return RayScene(person.vertices, person.faces)


@pytest.fixture(scope="module")
def capture(person, tmp_path_factory) -> Capture:
    folder = tmp_path_factory.mktemp("nerfstudio")
    layouts.nerfstudio(folder, layouts.photographs(person))
    (item,) = ADAPTERS["multiview"].find(folder)
    return replace(ADAPTERS["multiview"].load(item, Options()), landmarks=person.landmarks)


@pytest.fixture(scope="module")
def inputs(capture, detector):
    return prepare_inputs(capture, detector, IMAGE_PX, DEPTH_PX)


@pytest.fixture
def folder(capture, inputs, tmp_path):
    write_records(tmp_path / "a.tar", [encode_capture(capture, "one") | encode_inputs(inputs)])
    return tmp_path


def test_the_hull_holds_the_person_and_little_else(capture, person):
    hull = visual_hull(capture.views, "capture")
    assert (hull.min(0) < person.vertices.min(0) + 0.06).all()
    assert (hull.max(0) > person.vertices.max(0) - 0.06).all()
    assert (hull.min(0) > person.vertices.min(0) - 0.2).all()
    assert (hull.max(0) < person.vertices.max(0) + 0.2).all()


def test_two_photographs_from_opposite_sides_see_the_person_in_one_place(capture, person):
    """Their masks bound a spindle that reaches from camera to camera; the depth of its middle is off by its length."""
    eyes = np.stack([view.camera.c2w.numpy()[:3, 3] for view in capture.views])
    out = eyes - person.vertices.mean(0)
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    pair = np.unravel_index((out @ out.T).argmin(), (len(out), len(out)))
    assert out[pair[0]] @ out[pair[1]] < -0.9
    hull = visual_hull([capture.views[k] for k in pair], "pair")
    for k in pair:
        camera = capture.views[k].camera.c2w.numpy()
        crop = assemble_crop(capture.views[k].rgb, capture.views[k].alpha / np.float32(255), None, 64).crop
        ahead = (person.vertices - camera[:3, 3]) @ camera[:3, 2]
        assert abs(middle_depth(capture.views[k].camera, crop, hull) - ahead.mean()) < 0.12
    assert np.ptp(hull @ out[pair[0]]) < 1.2


def test_a_target_shows_the_person_as_its_canonical_camera_would(inputs, person):
    for one in inputs:
        target = one.target
        placed = person.moved(target.to_frame)
        scene = RayScene(placed.vertices, placed.faces)
        true = scene.first_hit(*pixel_rays(canonical_camera(DEPTH_PX))).hit
        known = np.isfinite(target.alpha)
        shown = target.alpha > 0.5
        assert known.mean() > 0.5
        assert (true & shown & known).sum() / ((true | shown) & known).sum() > 0.9
        np.testing.assert_allclose(np.linalg.det(target.to_frame[:3, :3]) > 0, True)


def test_a_given_view_has_nearly_the_frame_that_the_true_surface_gives(capture, inputs, scene, detector, person):
    for view, one in zip(capture.views, inputs, strict=True):
        crop = assemble_crop(view.rgb, view.alpha / np.float32(255), detector.best(view.rgb), IMAGE_PX).crop
        camera = view.camera
        points = person.vertices[:: len(person.vertices) // 2000]
        exact = sample_frame(scene, camera, crop, points)
        moved = [points @ frame[:3, :3].T + frame[:3, 3] for frame in (exact, one.inputs.to_frame)]
        # The middle of all vertices is not the middle of what is seen; both are rough, to some centimetres.
        assert np.abs(moved[0] - moved[1]).mean() < 0.08
        true = person.landmarks @ one.inputs.to_frame[:3, :3].T + one.inputs.to_frame[:3, 3]
        np.testing.assert_allclose(one.inputs.landmarks, true, atol=1e-3)


def test_a_shard_gives_back_the_inputs_it_got(folder, inputs):
    shards = ShardFolder(folder)
    assert len(shards) == 1
    assert shards.entries[0].views == len(inputs)
    detected, detector_features, truth = shards.landmarks()
    for k, one in enumerate(inputs):
        record, samples = shards.load(0, k)
        for name in ("alpha", "known", "detected", "landmarks", "to_frame", "detector_features"):
            np.testing.assert_array_equal(getattr(record, name), getattr(one.inputs, name), err_msg=name)
        np.testing.assert_array_equal(detected[k], one.inputs.detected)
        np.testing.assert_array_equal(detector_features[k], one.inputs.detector_features)
        np.testing.assert_array_equal(truth[k], one.inputs.landmarks)
        assert np.isnan(record.depth).all()
        assert np.isnan(samples.points).all()
        (target,) = shards.targets(0, [k])
        np.testing.assert_array_equal(target.to_frame, one.target.to_frame)
        np.testing.assert_allclose(target.alpha, one.target.alpha, atol=0.003)
        shown = one.target.alpha > 0.5
        assert np.abs(target.rgb.astype(int) - one.target.rgb)[shown].mean() < 6  # WebP is lossy


def test_captures_and_scans_train_together(folder, shards):
    mixed = Mixture([(ShardFolder(folder), 1.0), (ShardFolder(shards), 1.0)])
    settings = SampleSettings(24, 12, image_px=64, target_views=2)
    samples = TrainingDataset(mixed, settings, seed=0)
    turns = [int(turn) for turn in samples.turns[:8]]
    batch = collate([samples[turns.index(0)], samples[turns.index(1)]])
    assert batch.supervision.points[0].isnan().all()
    assert batch.supervision.points[1].isfinite().all()
    rendering = RenderSchedule(low=STAGE, high=STAGE, patch_every=1)
    torch.manual_seed(0)
    losses = Objective(build(tiny()), TrainConfig(rendering=rendering))
    loss, terms = losses(batch, StepContext(progress=0.0, seed=1, patch=True))
    loss.backward()
    assert all(value.isfinite() for value in terms.values())
    assert terms["render_mask"] > 0
    assert all(p.grad.isfinite().all() for p in losses.parameters() if p.grad is not None)


def test_an_augmented_capture_is_mirrored_with_its_targets(folder):
    samples = TrainingDataset(ShardFolder(folder), SampleSettings(24, 12, image_px=64, target_views=1), seed=0)
    for k in range(6):
        targets = samples[k].supervision.targets
        assert torch.linalg.det(targets.to_input[0, :3, :3]) > 0
        unknown = targets.alpha.isnan()
        assert targets.rgb.isnan()[unknown.expand_as(targets.rgb)].all()
        assert targets.rgb[~unknown.expand_as(targets.rgb)].isfinite().all()


def test_damage_names_the_capture(folder):
    offset, size = ShardFolder(folder).entries[0].files["1.input.png"]
    data = bytearray((folder / "a.tar").read_bytes())
    data[offset : offset + size] = bytes(size)
    (folder / "a.tar").write_bytes(bytes(data))
    with pytest.raises(ShardError, match=r"a\.tar: capture one, view 1 is damaged"):
        ShardFolder(folder).load(0, 1)


def test_masks_that_do_not_belong_together_are_refused(capture):
    first = capture.views[0]
    left, right = np.zeros_like(first.alpha), np.zeros_like(first.alpha)
    left[:, :5], right[:, -5:] = 255, 255
    with pytest.raises(ValueError, match="no place lies in all masks"):
        visual_hull([replace(first, alpha=left), replace(first, alpha=right)], "capture")
