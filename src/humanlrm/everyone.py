"""Everybody in a photo: each person is cut out and reconstructed like a photo of one."""

from dataclasses import replace

import numpy as np
from jaxtyping import UInt8

from humanlrm.photo.blazepose import PoseDetector
from humanlrm.photo.load import Photo, PhotoError, PhotoSource, load_photo
from humanlrm.photo.matte import keep_main_part, refine_mask
from humanlrm.reconstruct import Completion, Reconstruction, Reconstructor, Settings


def reconstruct_everyone(
    reconstructor: Reconstructor,
    photo: PhotoSource,
    settings: Settings | None = None,
    completion: Completion | None = None,
) -> list[Reconstruction]:
    """Reconstruct each person that the detector sees, the main person first.

    A photo of one person, and a cut-out, give what the reconstructor gives. All people get the height of the settings.

    Raises:
        PhotoError: the photo cannot be read or shows nobody.
        EmptySurfaceError: nothing solid was reconstructed of somebody.
    """
    loaded = load_photo(photo)
    cutouts = [] if loaded.alpha is not None else cut_out_everyone(loaded, reconstructor.detector)
    if len(cutouts) < 2:
        return [reconstructor(photo, None, settings, completion)]
    people = [reconstructor(cutout, None, settings, completion) for cutout in cutouts]
    return [replace(person, people_seen=len(people)) for person in people]


def cut_out_everyone(photo: Photo, detector: PoseDetector) -> list[UInt8[np.ndarray, "H W 4"]]:
    """The photo once per person, the others transparent; the main person first.

    A pixel that several masks claim goes to the person whose mask is surest of it.

    Raises:
        PhotoError: nobody found.
    """
    poses = detector.survey(photo.rgb)
    if not poses:
        raise PhotoError(f"no person found in {photo.name}; give a photo with clearly visible people, or cut-outs")
    coarse = np.stack([pose.mask for pose in poses])
    surest = coarse.argmax(axis=0)
    cutouts = []
    for place, mask in enumerate(coarse):
        alpha = refine_mask(photo.rgb, mask) * (surest == place)
        alpha = keep_main_part(alpha.astype(np.float32))
        if (alpha > 0.5).any():
            cutouts.append(np.dstack([photo.rgb, (alpha * 255).round().astype(np.uint8)]))
    return cutouts
