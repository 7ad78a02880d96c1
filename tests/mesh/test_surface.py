"""Normals of a mesh."""

import numpy as np
import trimesh

from humanlrm.mesh.surface import TriangleSurface, unit_face_normals, vertex_normals


def test_vertex_normals_of_a_sphere_are_radial():
    ball = trimesh.creation.icosphere(3)
    normals = vertex_normals(TriangleSurface(np.asarray(ball.vertices), np.asarray(ball.faces)))
    np.testing.assert_allclose(normals, ball.vertices, atol=0.02)


def test_large_faces_count_most_in_a_vertex_normal():
    vertices = np.array([[0, 0, 0], [9.0, 0, 0], [0, 9, 0], [0, 0, 1]])
    normals = vertex_normals(TriangleSurface(vertices, np.array([[0, 1, 2], [0, 2, 3]])))
    np.testing.assert_allclose(normals[0], np.array([1.0, 0, 9]) / np.sqrt(82), atol=1e-6)


def test_a_face_without_area_has_no_normal():
    vertices = np.array([[0, 0, 0], [2.0, 0, 0], [0, 3, 0], [4, 0, 0]])
    normals = unit_face_normals(TriangleSurface(vertices, np.array([[0, 1, 2], [0, 1, 3]])))
    np.testing.assert_array_equal(normals, [[0, 0, 1], [0, 0, 0]])
