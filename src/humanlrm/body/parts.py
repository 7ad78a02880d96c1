"""Parts of a body from the landmarks: head, hands, and the pieces of clothes that cover the others."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int

from humanlrm.body.landmarks import BONES, INDEX, LANDMARKS
from humanlrm.body.skeleton import SkeletonCapsules

#: Points (box units) to their membership in a part, from 0 to 1.
Membership = Callable[[Float[np.ndarray, "P 3"]], Float[np.ndarray, "P"]]

#: Points (box units) to the number of the piece of clothes that usually covers them (``CLOTHES``).
Segmenter = Callable[[Float[np.ndarray, "P 3"]], Int[np.ndarray, "P"]]

#: Numbers of the pieces: a jacket, trousers, and what is bare or wears shoes.
CLOTHES = {"jacket": 0, "trousers": 1, "head": 2, "hand": 3, "foot": 4}
#: Pieces by the landmark at which a bone ends; all others are the trunk.
_PIECE_OF_END = {"hand": "hand", "knee": "trousers", "ankle": "trousers", "toe": "foot", "head": "head"}
#: Height of a jacket's hem over the hips, in lengths of the trunk.
_HEM = 0.03
#: Heights above the neck between which the head begins, and distances from its axis between which it ends (box units).
_HEAD_FROM, _HEAD_TO = (0.02, 0.08), (0.17, 0.25)


def head_membership(landmarks: Float[np.ndarray, "J 3"]) -> Membership:
    """Membership in the head."""
    neck, head = landmarks[INDEX["neck"]], landmarks[INDEX["head"]]
    up = (head - neck) / max(float(np.linalg.norm(head - neck)), 1e-6)

    def membership(points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P"]:
        height = (points - neck) @ up
        radius = np.linalg.norm(points - neck - height[:, None] * up, axis=1)
        return (_ramp(height, *_HEAD_FROM) * (1 - _ramp(radius, *_HEAD_TO))).astype(np.float32)

    return membership


def detail_membership(landmarks: Float[np.ndarray, "J 3"]) -> Membership:
    """Membership in head and hands, at which people look first."""
    head, segment = head_membership(landmarks), part_segmenter(landmarks)
    return lambda points: np.maximum(head(points), (segment(points) == CLOTHES["hand"]).astype(np.float32))


def part_segmenter(landmarks: Float[np.ndarray, "J 3"]) -> Segmenter:
    """Clothes that usually cover places together: trunk and arms, hips and legs; head, hands, feet."""
    marks, capsules = torch.from_numpy(landmarks.astype(np.float32))[None], SkeletonCapsules()
    ends = [LANDMARKS[end].rpartition("_")[2] for _, end in BONES]
    piece = np.array([CLOTHES[_PIECE_OF_END.get(end, "jacket")] for end in ends])
    on_arm = np.array([end in ("elbow", "wrist") for end in ends])
    hips = (landmarks[INDEX["left_hip"]] + landmarks[INDEX["right_hip"]]) / 2
    up = landmarks[INDEX["neck"]] - hips
    length = max(float(np.linalg.norm(up)), 1e-6)

    def segment(points: Float[np.ndarray, "P 3"]) -> Int[np.ndarray, "P"]:
        bone = capsules.distances(torch.from_numpy(points)[None], marks)[0][0].numpy().argmin(-1)
        below = (points - hips) @ (up / length) < _HEM * length
        return np.where((piece[bone] == CLOTHES["jacket"]) & ~on_arm[bone] & below, CLOTHES["trousers"], piece[bone])

    return segment


def _ramp(x: Float[np.ndarray, "P"], start: float, end: float) -> Float[np.ndarray, "P"]:
    """0 up to ``start``, 1 from ``end`` on, linear between them."""
    return np.clip((x - start) / (end - start), 0, 1)
