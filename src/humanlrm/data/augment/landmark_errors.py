"""Errors of detected landmarks, and noise of the landmarks that training builds people on. Box units."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from humanlrm.body.landmarks import COUNT, INDEX, MIRROR

#: The nose errs with the head; so much of a landmark's noise is its own. More would blur all faces.
_NOSE_NOISE = 0.4
#: Least and largest deviation of the teacher landmarks: x, y and z.
_LEAST_NOISE, _MOST_NOISE = np.array([0.006, 0.006, 0.01]), np.array([0.03, 0.03, 0.04])
#: Pairs for the lifter: deviation of the jitter, and shares of missing points, sets and features of sets.
_PAIR_JITTER, _PAIR_MISSING, _PAIR_EMPTY, _PAIR_FEATURELESS = 0.012, 0.04, 0.05, 0.1


def add_teacher_noise(
    truth: Float[np.ndarray, "J 3"], rng: np.random.Generator, size: float = 1.0
) -> Float[np.ndarray, "J 3"]:
    """True landmarks with the noise of a good estimate times ``size``. Its deviation differs from sample to sample.

    ``model.landmark_head.select_landmarks`` says why people are not built on the estimate. Unknown points stay NaN.
    """
    deviation = size * (_LEAST_NOISE + (_MOST_NOISE - _LEAST_NOISE) * rng.random())
    noise = rng.normal(size=truth.shape) * deviation
    noise[INDEX["nose"]] = noise[INDEX["head"]] + _NOSE_NOISE * noise[INDEX["nose"]]
    return truth + noise


def augment_detections(
    detected: Float[np.ndarray, "J 4"],
    detector_features: np.ndarray,
    truth: Float[np.ndarray, "J 3"],
    rng: np.random.Generator,
) -> tuple[Float[np.ndarray, "J 4"], np.ndarray]:
    """Mostly the detector's own output; sometimes exact points, other errors, missing points or none. In place.

    Points that are not the detector's have no features, and neither has every tenth set that is.
    Where the truth is unknown (NaN) the detector's point stays.
    """
    kind = rng.random()
    if kind < 0.15 or rng.random() < 0.1:
        detector_features[:] = 0
    if kind < 0.05:
        detected[:] = 0
    elif kind < 0.15:
        known = np.isfinite(truth).all(1)
        exact = truth + rng.normal(0, 1, truth.shape) * np.array([0.012, 0.012, 0.04])
        detected[known, :3] = exact[known]
        detected[known, 3] = rng.uniform(0.6, 1, len(truth))[known]
    elif kind < 0.25:
        present = detected[:, 3:] > 0
        detected[:, 2:3] += present * rng.normal(0, 0.08, (len(truth), 1))
        detected[:, :2] += present * rng.normal(0, 0.015, (len(truth), 2))
    missing = rng.random(len(truth)) < (0.03 if rng.random() < 0.7 else 0.2)
    detected[missing] = 0
    detector_features[missing] = 0
    return detected, detector_features


def augment_pairs(
    detected: Float[Tensor, "B J 4"],
    detector_features: Float[Tensor, "B J 2 C"],
    truth: Float[Tensor, "B J 3"],
    rng: torch.Generator,
) -> tuple[Float[Tensor, "B J 4"], Float[Tensor, "B J 2 C"], Float[Tensor, "B J 3"]]:
    """Pairs for the lifter: half mirrored, all jittered; points, whole sets and features of sets missing."""
    share = lambda *shape: torch.rand(len(detected), *shape, generator=rng)  # noqa: E731
    mirror, flip = torch.from_numpy(MIRROR), torch.tensor([-1.0, 1.0, 1.0])
    mirrored = share(1, 1) < 0.5
    detected = torch.where(mirrored, detected[:, mirror] * torch.cat([flip, torch.ones(1)]), detected)
    detector_features = torch.where(mirrored[..., None], detector_features[:, mirror].flip(2), detector_features)
    truth = torch.where(mirrored, truth[:, mirror] * flip, truth)
    jitter = torch.randn(len(detected), COUNT, 3, generator=rng) * _PAIR_JITTER * (detected[..., 3:] > 0)
    detected = torch.cat([detected[..., :3] + jitter, detected[..., 3:]], dim=-1)
    missing = share(COUNT, 1) < _PAIR_MISSING
    missing |= share(1, 1) < _PAIR_EMPTY
    featureless = missing | (share(1, 1) < _PAIR_FEATURELESS)
    return detected.masked_fill(missing, 0.0), detector_features.masked_fill(featureless[..., None], 0.0), truth
