"""The body points that the network gets, and the bones between them. Points, not a template."""

import numpy as np
from jaxtyping import Float

_SIDE = ("shoulder", "elbow", "wrist", "hand", "hip", "knee", "ankle", "toe")

#: Order of the points in every ``"J 3"`` / ``"J 4"`` array of this project. "hand" is the knuckle of the index finger,
#: "neck" the middle of the base of the neck, "head" the middle of the skull, "nose" the tip of the nose.
LANDMARKS: tuple[str, ...] = (
    *(f"left_{name}" for name in _SIDE),
    *(f"right_{name}" for name in _SIDE),
    "neck",
    "head",
    "nose",
)
INDEX = {name: i for i, name in enumerate(LANDMARKS)}
COUNT = len(LANDMARKS)
#: Channels of the landmark net's inner maps at a landmark (``blazepose.DetectedPose.detector_features``).
DETECTOR_FEATURE_CHANNELS = 480

#: Index of each landmark's mirror image.
MIRROR = np.array(
    [INDEX[n.replace("left_", "right_") if n.startswith("left_") else n.replace("right_", "left_")] for n in LANDMARKS]
)


def _bones() -> list[tuple[str, str, float]]:
    limb = [
        ("shoulder", "elbow", 0.05),
        ("elbow", "wrist", 0.04),
        ("wrist", "hand", 0.035),
        ("hip", "knee", 0.085),
        ("knee", "ankle", 0.06),
        ("ankle", "toe", 0.045),
    ]
    sides = [(f"{s}_{a}", f"{s}_{b}", r) for s in ("left", "right") for a, b, r in limb]
    trunk = [
        ("neck", "head", 0.07),
        ("left_shoulder", "right_shoulder", 0.07),
        ("left_hip", "right_hip", 0.12),
        ("neck", "left_hip", 0.12),
        ("neck", "right_hip", 0.12),
        ("left_shoulder", "left_hip", 0.10),
        ("right_shoulder", "right_hip", 0.10),
    ]
    return sides + trunk


#: Capsules between landmarks: (first point, second point), and the radius in box units of a standing adult.
BONES = np.array([(INDEX[a], INDEX[b]) for a, b, _ in _bones()])
BONE_RADII = np.array([r for _, _, r in _bones()], dtype=np.float32)
#: Bones of arms and legs, each limb from the trunk outwards.
LIMBS = BONES[: 2 * (len(_SIDE) - 2)]
#: BlazePose's index of each of our landmarks (its "left" is the person's left, as ours); neck and head are mixtures.
_BLAZE_SIDE = {"shoulder": 11, "elbow": 13, "wrist": 15, "hand": 19, "hip": 23, "knee": 25, "ankle": 27, "toe": 31}
_EARS, _SHOULDERS, _NOSE = [7, 8], [11, 12], 0


def select_blazepose(blaze: Float[np.ndarray, "39 4"]) -> Float[np.ndarray, "J 4"]:
    """Our landmarks among BlazePose's, or as mixtures of them."""
    out = np.zeros((COUNT, 4))
    for side, shift in (("left", 0), ("right", 1)):
        for part, index in _BLAZE_SIDE.items():
            out[INDEX[f"{side}_{part}"]] = blaze[index + shift]
    ears, shoulders = blaze[_EARS].mean(0), blaze[_SHOULDERS].mean(0)
    out[INDEX["neck"]] = 0.75 * shoulders + 0.25 * ears
    out[INDEX["head"]] = ears + 0.15 * (ears - shoulders) * np.array([1, 1, 1, 0])
    out[INDEX["nose"]] = blaze[_NOSE]
    return out
