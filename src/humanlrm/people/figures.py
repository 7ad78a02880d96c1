"""Landmarks of imagined people: many poses and builds in no time, because nothing is skinned or rendered.

They teach the landmark lifter what bodies can do; photographs teach it what the detector does.
"""

import numpy as np
from jaxtyping import Float

from humanlrm.landmarks import LANDMARKS
from humanlrm.people.avatar_shape import (
    Build,
    build_matrices,
    joint_transforms,
    random_build,
    rig_rotations,
    skinned,
)
from humanlrm.people.avatars import CHILD_SHARE, Avatar, AvatarLibrary, landmarks_of_rig
from humanlrm.people.posepack import world_rotations
from humanlrm.people.stance import random_pose

#: Rigs that are taken in turn: the avatars' skeletons differ less than the random builds.
_RIGS = 8


def figures(library: AvatarLibrary, count: int, seed: int) -> Float[np.ndarray, "count 19 3"]:
    """Landmarks of ``count`` random people in random poses; metres up to a common scale, +Y up, facing +Z."""
    rng = np.random.default_rng([seed, 0xF1])
    avatars = [library.avatar(name) for name in library.ids[:: max(1, len(library.ids) // _RIGS)][:_RIGS]]
    out = np.empty((count, len(LANDMARKS), 3), np.float32)
    for k in range(count):
        _, quats = random_pose(library.poses, library.split, rng)
        build = random_build(rng, child=bool(rng.random() < CHILD_SHARE))
        out[k] = figure(avatars[k % len(avatars)], world_rotations(quats), build, rng.uniform(4, 38, 2))
    return out


def figure(
    avatar: Avatar, world: Float[np.ndarray, "22 3 3"], build: Build, finger_bend_deg: Float[np.ndarray, "2"]
) -> Float[np.ndarray, "19 3"]:
    """Landmarks as ``avatars.posed`` gives them, up to scale and place."""
    rig, nose = avatar.rig, slice(avatar.nose, avatar.nose + 1)
    transforms = joint_transforms(rig, rig_rotations(rig, world, finger_bend_deg), build_matrices(rig, build))
    tip = skinned(avatar.vertices[nose], (avatar.joints[nose], avatar.shares[nose]), rig, transforms)
    return landmarks_of_rig(avatar, transforms, tip[0])
