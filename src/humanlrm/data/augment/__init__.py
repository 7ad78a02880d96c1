"""Augmentation of training data: pictures and detections of single samples (NumPy), whole batches (torch).

All random numbers come from the generator that is passed in, in a fixed order: equal seeds give equal samples.
"""

import numpy as np
import torch
from jaxtyping import Float

from humanlrm.data.augment.image_errors import Tone, camera_errors, mask_errors, random_tone
from humanlrm.data.augment.landmark_errors import add_teacher_noise, augment_detections, augment_pairs
from humanlrm.data.augment.recolor import recolored
from humanlrm.data.augment.rotate import rotated
from humanlrm.data.augment.synthetic_detections import synthetic_detections
from humanlrm.data.augment.truncate import truncated
from humanlrm.views import Inputs, Supervision

__all__ = [
    "Tone",
    "add_teacher_noise",
    "augment_batch",
    "augment_detections",
    "augment_pairs",
    "augment_picture",
    "camera_errors",
    "mask_errors",
    "random_tone",
    "synthetic_detections",
]


def augment_picture(
    image: Float[np.ndarray, "H W 5"], rgb: Float[np.ndarray, "S 3"], rng: np.random.Generator
) -> tuple[Float[np.ndarray, "H W 5"], Float[np.ndarray, "S 3"], Tone]:
    """Degrade a photo as cameras, codecs and matting do.

    Args:
        image: sRGB, alpha, known; changed in place.
        rgb: colors of surface samples, which get the same exposure and white balance.

    Returns:
        image, rgb, and the tone curve of both, for other views of the same person.
    """
    tone = random_tone(rng)
    image[..., :3], rgb = tone(image[..., :3]), tone(rgb)
    return camera_errors(mask_errors(image, rng), rng), rgb, tone


def augment_batch(
    inputs: Inputs, supervision: Supervision, rng: torch.Generator, recolor: bool = True
) -> tuple[Inputs, Supervision]:
    """Truncate and rotate the photos of a batch, with their detections, depth maps and true landmarks.

    Points and surface samples stay as they are: only losses of landmarks and depth may use the result.

    Args:
        recolor: also change colors and cover parts of the person.
    """
    inputs, supervision = rotated(*truncated(inputs, supervision, rng), rng)
    return (recolored(inputs, rng) if recolor else inputs), supervision
