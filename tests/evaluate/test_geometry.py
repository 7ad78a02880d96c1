import numpy as np
import pytest
import trimesh

from humanlrm.evaluate.geometry import (
    SurfaceSamples,
    align,
    compare,
    f_score,
    nearest,
    ordered_samples,
    sample_surface,
)
from humanlrm.mesh.surface import TriangleSurface

COUNT = 4000


def ball(radius: float = 1.0, shift=(0.0, 0.0, 0.0)) -> TriangleSurface:
    mesh = trimesh.creation.icosphere(4, radius)
    return TriangleSurface((np.asarray(mesh.vertices) + np.array(shift)).astype(np.float32), np.asarray(mesh.faces))


def spacing() -> float:
    """Mean distance of a random point on the unit sphere to the nearest of COUNT others: 1 / (2 sqrt(density))."""
    return 0.5 / np.sqrt(COUNT / (4 * np.pi))


def test_a_surface_is_no_further_from_itself_than_its_samples_are_apart():
    found = compare(ball(), ball(), "none", COUNT)
    assert found.chamfer == pytest.approx(spacing(), rel=0.1)
    assert found.normal_consistency > 0.99


def test_more_samples_bring_the_distance_to_itself_to_zero():
    assert compare(ball(), ball(), "none", 16 * COUNT).chamfer < 0.3 * compare(ball(), ball(), "none", COUNT).chamfer


def test_a_shifted_sphere_has_the_analytic_mean_distance():
    shift = 0.3
    points = ball(shift=(shift, 0, 0)), ball()
    found = compare(*points, "none", COUNT)
    # The distance of a point at angle u = cos(theta) from the other sphere is |sqrt(1 + s^2 + 2 s u) - 1|.
    u = np.linspace(-1, 1, 20_001)
    analytic = np.abs(np.sqrt(1 + shift**2 + 2 * shift * u) - 1).mean()
    assert found.p2s == pytest.approx(analytic, rel=0.05)
    assert found.s2p == pytest.approx(analytic, rel=0.05)


def test_translation_alignment_takes_a_shift_away():
    assert compare(ball(shift=(0.2, -0.1, 0.1)), ball(), "translation", COUNT).chamfer < 1.3 * spacing()


def test_scale_and_translation_alignment_takes_a_scale_away_and_translation_does_not():
    larger = ball(1.1, shift=(0.1, 0, 0))
    assert compare(larger, ball(), "scale+translation", COUNT).chamfer < 1.3 * spacing()
    far = ball(1.2).vertices + 0.4, ball().vertices + 0.5  # not around the origin
    found = compare(*(TriangleSurface(v, ball().faces) for v in far), "scale+translation", COUNT)
    assert found.chamfer < 1.4 * spacing()
    assert compare(larger, ball(), "translation", COUNT).chamfer == pytest.approx(0.1, abs=0.03)


def test_alignment_never_rotates():
    box = trimesh.creation.box((2, 1, 1))
    truth = TriangleSurface(np.asarray(box.vertices), np.asarray(box.faces))
    turned = TriangleSurface(truth.vertices[:, [1, 0, 2]], truth.faces[:, ::-1])
    assert compare(turned, truth, "scale+translation", COUNT).chamfer > 0.1


def test_flipped_normals_change_nothing():
    flipped = TriangleSurface(ball().vertices, ball().faces[:, ::-1])
    assert compare(flipped, ball(), "none", COUNT).normal_consistency > 0.99


def test_normal_consistency_falls_with_roughness():
    rng = np.random.default_rng(0)
    rough = TriangleSurface((ball().vertices * rng.normal(1, 0.03, (len(ball().vertices), 1))), ball().faces)
    assert compare(rough, ball(), "none", COUNT).normal_consistency < 0.95


def test_a_part_of_the_truth_is_near_it_but_the_truth_is_far_from_the_part():
    whole = ball()
    half = TriangleSurface(whole.vertices, whole.faces[(whole.vertices[whole.faces][:, :, 0] > 0).all(1)])
    found = compare(half, whole, "none", COUNT)
    assert found.p2s < 1.2 * spacing()
    assert found.s2p > 0.2


def test_chamfer_is_the_mean_of_both_ways():
    found = compare(ball(1.2), ball(), "none", COUNT)
    assert found.chamfer == (found.p2s + found.s2p) / 2


def test_samples_lie_on_the_surface_with_its_normals_and_evenly():
    points, normals = sample_surface(ball(), 3000, np.random.default_rng(0))
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, atol=0.005)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1)
    assert ((points * normals).sum(1) > 0.99).all()
    assert np.abs(points.mean(0)).max() < 0.05


def test_the_seed_decides_the_numbers():
    first, again = (compare(ball(1.1), ball(), "none", 500, seed=1) for _ in range(2))
    np.testing.assert_array_equal(first.to_truth, again.to_truth)
    assert (first.chamfer, first.normal_consistency) == (again.chamfer, again.normal_consistency)


def box(size=(2.0, 1.0, 0.5), yaw_deg: float = 0.0) -> TriangleSurface:
    mesh = trimesh.creation.box(size)
    mesh.apply_transform(trimesh.transformations.rotation_matrix(np.radians(yaw_deg), [0, 1, 0]))
    return TriangleSurface(np.asarray(mesh.vertices), np.asarray(mesh.faces))


def test_icp_takes_a_small_turn_a_scale_and_a_shift_away():
    moved = TriangleSurface(box(yaw_deg=8).vertices * 1.1 + 0.2, box().faces)
    assert compare(moved, box(), "icp", COUNT).chamfer < 1.2 * compare(box(), box(), "none", COUNT).chamfer
    assert (
        compare(moved, box(), "scale+translation", COUNT).chamfer > 1.5 * compare(box(), box(), "none", COUNT).chamfer
    )


def test_icp_never_mirrors():
    truth = sample_surface(box(), COUNT, np.random.default_rng(0))[0]
    rotation = align(truth * [-1, 1, 1], truth, "icp").rotation
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1)


def test_samples_turn_with_their_normals():
    samples = ordered_samples(box(yaw_deg=10), COUNT, 0)
    moved = align(samples.points, ordered_samples(box(), COUNT, 1).points, "icp").samples(samples)
    across = np.abs(moved.normals).max(1)  # a box along the axes
    assert np.median(across) > 0.999


def test_flipped_normals_change_the_sign_of_the_signed_consistency():
    samples = ordered_samples(ball(), COUNT, 0)
    found = nearest(SurfaceSamples(samples.points, -samples.normals), ordered_samples(ball(), COUNT, 1))
    assert found.cosine.mean() < -0.99
    assert found.cosine_back.mean() < -0.99


def test_the_f_score_is_the_share_within_reach_both_ways():
    near, truth = ordered_samples(ball(1.1), COUNT, 0), ordered_samples(ball(), COUNT, 1)
    found = nearest(near, truth)
    assert f_score(found, 0.05) == 0
    assert f_score(found, 0.3) == 1
    whole = ball()
    half = TriangleSurface(whole.vertices, whole.faces[(whole.vertices[whole.faces][:, :, 0] > 0).all(1)])
    # All of the prediction is near the truth, half of the truth is near the prediction: 2 * 1 * 0.5 / 1.5.
    assert f_score(nearest(ordered_samples(half, COUNT, 0), truth), 0.1) == pytest.approx(2 / 3, abs=0.06)


def test_ordered_samples_are_the_same_points_in_another_order():
    ordered = ordered_samples(ball(), 500, 3)
    plain = sample_surface(ball(), 500, np.random.default_rng(3))[0]
    np.testing.assert_allclose(np.sort(ordered.points, axis=0), np.sort(plain, axis=0))
    step = lambda points: np.linalg.norm(np.diff(points, axis=0), axis=1).mean()  # noqa: E731
    assert step(ordered.points) < 0.4 * step(plain)


def test_an_unknown_alignment_is_refused():
    with pytest.raises(ValueError, match="unknown alignment 'rigid'"):
        align(np.zeros((3, 3)), np.zeros((3, 3)), "rigid")
