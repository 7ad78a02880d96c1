import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from humanlrm.frame import (
    CAMERA_DISTANCE,
    SUBJECT_SPAN,
    VIEW_SPAN,
    SquareCrop,
    canonical_camera,
    project_ndc,
    square_crop,
    unproject_ndc,
)


def mask(rows=slice(10, 50), columns=slice(20, 40), shape=(80, 100)):
    out = np.zeros(shape, dtype=bool)
    out[rows, columns] = True
    return out


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_unprojecting_at_a_points_own_z_gives_it_back(seed):
    points = torch.from_numpy(np.random.default_rng(seed).uniform(-1, 1, (2, 9, 3)))
    torch.testing.assert_close(unproject_ndc(project_ndc(points), points[..., 2]), points)


def test_project_ndc_agrees_with_the_canonical_camera():
    points = torch.rand(50, 3) * 2 - 1
    px = canonical_camera(128).project(points)
    torch.testing.assert_close(px[:, 0] / 64 - 1, project_ndc(points)[:, 0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(1 - px[:, 1] / 64, project_ndc(points)[:, 1], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(px[:, 2], CAMERA_DISTANCE - points[:, 2])


def test_the_image_spans_the_view_span_in_the_plane_z_0():
    edge = torch.tensor([[VIEW_SPAN / 2, VIEW_SPAN / 2, 0.0], [-VIEW_SPAN / 2, -VIEW_SPAN / 2, 0.0]])
    torch.testing.assert_close(project_ndc(edge), torch.tensor([[1.0, 1.0], [-1.0, -1.0]]))


@settings(max_examples=30, deadline=None)
@given(st.floats(-500, 500), st.floats(-500, 500), st.floats(1, 2000))
def test_crop_coordinates_round_trip(x, y, side):
    crop, points = SquareCrop((x, y), side), np.random.default_rng(0).uniform(-900, 900, (5, 2))
    np.testing.assert_allclose(crop.to_px(crop.to_ndc(points)), points, atol=1e-6)


def test_the_top_left_corner_of_a_crop_is_minus_one_plus_one():
    np.testing.assert_allclose(SquareCrop((50.0, 40.0), 20.0).to_ndc(np.array([[40.0, 30.0]])), [[-1, 1]])


def test_the_longest_side_of_the_mask_takes_the_subject_span_and_the_box_is_centred():
    crop = square_crop(mask())
    assert crop.center_px == (30, 30)
    top, bottom = crop.to_ndc(np.array([[30.0, 10.0], [30.0, 50.0]]))[:, 1] * VIEW_SPAN / 2
    assert top - bottom == pytest.approx(SUBJECT_SPAN)
    assert top == pytest.approx(-bottom)


def test_landmarks_outside_the_mask_enlarge_the_crop():
    crop = square_crop(mask(), np.array([[30.0, 130.0], [30.0, 20.0]]))
    assert crop.center_px == (30, 70)
    assert crop.side_px == pytest.approx(120 * VIEW_SPAN / SUBJECT_SPAN)


def test_landmarks_inside_the_mask_change_nothing():
    assert square_crop(mask(), np.array([[30.0, 30.0]])) == square_crop(mask())


def test_an_empty_mask_is_refused():
    with pytest.raises(ValueError, match="mask is empty"):
        square_crop(np.zeros((5, 5), dtype=bool))
