"""Parts that a mask has lost: heads, hands, feet and limbs that are seen, but are not in it."""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from humanlrm.body.landmarks import BONES, LANDMARKS
from humanlrm.photo.blazepose import DetectedPose
from humanlrm.photo.competition import compete, skeleton_distance, unit_px
from humanlrm.photo.load import Remark

#: Visibility from which on a landmark is seen (a limb behind a table has less).
_SEEN = 0.85
#: Share of a bone's core on the mask below which the part is lost, and radius of the core less the bone's radius (box
#: units of a standing adult).
_LEAST_COVERED, _CORE = 0.35, -0.02
#: Radius of the middle of a skull (same units).
_SKULL = 0.06
#: How far from its bone a lost part may reach (same units): heads are wider than necks.
_LIMB_REACH, _HEAD_REACH = 0.03, 0.10
#: Bone of each part that is named; left and right limbs are the others.
_HEAD = BONES.tolist().index([LANDMARKS.index("neck"), LANDMARKS.index("head")])


def mend(
    rgb: UInt8[np.ndarray, "H W 3"],
    mask: Float32[np.ndarray, "H W"],
    pose: DetectedPose,
    others: Bool[np.ndarray, "H W"] | None = None,
) -> tuple[Float32[np.ndarray, "H W"], tuple[Remark, ...]]:
    """Grow a mask over parts that are seen but lost, up to the photo's edges; say what cannot be mended.

    Args:
        others: pixels of other people, who may stand in front of a part.
    """
    height, width = mask.shape
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    points = np.stack([x, y], axis=-1)
    lost = [bone for bone in _seen_bones(pose) if _is_lost(bone, pose, mask, points, others)]
    if not lost:
        return mask, ()
    cores, reach = np.zeros_like(mask, dtype=bool), np.zeros_like(mask, dtype=bool)
    for bone in lost:
        cores |= _core(bone, pose, points)
        distance = skeleton_distance(pose, points, np.array([bone]))
        reach |= distance < (_HEAD_REACH if bone == _HEAD else _LIMB_REACH)
    # Around a lost part the mask says nothing: skeleton and edges decide.
    open_mask = np.where(reach, np.maximum(mask, np.float32(0.5)), mask)
    share = compete(rgb, [replace(pose, mask=np.where(cores, np.float32(1), open_mask))])[0]
    grown = np.where(cores | (reach & (share > 0.5)), np.maximum(mask, np.float32(1)), mask)
    if others is not None:
        grown = np.where(others, mask, grown)
    names = sorted({_name(bone) for bone in lost})
    sentence = f"{', '.join(names)}: not found in the outline although seen; added along the skeleton."
    return grown, (Remark("part-mended", sentence[0].upper() + sentence[1:]),)


def missing_remarks(
    mask: Float32[np.ndarray, "H W"], pose: DetectedPose, others: Bool[np.ndarray, "H W"] | None = None
) -> tuple[Remark, ...]:
    """Remarks about seen parts that a mask lacks."""
    height, width = mask.shape
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    points = np.stack([x, y], axis=-1)
    lost = {_name(bone) for bone in _seen_bones(pose) if _is_lost(bone, pose, mask, points, others)}
    return tuple(Remark("part-missing", f"The {name} was not found in the mask.") for name in sorted(lost))


def _seen_bones(pose: DetectedPose) -> list[int]:
    """Bones of head and limbs whose ends are seen inside the photo."""
    height, width = pose.mask.shape
    inside = ((pose.landmarks[:, :2] >= 0) & (pose.landmarks[:, :2] < [width, height])).all(1)
    seen = inside & (pose.landmarks[:, 3] > _SEEN)
    limbs = range(len(BONES) - 7)  # the last seven are the head and the trunk
    return [bone for bone in (*limbs, _HEAD) if seen[BONES[bone]].all()]


def _is_lost(
    bone: int,
    pose: DetectedPose,
    mask: Float32[np.ndarray, "H W"],
    points: np.ndarray,
    others: Bool[np.ndarray, "H W"] | None,
) -> bool:
    core = _core(bone, pose, points)
    if others is not None:
        core &= ~others
    return bool(core.any()) and float((mask[core] > 0.5).mean()) < _LEAST_COVERED


def _core(bone: int, pose: DetectedPose, points: Float[np.ndarray, "H W 2"]) -> Bool[np.ndarray, "H W"]:
    """Pixels that surely show a part: around its bone, or the middle of the skull."""
    if bone == _HEAD:
        skull = pose.landmarks[LANDMARKS.index("head"), :2]
        return np.linalg.norm(points - skull, axis=-1) < _SKULL * unit_px(pose)
    return skeleton_distance(pose, points, np.array([bone])) < _CORE


def _name(bone: int) -> str:
    """Name of the part at a bone's end."""
    return LANDMARKS[BONES[bone][1]].replace("_", " ")
