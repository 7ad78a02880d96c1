"""Light that is taken out of a texture."""

from dataclasses import replace

import numpy as np
import pytest
from jointed_bodies import arms_out, capsule_body

from humanlrm.mesh.surface import TexturedMesh, TriangleSurface
from humanlrm.mesh.texels import paint, rasterize
from humanlrm.mesh.unwrap import Unwrapped
from humanlrm.texture.albedo import remove_light, to_linear, to_srgb

_CLOTH = np.array([0.5, 0.3, 0.2])


def lit(mesh: TexturedMesh, toward: np.ndarray) -> TexturedMesh:
    """The mesh in one colour, under light from one side."""
    texels = rasterize(Unwrapped(mesh.welded, mesh.faces, mesh.uv), len(mesh.texture))
    normals = texels.interpolate(TriangleSurface(mesh.vertices, mesh.faces), mesh.normals)
    shade = np.exp(normals @ toward)[:, None]
    return replace(
        mesh, texture=paint(texels, to_srgb((to_linear(_CLOTH) * shade).astype(np.float32)), len(mesh.texture))
    )


def test_one_cloth_has_one_color_without_the_light(standing):
    marks = arms_out(standing)
    mesh = lit(capsule_body(marks), np.array([0.4, 0.3, 0.2]))
    flat = remove_light(mesh, marks)
    before, after = (m.texture[8:-8, 8:-8].astype(float).std(axis=(0, 1)).mean() for m in (mesh, flat))
    assert before > 8
    assert after < 0.4 * before


def test_even_light_changes_nothing(standing):
    marks = arms_out(standing)
    mesh = lit(capsule_body(marks), np.zeros(3))
    assert np.abs(remove_light(mesh, marks).texture.astype(int) - mesh.texture).max() <= 2


def test_a_person_without_landmarks_keeps_the_light(standing):
    marks = arms_out(standing)
    with pytest.raises(ValueError, match="needs all landmarks"):
        remove_light(capsule_body(marks), np.full_like(marks, np.nan))


def test_srgb_and_linear_are_inverse():
    values = np.linspace(0, 1, 50, dtype=np.float32)
    np.testing.assert_allclose(to_srgb(to_linear(values)), values, atol=1e-5)
