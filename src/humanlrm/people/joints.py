"""One meaning of the landmarks for people of all kinds: the joints of MakeHuman's skeleton.

Other skeletons have their joints elsewhere, by up to five centimetres, and a network that is taught two meanings has to
guess which one a photograph wants.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from humanlrm.body.landmarks import LANDMARKS

SIDES = (("left", "L"), ("right", "R"))
#: Bones that begin at landmarks of a side.
REST_JOINTS = {"shoulder": "upperarm01", "elbow": "lowerarm01", "wrist": "wrist",
               "hip": "upperleg01", "knee": "lowerleg01", "ankle": "foot"}  # fmt: skip
_BONES = REST_JOINTS | {"hand": "finger2-1", "toe": "toe1-2"}


def landmarks_of(
    begin: Callable[[str], Float[np.ndarray, "3"]], nose: Float[np.ndarray, "3"], crown: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "19 3"]:
    """The landmarks of a posed body.

    Args:
        begin: where a bone begins, by its name in anny's rig.
        nose: the tip of the nose; crown: the top of the head.
    """
    points = {"neck": begin("neck01"), "nose": nose, "head": (begin("head") + crown) / 2}
    for side, end in SIDES:
        for name, bone in _BONES.items():
            points[f"{side}_{name}"] = begin(f"{bone}.{end}")
    return np.stack([points[name] for name in LANDMARKS]).astype(np.float32)


def face_and_crown(vertices: Float[np.ndarray, "V 3"], eye: Float[np.ndarray, "3"]) -> tuple[int, int]:
    """Numbers of the vertices at the tip of the nose and at the top of the head of a body at rest, an eye of which is
    at ``eye``."""
    x, y, z = vertices.T
    face = np.flatnonzero((np.abs(x) < 0.01) & (y < eye[1]) & (y > eye[1] - 0.06))
    return int(face[z[face].argmax()]), int(y.argmax())
