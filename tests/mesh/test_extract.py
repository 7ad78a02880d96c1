from collections.abc import Callable

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float
from torch import Tensor

from humanlrm.mesh.extract import extract_surface, extract_surface_dense


def sphere(points: Float[Tensor, "P 3"], radius: float = 0.6) -> Float[Tensor, "P"]:
    return points.norm(dim=-1) - radius


def torus(points: Float[Tensor, "P 3"]) -> Float[Tensor, "P"]:
    ring = points[:, [0, 2]].norm(dim=-1) - 0.5
    return torch.stack([ring, points[:, 1]], dim=-1).norm(dim=-1) - 0.2


def thin_capsule(points: Float[Tensor, "P 3"]) -> Float[Tensor, "P"]:
    start, axis = torch.tensor([-0.6, -0.7, -0.3]), torch.tensor([1.1, 1.3, 0.7])
    along = ((points - start) @ axis / axis.dot(axis)).clamp(0, 1)
    return (points - start - along[:, None] * axis).norm(dim=-1) - 0.02


def stretched_sphere(points: Float[Tensor, "P 3"]) -> Float[Tensor, "P"]:
    """Not a distance: wrong by a factor between 0.55 and 1.45, as a learned field may be."""
    return sphere(points) * (1 + 0.45 * torch.sin(9 * points[:, 0]))


def two_sheets(points: Float[Tensor, "P 3"]) -> Float[Tensor, "P"]:
    return torch.maximum(points[:, 2].abs() - 0.012, points[:, :2].abs().amax(dim=-1) - 0.5)


def as_trimesh(surface) -> trimesh.Trimesh:
    return trimesh.Trimesh(surface.vertices, surface.faces, process=True)


def test_extracted_sphere_has_analytic_radius():
    surface = extract_surface(sphere, resolution=128, coarse=32)
    np.testing.assert_allclose(np.linalg.norm(surface.vertices, axis=-1), 0.6, atol=1e-3)
    assert surface.volume == pytest.approx(4 / 3 * np.pi * 0.6**3, rel=2e-3)


@pytest.mark.parametrize("field", [sphere, torus, thin_capsule, stretched_sphere, two_sheets])
def test_coarse_to_fine_equals_dense(field: Callable):
    fast = extract_surface(field, resolution=64, coarse=16)
    plain = extract_surface_dense(field, resolution=64)
    np.testing.assert_allclose(fast.vertices, plain.vertices, atol=1e-6)
    np.testing.assert_array_equal(fast.faces, plain.faces)


def test_coarse_to_fine_asks_for_a_small_part_of_the_lattice():
    asked = []
    extract_surface(lambda p: asked.append(len(p)) or sphere(p, 0.3), resolution=128, coarse=32)
    assert sum(asked) < 0.15 * 129**3
    assert max(asked) <= 65536


@pytest.mark.parametrize("field", [torus, thin_capsule, two_sheets])
def test_extracted_surfaces_are_closed_and_outward(field: Callable):
    mesh = as_trimesh(extract_surface(field, resolution=128, coarse=32))
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume > 0


@settings(max_examples=15, deadline=None)
@given(st.tuples(*[st.floats(-0.9, 0.9)] * 3), st.floats(0.2, 0.8))
def test_a_body_that_touches_the_border_is_capped(center: tuple[float, float, float], radius: float):
    def field(points):
        return sphere(points - torch.tensor(center), radius)

    surface = extract_surface(field, resolution=32, coarse=16)
    assert as_trimesh(surface).is_watertight
    assert np.abs(surface.vertices).max() <= 1
    assert surface.volume > 0


def test_zeros_exactly_on_the_lattice_do_not_pinch_the_surface():
    mesh = as_trimesh(extract_surface(lambda p: p.abs().amax(dim=-1) - 0.5, resolution=64, coarse=16))
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(1.0, rel=0.02)


@pytest.mark.parametrize("constant", [1.0, -1.0])
def test_a_field_without_surface_is_an_error(constant: float):
    with pytest.raises(ValueError, match="no surface"):
        extract_surface(lambda p: torch.full((len(p),), constant), resolution=32, coarse=16)
    with pytest.raises(ValueError, match="no surface"):
        extract_surface_dense(lambda p: torch.full((len(p),), constant), resolution=16)


def test_a_field_with_nan_is_an_error():
    with pytest.raises(ValueError, match="not finite"):
        extract_surface(lambda p: sphere(p) * float("nan"), resolution=32, coarse=16)


@pytest.mark.parametrize(("resolution", "coarse"), [(100, 64), (32, 64), (96, 0)])
def test_resolutions_that_do_not_nest_are_refused(resolution: int, coarse: int):
    with pytest.raises(ValueError, match="coarse"):
        extract_surface(sphere, resolution=resolution, coarse=coarse)
