"""Segmentation: which pixels of a photo are the main person, and how sure that is."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, UInt8

from humanlrm.photo.blazepose import DetectedPose, PoseDetector
from humanlrm.photo.crop import SubjectCrop, assemble_crop
from humanlrm.photo.load import Photo, PhotoError, Remark
from humanlrm.photo.matte import keep_main_part, refine_mask


@dataclass(frozen=True)
class Segmentation:
    """The main person in a photo.

    Attributes:
        mask: membership of each pixel in the person, in [0, 1].
        pose: ``None``: the photo brings an outline, and the detector sees nobody in it.
        people_seen: people that the detector sees.
        confidence: certainty that this is a person, in [0, 1].
        remarks: what the user should know.
    """

    mask: Float32[np.ndarray, "H W"]
    pose: DetectedPose | None
    people_seen: int
    confidence: float
    remarks: tuple[Remark, ...] = ()


def find_subject(photo: Photo, detector: PoseDetector, size_px: int = 256) -> SubjectCrop:
    """The main person of a photo (see :meth:`PoseDetector.best`), cut out at ``size_px``.

    Raises:
        PhotoError: nobody found.
        ValueError: ``size_px`` is not positive.
    """
    segmentation = segment(photo, detector)
    return assemble_crop(photo.rgb, segmentation.mask, segmentation.pose, size_px)


def segment(photo: Photo, detector: PoseDetector) -> Segmentation:
    """The person's mask and pose.

    With an outline in ``photo.alpha`` that is the mask, and a person without detected landmarks is accepted. Without
    one the detector gives the mask, refined against the photo's edges.

    Raises:
        PhotoError: nobody found.
    """
    if photo.alpha is not None:
        mask = keep_main_part(photo.alpha)
        pose = detect_in_cutout(photo.rgb, mask, detector)
        return Segmentation(mask, pose, 0 if pose is None else 1, _certainty(pose), photo.remarks)
    poses = detector.survey(photo.rgb)
    mask = keep_main_part(refine_mask(photo.rgb, poses[0].mask)) if poses else None
    if mask is None or not mask.any():
        raise PhotoError(f"no person found in {photo.name}; give a photo with one clearly visible person, or a cut-out")
    pose = detector.look_closely(photo.rgb, poses[0])
    return Segmentation(mask, pose, len(poses), _certainty(pose), photo.remarks)


def _certainty(pose: DetectedPose | None) -> float:
    """The detector's certainty, in [0, 1]; 0 without a pose."""
    return 0.0 if pose is None else float(np.clip(pose.score, 0, 1))


def detect_in_cutout(
    rgb: UInt8[np.ndarray, "H W 3"], alpha: Float32[np.ndarray, "H W"], detector: PoseDetector
) -> DetectedPose | None:
    """Detect the pose of the person with this mask, on the person alone, over grey, in a window around it.

    So neither somebody else is found nor a wide canvas makes the person small.
    """
    rows, columns = np.flatnonzero((alpha > 0.5).any(1)), np.flatnonzero((alpha > 0.5).any(0))
    grow = 1 + max(np.ptp(rows), np.ptp(columns)) // 8
    top, left = max(0, rows[0] - grow), max(0, columns[0] - grow)
    window = np.s_[top : rows[-1] + 1 + grow, left : columns[-1] + 1 + grow]
    cover = alpha[window][..., None]
    pose = detector.best((rgb[window] * cover + 128 * (1 - cover)).round().astype(np.uint8))
    if pose is None:
        return None
    mask = np.zeros_like(alpha)
    mask[window] = pose.mask
    return replace(pose, landmarks=pose.landmarks + np.array([left, top, 0, 0]), mask=mask)
