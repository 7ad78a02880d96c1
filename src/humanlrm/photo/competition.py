"""People who touch: all detected people and the backdrop compete for each pixel.

People who touch hide each other from the detector, too: it is confused by a neighbour's limbs, or sees one person in
two. So the rivals of a person are looked for in the photo with this person covered. What both claim is divided. Then
each is looked at again with the other's pixels covered, and the pixels are divided anew.

Random walks with priors (Grady, "Multilabel random walker image segmentation using prior models", CVPR 2005). Each
pixel is a node of a graph whose edges are weak where colors differ. What is sure by skeletons and by the detector's
masks pulls on the pixels around it; x_k, the chance that a pixel is person k, solves (L + sum of priors) x_k = prior_k.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy
from jaxtyping import Bool, Float, Float32, UInt8
from PIL import Image
from skimage.color import rgb2lab

from humanlrm.body.landmarks import BONE_RADII, BONES
from humanlrm.photo.blazepose import DetectedPose, PoseDetector

# ``benchmarks/touching.py`` measures these constants.
#: Longest side of the grid on which people compete.
_GRID_PX = 288
#: Distance from the skeleton (box units of a standing adult) over which a pixel's pull fades.
_REACH = 0.10
#: Lead of one skeleton over another (same units) from which on a pixel is sure.
_LEAD = 0.12
#: Strength of priors, beside edges of strength 1 within one color.
_STRENGTH = 0.2
#: Fall of an edge's strength with the squared difference of colors, in mean squared differences; and least strength.
_EDGE_FALL, _EDGE_LEAST = 2.0, 0.002
#: Reach beyond the skeleton (same units) of what is covered to look for rivals.
_COVER = 0.08
#: Median distance of two people's landmarks (same units), and share of a rival's mask outside of what is covered in the
#: person's area, from which on they are two.
_LEAST_APART, _LEAST_OUTSIDE = 0.12, 0.1
#: Share of a person's area that must be contested, and lost for a second look.
_LEAST_CONTESTED, _LEAST_LOST = 0.002, 0.01
#: Side of a person's region in box units of a standing adult.
_REGION_UNITS = 2.4


@dataclass(frozen=True)
class Separation:
    """A person among others.

    Attributes:
        pose: the person, with a mask of this person alone.
        seen: the photo in which the person was seen: others may be covered.
        share: chance of each pixel to be this person's rather than a rival's; ``None``: no pixel is contested.
        others: pixels of the rivals.
        rivals: the others that were seen.
    """

    pose: DetectedPose
    seen: UInt8[np.ndarray, "H W 3"]
    share: Float32[np.ndarray, "H W"] | None
    others: Bool[np.ndarray, "H W"]
    rivals: tuple[DetectedPose, ...]


def separate(
    rgb: UInt8[np.ndarray, "H W 3"], person: DetectedPose, neighbours: Sequence[DetectedPose], detector: PoseDetector
) -> Separation:
    """Separate a person from all who touch.

    Args:
        neighbours: other people of a survey of the same photo.
    """
    rivals = _rivals(rgb, person, neighbours, detector)
    nobody = np.zeros(rgb.shape[:2], dtype=bool)
    own = person.mask > 0.5
    contested = [(own & (rival.mask > 0.3)).sum() > _LEAST_CONTESTED * own.sum() for rival in rivals]
    if not any(contested):
        return Separation(person, rgb, None, nobody, tuple(rivals))
    share, others = _divide(rgb, person, rivals)
    again = None
    if (others & (person.mask > 0.3)).sum() > _LEAST_LOST * own.sum():
        again = detector.look_again(_cover(rgb, others), person)
    if again is None:
        return Separation(replace(person, mask=person.mask * share), rgb, share, others, tuple(rivals))
    # Both sides were confused by each other: divide once more with what each shows alone.
    seen, covered = _cover(rgb, others), _cover(rgb, again.mask * share > 0.5)
    alone = [detector.look_again(covered, rival) for rival in rivals]
    rivals = [
        rival if other is None or not _apart(other, again) else other
        for rival, other in zip(rivals, alone, strict=True)
    ]
    share, others = _divide(rgb, again, rivals)
    return Separation(replace(again, mask=again.mask * share), seen, share, others, tuple(rivals))


def with_hidden_people(
    rgb: UInt8[np.ndarray, "H W 3"], poses: Sequence[DetectedPose], detector: PoseDetector
) -> list[DetectedPose]:
    """The people of a survey, and those who are seen only once the main person, the first, is covered."""
    if not poses:
        return []
    hidden = [rival for rival in _rivals(rgb, poses[0], poses[1:], detector) if all(_apart(rival, p) for p in poses)]
    return [*poses, *hidden]


def _divide(
    rgb: UInt8[np.ndarray, "H W 3"], person: DetectedPose, rivals: Sequence[DetectedPose]
) -> tuple[Float32[np.ndarray, "H W"], Bool[np.ndarray, "H W"]]:
    """Chance of each pixel to be the person's rather than a rival's, and the pixels of the rivals."""
    chances = compete(rgb, [person, *rivals])
    share = chances[0] / np.maximum(chances.sum(0), 1e-6)
    return share, (share < 0.5) & (np.max([rival.mask for rival in rivals], axis=0) > 0.5)


def _rivals(
    rgb: UInt8[np.ndarray, "H W 3"], person: DetectedPose, neighbours: Sequence[DetectedPose], detector: PoseDetector
) -> list[DetectedPose]:
    """Other people, seen in the photo with this person covered."""
    height, width = rgb.shape[:2]
    own = person.mask > 0.5
    own[own] = skeleton_distance(person, np.argwhere(own)[:, ::-1] + 0.5) < _COVER
    if not own.any():
        return []
    covered = _cover(rgb, own)
    rows, columns = np.flatnonzero(own.any(1)), np.flatnonzero(own.any(0))
    room = int(0.3 * max(np.ptp(rows), np.ptp(columns)))
    around = (
        max(0, int(columns[0]) - room),
        max(0, int(rows[0]) - room // 3),
        min(width, int(columns[-1]) + 1 + room),
        min(height, int(rows[-1]) + 1 + room // 3),
    )
    found = detector.survey(covered, [(0, 0, width, height), around])
    again = [pose for other in neighbours if (pose := detector.look_again(covered, other)) is not None]
    rivals: list[DetectedPose] = []
    for pose in (*found, *again):
        outside = ((pose.mask > 0.5) & ~own).sum()
        if outside > _LEAST_OUTSIDE * own.sum() and all(_apart(pose, other) for other in (person, *rivals)):
            rivals.append(pose)
    return rivals


def _apart(pose: DetectedPose, other: DetectedPose) -> bool:
    """True if two poses are of two people."""
    distances = np.linalg.norm(pose.landmarks[:, :2] - other.landmarks[:, :2], axis=1)
    return float(np.median(distances)) > _LEAST_APART * unit_px(other)


def _cover(rgb: UInt8[np.ndarray, "H W 3"], mask: Bool[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """The photo with the pixels of a mask in its mean color."""
    return np.where(mask[..., None], rgb.reshape(-1, 3).mean(0).astype(np.uint8), rgb)


def unit_px(pose: DetectedPose) -> float:
    """Length of a box unit of a standing adult at this person, in photo pixels."""
    if pose.region is not None:
        return pose.region.side / _REGION_UNITS
    return float(np.ptp(pose.landmarks[:, :2], axis=0).max()) / 1.8


def skeleton_distance(
    pose: DetectedPose, points: Float[np.ndarray, "*P 2"], bones: np.ndarray | None = None
) -> Float32[np.ndarray, "*P"]:
    """Distance of pixels from a person's bones less the bones' radii, in box units of a standing adult.

    Args:
        points: x, y in photo pixels.
        bones: numbers of the bones; ``None``: all.
    """
    x, y = np.moveaxis(points.astype(np.float32) / np.float32(unit_px(pose)), -1, 0)
    landmarks = (pose.landmarks[:, :2] / unit_px(pose)).astype(np.float32)
    nearest = np.full(x.shape, np.inf, np.float32)
    for number in range(len(BONES)) if bones is None else bones:
        start, end = landmarks[BONES[number]]
        along, dx, dy = end - start, x - start[0], y - start[1]
        share = np.clip((dx * along[0] + dy * along[1]) / max(along @ along, np.float32(1e-9)), 0, 1)
        away = np.sqrt(np.square(dx - share * along[0]) + np.square(dy - share * along[1]))
        np.minimum(nearest, away - np.float32(BONE_RADII[number]), out=nearest)
    return nearest


def compete(rgb: UInt8[np.ndarray, "H W 3"], poses: Sequence[DetectedPose]) -> Float32[np.ndarray, "N H W"]:
    """Chance of each pixel to show each of N people; the rest is the backdrop's.

    Args:
        poses: the person, then rivals, who were seen with the person covered.
    """
    height, width = rgb.shape[:2]
    scale = min(1.0, _GRID_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    shrink = lambda plane: np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BOX))  # noqa: E731
    masks = np.stack([shrink(pose.mask) for pose in poses])
    x, y = np.meshgrid((np.arange(size[0]) + 0.5) * width / size[0], (np.arange(size[1]) + 0.5) * height / size[1])
    points = np.stack([x, y], axis=-1)
    distances = np.stack([skeleton_distance(pose, points) for pose in poses])
    shares = _walk(shrink(rgb), _priors(masks, distances))
    grow = lambda plane: np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BILINEAR))  # noqa: E731
    return np.stack([grow(np.ascontiguousarray(share)) for share in shares])


def _priors(masks: Float32[np.ndarray, "N h w"], distances: Float[np.ndarray, "N h w"]) -> Float[np.ndarray, "M h w"]:
    """Pull of each person, and in the last plane of the backdrop, on each pixel.

    A pixel that nobody else's mask claims is the person's whatever the skeletons say: arms of a hidden rival run behind
    the person. Where masks agree that it is theirs, the nearer skeleton has it.
    """
    masks = masks.copy()
    # What was covered when the rivals were seen says nothing of them: even odds.
    masks[1:, (masks[0] > 0.5) & (distances[0] < _COVER)] *= 0.5
    pulls = []
    for number, distance in enumerate(distances):
        nearest = np.delete(distances, number, axis=0).min(0, initial=np.inf)
        claim = np.delete(masks, number, axis=0).max(0, initial=0)
        lead = np.clip((nearest - distance) / _LEAD, 0, 1)
        pulls.append(masks[number] * np.exp(-np.maximum(distance, 0) / _REACH) * (1 - claim * (1 - lead)))
    backdrop = (1 - masks.max(0)) ** 2
    return _STRENGTH * np.stack([*pulls, backdrop])


def _walk(rgb: UInt8[np.ndarray, "h w 3"], priors: Float[np.ndarray, "M h w"]) -> Float32[np.ndarray, "N h w"]:
    """Solve for all labels but the last."""
    from scipy.sparse.linalg import cg  # nearly a tenth of the imports of the front door

    shape = rgb.shape[:2]
    weights = _edges(rgb2lab(rgb))
    total = priors.sum(0).ravel() + 1e-6
    system = scipy.sparse.csr_array(scipy.sparse.diags_array(total + weights.sum(0)) - weights)
    jacobi = scipy.sparse.diags_array(1 / system.diagonal())
    start = priors.reshape(len(priors), -1) / total
    solved = [
        cg(system, prior.ravel(), x0=first, rtol=1e-3, maxiter=300, M=jacobi)[0]
        for prior, first in zip(priors[:-1], start[:-1], strict=True)
    ]
    return np.stack(solved).reshape(-1, *shape).clip(0, 1).astype(np.float32)


def _edges(lab: Float[np.ndarray, "h w 3"]) -> "scipy.sparse.csr_array":
    """Symmetric strengths of the edges between neighbours."""
    number = np.arange(lab.shape[0] * lab.shape[1]).reshape(lab.shape[:2])
    pairs = [(np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])]
    contrast = [((lab[a] - lab[b]) ** 2).sum(-1).ravel() for a, b in pairs]
    usual = max(float(np.concatenate(contrast).mean()), 1e-6)
    strength = np.concatenate([np.exp(-_EDGE_FALL * c / usual) + _EDGE_LEAST for c in contrast])
    first = np.concatenate([number[a].ravel() for a, _ in pairs])
    second = np.concatenate([number[b].ravel() for _, b in pairs])
    half = scipy.sparse.coo_array((strength, (first, second)), shape=(number.size, number.size))
    return scipy.sparse.csr_array(half + half.T)
