"""Laws of closing cuts."""

import numpy as np
import pytest
import trimesh

from humanlrm.rig.wounds import CutSurface, close_wounds


@pytest.mark.parametrize("one_side", [0, 1, 2, 3])
def test_a_wound_of_which_one_side_is_a_single_edge_is_closed(one_side):
    """Two faces are taken from a ball; of the four faces around the hole one lies on the other side."""
    ball = trimesh.creation.icosphere(2)
    taken = {0, int(ball.face_adjacency[(ball.face_adjacency == 0).any(1)][0].sum())}
    kept = np.array([face for face in range(len(ball.faces)) if face not in taken])
    faces = np.asarray(ball.faces)[kept]
    hole = {
        frozenset(edge) for face in taken for edge in np.stack([ball.faces[face], np.roll(ball.faces[face], -1)], 1)
    }
    ends = np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1)
    edges = [[frozenset(edge) for edge in face] for face in ends.tolist()]
    inner = {frozenset(e) for e in [set.intersection(*(set(ball.faces[face].tolist()) for face in taken))]}
    severed = np.array([[edge in hole - inner for edge in face] for face in edges])
    beside = np.flatnonzero(severed.any(1))
    assert len(beside) == 4
    inside = np.zeros(len(faces), bool)
    inside[beside[one_side]] = True
    closed, near = close_wounds(
        CutSurface(np.asarray(ball.vertices), faces, np.zeros((len(faces), 3, 2))), inside, severed
    )
    mesh = trimesh.Trimesh(closed.vertices, closed.faces, process=False)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert len(near) == len(closed.vertices) - len(ball.vertices)
