"""Embedded color profiles (ICC) to sRGB."""

from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsProfile

#: Modes that images of a color space are converted in, by the profile's own name of the space.
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
#: A profile that moves no color of a coarse cube by more levels than this is sRGB: pixels stay as they are.
_SAME_LEVELS = 2


class ProfileError(ValueError):
    """A color profile that is damaged, or that belongs to another kind of picture."""


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """The image's colors by its profile, in sRGB.

    Args:
        image: "RGB", "RGBA", "L" or "CMYK".
        profile: content of the embedded profile.

    Returns:
        an "RGB" or "RGBA" image.

    Raises:
        ProfileError: the profile is damaged, or of another color space than the image.
    """
    from PIL import ImageCms

    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    try:
        source, target = ImageCms.ImageCmsProfile(BytesIO(profile)), ImageCms.createProfile("sRGB")
        described: Any = source.profile
        mode = _MODES[described.xcolor_space.strip()]
        if (mode == "CMYK") != (image.mode == "CMYK"):
            raise ProfileError(f"a profile of {mode} in a picture of {image.mode}")
        colors = image.convert(mode)
        if mode == "RGB" and _is_srgb(source, ImageCms.ImageCmsProfile(target)):
            out = colors
        else:
            out = ImageCms.profileToProfile(colors, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, KeyError, TypeError) as error:
        raise ProfileError(f"no usable color profile ({error})") from error
    assert out is not None
    if alpha is not None:
        out.putalpha(alpha)
    return out


def _is_srgb(source: "ImageCmsProfile", target: "ImageCmsProfile") -> bool:
    """True if colors of the profile are those of sRGB, but for rounding."""
    from PIL import ImageCms

    levels = np.linspace(0, 255, 9).round().astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(27, 27, 3)
    moved = ImageCms.profileToProfile(Image.fromarray(cube), source, target, outputMode="RGB")
    return int(np.abs(np.asarray(moved).astype(int) - cube).max()) <= _SAME_LEVELS
