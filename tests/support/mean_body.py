"""A mean body for tests of poses: landmarks from joint rotations, without a mesh."""

import numpy as np
from jaxtyping import Float

from humanlrm.body.landmarks import LANDMARKS
from humanlrm.people.poses.pack import POSE_INDEX, POSE_JOINTS, POSE_PARENTS

#: Offsets from the parent joint in the T-pose, in body heights (after Drillis and Contini 1966, rounded).
_OFFSETS = {"spine1": (0, 0.06, 0), "spine2": (0, 0.07, 0), "spine3": (0, 0.05, 0), "neck": (0, 0.12, 0),
            "head": (0, 0.05, 0), "clavicle": (0.02, 0.09, 0), "shoulder": (0.085, 0.01, 0), "elbow": (0.165, 0, 0),
            "wrist": (0.15, 0, 0), "hip": (0.055, -0.02, 0), "knee": (0, -0.245, 0), "ankle": (0, -0.235, 0),
            "toe": (0, -0.035, 0.075)}  # fmt: skip


def mean_skeleton(world: Float[np.ndarray, "22 3 3"]) -> Float[np.ndarray, "19 3"]:
    """Landmarks of a mean body of height 1."""
    joints = np.zeros((len(POSE_JOINTS), 3))
    for joint, (name, parent) in enumerate(zip(POSE_JOINTS, POSE_PARENTS, strict=True)):
        if parent >= 0:
            offset = np.array(_OFFSETS[name.split("_")[-1]], dtype=float)
            offset[0] *= -1 if name.startswith("right") else 1
            joints[joint] = joints[parent] + world[parent] @ offset
    instead = {"left_hand": "left_wrist", "right_hand": "right_wrist", "nose": "head"}
    return joints[[POSE_INDEX[instead.get(name, name)] for name in LANDMARKS]]
