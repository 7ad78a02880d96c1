import numpy as np
import pytest
import torch

from humanlrm.body.landmarks import DETECTOR_FEATURE_CHANNELS
from humanlrm.evaluate.baselines import inflated, inflated_silhouette, mean_body, photo_colors, visual_hull
from humanlrm.evaluate.case import IMAGE_PX, SIDES, place_in_mask
from humanlrm.evaluate.images import iou, render
from humanlrm.evaluate.methods import lrm, lrm_of_several, lrm_textured
from humanlrm.frame import VIEW_SPAN, SquareCrop
from humanlrm.mesh.preview import orbit_camera
from humanlrm.mesh.surface import TriangleSurface, is_closed
from humanlrm.model.config import tiny
from humanlrm.model.lrm import HumanLRM, build
from humanlrm.photo.crop import SubjectCrop


def disc(radius: float, size_px: int = 128) -> SubjectCrop:
    """A crop whose mask is a disc (radius in box units) in the middle."""
    axis = ((torch.arange(size_px) + 0.5) / size_px - 0.5) * VIEW_SPAN
    alpha = (axis[:, None] ** 2 + axis**2 < radius**2).float()[None]
    photo = np.zeros((size_px, size_px, 3), np.uint8)
    crop = SquareCrop((size_px / 2, size_px / 2), float(size_px))
    known = torch.ones(1, size_px, size_px)
    return SubjectCrop(
        torch.zeros(3, size_px, size_px),
        alpha,
        known,
        torch.zeros(19, 4),
        torch.zeros(19, 2, DETECTOR_FEATURE_CHANNELS),
        crop,
        photo,
        alpha[0].numpy(),
        (),
    )


@pytest.mark.parametrize("radius", [0.1, 0.5])
def test_an_inflated_disc_is_closed_and_as_wide_as_the_disc(radius):
    surface = inflated_silhouette(disc(radius))
    assert is_closed(surface.faces)
    width, height, _ = np.ptp(surface.vertices, axis=0)
    assert width == pytest.approx(2 * radius, abs=0.04)
    assert height == pytest.approx(2 * radius, abs=0.04)


def test_a_small_disc_becomes_a_ball_at_most_and_a_large_one_stays_flat():
    small, large = (np.ptp(inflated_silhouette(disc(r)).vertices[:, 2]) for r in (0.1, 0.5))
    assert 0.1 < small < 0.32
    assert large == pytest.approx(0.32, abs=0.03)


def test_the_inflated_silhouette_is_upright():
    shown = disc(0.2)
    shown.alpha[0] = shown.alpha[0].roll(-30, 0)  # up in the picture
    assert inflated_silhouette(shown).vertices[:, 1].mean() == pytest.approx(30 / 128 * VIEW_SPAN, abs=0.03)


def silhouette(colored, yaw_deg: float = 0.0) -> np.ndarray:
    return render(colored, [orbit_camera(yaw_deg, IMAGE_PX)])[0].mask


def test_the_floors_are_closed_and_where_the_person_is(case):
    given = case.shown.alpha[0].numpy() > 0.5
    for floor, least in ((inflated, 0.85), (visual_hull, 0.93), (mean_body, 0.3)):
        found = floor(case)
        assert is_closed(found.surface.faces)
        assert found.colors.shape == found.surface.vertices.shape
        assert iou(silhouette(found), given) > least


def test_the_hull_has_all_four_silhouettes_and_holds_the_person(case):
    found = visual_hull(case)
    for yaw_deg, picture in zip((0, 90, 180, 270), case.truth.pictures, strict=True):
        assert iou(silhouette(found, yaw_deg), picture.mask) > 0.9


def test_the_mean_body_is_as_high_as_the_mask(case):
    rows = np.flatnonzero((case.shown.alpha[0].numpy() > 0.5).any(1))
    body = np.flatnonzero(silhouette(mean_body(case)).any(1))
    assert (body[0], body[-1]) == (pytest.approx(rows[0], abs=3), pytest.approx(rows[-1], abs=3))


def test_a_mesh_of_any_unit_and_place_gets_to_the_mask(case):
    mask = case.shown.alpha[0].numpy() > 0.5
    surface = case.truth.surface
    away = TriangleSurface(surface.vertices * 300 + np.array([5, -900, 40], np.float32), surface.faces)
    placed = place_in_mask(away, mask)
    # Its middle depth is put at 0, which is nearly where it was.
    np.testing.assert_allclose(placed.vertices[:, :2], surface.vertices[:, :2], atol=0.05)


def test_nothing_is_placed_in_an_empty_mask(case):
    with pytest.raises(ValueError, match="nothing to fit"):
        place_in_mask(case.truth.surface, np.zeros((64, 64), bool))


def test_colors_are_those_of_the_pixel_in_front_or_behind():
    shown = disc(0.4)
    shown.rgb[0, :, :64], shown.rgb[2, :, 64:] = 1, 1  # left half red, right half blue
    points = np.array([[-0.2, 0, 0.3], [-0.2, 0, -0.3], [0.2, 0, 0], [0.9, 0, 0]], np.float32)
    colors = photo_colors(TriangleSurface(points, np.array([[0, 1, 2]], np.int32)), shown)
    np.testing.assert_array_equal(colors, [[1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 0, 1]])


def test_as_it_is_saved_our_model_looks_like_the_photo_from_the_front(case):
    torch.manual_seed(0)
    model = build(tiny()).eval()
    assert isinstance(model, HumanLRM)
    photo, off = case.truth.pictures[0], {}
    for name, method in {"field": lrm(model, 64), "saved": lrm_textured(model, 64)}.items():
        seen = render(method(case), [orbit_camera(0.0, IMAGE_PX)])[0]
        both = seen.mask & photo.mask
        off[name] = np.abs(seen.rgb - photo.rgb)[both].mean()
    assert off["saved"] < 0.5 * off["field"]


@pytest.mark.parametrize("sides", [SIDES, ("front", "back")])
def test_our_model_given_several_views_stands_in_the_frame_of_the_photo(sides, case):
    torch.manual_seed(0)
    found = lrm_of_several(build(tiny()).eval(), 64, sides)(case)
    assert is_closed(found.surface.faces)
    middle = lambda vertices: (vertices.min(0) + vertices.max(0)) / 2  # noqa: E731
    apart = middle(found.surface.vertices) - middle(case.truth.surface.vertices)
    # An untrained model knows masks and detected landmarks only: it is at the right place, and turned as it should.
    assert np.abs(apart[:2]).max() < 0.2
    assert abs(apart[2]) < 0.25
    mask = render(found, [orbit_camera(0.0, IMAGE_PX)])[0].mask
    assert iou(mask, case.truth.pictures[0].mask) > 0.4
