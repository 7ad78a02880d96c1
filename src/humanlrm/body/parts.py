"""Where what of a person is, told from the landmarks: head, hair, limbs, what clothes cover together; the stature."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from humanlrm.body.landmarks import BONES, INDEX, LANDMARKS, LIMBS
from humanlrm.body.mirror import Membership, Mirror
from humanlrm.body.skeleton import SkeletonCapsules

#: A head begins between these heights above the neck, and ends between these distances from its axis (box units).
_HEAD_FROM, _HEAD_TO = (0.02, 0.08), (0.17, 0.25)
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


@dataclass(frozen=True)
class BodyParts:
    """Of what parts of a person points are.

    Attributes:
        limbs: how far they are from the bones of each limb, box units: of the trunk, of an arm...
        clothes: what covers them: a jacket, trousers...
        height: how far along their limb they are, box units; of twins the same numbers mean the same place.
        twin: of each limb the one on the other side of the body; of what has none itself.
        bare: which limbs are mostly bare: hands.
    """

    limbs: Float[np.ndarray, "P L"]
    clothes: Int[np.ndarray, "P"]
    height: Float[np.ndarray, "P"]
    twin: Int[np.ndarray, "L"]
    bare: Bool[np.ndarray, "L"]

    @property
    def limb(self) -> Int[np.ndarray, "P"]:
        """The one to which they belong."""
        return self.limbs.argmin(axis=1)


#: Points (box units) to their parts.
PartSegmenter = Callable[[Float[np.ndarray, "P 3"]], BodyParts]


@dataclass(frozen=True)
class HairRegion:
    """Where the hair of a head is, which the photo shows from the front.

    Attributes:
        height: how high on the head points are, 0 at its middle; -inf elsewhere.
        back: how much they belong to the back of it, above the nape, 0 to 1.
    """

    height: Callable[[Float[np.ndarray, "P 3"]], Float[np.ndarray, "P"]]
    back: Membership


@dataclass(frozen=True)
class Anatomy:
    """Where what of a person is, as far as that is known: colours go by it.

    Attributes:
        calm: of places that turn their back on the photos, how much of their colour comes from around them instead of
            from the field: a head's.
        parts: where no photo shows the person, or only another limb in front, colours go on within what is covered by
            the same clothes: a jacket's down to the hips, and behind a hand that lies on it. What is not seen is nearer
            to the colours that are seen at the same height of a limb, or of its twin.
        mirror: what no photo shows, but whose mirror image one does, looks like that: the other half of a face.
        hair: the back of a head looks like its crown.
        face: where a face's skin is: what is bare, and never seen, is of its colour.
    """

    calm: Membership | None = None
    parts: PartSegmenter | None = None
    mirror: Mirror | None = None
    hair: HairRegion | None = None
    face: Membership | None = None


def anatomy_from_landmarks(landmarks: Float[np.ndarray, "J 3"]) -> Anatomy:
    """Where what of a person is, by the landmarks (box units)."""
    return Anatomy(
        head_membership(landmarks),
        part_segmenter(landmarks),
        head_mirror(landmarks),
        hair_region(landmarks),
        face_membership(landmarks),
    )


def head_membership(landmarks: Float[np.ndarray, "J 3"]) -> Membership:
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


def head_mirror(landmarks: Float[np.ndarray, "J 3"]) -> Mirror:
    """The plane between the halves of the head."""
    neck, head, nose = (landmarks[INDEX[name]] for name in ("neck", "head", "nose"))
    up, across = head - neck, np.cross(head - neck, nose - head)
    up, across = (v / max(float(np.linalg.norm(v)), 1e-6) for v in (up, across))
    return Mirror(head, across, up, head_membership(landmarks))


def hair_region(landmarks: Float[np.ndarray, "J 3"]) -> HairRegion:
    """Hair is on the crown and on the back of a head, behind the ears and above the nape, in lengths of the neck."""
    neck, head, nose = (landmarks[INDEX[name]] for name in ("neck", "head", "nose"))
    length, on_head = max(float(np.linalg.norm(head - neck)), 1e-6), head_membership(landmarks)
    up = (head - neck) / length
    forward = nose - head - ((nose - head) @ up) * up
    forward = forward / max(float(np.linalg.norm(forward)), 1e-6)

    def height(points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P"]:
        return np.where(on_head(points) > 0.5, (points - head) @ up / length, -np.inf)

    def back(points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P"]:
        high, behind = (points - head) @ up / length, (head - points) @ forward / length
        return (on_head(points) * _ramp(high, *_NAPE) * _ramp(behind, *_EARS)).astype(np.float32)

    return HairRegion(height, back)


def face_membership(landmarks: Float[np.ndarray, "J 3"]) -> Membership:
    """Cheeks, nose and upper lip: what is near the tip of the nose."""
    nose = landmarks[INDEX["nose"]]
    reach = _FACE * float(np.linalg.norm(landmarks[INDEX["head"]] - landmarks[INDEX["neck"]]))

    def share(points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P"]:
        return (np.linalg.norm(points - nose, axis=1) < reach).astype(np.float32)

    return share


def part_segmenter(landmarks: Float[np.ndarray, "J 3"]) -> PartSegmenter:
    """The person's limbs, and what clothes mostly cover together: trunk and arms, hips and legs, head, hands, feet."""
    marks, bones = torch.from_numpy(landmarks.astype(np.float32))[None], SkeletonCapsules()
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

    def parts(points: Float[np.ndarray, "P 3"]) -> BodyParts:
        distances, along = (found[0].numpy() for found in bones.distances(torch.from_numpy(points)[None], marks))
        bone = distances.argmin(-1)
        along, above = along[np.arange(len(points)), bone], (points - hips) @ up
        of_trunk = limb_of[bone] == trunk
        limbs = np.stack([distances[:, limb_of == limb].min(axis=1) for limb in range(limb_of.max() + 1)], axis=1)
        clothes = np.where(of_trunk & (above < _HEM * length), _CLOTHES["leg"], covered[bone])
        return BodyParts(limbs, clothes, np.where(of_trunk, above, begin[bone] + along * lengths[bone]), twin, bare)

    return parts


def _begin_of_bones(lengths: Float[np.ndarray, "E"]) -> Float[np.ndarray, "E"]:
    """How far from the beginning of an arm or a leg its bones begin."""
    begin = np.zeros(len(BONES))
    for bone, (_, outer) in enumerate(LIMBS):
        begin[BONES[:, 0] == outer] = begin[bone] + lengths[bone]
    return begin
