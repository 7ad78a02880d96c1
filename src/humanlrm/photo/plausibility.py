"""Plausibility: whether what the detector sees is a person, from signs that people and things differ in."""

from dataclasses import astuple, dataclass

import numpy as np
from jaxtyping import UInt8

from humanlrm.body.landmarks import BONES
from humanlrm.photo.blazepose import DetectedPose, PoseDetector
from humanlrm.photo.competition import unit_px

# ``benchmarks/not_people.py`` measures these constants.
#: Weights of the signs in the order of :class:`Signs`, and the sum at which the certainty is one half.
_WEIGHTS, _OFFSET = (3.0, 3.0, 6.0, 4.0, 4.0, 1.0), 12.0
#: Certainty below which nobody is reconstructed, and below which it is said that this may not be a person.
REFUSED_BELOW, UNSURE_BELOW = 0.05, 0.5
#: Spread of the points over further looks at which nothing is steady (box units of a standing adult).
_UNSTEADY = 0.2
#: Least visibility of a point that counts as seen.
_SEEN = 0.5


@dataclass(frozen=True)
class Signs:
    """Signs of a person; people score higher in each.

    Attributes:
        search: score of the whole-picture search, in [0, 1]; 0: the search sees nobody there.
        presence: certainty of the landmark net that its square holds a person, in [0, 1].
        certainty: mean of the mask where it is over one half.
        coverage: share of the bones between seen points that lies on the mask.
        steadiness: 1 less the mean spread of the points over further looks, in units of ``_UNSTEADY``.
        seen: mean visibility of the points.
    """

    search: float
    presence: float
    certainty: float
    coverage: float
    steadiness: float
    seen: float

    @property
    def confidence(self) -> float:
        """Certainty that this is a person, in [0, 1]: the logistic of the signs' weighted sum."""
        total = sum(weight * value for weight, value in zip(_WEIGHTS, astuple(self), strict=True))
        return float(1 / (1 + np.exp(_OFFSET - total)))


def measure_signs(rgb: UInt8[np.ndarray, "H W 3"], pose: DetectedPose, detector: PoseDetector) -> Signs:
    """Measure the signs of one pose, from further looks at the same photo."""
    inside = pose.mask > 0.5
    certainty = float(pose.mask[inside].mean()) if inside.any() else 0.0
    looks = np.array(pose.looks or detector.looks(rgb, pose))
    steadiness = 0.0
    if len(looks):
        apart_px = np.linalg.norm(looks[..., :2] - looks[..., :2].mean(0), axis=-1).mean()
        steadiness = float(1 - apart_px / unit_px(pose) / _UNSTEADY)
    return Signs(
        detector.search_score(rgb, pose),
        pose.score,
        certainty,
        _coverage(pose),
        max(0.0, steadiness),
        float(pose.landmarks[:, 3].mean()),
    )


def _coverage(pose: DetectedPose) -> float:
    """Share of the points along bones, between seen ends inside the photo, that the mask holds."""
    height, width = pose.mask.shape
    ends, seen = pose.landmarks[BONES, :2], (pose.landmarks[BONES, 3] > _SEEN).all(1)
    along = np.linspace(0, 1, 9)[None, :, None]
    points = (ends[:, :1] * (1 - along) + ends[:, 1:] * along)[seen].reshape(-1, 2).round().astype(int)
    inside = (points >= 0).all(1) & (points < [width, height]).all(1)
    if not inside.any():
        return 0.0
    x, y = points[inside].T
    return float((pose.mask[y, x] > 0.5).mean())
