"""Where what of a person is, told from the landmarks: head, hair, limbs, what clothes cover together; the stature."""

import numpy as np
import torch
from jaxtyping import Bool, Float

from humanlrm.body.anatomy import Anatomy, Hair, Parts, PartsOf
from humanlrm.body.landmarks import BONES, INDEX, LANDMARKS, LIMBS
from humanlrm.body.mirror import Mirror
from humanlrm.body.skeleton import Bones
from humanlrm.texture.project import Share

#: Standing height over the sum of shank, thigh, trunk (hip to neck) and neck-to-head: its median over people of all
#: kinds is printed by ``python -m benchmarks.stature --assets DIR``.
STATURE = 1.094
#: A head begins between these heights above the neck, and ends between these distances from its axis (box units).
_HEAD_FROM, _HEAD_TO = (0.02, 0.08), (0.17, 0.25)
#: How far from the middle of the skull something above it belongs to the head, in lengths of the neck (our choice).
_ABOVE = 1.3
#: Between these heights above the middle of the skull hair begins at the nape, and between these places behind it
#: behind the ears, in lengths of the neck (our choice).
_NAPE, _EARS = (-0.6, -0.4), (0.0, 0.2)
#: How far from the tip of the nose a face's skin is, in lengths of the neck (our choice).
_FACE = 0.35
#: Limbs by the landmark to which a bone leads (all others are the trunk), and what covers each.
_LIMBS = {"elbow": "arm", "wrist": "arm", "hand": "hand", "knee": "leg", "ankle": "leg", "toe": "foot", "head": "head"}
_CLOTHES = {"trunk": 0, "arm": 0, "leg": 1, "head": 2, "hand": 3, "foot": 4}
_OTHER = {"left": "right", "right": "left"}
#: Where a jacket ends: its height over the hips, in the length of the trunk (our choice).
_HEM = 0.03
#: Segments of both legs, side by side.
_SEGMENTS = [(f"{s}_{a}", f"{s}_{b}") for s in ("left", "right") for a, b in (("ankle", "knee"), ("knee", "hip"))]


def anatomy_of(landmarks: Float[np.ndarray, "J 3"]) -> Anatomy:
    """Where what of a person is, by the landmarks (box units)."""
    return Anatomy(
        head_share(landmarks), parts_of(landmarks), mirror_of(landmarks), hair_of(landmarks), face_of(landmarks)
    )


def head_share(landmarks: Float[np.ndarray, "J 3"]) -> Share:
    """Where the head is. The field reads pixels, and would paint a face on the back of it."""
    neck, head = landmarks[INDEX["neck"]], landmarks[INDEX["head"]]
    up = (head - neck) / max(float(np.linalg.norm(head - neck)), 1e-6)

    def share(points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P"]:
        height = (points - neck) @ up
        beside = np.linalg.norm(points - neck - height[:, None] * up, axis=1)
        return (_ramp(height, *_HEAD_FROM) * (1 - _ramp(beside, *_HEAD_TO))).astype(np.float32)

    return share


def _ramp(x: Float[np.ndarray, "P"], start: float, end: float) -> Float[np.ndarray, "P"]:
    """0 up to ``start``, 1 from ``end`` on."""
    return np.clip((x - start) / (end - start), 0, 1)


def mirror_of(landmarks: Float[np.ndarray, "J 3"]) -> Mirror:
    """The plane between the halves of the head."""
    neck, head, nose = (landmarks[INDEX[name]] for name in ("neck", "head", "nose"))
    up, across = head - neck, np.cross(head - neck, nose - head)
    up, across = (v / max(float(np.linalg.norm(v)), 1e-6) for v in (up, across))
    return Mirror(head, across, up, head_share(landmarks))


def hair_of(landmarks: Float[np.ndarray, "J 3"]) -> Hair:
    """Hair is on the crown and on the back of a head, behind the ears and above the nape, in lengths of the neck."""
    neck, head, nose = (landmarks[INDEX[name]] for name in ("neck", "head", "nose"))
    length, on_head = max(float(np.linalg.norm(head - neck)), 1e-6), head_share(landmarks)
    up = (head - neck) / length
    forward = nose - head - ((nose - head) @ up) * up
    forward = forward / max(float(np.linalg.norm(forward)), 1e-6)

    def height(points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P"]:
        return np.where(on_head(points) > 0.5, (points - head) @ up / length, -np.inf)

    def back(points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P"]:
        high, behind = (points - head) @ up / length, (head - points) @ forward / length
        return (on_head(points) * _ramp(high, *_NAPE) * _ramp(behind, *_EARS)).astype(np.float32)

    return Hair(height, back)


def face_of(landmarks: Float[np.ndarray, "J 3"]) -> Share:
    """Cheeks, nose and upper lip: what is near the tip of the nose."""
    nose = landmarks[INDEX["nose"]]
    reach = _FACE * float(np.linalg.norm(landmarks[INDEX["head"]] - landmarks[INDEX["neck"]]))

    def share(points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P"]:
        return (np.linalg.norm(points - nose, axis=1) < reach).astype(np.float32)

    return share


def parts_of(landmarks: Float[np.ndarray, "J 3"]) -> PartsOf:
    """The person's limbs, and what clothes mostly cover together: trunk and arms, hips and legs, head, hands, feet."""
    marks, bones = torch.from_numpy(landmarks.astype(np.float32))[None], Bones()
    ends = [LANDMARKS[end].rpartition("_") for _, end in BONES]
    named = [(side, _LIMBS[name]) if name in _LIMBS else ("", "trunk") for side, _, name in ends]
    limbs_named, limb_of = np.unique(named, axis=0, return_inverse=True)
    limb_of, names = limb_of.reshape(-1), [tuple(name) for name in limbs_named.tolist()]
    twin = np.array([names.index((_OTHER.get(side, side), kind)) for side, kind in names])
    bare = np.array([kind == "hand" for _, kind in names])
    trunk = names.index(("", "trunk"))
    covered = np.array([_CLOTHES[kind] for _, kind in named])
    hips = (landmarks[INDEX["left_hip"]] + landmarks[INDEX["right_hip"]]) / 2
    up = landmarks[INDEX["neck"]] - hips
    length = max(float(np.linalg.norm(up)), 1e-6)
    up = up / length
    lengths = np.linalg.norm(landmarks[BONES[:, 1]] - landmarks[BONES[:, 0]], axis=-1)
    # Arms are as long as each other, whatever is estimated, and so are legs.
    lengths[: len(LIMBS)] = np.tile(lengths[: len(LIMBS)].reshape(2, -1).mean(axis=0), 2)
    begin = _begin_of_bones(lengths)

    def parts(points: Float[np.ndarray, "P 3"]) -> Parts:
        distances, along = (found[0].numpy() for found in bones.distances(torch.from_numpy(points)[None], marks))
        bone = distances.argmin(-1)
        along, above = along[np.arange(len(points)), bone], (points - hips) @ up
        of_trunk = limb_of[bone] == trunk
        limbs = np.stack([distances[:, limb_of == limb].min(axis=1) for limb in range(limb_of.max() + 1)], axis=1)
        clothes = np.where(of_trunk & (above < _HEM * length), _CLOTHES["leg"], covered[bone])
        return Parts(limbs, clothes, np.where(of_trunk, above, begin[bone] + along * lengths[bone]), twin, bare)

    return parts


def _begin_of_bones(lengths: Float[np.ndarray, "E"]) -> Float[np.ndarray, "E"]:
    """How far from the beginning of an arm or a leg its bones begin."""
    begin = np.zeros(len(BONES))
    for bone, (_, outer) in enumerate(LIMBS):
        begin[BONES[:, 0] == outer] = begin[bone] + lengths[bone]
    return begin


def stature(landmarks: Float[np.ndarray, "J 3"]) -> float:
    """Standing height in box units from the lengths of the body's segments, whatever the pose (our choice).

    Of a shank and a thigh the longer side counts: what points along the rays is estimated too short.
    """
    first, second = (np.stack([landmarks[INDEX[name]] for name in names]) for names in zip(*_SEGMENTS, strict=True))
    left, right = np.linalg.norm(first - second, axis=1).reshape(2, -1)
    hips = (landmarks[INDEX["left_hip"]] + landmarks[INDEX["right_hip"]]) / 2
    neck, head = landmarks[INDEX["neck"]], landmarks[INDEX["head"]]
    upper = np.linalg.norm(neck - hips) + np.linalg.norm(head - neck)
    return STATURE * float(np.maximum(left, right).sum() + upper)


def crown(points: Float[np.ndarray, "P 3"], landmarks: Float[np.ndarray, "J 3"]) -> Bool[np.ndarray, "P"]:
    """Which points are on the upper half of the head, or not far above it."""
    up = landmarks[INDEX["head"]] - landmarks[INDEX["neck"]]
    from_head = points - landmarks[INDEX["head"]]
    return (from_head @ up > 0) & (np.linalg.norm(from_head, axis=1) < _ABOVE * np.linalg.norm(up))
