"""Laws of embedded color profiles."""

from io import BytesIO
from pathlib import Path

import icc
import numpy as np
import pytest
from PIL import Image, ImageCms
from skimage.color import deltaE_ciede2000, rgb2lab

from humanlrm.photo.load import load_photo

AVATAR = Image.open(Path(__file__).parents[2] / "examples" / "avatar.jpg").convert("RGB").reduce(3)
LOSSLESS = {"PNG": {}, "TIFF": {}, "WEBP": {"lossless": True}}


def stored(image: Image.Image, kind: str, profile: bytes | None, **options) -> bytes:
    file = BytesIO()
    image.save(file, kind, icc_profile=profile, **(LOSSLESS.get(kind, {"quality": 99, "subsampling": 0}) | options))
    return file.getvalue()


def difference(rgb: np.ndarray, other: np.ndarray) -> float:
    """Mean CIEDE2000 at half the size, where the noise of 8 bits and of JPEG is gone."""
    lab = [rgb2lab(np.asarray(Image.fromarray(pixels).reduce(2))) for pixels in (rgb, other)]
    return float(deltaE_ciede2000(*lab).mean())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("space", ["display-p3", "adobe-rgb", "prophoto"])
def test_a_photo_of_another_space_has_the_colors_of_the_same_photo_in_srgb(space, kind):
    pixels = np.asarray(AVATAR)
    other = Image.fromarray(icc.encode(pixels, space))
    expected = np.asarray(load_photo(stored(AVATAR, kind, None)).rgb)
    ignored = load_photo(stored(other, kind, None)).rgb
    converted = load_photo(stored(other, kind, icc.profile(space)))
    assert converted.remarks == ()
    assert difference(converted.rgb, expected) < min(1.0, 0.7 * difference(ignored, expected))


def test_an_srgb_profile_leaves_the_pixels():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_array_equal(load_photo(stored(AVATAR, "PNG", srgb)).rgb, np.asarray(AVATAR))


def test_alpha_survives_a_profile():
    cutout = Image.fromarray(icc.encode(np.asarray(AVATAR), "prophoto"))
    alpha = np.zeros(AVATAR.size[::-1], np.uint8)
    alpha[10:90, 10:60] = 255
    cutout.putalpha(Image.fromarray(alpha))
    photo = load_photo(stored(cutout, "PNG", icc.profile("prophoto")))
    np.testing.assert_array_equal(photo.alpha > 0.5, alpha > 127)
    assert difference(photo.rgb, np.asarray(AVATAR)) < 1.0


def test_grey_pictures_with_a_profile_of_colors_are_converted():
    """Tools that take the colors away keep the profile."""
    grey = load_photo(stored(AVATAR.convert("L"), "PNG", icc.profile("prophoto")))
    assert grey.remarks == ()
    assert grey.rgb.mean() > np.asarray(AVATAR.convert("L")).mean() + 5


@pytest.mark.parametrize("damage", [lambda p: p[:60], lambda p: b"\0" * len(p), lambda p: p[:16] + b"CMYK" + p[20:]])
def test_a_broken_profile_is_ignored_with_a_remark(damage):
    photo = load_photo(stored(AVATAR, "PNG", damage(icc.profile("adobe-rgb"))))
    (remark,) = photo.remarks
    assert remark.code == "color-profile"
    np.testing.assert_array_equal(photo.rgb, np.asarray(AVATAR))


def test_a_profile_of_colors_in_a_picture_of_inks_is_ignored_with_a_remark():
    photo = load_photo(stored(AVATAR.convert("CMYK"), "JPEG", icc.profile("adobe-rgb")))
    assert [remark.code for remark in photo.remarks] == ["color-profile"]
    assert difference(photo.rgb, np.asarray(AVATAR)) < 3


def test_inks_are_converted_by_their_profile():
    """The paper of full cyan: the profile's tint, not Pillow's."""
    cyan = Image.new("CMYK", (64, 64), (255, 0, 0, 0))
    photo = load_photo(stored(cyan, "TIFF", icc.ink_profile()))
    assert photo.remarks == ()
    np.testing.assert_allclose(photo.rgb[32, 32], [0.4 * 255, 0.6 * 255, 0.8 * 255], atol=15)
    assert load_photo(stored(cyan, "TIFF", None)).rgb[32, 32].tolist() == [0, 255, 255]
