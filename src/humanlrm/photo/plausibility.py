"""Plausibility: whether what the detector sees is a person, from signs that people and things differ in."""

from dataclasses import astuple, dataclass

import numpy as np
from jaxtyping import UInt8

from humanlrm.photo.blazepose import DetectedPose, PoseDetector

#: Weights of the signs in the order of :class:`Signs`, and the sum at which the certainty is one half: printed by
#: ``python -m benchmarks.not_people --fit``.
_WEIGHTS, _OFFSET = (3.81, 7.42), 4.38
#: Certainty below which nobody is reconstructed, and below which it is said that this may not be a person
#: (``benchmarks/not_people.py``).
REFUSED_BELOW, UNSURE_BELOW = 0.2, 0.5


@dataclass(frozen=True)
class Signs:
    """Signs of a person; people score higher in each.

    Attributes:
        search: score of the whole-picture search in the photo and its mirror image, in [0, 1]; 0: nobody is seen.
        seen: mean visibility of the points.
    """

    search: float
    seen: float

    @property
    def confidence(self) -> float:
        """Certainty that this is a person, in [0, 1]: the logistic of the signs' weighted sum."""
        total = sum(weight * value for weight, value in zip(_WEIGHTS, astuple(self), strict=True))
        return float(1 / (1 + np.exp(_OFFSET - total)))


def measure_signs(rgb: UInt8[np.ndarray, "H W 3"], pose: DetectedPose, detector: PoseDetector) -> Signs:
    """Measure the signs of one pose."""
    return Signs(detector.search_score(rgb, pose), float(pose.landmarks[:, 3].mean()))
