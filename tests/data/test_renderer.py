"""What a photograph shows: cast shadows, dark corners, things in front."""

import numpy as np
import pytest
import torch
import trimesh

from humanlrm.body.landmarks import INDEX
from humanlrm.data.render.camera_sampling import sample_camera, sample_pitch_rad
from humanlrm.data.render.environment import Surroundings
from humanlrm.data.render.light import Light
from humanlrm.data.render.occluders import Look, Props, bag, box, place_held, place_in_front, tube, visible_share
from humanlrm.data.render.renderer import SceneRenderer
from humanlrm.data.scan import Scan
from humanlrm.frame import SquareCrop, canonical_camera, crop_camera

GREY = Look("flat", np.full((2, 3), 0.5, np.float32), np.eye(3))
RNG = np.random.default_rng


def ball_scan(*balls: tuple[float, tuple[float, float, float]]) -> Scan:
    meshes = [trimesh.creation.icosphere(4, radius).apply_translation(place) for radius, place in balls]
    mesh = trimesh.util.concatenate(meshes)
    return Scan(
        "balls", "test", "CC0", np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int32),
        np.full((1, 2), 0.5, np.float32), np.zeros(mesh.faces.shape, np.int32), np.full((4, 4, 3), 255, np.uint8),
        np.zeros((19, 3), np.float32),
    )  # fmt: skip


def sun(radius_rad: float | None) -> Light:
    """From above, along -Y, over a little ambient light."""
    shadows = None if radius_rad is None else np.array([radius_rad], np.float32)
    return Light(
        np.full(3, 0.1, np.float32), np.float32([[0, 1, 0]]), np.full((1, 3), 0.6, np.float32), shadow_rad=shadows
    )


def under(light: Light, scan: Scan, others=()) -> np.ndarray:
    photo = SceneRenderer(scan).photograph(canonical_camera(128), Surroundings(light), RNG(0), others)
    return np.where(photo.visible[..., None], photo.rgb, 0)


def at(picture: np.ndarray, x: float, y: float) -> float:
    """Brightness at a point of the plane z = 0 (3 x 3 pixels)."""
    column, row = int((x / 1.05 + 1) * 64), int((1 - y / 1.05) * 64)
    return float(picture[row - 1 : row + 2, column - 1 : column + 2].mean())


def test_a_sphere_casts_its_shadow_on_the_sphere_below():
    below, both = ball_scan((0.4, (0, -0.5, 0))), ball_scan((0.4, (0, -0.5, 0)), (0.3, (0, 0.5, 0)))
    # The top of the lower sphere, seen from the side; beyond the upper one's radius nothing changes.
    shadow, free = under(sun(0.01), both), under(sun(0.01), below)
    assert at(shadow, 0, -0.2) < 0.6 * at(free, 0, -0.2)
    assert at(shadow, 0.33, -0.4) == pytest.approx(at(free, 0.33, -0.4), abs=4)
    soft = under(sun(None), both)
    assert at(soft, 0, -0.2) > 0.85 * at(under(sun(None), below), 0, -0.2)


def test_a_wide_lamp_has_a_soft_shadow_border():
    both = ball_scan((0.4, (0, -0.5, 0)), (0.3, (0, 0.5, 0)))
    hard, soft = (under(sun(r), both)[..., 0].astype(int) for r in (0.01, 0.3))
    steps = [np.abs(np.diff(p[75:92, 64])).max() for p in (hard, soft)]
    assert steps[0] > 1.3 * steps[1]


def test_something_in_front_throws_its_shadow_too():
    lid = Props([box(np.array([2.0, 0.05, 2.0]), GREY).moved(np.array([0, 1.2, 0]))])
    ball = ball_scan((0.4, (0, 0, 0)))
    assert at(under(sun(0.01), ball, [lid]), 0, 0.3) < 0.5 * at(under(sun(0.01), ball), 0, 0.3)


def test_light_on_samples_has_no_cast_shadow():
    up = np.float32([[0, 1, 0]])
    np.testing.assert_allclose(sun(0.01).render(np.ones((1, 3), np.float32), up) ** 2.2, 0.7, rtol=1e-3)


def test_a_gap_between_two_spheres_is_darker_than_their_outer_sides():
    scan = ball_scan((0.1, (-0.105, 0, 0)), (0.1, (0.105, 0, 0)))
    free = SceneRenderer(scan).open_share
    inner, outer = np.abs(scan.vertices[:, 0]) < 0.03, np.abs(scan.vertices[:, 0]) > 0.18
    assert free[inner].mean() < 0.6 < 0.95 < free[outer].mean()


def test_the_nearest_thing_is_seen_and_the_mask_loses_what_it_hides():
    ball = ball_scan((0.5, (0, 0, 0)))
    place = np.array([0.3, 0, 0.7])
    for solid in (box(np.full(3, 0.3), GREY), bag(np.full(3, 0.3), GREY), tube(place * 0, np.ones(3) * 0.1, 0.1, GREY)):
        front, behind = (Props([solid.moved(place * [1, 1, s])]) for s in (1, -2))
        studio, camera = SceneRenderer(ball), canonical_camera(96)
        whole = studio.photograph(camera, Surroundings(sun(None)), RNG(0))
        hidden = studio.photograph(camera, Surroundings(sun(None)), RNG(0), [front])
        np.testing.assert_array_equal(hidden.whole, whole.visible)
        assert 0.5 < hidden.visible.sum() / whole.visible.sum() < 0.98
        assert not (hidden.visible & ~hidden.whole).any()
        np.testing.assert_array_equal(
            studio.photograph(camera, Surroundings(sun(None)), RNG(0), [behind]).visible, whole.visible
        )
        assert visible_share(studio, front, camera) == pytest.approx(
            hidden.visible.sum() / whole.visible.sum(), abs=0.04
        )


def test_patterns_stay_in_range_and_have_both_colors():
    points = RNG(1).uniform(-1, 1, size=(500, 3))
    colors = np.float32([[0.1, 0.2, 0.3], [0.9, 0.8, 0.7]])
    for kind in ("stripes", "checks", "blotches"):
        seen = Look(kind, colors, np.eye(3) * 5)(points)
        assert seen.min() >= 0.09
        assert seen.max() <= 0.91
        assert seen[:, 0].std() > 0.2
    assert Look("flat", colors, np.eye(3))(points)[:, 0].std() < 0.1


def test_things_are_put_in_front_of_a_person_and_into_hands(person):
    studio = SceneRenderer(person)
    hidden = carried = 0
    for seed in range(8):
        camera = sample_camera(person, seed * 0.8, False, RNG(seed))
        for solid in place_in_front(studio, camera, RNG(seed), person):
            assert 0.4 <= visible_share(studio, solid, camera) <= 0.985
            hidden += 1
        for solid in place_held(studio, camera, RNG(seed)):
            hands = person.landmarks[[INDEX["left_hand"], INDEX["right_hand"], INDEX["left_hip"], INDEX["right_hip"]]]
            gaps = np.linalg.norm(solid.scene.vertices[:, None] - hands, axis=-1)
            assert gaps.min() < 0.35
            carried += 1
    assert hidden >= 6
    assert carried >= 7


def test_an_uncropped_photograph_shows_everybody_whole_from_any_camera(person):
    tangents = []
    for seed in range(30):
        camera = sample_camera(person, seed * 0.7, False, RNG(seed))
        pixels = camera.project(torch.from_numpy(person.vertices).double()).numpy()
        assert pixels[:, :2].min() >= 0
        assert pixels[:, :2].max() <= 384
        tangents.append(192 / float(camera.K[0, 0]))
    fov = np.degrees(2 * np.arctan(tangents))
    assert fov.min() < 22
    assert fov.max() > 45
    assert (fov < 66).all()


def test_a_cropped_photograph_shows_a_part_of_the_person_worth_looking_at(person):
    """Somebody who leans: the head is far from the middle of the bounding box, where a close photograph saw nobody."""
    lean = np.eye(4)
    lean[:3, :3] = trimesh.transformations.rotation_matrix(np.deg2rad(65), [0, 0, 1])[:3, :3]
    leaning, shares, cut_sides = person.moved(lean), [], 0
    corner = leaning.vertices[leaning.faces]
    areas = np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1)
    middles = torch.from_numpy(corner.mean(1)).double()
    for seed in range(40):
        pixels = sample_camera(leaning, seed * 0.7, True, RNG(seed)).project(middles).numpy()[:, :2]
        within = ((pixels >= 0) & (pixels <= 384)).all(1)
        shares.append(areas[within].sum() / areas.sum())
        cut_sides += bool((pixels[:, 0].min() < 0) | (pixels[:, 0].max() > 384))
    assert min(shares) > 0.12
    assert np.mean(shares) < 0.9
    assert cut_sides > 10


def test_the_camera_looks_down_and_up():
    pitch = np.degrees([sample_pitch_rad(RNG(seed)) for seed in range(300)])
    assert -20 <= pitch.min() < -12
    assert 22 < pitch.max() <= 30
    assert np.mean(np.abs(pitch) < 12) > 0.6


def test_a_crops_camera_sees_the_crops_pixels(person):
    camera = sample_camera(person, 0.3, True, RNG(2))
    crop = SquareCrop((150.0, 260.0), 310.0)
    points = torch.from_numpy(person.vertices[::500]).double()
    photo, seen = camera.project(points).numpy(), crop_camera(camera, crop, 64).project(points).numpy()
    expected = (crop.to_ndc(photo[:, :2]) * [1, -1] + 1) * 32
    np.testing.assert_allclose(seen[:, :2], expected, atol=1e-6)
