"""Landmarks of imagined people: many poses and builds in no time, because nothing is skinned or rendered.

They teach the landmark lifter what bodies can do; photographs teach it what the detector does.
"""

import numpy as np
from jaxtyping import Float

from humanlrm.body.landmarks import LANDMARKS
from humanlrm.people.avatars.build import random_build
from humanlrm.people.avatars.person import CHILD_SHARE, AvatarLibrary, skeleton
from humanlrm.people.poses.balance import balanced, random_pose
from humanlrm.people.poses.pack import world_rotations

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
        body = skeleton(avatars[k % len(avatars)], build, rng.uniform(4, 38, 2))
        out[k] = body(world_rotations(balanced(quats, body)))
    return out
