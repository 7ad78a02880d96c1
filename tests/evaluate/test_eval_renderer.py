from dataclasses import replace

import numpy as np
import pytest
import torch

from humanlrm.data.render.solid import SolidScan
from humanlrm.evaluate.renderer import CANONICAL_FOV_DEG, UNLIT, Lamps, Viewpoint, camera_at, random_lamps
from humanlrm.frame import SUBJECT_SPAN, VIEW_SPAN


def share_of(renderer, view: Viewpoint) -> tuple[float, float]:
    """Longest side and middle (x) of the person in a photograph, in photo widths."""
    camera = camera_at(renderer, view)
    at = camera.project(torch.from_numpy(renderer.scan.vertices.astype(np.float64))).numpy()[:, :2] / camera.size_px[0]
    return float(np.ptp(at, axis=0).max()), float((at[:, 0].min() + at[:, 0].max()) / 2)


def test_the_canonical_field_of_view_is_that_of_the_frame():
    assert pytest.approx(29.4, abs=0.1) == CANONICAL_FOV_DEG


@pytest.mark.parametrize("fov_deg", [15, CANONICAL_FOV_DEG, 75])
def test_the_person_takes_the_same_share_of_the_photo_at_every_field_of_view(renderer, fov_deg):
    assert share_of(renderer, Viewpoint(0, fov_deg=fov_deg))[0] == pytest.approx(SUBJECT_SPAN / VIEW_SPAN, rel=0.25)


def test_a_shift_moves_the_person_to_the_right(renderer):
    _, middle = share_of(renderer, Viewpoint(0, share=0.5, shift=0.2))
    assert middle == pytest.approx(0.7, abs=0.03)


def test_a_camera_from_above_looks_down(renderer):
    camera = camera_at(renderer, Viewpoint(30, pitch_deg=20))
    eye = camera.c2w[:3, 3].numpy() - renderer.center
    assert np.degrees(np.arcsin(eye[1] / np.linalg.norm(eye))) == pytest.approx(20)
    assert np.degrees(np.arctan2(eye[0], eye[2])) == pytest.approx(30)


def test_light_comes_from_its_side_and_unlit_pictures_show_the_albedo():
    lamp = Lamps(np.zeros(3, np.float32), np.array([[1.0, 0, 0]], np.float32), np.ones((1, 3), np.float32))
    albedo = np.full((2, 3), 0.6, np.float32)
    lit, dark = lamp.on(albedo, np.array([[1.0, 0, 0], [-1.0, 0, 0]], np.float32))
    np.testing.assert_allclose(lit, 0.6, atol=1e-6)
    np.testing.assert_allclose(dark, 0, atol=1e-6)
    np.testing.assert_allclose(UNLIT.on(albedo, np.zeros((2, 3), np.float32)), 0.6, atol=1e-6)


def test_a_photograph_is_the_same_for_the_same_dice(renderer):
    shots = [renderer.photograph(camera_at(renderer, Viewpoint(0)), UNLIT, np.random.default_rng(1)) for _ in range(2)]
    np.testing.assert_array_equal(shots[0].rgb, shots[1].rgb)
    assert 0.05 < shots[0].alpha.mean() < 0.6


def test_seen_points_lie_under_their_pixels(renderer):
    photo = renderer.photograph(
        camera_at(renderer, Viewpoint(40)), random_lamps(np.random.default_rng(0)), np.random.default_rng(0)
    )
    row, column = np.argwhere(photo.alpha > 0.5)[::50].T
    at = photo.camera.project(torch.from_numpy(photo.where[row, column].astype(np.float64))).numpy()
    np.testing.assert_allclose(at[:, :2], np.stack([column, row], axis=1) + 0.5, atol=0.01)


def test_measured_faces_are_the_outer_ones(renderer):
    """Whatever the people engine's own test becomes, nearly the same faces are measured: mouths have many."""
    assert (renderer.outer == SolidScan(renderer.scan).outer).mean() > 0.95


def test_a_person_before_a_backdrop_is_lit_as_in_the_light(renderer):
    camera = camera_at(renderer, Viewpoint(0))
    dark = replace(UNLIT, ambient=np.full(3, 0.1, np.float32))
    bright, dim = (renderer.photograph(camera, lamps, np.random.default_rng(1)) for lamps in (UNLIT, dark))
    person = bright.alpha > 0.5
    assert dim.rgb[person].mean() < 0.6 * bright.rgb[person].mean()
    np.testing.assert_array_equal(dim.rgb[~person], bright.rgb[~person])
