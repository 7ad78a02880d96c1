"""Landmarks of random people in random poses: fast, because nothing is skinned or rendered.

The pose prior learns bodies from them, and the detector's errors from photographs.
"""

import numpy as np
from jaxtyping import Float

from humanlrm.body.landmarks import LANDMARKS
from humanlrm.people.avatars.build import random_build
from humanlrm.people.avatars.person import CHILD_SHARE, AvatarLibrary, skeleton
from humanlrm.people.poses.balance import balanced, random_pose
from humanlrm.people.poses.pack import world_rotations

#: Number of avatars whose skeletons are used in turn: they differ less than the random builds.
_SKELETONS = 8


def figures(library: AvatarLibrary, count: int, seed: int) -> Float[np.ndarray, "count 19 3"]:
    """Landmarks of ``count`` random people in random poses; metres up to a common scale, +Y up, facing +Z."""
    rng = np.random.default_rng([seed, 0xF1])
    avatars = [library.avatar(name) for name in library.ids[:: max(1, len(library.ids) // _SKELETONS)][:_SKELETONS]]
    out = np.empty((count, len(LANDMARKS), 3), np.float32)
    for k in range(count):
        _, quats = random_pose(library.poses, library.split, rng)
        build = random_build(rng, child=bool(rng.random() < CHILD_SHARE))
        body = skeleton(avatars[k % len(avatars)], build, rng.uniform(4, 38, 2))
        out[k] = body(world_rotations(balanced(quats, body)))
    return out
