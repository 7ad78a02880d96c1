"""Textures of simplified meshes, and detailed faces of the atlas."""

import numpy as np
import pytest
import trimesh
from analytic_bodies import ball
from jointed_bodies import textured

from humanlrm.mesh.export.tangents import vertex_tangents
from humanlrm.mesh.lowpoly import bake_lowpoly
from humanlrm.mesh.pack import _GUTTER_PX
from humanlrm.mesh.preview import texture_at
from humanlrm.mesh.surface import TriangleSurface
from humanlrm.mesh.texels import rasterize
from humanlrm.mesh.unwrap import DETAIL, Unwrapped, unwrap


@pytest.fixture(scope="module")
def rough():
    """A ball with waves that a coarse mesh cannot hold."""
    sphere = trimesh.creation.icosphere(5, 0.6)
    direction = sphere.vertices / 0.6
    waves = 1 + 0.02 * np.sin(18 * direction[:, 1])
    vertices = (sphere.vertices * waves[:, None]).astype(np.float32)
    return textured(TriangleSurface(vertices, sphere.faces.astype(np.int32)))


def test_baked_normals_show_what_the_triangles_lost(rough):
    baked = bake_lowpoly(rough, 700, 256)
    assert len(baked.mesh.faces) < 800
    mesh = baked.mesh
    texels = rasterize(Unwrapped(mesh.welded, mesh.faces, mesh.uv), 256)
    surface = TriangleSurface(mesh.vertices, mesh.faces)
    points, normals = texels.interpolate(surface, mesh.vertices), unit(texels.interpolate(surface, mesh.normals))
    tangents = texels.interpolate(surface, vertex_tangents(mesh))
    tangent = unit(tangents[:, :3])
    local = baked.normal_map[texels.row, texels.column].astype(float) / 127.5 - 1
    bitangent = np.cross(normals, tangent) * np.sign(tangents[:, 3:])
    shown = unit(local[:, :1] * tangent + local[:, 1:2] * bitangent + local[:, 2:] * normals)
    nearest = np.argmin(np.linalg.norm(points[::50, None] - rough.vertices[None], axis=-1), axis=1)
    truth = rough.normals[nearest]
    with_map, without = ((n[::50] * truth).sum(1) for n in (shown, normals))
    angles = [float(np.rad2deg(np.arccos(np.clip(cosine, -1, 1))).mean()) for cosine in (with_map, without)]
    assert angles[0] < 0.5 * angles[1]


def test_baked_colors_are_those_of_the_same_place(rough):
    mesh = bake_lowpoly(rough, 700, 256).mesh
    shown = texture_at(mesh, mesh.uv)
    nearest = np.argmin(np.linalg.norm(mesh.vertices[:, None] - rough.vertices[None], axis=-1), axis=1)
    front = np.abs(mesh.vertices[:, 2]) > 0.15
    assert np.abs(shown - texture_at(rough, rough.uv[nearest]))[front].mean() < 0.02


def test_detailed_faces_get_their_share_of_texels():
    surface = ball()
    centers = surface.vertices[surface.faces].mean(axis=1)
    detailed = centers[:, 1] > 0.3
    cut = unwrap(surface, 512, detailed)
    a, b = (cut.uv[cut.faces][:, k] - cut.uv[cut.faces][:, 0] for k in (1, 2))
    texels = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
    places = surface.vertices[surface.faces]
    flat = np.abs(np.cross(places[:, 1] - places[:, 0], places[:, 2] - places[:, 0])).max(axis=1)
    density = np.sqrt(texels / flat)
    assert np.median(density[detailed]) / np.median(density[~detailed]) == pytest.approx(DETAIL, rel=0.02)
    # No chart holds both: no vertex of the cut mesh is of a detailed face and of another.
    assert not set(cut.faces[detailed].ravel()) & set(cut.faces[~detailed].ravel())


def test_charts_lie_apart_by_two_gutters():
    surface = ball()
    cut = unwrap(surface, 256)
    texels = rasterize(cut, 256)
    flat = trimesh.Trimesh(np.pad(cut.uv, ((0, 0), (0, 1))), cut.faces, process=False)
    links = trimesh.graph.connected_component_labels(flat.face_adjacency, len(cut.faces))
    image = np.full((256, 256), -1)
    image[texels.row, texels.column] = links[texels.face]
    assert links.max() > 3
    for shift in range(1, 2 * _GUTTER_PX - 1):
        for axis in (0, 1):
            moved = np.roll(image, shift, axis=axis)
            assert not ((image >= 0) & (moved >= 0) & (image != moved)).any()


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
