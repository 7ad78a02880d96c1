"""Motions of anybody, and their transfer to one person."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from humanlrm.rig.pose import local_rotations, place_joints, rotations_to
from humanlrm.rig.skeleton import JOINT, JOINTS
from humanlrm.rig.skin import RiggedPerson, skin

#: Vertices of the feet that are looked at for the floor.
_SOLE_VERTICES = 300


@dataclass(frozen=True)
class Motion:
    """World rotations of the joints over time, relative to the T-pose.

    Attributes:
        name: of the motion.
        times_s: of the frames, from 0.
        rotations: of each joint.
        hips: the hips' way, in lengths of a leg, relative to where they are in the T-pose on the floor; ``None``: the
            person stays in place and the lowest foot is on the floor.
    """

    name: str
    times_s: Float[np.ndarray, "T"]
    rotations: Float[np.ndarray, "T K 3 3"]
    hips: Float[np.ndarray, "T 3"] | None = None


@dataclass(frozen=True)
class Movement:
    """A motion of one person, relative to the rest pose.

    Attributes:
        name: of the motion.
        times_s: of the frames.
        rotations: world rotations of each joint.
        hips: places of the hips, box units.
    """

    name: str
    times_s: Float[np.ndarray, "T"]
    rotations: Float[np.ndarray, "T K 3 3"]
    hips: Float[np.ndarray, "T 3"]

    @property
    def quaternions(self) -> Float[np.ndarray, "T K 4"]:
        """Rotations relative to the parents as x, y, z, w; neighbours in time have the same sign."""
        local = local_rotations(self.rotations)
        values = Rotation.from_matrix(local.reshape(-1, 3, 3)).as_quat().reshape(*local.shape[:2], 4)
        turns = np.cumsum((values[1:] * values[:-1]).sum(-1) < 0, axis=0) % 2
        values[1:] *= np.where(turns, -1, 1)[..., None]
        return values


def transfer(person: RiggedPerson, motion: Motion) -> Movement:
    """The motion, made by this person: turned into the rest pose's terms, on the floor that the person stands on."""
    to_t = rotations_to(person.skeleton, "t")
    rotations = motion.rotations @ to_t
    if motion.hips is None:
        start = np.broadcast_to(person.skeleton.positions[JOINT["hips"]], (len(motion.times_s), 3)).copy()
        start[:, 1] -= _lowest(person, rotations, start) - person.mesh.vertices[:, 1].min()
        return Movement(motion.name, motion.times_s, rotations, start)
    rest = person.skeleton.positions[JOINT["hips"]].astype(np.float64).copy()
    standing = _lowest(person, to_t[None], rest[None])[0]
    rest[1] -= standing - person.mesh.vertices[:, 1].min()
    return Movement(motion.name, motion.times_s, rotations, rest + leg_length(person.skeleton.offsets) * motion.hips)


def leg_length(offsets: Float[np.ndarray, "K 3"]) -> float:
    """Length of a leg from the hip to the ankle, the mean of both."""
    pieces = [JOINT[f"{side}{name}"] for side in ("left", "right") for name in ("LowerLeg", "Foot")]
    return float(np.linalg.norm(offsets[pieces], axis=1).sum() / 2)


def _lowest(
    person: RiggedPerson, rotations: Float[np.ndarray, "T K 3 3"], hips: Float[np.ndarray, "T 3"]
) -> Float[np.ndarray, "T"]:
    """Height of the lowest vertex of the feet in each frame."""
    feet = [JOINT[name] for name in JOINTS if name.endswith(("Foot", "Toes"))]
    of_feet = np.flatnonzero((np.isin(person.weights.joints, feet) * person.weights.weights).sum(1) > 0.5)
    if not len(of_feet):
        of_feet = np.arange(len(person.mesh.vertices))
    chosen = of_feet[:: max(len(of_feet) // _SOLE_VERTICES, 1)]
    places = place_joints(person.skeleton, rotations, hips)
    shift = places - np.einsum("tkij,kj->tki", rotations, person.skeleton.positions)
    moves = np.concatenate([rotations, shift[..., None]], axis=-1)
    vertices, weights = person.mesh.vertices[chosen], person.weights[chosen]
    return np.array([skin(vertices, weights, frame)[:, 1].min() for frame in moves])


def load_motion(name: str) -> Motion:
    """A motion of our own by its name, or a BVH file.

    Raises:
        ValueError: no such motion, or a file that cannot be used.
    """
    from humanlrm.rig.bvh import read_bvh
    from humanlrm.rig.clips import CLIPS

    return CLIPS[name]() if name in CLIPS else read_bvh(Path(name)).motion
