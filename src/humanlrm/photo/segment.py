"""Segmentation: which pixels of a photo are the person, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from humanlrm.body.landmarks import INDEX
from humanlrm.photo.blazepose import LEAST_HEIGHT_PX, DetectedPose, PoseDetector
from humanlrm.photo.competition import Separation, separate, with_hidden_people
from humanlrm.photo.crop import SubjectCrop, assemble_crop
from humanlrm.photo.load import Photo, PhotoError, Remark
from humanlrm.photo.matte import keep_main_part, refine_mask
from humanlrm.photo.missing_parts import mend, missing_remarks
from humanlrm.photo.plausibility import REFUSED_BELOW, UNSURE_BELOW, measure_signs
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


def segment(
    photo: Photo,
    detector: PoseDetector,
    selection: Selection | None = None,
    poses: Sequence[DetectedPose] | None = None,
) -> Segmentation:
    """The chosen person's mask and pose.

    An outline in ``photo.alpha`` is compared with what the detector sees (``outline.py``). Without one the detector
    gives the mask, refined against the photo's edges (in a dull photo with more contrast). People who touch are
    separated (``competition.py``), and parts that the mask has lost are added (``missing_parts.py``).

    Args:
        poses: the detector's survey of this photo, if there is one already.

    Raises:
        PhotoError: nobody found, or nobody who looks like a person.
        ValueError: a person is chosen who is not there.
    """
    selection = selection or Selection()
    if photo.alpha is not None:
        return _segment_outline(photo, photo.alpha, detector, selection)
    poses = list(detector.survey(photo.seen) if poses is None else poses)
    if not poses:
        raise _nobody(photo)
    person, seen = _chosen(photo, photo.seen, poses, detector, selection)
    mask = keep_main_part(refine_mask(photo.seen, person.pose.mask))
    if not mask.any():
        raise _nobody(photo)
    pose = detector.look_closely(person.seen, person.pose)
    others = person.others if person.share is not None else None
    mask, mended = mend(photo.seen, mask, pose, others)
    remarks = (*photo.remarks, *_remarks_on_people(person, poses, seen, selection), *mended)
    confidence = measure_signs(person.seen, pose, detector).confidence
    return _checked(photo, Segmentation(mask, pose, seen, confidence, remarks, others))


def _segment_outline(
    photo: Photo, alpha: Float32[np.ndarray, "H W"], detector: PoseDetector, selection: Selection
) -> Segmentation:
    """A person with an outline, unless the detector disagrees with it."""
    mask, others, remarks = keep_main_part(alpha), None, photo.remarks
    pose, people, confidence = None, list[DetectedPose](), 0.0
    window, cut = over_grey(photo.rgb, mask)
    poses = detector.survey(cut)
    if poses:
        person, seen = _chosen(photo, cut, poses, detector, selection, window)
        close = detector.look_closely(person.seen, person.pose)
        pose, people = _in_photo(close, window, mask.shape), [*poses, *person.rivals]
        confidence = measure_signs(person.seen, close, detector).confidence
        remarks = (*remarks, *_remarks_on_people(person, poses, seen, selection))
    if not photo.trusted:
        ignored = _disagreement(photo, mask, window, people, detector)
        if ignored is not None:
            plain = replace(photo, alpha=None, remarks=(*photo.remarks, ignored))
            found = segment(plain, detector, selection)
            if found.confidence < UNSURE_BELOW:
                raise _nobody(photo)  # neither in the outline nor surely elsewhere
            return found
    if pose is None:
        remark = Remark("nobody-in-mask", "Nobody is recognized in the mask; it was believed.")
        return Segmentation(mask, None, 0, 0.0, (*remarks, remark))
    if person.share is not None:
        mask, others = mask.copy(), np.zeros(mask.shape, dtype=bool)
        mask[window] *= person.share
        mask, others[window] = keep_main_part(mask), person.others
    remarks = (*remarks, *missing_remarks(mask, pose, others))
    found = Segmentation(mask, pose, seen, confidence, remarks, others)
    return found if photo.trusted else _checked(photo, found)


def _disagreement(
    photo: Photo,
    mask: Float32[np.ndarray, "H W"],
    window: tuple[slice, slice],
    people: list[DetectedPose],
    detector: PoseDetector,
) -> Remark | None:
    """A remark if the outline is not that of a person or of several, but the photo shows one.

    Raises:
        PhotoError: nobody is in the outline, nor elsewhere; or hardly a pixel is opaque.
    """
    from humanlrm.photo.outline import judge_outline

    seen = None
    if people:
        seen = np.zeros(mask.shape, dtype=bool)
        seen[window] = np.max([pose.mask for pose in people], axis=0) > 0.5
    verdict = judge_outline(photo.rgb, mask, seen, detector)
    if verdict == "person":
        return None
    if verdict == "nobody":
        raise _nobody(photo)
    what = "holds more than the person" if verdict == "frame" else "shows all but the person"
    return Remark("outline-ignored", f"The alpha channel {what}: the person's outline was found without it.")


def _chosen(
    photo: Photo,
    rgb: UInt8[np.ndarray, "H W 3"],
    poses: list[DetectedPose],
    detector: PoseDetector,
    selection: Selection,
    window: tuple[slice, slice] | None = None,
) -> tuple[Separation, int]:
    """The chosen person, apart from all who touch, and the number of people who are seen."""
    corner = (0, 0) if window is None else (window[1].start, window[0].start)
    if selection.person is not None:
        poses = with_hidden_people(rgb, poses, detector)
    chosen = choose_person(photo, poses, selection, corner)
    person = separate(rgb, chosen, [pose for pose in poses if pose is not chosen], detector)
    return person, max(len(poses), 1 + len(person.rivals))


def _checked(photo: Photo, found: Segmentation) -> Segmentation:
    """Refuse what is hardly a person, and say so where it is unsure."""
    if found.confidence < REFUSED_BELOW:
        raise _nobody(photo)
    if found.confidence >= UNSURE_BELOW:
        return found
    doubt = Remark("doubtful", f"This may not be a person (certainty {found.confidence:.0%}).")
    return replace(found, remarks=(*found.remarks, doubt))


def _nobody(photo: Photo) -> PhotoError:
    if photo.alpha is not None:
        return PhotoError(
            f"nobody is recognized in the opaque part of {photo.name}; give a photo of a person, or insist with --mask"
        )
    return PhotoError(
        f"no person found in {photo.name}; give a photo with one clearly visible person, at least "
        f"{round(LEAST_HEIGHT_PX / photo.scale)} px high, or a cut-out"
    )


def choose_person(
    photo: Photo, poses: list[DetectedPose], selection: Selection, corner_px: tuple[int, int] = (0, 0)
) -> DetectedPose:
    """The person who was asked for, or the main one.

    Args:
        corner_px: left upper corner of the part of the photo that the poses are of.

    Raises:
        ValueError: a number beyond the people who are seen, or a place where nobody is.
    """
    if selection.number is not None:
        if selection.number > len(poses):
            seen = "1 person is" if len(poses) == 1 else f"{len(poses)} people are"
            raise ValueError(
                f"--person {selection.number}: {seen} seen in {photo.name}; give a place such as --person 310,240, "
                "or an outline by --mask"
            )
        return sorted(poses, key=_head_x)[selection.number - 1]
    if selection.place_px is not None:
        x, y = (int(v * photo.scale) - corner for v, corner in zip(selection.place_px, corner_px, strict=True))
        height, width = poses[0].mask.shape
        inside = 0 <= y < height and 0 <= x < width
        at = [float(pose.mask[y, x]) if inside else 0.0 for pose in poses]
        if max(at) <= 0.5:
            heads = [(_head_x(pose) + corner_px[0], _head_y(pose) + corner_px[1]) for pose in poses]
            places = "; ".join(f"{x / photo.scale:.0f},{y / photo.scale:.0f}" for x, y in heads)
            raise ValueError(f"--person {selection.person}: nobody is seen there; heads are at {places}")
        place = np.array([x, y])
        covering = [pose for pose, share in zip(poses, at, strict=True) if share > 0.5]
        return min(covering, key=lambda pose: float(np.linalg.norm(pose.landmarks[:, :2] - place, axis=1).min()))
    return poses[0]


def _remarks_on_people(
    person: Separation, poses: list[DetectedPose], seen: int, selection: Selection
) -> tuple[Remark, ...]:
    if seen < 2:
        return ()
    x = sum(_head_x(pose) < _head_x(person.pose) - 1 for pose in poses) + 1
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


def detect_in_cutout(
    rgb: UInt8[np.ndarray, "H W 3"], alpha: Float32[np.ndarray, "H W"], detector: PoseDetector
) -> DetectedPose | None:
    """Detect the pose of the person with this mask, on the person alone, over grey, in a window around it.

    So neither somebody else is found nor a wide canvas makes the person small.
    """
    window, cut = over_grey(rgb, alpha)
    pose = detector.best(cut)
    return None if pose is None else _in_photo(pose, window, alpha.shape)


def over_grey(
    rgb: UInt8[np.ndarray, "H W 3"], alpha: Float32[np.ndarray, "H W"]
) -> tuple[tuple[slice, slice], UInt8[np.ndarray, "h w 3"]]:
    """A window around the opaque part, and its pixels over grey."""
    rows, columns = np.flatnonzero((alpha > 0.5).any(1)), np.flatnonzero((alpha > 0.5).any(0))
    grow = int(1 + max(np.ptp(rows), np.ptp(columns)) // 8)
    top, left = max(0, int(rows[0]) - grow), max(0, int(columns[0]) - grow)
    bottom, right = min(len(alpha), int(rows[-1]) + 1 + grow), min(alpha.shape[1], int(columns[-1]) + 1 + grow)
    window = slice(top, bottom), slice(left, right)
    cover = alpha[window][..., None]
    return window, (rgb[window] * cover + 128 * (1 - cover)).round().astype(np.uint8)


def _in_photo(pose: DetectedPose, window: tuple[slice, slice], shape: tuple[int, ...]) -> DetectedPose:
    """A pose of a window, in pixels of the photo. Its region and looks stay those of the window."""
    mask = np.zeros(shape, np.float32)
    mask[window] = pose.mask
    return replace(pose, landmarks=pose.landmarks + np.array([window[1].start, window[0].start, 0, 0]), mask=mask)
