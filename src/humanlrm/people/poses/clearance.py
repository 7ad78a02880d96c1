"""Hands and forearms that a pose puts into the body are turned about the shoulder until they lie on it.

Poses are recorded on slim bodies; on a wide one hanging hands end in the thighs and crossed arms in the belly.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

#: How far the middle of a hand or forearm stays from the skin of trunk and legs: half its thickness and cloth.
CLEAR_M = 0.035
_CLEARING_ROUNDS, _MAX_DEG = 4, 14.0


@dataclass(frozen=True)
class Probes:
    """Some points of trunk and legs in a pose, the points of one arm that must stay outside, and its shoulder."""

    skin: Float[np.ndarray, "P 3"]
    normals: Float[np.ndarray, "P 3"]
    arms: dict[str, Float[np.ndarray, "A 3"]]
    shoulders: dict[str, Float[np.ndarray, "3"]]


def cleared(
    arms: dict[str, Float[np.ndarray, "3 3"]], probe: Callable[[dict[str, Float[np.ndarray, "3 3"]]], Probes]
) -> dict[str, Float[np.ndarray, "3 3"]]:
    """Rotations of the arms ("left", "right"; world axes, about the shoulders) that bring them out of the body.

    Args:
        arms: where to start, usually identities.
        probe: poses the body with such rotations.
    """
    arms = dict(arms)
    for _ in range(_CLEARING_ROUNDS):
        probes, moved = probe(arms), False
        tree = KDTree(probes.skin)
        for side, points in probes.arms.items():
            turn = _outward(points, probes.shoulders[side], probes, tree)
            if turn is not None:
                arms[side], moved = turn.as_matrix() @ arms[side], True
        if not moved:
            break
    return arms


def _outward(
    points: Float[np.ndarray, "A 3"], shoulder: Float[np.ndarray, "3"], probes: Probes, tree: KDTree
) -> Rotation | None:
    """The turn about the shoulder that brings the deepest point out along the normal there; None if all are out."""
    distance, nearest = tree.query(points)
    normals = probes.normals[nearest]
    above = ((points - probes.skin[nearest]) * normals).sum(1)
    depth = np.where(distance < 0.12, CLEAR_M - above, 0)
    worst = int(depth.argmax())
    if depth[worst] < 0.004:
        return None
    reach = points[worst] - shoulder
    axis = np.cross(reach, normals[worst])
    length = float(np.linalg.norm(axis))
    if length < 0.03:
        return None
    # The point moves by angle x length along the normal.
    angle = min(float(depth[worst]) / length, np.deg2rad(_MAX_DEG))
    return Rotation.from_rotvec(axis / length * angle)
