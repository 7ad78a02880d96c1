import numpy as np
import pytest
import torch
from analytic_bodies import ball, position_field
from PIL import Image

from humanlrm.frame import canonical_camera
from humanlrm.mesh.preview import contact_sheet, orbit_camera, render_views, zoom_to_fit
from humanlrm.texture.bake import bake


def test_the_front_view_is_the_canonical_camera():
    camera, canonical = orbit_camera(0.0, 64), canonical_camera(64)
    np.testing.assert_allclose(camera.w2c, canonical.w2c, atol=1e-6)
    np.testing.assert_allclose(camera.K, canonical.K)


def test_a_body_that_reaches_out_of_the_picture_is_looked_at_from_farther_away():
    around = [orbit_camera(yaw, 64) for yaw in (0.0, 90.0)]
    inside = ball().vertices
    assert zoom_to_fit(around, inside) is around
    low = np.concatenate([inside, np.float32([[0, -1.2, 1.0]])])
    for before, after in zip(around, zoom_to_fit(around, low), strict=True):
        assert float((after.project(torch.from_numpy(low))[:, :2] / 32 - 1).abs().max()) < 1
        assert before.project(torch.from_numpy(low))[-1, 1] > 64
        np.testing.assert_allclose(after.w2c, before.w2c)


def test_views_show_their_sides_of_a_ball_colored_by_position():
    mesh = bake(ball(), position_field, size_px=256)
    front, left, back, right = (v[32, 32] / 255 for v in render_views(mesh, size_px=64, shading="color"))
    # The person's left is +X: in the world frame it is at the right of the photo.
    np.testing.assert_allclose(front, [0.5, 0.5, 0.8], atol=0.03)
    np.testing.assert_allclose(left, [0.8, 0.5, 0.5], atol=0.03)
    np.testing.assert_allclose(back, [0.5, 0.5, 0.2], atol=0.03)
    np.testing.assert_allclose(right, [0.2, 0.5, 0.5], atol=0.03)


def test_normals_are_in_the_cameras_axes():
    mesh = bake(ball(), position_field, size_px=64)
    for view in render_views(mesh, size_px=64, shading="normals"):
        np.testing.assert_allclose(view[32, 32] / 255, [0.5, 0.5, 1.0], atol=0.03)
        assert view[32, 46, 0] > 200
        assert view[18, 32, 1] > 200


def test_soft_shading_darkens_only_the_rim():
    mesh = bake(ball(), position_field, size_px=256)
    bare, soft = (render_views(mesh, ("front",), 64, shading)[0].astype(float) for shading in ("color", "soft"))
    np.testing.assert_allclose(soft[32, 32], bare[32, 32], atol=2)
    assert soft[32, 47].sum() < 0.95 * bare[32, 47].sum()
    assert (soft[0] == 255).all()


def test_contact_sheets_have_gutters_and_are_written(tmp_path):
    images = [np.full((20, 30, 3), 10, np.uint8), np.full((20, 10, 3), 20, np.uint8)]
    sheet = contact_sheet(images, gutter_px=4, path=tmp_path / "sheet.png")
    assert sheet.shape == (28, 52, 3)
    assert (sheet[:, 34:38] == 255).all()
    assert (sheet[4:24, 38:48] == 20).all()
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "sheet.png")), sheet)


def test_wrong_requests_are_refused():
    mesh = bake(ball(2), position_field, size_px=64)
    with pytest.raises(ValueError, match="views are"):
        render_views(mesh, ("top",))
    with pytest.raises(ValueError, match="one height"):
        contact_sheet([])
