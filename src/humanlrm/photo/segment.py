"""Segmentation: which pixels of a photo are the person, and how sure that is."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from humanlrm.body.landmarks import INDEX
from humanlrm.photo.blazepose import DetectedPose, PoseDetector
from humanlrm.photo.competition import Separation, separate
from humanlrm.photo.crop import SubjectCrop, assemble_crop
from humanlrm.photo.load import Photo, PhotoError, Remark
from humanlrm.photo.matte import keep_main_part, refine_mask
from humanlrm.settings import Selection


@dataclass(frozen=True)
class Segmentation:
    """One person in a photo.

    Attributes:
        mask: membership of each pixel in the person, in [0, 1].
        pose: ``None``: the photo brings an outline, and the detector sees nobody in it.
        people_seen: people that the detector sees.
        confidence: certainty that this is a person, in [0, 1].
        remarks: what the user should know.
        others: pixels of other people, who may hide this one; ``None``: of nobody who touches.
    """

    mask: Float32[np.ndarray, "H W"]
    pose: DetectedPose | None
    people_seen: int
    confidence: float
    remarks: tuple[Remark, ...] = ()
    others: Bool[np.ndarray, "H W"] | None = None

    def crop(self, photo: Photo, size_px: int) -> SubjectCrop:
        """The person in the square of the sample frame."""
        return replace(assemble_crop(photo.rgb, self.mask, self.pose, size_px), photo_others=self.others)


def find_subject(photo: Photo, detector: PoseDetector, size_px: int = 256) -> SubjectCrop:
    """The main person of a photo, cut out at ``size_px``. An outline of the photo is believed as it is.

    Raises:
        PhotoError: nobody found.
        ValueError: ``size_px`` is not positive.
    """
    if photo.alpha is not None:
        mask = keep_main_part(photo.alpha)
        return assemble_crop(photo.rgb, mask, detect_in_cutout(photo.rgb, mask, detector), size_px)
    return segment(photo, detector).crop(photo, size_px)


def segment(photo: Photo, detector: PoseDetector, selection: Selection | None = None) -> Segmentation:
    """The chosen person's mask and pose.

    Raises:
        PhotoError: nobody found.
        ValueError: a person is chosen who is not there.
    """
    selection = selection or Selection()
    if photo.alpha is not None:
        mask = keep_main_part(photo.alpha)
        pose = detect_in_cutout(photo.rgb, mask, detector)
        return Segmentation(mask, pose, 0 if pose is None else 1, _certainty(pose), photo.remarks)
    poses = detector.survey(photo.rgb)
    if not poses:
        raise PhotoError(f"no person found in {photo.name}; give a photo with one clearly visible person, or a cut-out")
    chosen = choose_person(photo, poses, selection)
    neighbours = [pose for pose in poses if pose is not chosen]
    person = separate(photo.rgb, chosen, neighbours, detector)
    mask = keep_main_part(refine_mask(photo.rgb, person.pose.mask))
    if not mask.any():
        raise PhotoError(f"no person found in {photo.name}; give a photo with one clearly visible person, or a cut-out")
    pose = detector.look_closely(person.seen, person.pose)
    seen = max(len(poses), 1 + len(person.rivals))
    remarks = (*photo.remarks, *_remarks_on_people(person, seen, selection))
    others = person.others if person.share is not None else None
    return Segmentation(mask, pose, seen, _certainty(pose), remarks, others)


def choose_person(photo: Photo, poses: list[DetectedPose], selection: Selection) -> DetectedPose:
    """The person who was asked for, or the main one.

    Raises:
        ValueError: a number beyond the people who are seen, or a place where nobody is.
    """
    if selection.number is not None:
        if selection.number > len(poses):
            raise ValueError(f"--person {selection.number}: {photo.name} shows {len(poses)} people, as far as is seen")
        return sorted(poses, key=_head_x)[selection.number - 1]
    if selection.place_px is not None:
        x, y = (int(value * photo.scale) for value in selection.place_px)
        inside = 0 <= y < photo.rgb.shape[0] and 0 <= x < photo.rgb.shape[1]
        at = [float(pose.mask[y, x]) if inside else 0.0 for pose in poses]
        if max(at) <= 0.5:
            places = "; ".join(f"{_head_x(pose) / photo.scale:.0f},{_head_y(pose) / photo.scale:.0f}" for pose in poses)
            raise ValueError(f"--person {selection.person}: nobody is seen there; heads are at {places}")
        place = np.array([x, y])
        covering = [pose for pose, share in zip(poses, at, strict=True) if share > 0.5]
        return min(covering, key=lambda pose: float(np.linalg.norm(pose.landmarks[:, :2] - place, axis=1).min()))
    return poses[0]


def _remarks_on_people(person: Separation, seen: int, selection: Selection) -> tuple[Remark, ...]:
    if seen < 2:
        return ()
    x = sorted(map(_head_x, (person.pose, *person.rivals))).index(_head_x(person.pose)) + 1
    remarks = []
    if selection.person is None:
        sentence = f"{seen} people are seen; the most prominent one was taken, number {x} from the left."
        remarks.append(Remark("several-people", f"{sentence} --person chooses another."))
    if person.share is not None:
        remarks.append(Remark("touching", "Another person touches this one; what that person hides is a guess."))
    return tuple(remarks)


def _head_x(pose: DetectedPose) -> float:
    return float(pose.landmarks[INDEX["head"], 0])


def _head_y(pose: DetectedPose) -> float:
    return float(pose.landmarks[INDEX["head"], 1])


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
