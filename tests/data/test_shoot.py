"""The truth of a rendered subject lies in the frame of its photographs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from scipy import ndimage

from humanlrm.body.landmarks import INDEX
from humanlrm.data.dataset import SampleSettings, TrainingDataset
from humanlrm.data.render.environment import Surroundings
from humanlrm.data.render.layers import render_layers
from humanlrm.data.render.light import Light
from humanlrm.data.render.points import outward_sign
from humanlrm.data.render.renderer import SceneRenderer
from humanlrm.data.render.shoot import RenderSettings, render_subject
from humanlrm.data.render.solid import SolidScan
from humanlrm.data.scan import Scan
from humanlrm.data.shards import ShardFolder, write_shard
from humanlrm.frame import CAMERA_DISTANCE, HEAD_SQUARE_SHARE, SUBJECT_SPAN, canonical_camera, project_ndc
from humanlrm.mesh.raycast import RayScene, pixel_rays
from humanlrm.people.procedural.person import make_person

PLAIN = RenderSettings(views=2, points=3000, cropped=0, own_mask=1, occluded=0, holding=0, fov_deg=(28.0, 31.0))


def in_frame(points: np.ndarray, view) -> np.ndarray:
    return points.astype(np.float32) @ view.to_frame[:3, :3].T + view.to_frame[:3, 3]


def silhouette(scan: Scan, view, size_px: int = 256) -> np.ndarray:
    placed = scan.moved(view.to_frame)
    return RayScene(placed.vertices, placed.faces).first_hit(*pixel_rays(canonical_camera(size_px))).hit


def at_pixels(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    ndc = project_ndc(torch.from_numpy(points)).numpy()
    size = picture.shape[-1]
    column = ((ndc[:, 0] + 1) / 2 * size).astype(int).clip(0, size - 1)
    row = ((1 - ndc[:, 1]) / 2 * size).astype(int).clip(0, size - 1)
    return picture[..., row, column]


@pytest.fixture(params=[0, 1])
def view(request, rendered):
    return rendered.views[request.param]


def test_the_scan_in_the_frame_covers_exactly_the_mask(rendered, view):
    seen, mask = silhouette(rendered.scan, view), view.alpha > 127
    assert (seen & mask).sum() / (seen | mask).sum() > 0.9


def test_surface_samples_project_onto_the_mask(rendered, view):
    assert (at_pixels(view.alpha, in_frame(rendered.samples.surface, view)) > 0).mean() > 0.97


def test_the_mask_fits_the_subject_span(view):
    rows, columns = np.flatnonzero((view.alpha > 127).any(1)), np.flatnonzero((view.alpha > 127).any(0))
    longest = max(np.ptp(rows), np.ptp(columns)) + 1
    assert longest / 256 * 2.1 <= SUBJECT_SPAN * 1.02


def test_the_subject_stands_upright_in_front_of_the_camera(rendered, view):
    linear = view.to_frame[:3, :3].astype(np.float64)
    scale = np.cbrt(np.linalg.det(linear))
    np.testing.assert_allclose(linear @ linear.T, np.eye(3) * scale**2, atol=1e-5 * scale**2)
    assert linear[1, 1] / scale > 0.8


def test_front_and_back_depth_bracket_the_surface(rendered, view):
    points = in_frame(rendered.samples.surface, view)
    front, back = at_pixels(view.depth.astype(np.float32), points)
    known = np.isfinite(front)
    assert known.mean() > 0.8
    assert (points[known, 2] <= front[known] + 0.06).mean() > 0.97
    assert (points[known, 2] >= back[known] - 0.06).mean() > 0.97
    assert (view.depth[0] >= view.depth[1])[np.isfinite(view.depth[0])].all()


def test_z_is_zero_in_the_middle_of_the_person(view):
    assert abs(np.nanmean(view.depth.astype(np.float32).mean(0))) < 0.03


def test_true_landmarks_lie_in_front_of_the_camera_and_between_front_and_back(view):
    front, back = at_pixels(view.depth.astype(np.float32), view.landmarks)
    known = np.isfinite(front)
    assert known.sum() >= 12
    assert (view.landmarks[known, 2] < front[known] + 0.03).all()
    assert (view.landmarks[known, 2] > back[known] - 0.03).all()


def test_detected_landmarks_are_near_the_true_ones(view):
    seen = view.detected[:, 3] > 0.5
    assert seen.sum() > 8
    assert np.median(np.linalg.norm(view.detected[seen, :2] - view.landmarks[seen, :2], axis=1)) < 0.15


def test_distances_are_negative_inside_and_positive_outside(rendered):
    scan = rendered.scan
    pelvis = scan.landmarks[[INDEX["left_hip"], INDEX["right_hip"]]].mean(0, keepdims=True).astype(np.float64)
    assert SolidScan(scan).signed_distance(pelvis)[0] < -0.02
    assert SolidScan(scan).signed_distance(pelvis + np.array([0, 0, 3.0]))[0] > 2


def test_distance_at_surface_samples_is_about_zero(rendered):
    surface = rendered.samples.surface.astype(np.float64)
    assert np.abs(SolidScan(rendered.scan).signed_distance(surface)).max() < 2e-3


def test_stored_distances_are_those_of_the_stored_points(rendered):
    samples = rendered.samples
    again = SolidScan(rendered.scan).signed_distance(samples.points.astype(np.float64))
    np.testing.assert_array_equal(samples.sdf, again)
    assert 0.2 < (samples.sdf < 0).mean() < 0.6


def test_two_thirds_of_the_points_are_near_the_surface(rendered):
    near = np.abs(rendered.samples.sdf[:2000].astype(np.float32))
    assert np.median(near) < 0.02
    assert near.max() < 0.25
    assert np.abs(rendered.samples.sdf[2000:].astype(np.float32)).max() > 0.4


def test_stored_normals_are_unit_and_point_outward(rendered):
    normals = rendered.samples.normals[:200].astype(np.float64) / 127
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=0.02)
    surface = rendered.samples.surface[:200].astype(np.float64)
    outside = SolidScan(rendered.scan).signed_distance(surface + 0.01 * normals)
    inside = SolidScan(rendered.scan).signed_distance(surface - 0.01 * normals)
    assert (outside > inside).mean() > 0.95


def test_the_seed_decides_everything(rendered, detector, person):
    settings = PLAIN
    again = render_subject(person, detector, settings, seed=3)
    for a, b in zip(rendered.views, again.views, strict=True):
        for name in (
            "rgb",
            "alpha",
            "known",
            "depth",
            "detected",
            "landmarks",
            "to_frame",
            "normal",
            "target",
        ):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
        for name in ("front", "back", "alpha"):
            np.testing.assert_array_equal(getattr(a.layers, name), getattr(b.layers, name), err_msg=name)
            np.testing.assert_array_equal(getattr(a.head_layers, name), getattr(b.head_layers, name), err_msg=name)
    np.testing.assert_array_equal(rendered.samples.points, again.samples.points)
    other = render_subject(person, detector, replace(settings, views=1), seed=4)
    assert not np.array_equal(other.views[0].rgb, rendered.views[0].rgb)


def test_a_cropped_photograph_knows_what_it_does_not_show(person, detector):
    view = render_subject(person, detector, RenderSettings(views=1, points=30, cropped=1, own_mask=1), seed=5).views[0]
    assert (view.known == 0).any()
    assert (view.alpha[view.known == 0] == 0).all()
    unseen = np.isfinite(view.depth[0]) & (view.known[::2, ::2] == 0)
    assert unseen.sum() > 30  # the truth goes on beyond the border


def test_unknown_landmarks_stay_unknown_through_shard_and_sample(person, detector, tmp_path):
    partly = person.landmarks.copy()
    partly[INDEX["left_hand"]] = np.nan
    settings = replace(PLAIN, views=1, points=300, holding=1)
    for name, marks in (("none", None), ("partly", partly)):
        subject = render_subject(replace(person, landmarks=marks), detector, settings, seed=3)
        write_shard(tmp_path / name / "a.tar", [("a", subject)])
        data = TrainingDataset(ShardFolder(tmp_path / name), SampleSettings(48, 24), seed=0)
        samples = [data[i] for i in range(20)]
        assert all(sample.inputs.landmarks.isfinite().all() for sample in samples)
        expected = len(person.landmarks) if marks is None else 1
        assert all(int(sample.supervision.landmarks.isnan().all(-1).sum()) == expected for sample in samples)


def test_unknown_landmarks_do_not_hinder_finding_the_person_among_others(person, detector):
    settings = replace(PLAIN, views=1, points=300, occluded=1)
    partly = person.landmarks.copy()
    partly[INDEX["left_hand"]] = np.nan
    for marks in (None, partly):
        subject = render_subject(replace(person, landmarks=marks), detector, settings, seed=3, bystander=person)
        assert np.isfinite(subject.views[0].detected).all()


def test_a_rendered_sphere_has_the_color_of_its_light_and_texture():
    ball = trimesh.creation.icosphere(3, 0.5)
    scan = Scan(
        "ball",
        "test",
        "CC0",
        np.asarray(ball.vertices, np.float32),
        np.asarray(ball.faces, np.int32),
        np.full((1, 2), 0.5, np.float32),
        np.zeros(ball.faces.shape, np.int32),
        np.full((4, 4, 3), 255, np.uint8),
        np.zeros((19, 3), np.float32),
    )
    light = Light(np.full(3, 0.25, np.float32), np.array([[0, 0, 1.0]], np.float32), np.zeros((1, 3), np.float32))
    photo = SceneRenderer(scan).photograph(canonical_camera(64), Surroundings(light), np.random.default_rng(0))
    rgb, alpha, where = photo.rgb, photo.visible, photo.where
    assert (rgb[alpha > 0] == round(0.25 ** (1 / 2.2) * 255)).all()
    np.testing.assert_allclose(np.linalg.norm(where[alpha > 0], axis=-1), 0.5, atol=0.01)
    radius_px = np.sqrt(alpha.sum() / np.pi)
    focal_px = float(canonical_camera(64).K[0, 0])
    assert radius_px == pytest.approx(focal_px * 0.5 / np.sqrt(CAMERA_DISTANCE**2 - 0.25), rel=0.03)


@pytest.fixture(scope="module")
def hidden(person, detector):
    """A view in which somebody or something hides a part of the person."""
    settings = replace(PLAIN, views=3, points=30, occluded=1, fov_deg=(15.0, 60.0))
    subject = render_subject(person, detector, settings, seed=8, bystander=make_person(4))
    return min(subject.views, key=lambda view: (view.alpha > 127).sum() / (view.layers.alpha > 127).sum())


def test_the_layers_hold_the_whole_person(hidden):
    seen, whole = hidden.alpha > 127, hidden.layers.alpha > 127
    assert not (seen & ~ndimage.binary_dilation(whole, iterations=2)).any()
    assert seen.sum() < 0.985 * whole.sum()
    for side in (hidden.layers.front, hidden.layers.back):
        assert (side[whole].max(-1) > 0).mean() > 0.95
        assert (side[~whole] == 0).all()


def test_the_front_layer_agrees_with_the_photograph_where_nothing_hides_the_person(hidden):
    sure = ndimage.binary_erosion(hidden.alpha > 250, iterations=3)
    # Shadows of what stands in front may fall on the rest.
    assert np.median(np.abs(hidden.layers.front[sure].astype(int) - hidden.rgb[sure])) < 12


def test_what_lies_beyond_the_border_is_in_the_layers(person, detector):
    settings = replace(PLAIN, views=1, points=30, cropped=1)
    cut = render_subject(person, detector, settings, seed=5).views[0]
    beyond = (cut.known == 0) & (cut.layers.alpha > 127)
    assert beyond.sum() > 80
    assert (cut.layers.front[beyond] > 0).any(-1).mean() > 0.8


def test_the_head_layers_are_the_crop_around_the_head_at_four_times_the_resolution(view):
    middle = (project_ndc(torch.from_numpy(view.landmarks[INDEX["head"]])).numpy() * [1, -1] + 1) / 2 * len(view.rgb)
    half = len(view.rgb) * HEAD_SQUARE_SHARE / 2
    (left, top), (right, bottom) = np.round(middle - half).astype(int), np.round(middle + half).astype(int)
    crop = view.layers.alpha[max(top, 0) : bottom, left:right] > 127
    head = view.head_layers.alpha.reshape(64, 4, 64, 4).mean((1, 3)) > 127
    head = head[-len(crop) :]  # the square may reach beyond the crop's upper border
    assert (crop & head).sum() / (crop | head).sum() > 0.9


def test_a_back_layer_is_what_a_camera_behind_sees_in_the_mirrored_light():
    """A ball, white in front and red behind, lit from the camera's side only."""
    ball = trimesh.creation.icosphere(4, 0.5)
    vertices, faces = np.asarray(ball.vertices, np.float32), np.asarray(ball.faces, np.int32)
    is_back = vertices[faces].mean(1)[:, 2] < 0
    texture = np.array([[[255, 255, 255], [255, 0, 0]]], np.uint8)
    uv = np.array([[0.25, 0.5], [0.75, 0.5]], np.float32)
    corners = np.repeat(is_back[:, None], 3, axis=1).astype(np.int32)
    scan = Scan("ball", "test", "CC0", vertices, faces, uv, corners, texture, np.zeros((19, 3), np.float32))
    light = Light(np.zeros(3, np.float32), np.array([[0, 0, 1.0]], np.float32), np.ones((1, 3), np.float32))
    layers = render_layers(SceneRenderer(scan), canonical_camera(64), light, np.random.default_rng(0))
    inside = ndimage.binary_erosion(layers.alpha > 0, iterations=4)
    assert (layers.back[inside][:, 1:] < 60).all()
    np.testing.assert_allclose(layers.front[inside][:, 0], layers.back[inside][:, 0], atol=12)
    assert layers.back[32, 32, 0] > 240


def test_normals_are_the_slope_of_the_depth_map(view):
    depth, normal = view.depth[0].astype(np.float64), view.normal.astype(np.float64) / 127
    known = np.isfinite(depth)
    np.testing.assert_allclose(np.linalg.norm(normal, axis=0)[known], 1, atol=0.02)
    assert (normal[:, ~known] == 0).all()
    # Pixels are 2.1 / 128 units apart in x; the surface falls by dz/dx = -nx / nz.
    slope = (depth[:, 2:] - depth[:, :-2]) / (2 * 2.1 / 128)
    flat = (normal[2, :, 1:-1] > 0.8) & (np.abs(slope) < 1)
    expected = -normal[0, :, 1:-1] / np.maximum(normal[2, :, 1:-1], 0.1)
    assert np.median(np.abs(slope - expected)[flat]) < 0.12
    assert np.corrcoef(slope[flat], expected[flat])[0, 1] > 0.8


def test_normals_that_point_inward_are_found():
    rng = np.random.default_rng(0)
    on = rng.normal(size=(4000, 3)).astype(np.float32)
    on /= np.linalg.norm(on, axis=1, keepdims=True)
    points = on[:3000] + rng.normal(size=(3000, 3)).astype(np.float32) * 0.04
    turned = np.where(rng.random(1000) < 0.3, -1.0, 1.0)
    found = outward_sign(on[3000:], on[3000:] * turned[:, None], points, np.linalg.norm(points, axis=1) - 1)
    assert (found == turned).mean() > 0.9


def test_normals_of_a_card_without_an_inside_stay():
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (3000, 3)) * [1, 1, 0.05]
    places = rng.uniform(-0.9, 0.9, (200, 3)) * [1, 1, 0]
    up = np.tile([0.0, 0, 1], (200, 1))
    assert (outward_sign(places, up, points, np.abs(points[:, 2])) == 1).mean() > 0.65


def test_the_target_is_the_surface_under_the_light_without_shadows(rendered, view):
    points, samples = in_frame(rendered.samples.surface, view), rendered.samples
    front = at_pixels(view.depth.astype(np.float32), points)[0]
    seen = np.abs(points[:, 2] - front) < 0.01
    asked = view.light.render(samples.albedo / np.float32(255), samples.normals.astype(np.float32) / 127)
    drawn = at_pixels(view.target.transpose(2, 0, 1), points).T / 255
    assert seen.sum() > 150
    assert np.median(np.abs(asked - drawn)[seen]) < 0.05


def test_all_photographs_share_one_light(rendered):
    first, second = (view.light for view in rendered.views)
    np.testing.assert_array_equal(first.colors, second.colors)
    np.testing.assert_array_equal(first.shadows, second.shadows)
