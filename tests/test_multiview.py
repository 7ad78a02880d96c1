"""Several calibrated photos of one person: what they agree on, and the front door."""

import json

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from humanlrm.body.height import standing_height
from humanlrm.cli import main
from humanlrm.data.render.renderer import SceneRenderer
from humanlrm.data.triangulate import render_plain, ring_camera
from humanlrm.model.config import tiny
from humanlrm.model.lrm import build
from humanlrm.model.pretrained import save_pretrained
from humanlrm.multiview import fuse, read_views, robust_triangulate
from humanlrm.photo.blazepose import PoseDetector
from humanlrm.settings import Calibration
from humanlrm.train.checkpoint import trained_parameters

YAWS = (0.2, 1.9, 3.4, 5.0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    save_pretrained(folder, tiny(), dict(trained_parameters(build(tiny()))))
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory, person):
    """Four photographs with masks as alpha, and nerfstudio's file of their cameras."""
    folder = tmp_path_factory.mktemp("photos")
    studio, frames = SceneRenderer(person), []
    for k, yaw in enumerate(YAWS):
        camera = ring_camera(studio, yaw, 0.1 * k)
        rgb = render_plain(studio, camera)
        alpha = (rgb != 128).any(-1) * np.uint8(255)
        Image.fromarray(np.dstack([rgb, alpha])).save(folder / f"{k}.png")
        c2w = camera.c2w.numpy() @ np.diag([1.0, -1, -1, 1])
        # nerfstudio's world is +Z up.
        c2w = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]) @ c2w
        f, (cx, cy) = float(camera.K[0, 0]), camera.K[:2, 2].tolist()
        frames.append({"file_path": f"{k}.png", "transform_matrix": c2w.tolist(), "fl_x": f, "cx": cx, "cy": cy})
    (folder / "cameras.json").write_text(json.dumps({"frames": frames}), encoding="utf-8")
    return folder


def framesring_camera(rng: np.random.Generator, count: int) -> np.ndarray:
    """Similarities to the frames of views all around."""
    out = []
    for k in range(count):
        pose = trimesh.transformations.rotation_matrix(2 * np.pi * k / count, [0, 1, 0]) * rng.uniform(0.8, 1.3)
        pose[:3, 3], pose[3, 3] = rng.normal(0, 0.1, 3), 1
        out.append(pose)
    return np.stack(out)


def seen(world: np.ndarray, frames: np.ndarray) -> np.ndarray:
    return np.einsum("vij,kj->vki", frames[:, :3, :3], world) + frames[:, None, :3, 3]


def test_views_without_errors_agree_on_the_truth():
    rng = np.random.default_rng(0)
    world, frames = rng.uniform(-0.8, 0.8, (19, 3)), framesring_camera(rng, 3)
    np.testing.assert_allclose(robust_triangulate(seen(world, frames), frames), world, atol=1e-9)


def test_depth_comes_from_the_views_that_see_it_across():
    rng = np.random.default_rng(1)
    world, frames = rng.uniform(-0.8, 0.8, (19, 3)), framesring_camera(rng, 4)
    wrong = seen(world, frames) + rng.normal(size=(4, 19, 3)) * [0.01, 0.01, 0.15]
    error = np.linalg.norm(robust_triangulate(wrong, frames) - world, axis=1)
    assert error.mean() < 0.03
    alone = np.linalg.norm(robust_triangulate(wrong[:1], frames[:1]) - world, axis=1)
    assert alone.mean() > 0.08


def test_a_view_with_left_and_right_exchanged_is_outvoted():
    rng = np.random.default_rng(2)
    world, frames = rng.uniform(-0.8, 0.8, (19, 3)), framesring_camera(rng, 5)
    found = seen(world, frames)
    found[2] += [0.7, 0.0, 0.5]
    error = np.linalg.norm(robust_triangulate(found, frames) - world, axis=1)
    assert error.max() < 0.05


def test_photos_are_found_by_name_and_their_cameras_see_the_person(photos, person):
    detector = PoseDetector(threads=1)
    views = read_views([photos / "2.png", photos / "0.png"], Calibration(photos / "cameras.json"), detector)
    assert len(views) == 2
    middle = (person.vertices.min(0) + person.vertices.max(0)) / 2
    for view, yaw in zip(views, (YAWS[2], YAWS[0]), strict=True):
        away = view.camera.c2w[:3, 3].numpy() - middle
        assert np.arctan2(away[0], away[2]) == pytest.approx((yaw + np.pi) % (2 * np.pi) - np.pi, abs=1e-6)
        row, column = np.argwhere(view.alpha > 127).mean(0)
        at = view.camera.project(torch.from_numpy(middle)[None].double())[0, :2].numpy()
        assert np.abs(at - [column, row]).max() < 0.12 * max(view.alpha.shape)


def test_the_fused_person_stands_upright_before_the_first_camera(photos, weights):
    detector = PoseDetector(threads=1)
    views = read_views([photos / f"{k}.png" for k in range(4)], Calibration(photos / "cameras.json"), detector)
    torch.manual_seed(0)
    person = fuse(build(tiny()).eval(), views, detector)
    assert np.abs(person.landmarks).max() < 1
    assert person.landmarks[-2, 1] > 0.5  # the head is up
    eye = np.append(views[0].camera.c2w[:3, 3].numpy(), 1) @ person.from_world.T
    assert eye[2] > 2
    assert abs(eye[0]) < 1e-6
    # The boxes of the views and the common one hold the same person.
    for one in person.views:
        in_view = seen(np.array([[0.0, 0, 0]]), (one.to_frame @ np.linalg.inv(person.from_world))[None])
        assert np.abs(in_view).max() < 0.5


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_several_photos_become_one_sound_person_of_measured_size(tmp_path, photos, weights, person, capsys):
    files = [photos / f"{k}.png" for k in range(4)]
    sizes = ("--resolution", 64, "--texture-px", 128, "--faces", 2000, "--weights", weights)
    out = ("-o", tmp_path / "a.glb", "--preview", tmp_path / "a.png")
    assert run("reconstruct", *files, "--cameras", photos / "cameras.json", "--unit", "m", *out, *sizes) == 0
    mesh = trimesh.load(tmp_path / "a.glb", force="mesh")
    whole = trimesh.Trimesh(mesh.vertices, mesh.faces)
    whole.merge_vertices()
    assert whole.is_watertight
    assert whole.body_count == 1
    # An untrained model carves the person out of the masks and depths it is told: the size is right, no more.
    assert mesh.extents[1] == pytest.approx(np.ptp(person.vertices[:, 1]), rel=0.25)
    assert Image.open(tmp_path / "a.png").width > Image.open(tmp_path / "a.png").height * 7


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("0.png", "1.png"), "--cameras"),
        (("0.png", "--unit", "m"), "--unit"),
        (("0.png", "--cameras", "cameras.json"), "2 to 32"),
        (("0.png", "missing.png", "--cameras", "cameras.json"), "missing.png"),
        (("0.png", "1.png", "0.png", "--cameras", "cameras.json"), "0.png is given twice"),
        (("0.png", "1.png", "--cameras", "missing.json"), "missing.json"),
        (("0.png", "1.png", "--cameras", "cameras.json", "--unit", "feet"), "feet"),
        (("0.png", "other.png", "--cameras", "cameras.json"), "0 cameras"),
        (("0.png", "1.png", "--cameras", "cameras.json", "--up", "+y"), "--up"),
        (("0.png", "1.png", "--cameras", "cameras.json", "--up", "top"), "top"),
    ],
)
def test_what_does_not_belong_together_is_refused(tmp_path, photos, weights, capsys, monkeypatch, arguments, words):
    monkeypatch.chdir(photos)
    if not (photos / "other.png").exists():
        (photos / "other.png").write_bytes((photos / "0.png").read_bytes())
    assert run("reconstruct", *arguments, "--weights", weights, "-o", tmp_path / "a.glb") in (2, 3)
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line
    assert not list(tmp_path.iterdir())


def test_size_without_a_unit_comes_from_the_height(photos, weights):
    detector = PoseDetector(threads=1)
    views = read_views([photos / "0.png", photos / "1.png"], Calibration(photos / "cameras.json"), detector)
    torch.manual_seed(0)
    person = fuse(build(tiny()).eval(), views, detector)
    assert standing_height(person.landmarks) == pytest.approx(1.7, rel=0.35)
