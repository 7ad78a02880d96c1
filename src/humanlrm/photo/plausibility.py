"""Plausibility: whether what the detector sees is a person, from signs that people and things differ in."""

from dataclasses import astuple, dataclass

import numpy as np
from jaxtyping import UInt8

from humanlrm.photo.blazepose import DetectedPose, PoseDetector
from humanlrm.photo.competition import unit_px

# ``benchmarks/not_people.py`` measures these constants.
#: Weights of the signs in the order of :class:`Signs`, and the sum at which the certainty is one half: a logistic
#: regression on people and things of that benchmark.
_WEIGHTS, _OFFSET = (3.3, 1.2, 4.1), 3.65
#: Certainty below which nobody is reconstructed, and below which it is said that this may not be a person.
REFUSED_BELOW, UNSURE_BELOW = 0.15, 0.3
#: Spread of the points over further looks at which nothing is steady (box units of a standing adult).
_UNSTEADY = 0.2


@dataclass(frozen=True)
class Signs:
    """Signs of a person; people score higher in each.

    Attributes:
        search: score of the whole-picture search, in [0, 1]; 0: the search sees nobody there.
        steadiness: 1 less the mean spread of the points over further looks, in units of ``_UNSTEADY``.
        seen: mean visibility of the points.
    """

    search: float
    steadiness: float
    seen: float

    @property
    def confidence(self) -> float:
        """Certainty that this is a person, in [0, 1]: the logistic of the signs' weighted sum."""
        total = sum(weight * value for weight, value in zip(_WEIGHTS, astuple(self), strict=True))
        return float(1 / (1 + np.exp(_OFFSET - total)))


def measure_signs(rgb: UInt8[np.ndarray, "H W 3"], pose: DetectedPose, detector: PoseDetector) -> Signs:
    """Measure the signs of one pose, from further looks at the same photo."""
    looks = np.array(pose.looks or detector.looks(rgb, pose))
    steadiness = 0.0
    if len(looks):
        apart_px = np.linalg.norm(looks[..., :2] - looks[..., :2].mean(0), axis=-1).mean()
        steadiness = max(0.0, float(1 - apart_px / unit_px(pose) / _UNSTEADY))
    return Signs(detector.search_score(rgb, pose), steadiness, float(pose.landmarks[:, 3].mean()))
