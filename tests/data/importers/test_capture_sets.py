"""Cameras and masks of a capture come back exactly, whatever world, unit, lens and file format it is stored in."""

import json

import layouts
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from captures import read_capture
from humanlrm.data.capture import Capture, encode_capture
from humanlrm.data.importers import ADAPTERS
from humanlrm.data.job import Options
from humanlrm.data.records import ShardError, list_entries, write_records
from humanlrm.data.scan import Scan
from humanlrm.data.shards import ShardFolder
from humanlrm.mesh.raycast import RayScene, pixel_rays

LENS = (-0.12, 0.05, 0.002, -0.001, 0.0)


@pytest.fixture(scope="module")
def straight(person) -> layouts.Photographs:
    return layouts.photographs(person)


@pytest.fixture(scope="module")
def bent(person) -> layouts.Photographs:
    return layouts.photographs(person, distortion=LENS)


def only(name: str, root, options: Options | None = None) -> Capture:
    (item,) = ADAPTERS[name].find(root)
    return ADAPTERS[name].load(item, options or Options())


def assert_sees(capture: Capture, person: Scan, shown: layouts.Photographs, views: int = 4) -> None:
    """The person reprojects onto every mask, and the cameras are the ones that took the pictures."""
    assert len(capture.views) == views
    scene = RayScene(person.vertices, person.faces)
    for view, camera in zip(capture.views, shown.cameras, strict=False):
        mask, seen = view.alpha > 127, scene.first_hit(*pixel_rays(view.camera)).hit
        assert (mask & seen).sum() / (mask | seen).sum() > 0.98
        np.testing.assert_allclose(view.camera.w2c, camera.w2c, atol=1e-9)
        # Not reduced, only cut: K has moved by whole pixels.
        shift = (camera.K - view.camera.K).numpy()
        np.testing.assert_allclose(shift[:2, 2], np.round(shift[:2, 2]), atol=1e-9)
        shift[:2, 2] = 0
        np.testing.assert_allclose(shift, 0, atol=1e-9)


def test_humman_is_turned_upright_and_a_missing_picture_costs_its_view_only(tmp_path, person, straight):
    layouts.humman(tmp_path, straight)
    capture = only("humman", tmp_path)
    assert_sees(capture, person, straight, views=3)
    assert capture.id == "p000001_a000002-000006"


def test_hand_made_masks_of_humman_go_before_automatic_ones(tmp_path, person, straight):
    layouts.humman(tmp_path, straight)
    (tmp_path / "p000001_a000002" / "kinect_mask").rename(tmp_path / "p000001_a000002" / "kinect_mask_manual")
    assert_sees(only("humman", tmp_path), person, straight, views=3)


def test_zju_mocap_is_metric_undistorted_and_upright(tmp_path, person, bent):
    layouts.zju(tmp_path, bent)
    assert_sees(only("zju-mocap", tmp_path), person, bent)


@pytest.mark.parametrize("lens", ["straight", "bent"])
def test_nerfstudio_masks_may_be_files_or_alpha(tmp_path, person, lens, request):
    shown = request.getfixturevalue(lens)
    layouts.nerfstudio(tmp_path, shown)
    assert_sees(only("multiview", tmp_path), person, shown)


@pytest.mark.parametrize("lens", ["straight", "bent"])
def test_a_colmap_model_whose_up_is_stated(tmp_path, person, lens, request):
    shown = request.getfixturevalue(lens)
    layouts.colmap(tmp_path, shown)
    assert_sees(only("multiview", tmp_path, Options(up="+y")), person, shown)


def test_colmap_without_a_stated_up_is_levelled_by_its_cameras(tmp_path, straight):
    tilted = layouts.turned(Rotation.from_euler("zx", [70, 30], degrees=True).as_matrix())
    layouts.colmap(tmp_path, straight, tilted)
    capture = only("multiview", tmp_path)
    up = -np.mean([view.camera.w2c[1, :3].numpy() for view in capture.views], axis=0)
    np.testing.assert_allclose(up / np.linalg.norm(up), [0, 1, 0], atol=1e-6)
    centers = np.stack([view.camera.c2w[:3, 3].numpy() for view in capture.views])
    assert np.ptp(centers[:, 1]) < 0.01


def test_a_stated_unit_scales_the_cameras(tmp_path, straight):
    layouts.colmap(tmp_path, straight)
    capture = only("multiview", tmp_path, Options(up="+y", unit="cm"))
    np.testing.assert_allclose(capture.views[0].camera.w2c[:3, 3], straight.cameras[0].w2c[:3, 3] / 100, atol=1e-9)
    assert capture.tags["unit"] == "cm"


def test_a_reduced_photograph_keeps_an_exact_camera(tmp_path, person, straight):
    layouts.nerfstudio(tmp_path, straight)
    whole, small = (only("multiview", tmp_path, Options(image_px=px)) for px in (512, 128))
    assert max(small.views[0].alpha.shape) == 128
    scene = RayScene(person.vertices, person.faces)
    for view, full in zip(small.views, whole.views, strict=True):
        points = np.random.default_rng(0).uniform(-0.4, 1.2, (10, 3))
        a, b = (v.camera.project(v.camera.K.new_tensor(points)).numpy()[:, :2] for v in (view, full))
        sizes = [np.array(v.alpha.shape[::-1]) for v in (view, full)]
        np.testing.assert_allclose(a / sizes[0], b / sizes[1], atol=1e-9)
        mask, seen = view.alpha > 127, scene.first_hit(*pixel_rays(view.camera)).hit
        assert (mask & seen).sum() / (mask | seen).sum() > 0.95


def test_a_shard_gives_back_the_capture_it_got(tmp_path, straight):
    layouts.nerfstudio(tmp_path, straight)
    capture = only("multiview", tmp_path)
    write_records(tmp_path / "a.tar", [encode_capture(capture, "one")])
    (entry,) = list_entries(tmp_path / "a.tar")
    again = read_capture(entry)
    assert (again.id, again.source, again.licence, again.tags) == (
        capture.id,
        capture.source,
        capture.licence,
        capture.tags,
    )
    assert again.landmarks is None
    for a, b in zip(again.views, capture.views, strict=True):
        np.testing.assert_array_equal(a.alpha, b.alpha)
        np.testing.assert_array_equal(a.camera.K, b.camera.K)
        np.testing.assert_array_equal(a.camera.w2c, b.camera.w2c)
        assert np.abs(a.rgb.astype(int) - b.rgb).mean() < 6  # WebP is lossy


def test_captures_without_inputs_are_passed_over_and_named(tmp_path, straight, shards):
    layouts.nerfstudio(tmp_path, straight)
    write_records(tmp_path / "a.tar", [encode_capture(only("multiview", tmp_path), "one")])
    with pytest.raises(ShardError, match="no subject"):
        ShardFolder(tmp_path)
    (shard,) = shards.glob("*.tar")
    (tmp_path / "b.tar").write_bytes(shard.read_bytes())
    subjects = ShardFolder(tmp_path)
    assert len(subjects) == 2
    assert "1 records of kind 'capture' cannot be trained on" in subjects.problems[0]
    assert len(subjects.landmarks()[0]) == 4


# ---- refusals


def refusal(name: str, root) -> str:
    with pytest.raises(ValueError, match=str(root)) as refused:
        only(name, root)
    return str(refused.value)


def edit(path, **changes) -> None:
    facts = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({k: v for k, v in (facts | changes).items() if v is not None}), encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"camera_model": "OPENCV_FISHEYE"}, "OPENCV_FISHEYE"),
        ({"fl_x": None}, "neither fl_x nor camera_angle_x"),
        ({"fl_x": "wide"}, "expected a number"),
        ({"w": 301}, "its camera says"),
        ({"frames": []}, "no frames"),
        ({"frames": [{"file_path": "../../secret.png", "transform_matrix": np.eye(4).tolist()}]}, "leaves the folder"),
        ({"frames": [{"file_path": "images/0.png", "transform_matrix": (2 * np.eye(4)).tolist()}]}, "rotation"),
        ({"frames": [{"file_path": "images/none.png", "transform_matrix": np.eye(4).tolist()}]}, "none.png is missing"),
    ],
)
def test_a_transforms_file_that_makes_no_sense_is_refused(tmp_path, straight, changes, words):
    layouts.nerfstudio(tmp_path, straight)
    edit(tmp_path / "transforms.json", **changes)
    assert words in refusal("multiview", tmp_path)


def test_a_photograph_without_a_mask_is_refused(tmp_path, straight):
    layouts.colmap(tmp_path, straight)
    (tmp_path / "masks" / "shot 1.png.png").unlink()
    message = refusal("multiview", tmp_path)
    assert "shot 1.png has no mask" in message


def test_a_binary_colmap_model_says_how_to_convert_it(tmp_path, straight):
    layouts.colmap(tmp_path, straight)
    (tmp_path / "sparse" / "0" / "images.txt").rename(tmp_path / "sparse" / "0" / "images.bin")
    assert "model_converter" in refusal("multiview", tmp_path)


def test_a_lens_that_is_not_understood_is_refused(tmp_path, straight):
    layouts.colmap(tmp_path, straight)
    (tmp_path / "sparse" / "0" / "cameras.txt").write_text("1 FOV 300 360 400 150 180 0.1\n", encoding="utf-8")
    assert "image_undistorter" in refusal("multiview", tmp_path)


def test_annotations_that_would_run_something_are_refused(tmp_path, straight):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    layouts.zju(tmp_path, straight)
    np.save(tmp_path / "CoreView_377" / "annots.npy", {"cams": Trap()}, allow_pickle=True)
    assert "annots.npy" in refusal("zju-mocap", tmp_path)
    assert not (tmp_path / "sprung").exists()
