"""Body parts from the landmarks: head, hair, face, limbs, and the pieces of clothes that cover them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from humanlrm.body.landmarks import BONES, INDEX, LANDMARKS, LIMBS
from humanlrm.body.mirror import Membership, Mirror
from humanlrm.body.skeleton import SkeletonCapsules

#: Heights above the neck between which the head begins, and distances from its axis between which it ends (box units).
_HEAD_FROM, _HEAD_TO = (0.02, 0.08), (0.17, 0.25)
#: Heights above the middle of the skull between which hair begins at the nape, and distances behind it between which
#: hair begins behind the ears, in lengths of the neck.
_NAPE, _EARS = (-0.6, -0.4), (0.0, 0.2)
#: Radius of a face's skin around the tip of the nose, in lengths of the neck.
_FACE_RADIUS = 0.35
#: Limbs by the landmark at which a bone ends (all others are the trunk), and the piece of clothes that covers each.
_LIMB_OF_END = {
    "elbow": "arm",
    "wrist": "arm",
    "hand": "hand",
    "knee": "leg",
    "ankle": "leg",
    "toe": "foot",
    "head": "head",
}
_CLOTHES = {"trunk": 0, "arm": 0, "leg": 1, "head": 2, "hand": 3, "foot": 4}
_OTHER_SIDE = {"left": "right", "right": "left"}
#: Height of a jacket's hem over the hips, in lengths of the trunk.
_HEM = 0.03


@dataclass(frozen=True)
class BodyParts:
    """Body parts of points.

    Attributes:
        limbs: distance from the bones of each limb (the trunk, an arm ...), box units.
        clothes: number of the piece of clothes that covers the point: a jacket, trousers ...
        height: distance along the limb, box units; equal numbers on twins mean the same place.
        twin: the limb on the other side of the body, for each limb; the limb itself if it has none.
        bare: limbs that are mostly bare: hands.
    """

    limbs: Float[np.ndarray, "P L"]
    clothes: Int[np.ndarray, "P"]
    height: Float[np.ndarray, "P"]
    twin: Int[np.ndarray, "L"]
    bare: Bool[np.ndarray, "L"]

    @property
    def limb(self) -> Int[np.ndarray, "P"]:
        """The nearest limb."""
        return self.limbs.argmin(axis=1)


#: Points (box units) to their parts.
PartSegmenter = Callable[[Float[np.ndarray, "P 3"]], BodyParts]


@dataclass(frozen=True)
class HairRegion:
    """Hair of a head that the photo shows from the front.

    Attributes:
        height: of points on the head, 0 at its middle; -inf elsewhere.
        back: membership in the back of the head, above the nape.
    """

    height: Callable[[Float[np.ndarray, "P 3"]], Float[np.ndarray, "P"]]
    back: Membership


@dataclass(frozen=True)
class Anatomy:
    """Regions of a person that guide hidden colors; ``None``: unknown.

    Attributes:
        head: membership in the head. Where it faces away from the photos, its color comes from the surface around it
            rather than from the field.
        parts: pieces of clothes and limbs. A piece's color continues where no photo shows it: a jacket's down to the
            hips and behind a hand that lies on it. Hidden places resemble visible ones at the same height of the limb
            or of its twin.
        mirror: symmetry of the face. Hidden places resemble their visible mirror image.
        hair: the back of a head resembles its crown.
        face: membership in the skin of the face. Bare parts that are never visible have its color.
    """

    head: Membership | None = None
    parts: PartSegmenter | None = None
    mirror: Mirror | None = None
    hair: HairRegion | None = None
    face: Membership | None = None


def anatomy_from_landmarks(landmarks: Float[np.ndarray, "J 3"]) -> Anatomy:
    """All regions of a person with these landmarks (box units)."""
    return Anatomy(
        head_membership(landmarks),
        part_segmenter(landmarks),
        head_mirror(landmarks),
        hair_region(landmarks),
        face_membership(landmarks),
    )


def head_membership(landmarks: Float[np.ndarray, "J 3"]) -> Membership:
    """Membership in the head. A field that reads pixels would paint a face on the back of it."""
    neck, head = landmarks[INDEX["neck"]], landmarks[INDEX["head"]]
    up = _unit(head - neck)

    def membership(points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P"]:
        height = (points - neck) @ up
        radius = np.linalg.norm(points - neck - height[:, None] * up, axis=1)
        return (_ramp(height, *_HEAD_FROM) * (1 - _ramp(radius, *_HEAD_TO))).astype(np.float32)

    return membership


def head_mirror(landmarks: Float[np.ndarray, "J 3"]) -> Mirror:
    """The plane between the halves of the head."""
    neck, head, nose = (landmarks[INDEX[name]] for name in ("neck", "head", "nose"))
    up, across = _unit(head - neck), _unit(np.cross(head - neck, nose - head))
    return Mirror(head, across, up, head_membership(landmarks))


def hair_region(landmarks: Float[np.ndarray, "J 3"]) -> HairRegion:
    """Hair on the crown and on the back of a head, behind the ears and above the nape."""
    neck, head, nose = (landmarks[INDEX[name]] for name in ("neck", "head", "nose"))
    length, on_head = max(float(np.linalg.norm(head - neck)), 1e-6), head_membership(landmarks)
    up = (head - neck) / length
    forward = _unit(nose - head - ((nose - head) @ up) * up)

    def height(points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P"]:
        return np.where(on_head(points) > 0.5, (points - head) @ up / length, -np.inf)

    def back(points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P"]:
        above, behind = (points - head) @ up / length, (head - points) @ forward / length
        return (on_head(points) * _ramp(above, *_NAPE) * _ramp(behind, *_EARS)).astype(np.float32)

    return HairRegion(height, back)


def face_membership(landmarks: Float[np.ndarray, "J 3"]) -> Membership:
    """Membership in cheeks, nose and upper lip: places near the tip of the nose."""
    nose = landmarks[INDEX["nose"]]
    radius = _FACE_RADIUS * float(np.linalg.norm(landmarks[INDEX["head"]] - landmarks[INDEX["neck"]]))

    def membership(points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P"]:
        return (np.linalg.norm(points - nose, axis=1) < radius).astype(np.float32)

    return membership


def part_segmenter(landmarks: Float[np.ndarray, "J 3"]) -> PartSegmenter:
    """Limbs, and the clothes that usually cover them together: trunk and arms, hips and legs, head, hands, feet."""
    marks, capsules = torch.from_numpy(landmarks.astype(np.float32))[None], SkeletonCapsules()
    ends = [LANDMARKS[end].rpartition("_") for _, end in BONES]
    bone_names = [(side, _LIMB_OF_END[name]) if name in _LIMB_OF_END else ("", "trunk") for side, _, name in ends]
    limb_names, limb_of_bone = np.unique(bone_names, axis=0, return_inverse=True)
    limb_of_bone, names = limb_of_bone.reshape(-1), [tuple(name) for name in limb_names.tolist()]
    twin = np.array([names.index((_OTHER_SIDE.get(side, side), kind)) for side, kind in names])
    bare = np.array([kind == "hand" for _, kind in names])
    trunk = names.index(("", "trunk"))
    clothes_of_bone = np.array([_CLOTHES[kind] for _, kind in bone_names])
    hips = (landmarks[INDEX["left_hip"]] + landmarks[INDEX["right_hip"]]) / 2
    up = landmarks[INDEX["neck"]] - hips
    trunk_length = max(float(np.linalg.norm(up)), 1e-6)
    up = up / trunk_length
    lengths = np.linalg.norm(landmarks[BONES[:, 1]] - landmarks[BONES[:, 0]], axis=-1)
    # Both arms are equally long, whatever is estimated, and so are both legs.
    lengths[: len(LIMBS)] = np.tile(lengths[: len(LIMBS)].reshape(2, -1).mean(axis=0), 2)
    starts = _bone_starts(lengths)

    def segment(points: Float[np.ndarray, "P 3"]) -> BodyParts:
        distances, along = (value[0].numpy() for value in capsules.distances(torch.from_numpy(points)[None], marks))
        bone = distances.argmin(-1)
        along, above = along[np.arange(len(points)), bone], (points - hips) @ up
        on_trunk = limb_of_bone[bone] == trunk
        limbs = np.stack([distances[:, limb_of_bone == k].min(axis=1) for k in range(len(names))], axis=1)
        clothes = np.where(on_trunk & (above < _HEM * trunk_length), _CLOTHES["leg"], clothes_of_bone[bone])
        height = np.where(on_trunk, above, starts[bone] + along * lengths[bone])
        return BodyParts(limbs, clothes, height, twin, bare)

    return segment


def _bone_starts(lengths: Float[np.ndarray, "E"]) -> Float[np.ndarray, "E"]:
    """Distance of each bone's start from the start of its arm or leg."""
    starts = np.zeros(len(BONES))
    for bone, (_, outer) in enumerate(LIMBS):
        starts[BONES[:, 0] == outer] = starts[bone] + lengths[bone]
    return starts


def _unit(vector: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    return vector / max(float(np.linalg.norm(vector)), 1e-6)


def _ramp(x: Float[np.ndarray, "P"], start: float, end: float) -> Float[np.ndarray, "P"]:
    """0 up to ``start``, 1 from ``end`` on, linear between them."""
    return np.clip((x - start) / (end - start), 0, 1)
