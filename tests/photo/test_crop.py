"""Laws of loading odd pictures and of cutting the subject."""

import numpy as np
import pytest
import skimage.data
import tifffile
import torch
from PIL import Image, features

from humanlrm.body.landmarks import COUNT, INDEX
from humanlrm.frame import SUBJECT_SPAN, VIEW_SPAN, project_ndc
from humanlrm.photo.blazepose import DetectedPose
from humanlrm.photo.crop import assemble_crop
from humanlrm.photo.load import MAX_PIXELS, WORKING_SIDE_PX, PhotoError, load_photo
from humanlrm.photo.segment import find_subject

GRADIENT = np.linspace(0, 255, 64 * 48).reshape(48, 64).astype(np.uint8)


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    return Image.fromarray(skimage.data.astronaut())


def saved(tmp_path, image: Image.Image, name: str = "photo.png", **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


# ---- loading


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_every_mode_loads_as_rgb(tmp_path, mode):
    image = Image.fromarray(np.dstack([GRADIENT] * 3)).convert(mode)
    suffix = {"CMYK": "photo.tif", "YCbCr": "photo.jpg"}.get(mode, "photo.png")
    photo = load_photo(saved(tmp_path, image, suffix))
    assert photo.rgb.shape == (48, 64, 3)
    assert photo.rgb.dtype == np.uint8
    assert photo.alpha is None
    assert photo.rgb[:5].mean() < 60 < 190 < photo.rgb[-5:].mean()


def test_cmyk_jpeg_loads_in_the_right_polarity(tmp_path):
    image = Image.fromarray(np.dstack([GRADIENT] * 3)).convert("CMYK")
    assert load_photo(saved(tmp_path, image, "photo.jpg")).rgb[-5:].mean() > 190


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path, suffix):
    image = Image.fromarray(GRADIENT.astype(np.uint16) * 257)
    np.testing.assert_array_equal(load_photo(saved(tmp_path, image, f"x.{suffix}")).rgb[..., 1], GRADIENT)


def test_palette_transparency_becomes_the_outline(tmp_path):
    image = Image.fromarray((GRADIENT > 100).astype(np.uint8) + 1).convert("P")
    photo = load_photo(saved(tmp_path, image, transparency=1))
    np.testing.assert_array_equal(photo.alpha > 0.5, GRADIENT > 100)


def test_color_key_transparency_becomes_the_outline(tmp_path):
    rgb = np.where(GRADIENT[..., None] > 100, np.uint8([200, 10, 10]), np.uint8([0, 255, 0])).astype(np.uint8)
    photo = load_photo(saved(tmp_path, Image.fromarray(rgb), transparency=(0, 255, 0)))
    np.testing.assert_array_equal(photo.alpha > 0.5, GRADIENT > 100)


def test_rounded_corners_are_no_outline(tmp_path):
    rgba = np.dstack([GRADIENT] * 3 + [np.full_like(GRADIENT, 255)])
    rgba[:2, :2, 3] = 0
    assert load_photo(saved(tmp_path, Image.fromarray(rgba))).alpha is None


_TIFF_KINDS = {
    "tiles": {"tile": (16, 16)},
    "compressed tiles": {"tile": (32, 32), "compression": "deflate"},
    "strips": {"rowsperstrip": 5},
    "pages": {"pages": 2},
    "planes": {"planarconfig": "separate"},
    "big-endian": {"byteorder": ">"},
}


@pytest.mark.parametrize("kind", _TIFF_KINDS)
def test_tiff_is_read_in_tiles_strips_planes_and_pages(tmp_path, kind):
    """Of several pages the first counts."""
    options = dict(_TIFF_KINDS[kind])
    rgb = np.dstack([GRADIENT, GRADIENT[:, ::-1], GRADIENT])
    pages = [rgb, 255 - rgb][: options.pop("pages", 1)]
    with tifffile.TiffWriter(tmp_path / "x.tif", byteorder=options.pop("byteorder", "<")) as file:
        for page in pages:
            pixels = np.moveaxis(page, -1, 0) if "planarconfig" in options else page
            file.write(pixels, photometric="rgb", metadata=None, **options)
    np.testing.assert_array_equal(load_photo(tmp_path / "x.tif").rgb, rgb)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
def test_tiff_is_read_in_every_compression(tmp_path, compression):
    image = Image.fromarray(np.dstack([GRADIENT, GRADIENT[:, ::-1], GRADIENT]))
    photo = load_photo(saved(tmp_path, image, "x.tif", compression=compression))
    np.testing.assert_allclose(photo.rgb, np.asarray(image), atol=20 if compression == "jpeg" else 0)


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_bigtiff_is_refused_by_name(tmp_path, byteorder):
    with tifffile.TiffWriter(tmp_path / "x.tif", bigtiff=True, byteorder=byteorder) as file:
        file.write(np.dstack([GRADIENT] * 3), photometric="rgb")
    with pytest.raises(PhotoError, match="BigTIFF"):
        load_photo(tmp_path / "x.tif")


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_avif_is_read(tmp_path):
    """Colors, and transparency as the outline."""
    image = Image.new("RGB", (64, 48), (200, 60, 30))
    np.testing.assert_allclose(load_photo(saved(tmp_path, image, "x.avif")).rgb, np.asarray(image), atol=6)
    image.putalpha(Image.fromarray(np.where(GRADIENT > 100, 255, 0).astype(np.uint8)))
    photo = load_photo(saved(tmp_path, image, "y.avif", quality=100))
    np.testing.assert_array_equal(photo.alpha > 0.5, GRADIENT > 100)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_the_first_frame_of_an_animation_is_taken(tmp_path, suffix):
    frames = [Image.new("RGB", (40, 30), c) for c in ((250, 0, 0), (0, 0, 250))]
    path = saved(tmp_path, frames[0], f"a.{suffix}", save_all=True, append_images=frames[1:], duration=100)
    red, _, blue = load_photo(path).rgb.mean((0, 1))
    assert red > 200 > 50 > blue


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(tmp_path, orientation):
    upright = Image.fromarray(np.dstack([GRADIENT, GRADIENT[:, ::-1], GRADIENT]))
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transpose that the camera's turn would have made
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = load_photo(saved(tmp_path, stored, exif=exif))
    np.testing.assert_array_equal(photo.rgb, np.asarray(upright))


def test_a_long_picture_is_reduced_to_working_size(tmp_path):
    assert load_photo(saved(tmp_path, Image.new("RGB", (20000, 200)))).rgb.shape == (20, WORKING_SIDE_PX, 3)


def test_a_large_jpeg_is_reduced_while_decoding(tmp_path):
    photo = load_photo(saved(tmp_path, Image.new("L", (9600, 9000), 77), "x.jpg"))
    assert MAX_PIXELS < 9600 * 9000
    assert max(photo.rgb.shape) == WORKING_SIDE_PX
    assert abs(int(photo.rgb[5, 5, 0]) - 77) < 3


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side_px", [10_000, 20_000])
def test_a_huge_picture_is_refused_before_decoding(tmp_path, side_px):
    with pytest.raises(PhotoError, match="reduce it first"):
        load_photo(saved(tmp_path, Image.new("1", (side_px, side_px))))


def test_transparent_everywhere_is_refused(tmp_path):
    with pytest.raises(PhotoError, match="transparent everywhere"):
        load_photo(saved(tmp_path, Image.new("RGBA", (64, 64), (200, 100, 50, 0))))


def test_floating_point_pictures_are_refused(tmp_path):
    with pytest.raises(PhotoError, match="floating-point"):
        load_photo(saved(tmp_path, Image.fromarray(GRADIENT.astype(np.float32)), "x.tif"))


def test_tiny_pictures_are_refused(tmp_path):
    with pytest.raises(PhotoError, match="3 x 5 px; expected at least"):
        load_photo(saved(tmp_path, Image.new("RGB", (3, 5))))


@pytest.mark.filterwarnings("ignore:Truncated File Read")
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "tif"])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.9])
def test_truncated_files_are_refused(tmp_path, suffix, share):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = saved(tmp_path, Image.fromarray(noise), f"x.{suffix}")
    data = path.read_bytes()
    path.write_bytes(data[: max(3, int(share * len(data)))])
    with pytest.raises(PhotoError):
        load_photo(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"this is not a picture at all", "is not a picture"),
        (b"P6 0 0 255\n", "x.jpg"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "HEIF|not a picture|damaged"),
    ],
)
def test_other_content_is_refused_with_one_line(tmp_path, content, message):
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(PhotoError, match=message) as caught:
        load_photo(tmp_path / "x.jpg")
    assert "\n" not in str(caught.value)


def test_folder_and_missing_file_are_refused(tmp_path):
    with pytest.raises(PhotoError, match="is a folder"):
        load_photo(tmp_path)
    with pytest.raises(PhotoError, match="does not exist"):
        load_photo(tmp_path / "nothing.jpg")


# ---- finding and cutting


def test_turned_copy_with_exif_gives_the_same_subject(tmp_path, detector, astronaut):
    plain = find_subject(load_photo(saved(tmp_path, astronaut)), detector, 64)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = saved(tmp_path, astronaut.transpose(Image.Transpose.ROTATE_90), "turned.png", exif=exif)
    again = find_subject(load_photo(turned), detector, 64)
    torch.testing.assert_close(again.rgb, plain.rgb)
    torch.testing.assert_close(again.landmarks, plain.landmarks)


def test_half_body_is_truncated_below_and_gets_room(tmp_path, detector, astronaut):
    subject = find_subject(load_photo(saved(tmp_path, astronaut)), detector, 128)
    assert "bottom" in subject.truncated
    assert "top" not in subject.truncated
    assert subject.known.mean() < 0.8
    assert bool((subject.rgb[:, subject.known[0] == 0] == 0).all())
    assert bool((subject.alpha[subject.known == 0] == 0).all())
    assert subject.landmarks.shape == (COUNT, 4)
    # The nose, projected by the canonical camera, lands on the face in the crop and in the photo.
    nose = project_ndc(subject.landmarks[INDEX["nose"], :3])
    assert np.linalg.norm(subject.crop.to_px(nose.numpy()) - [225, 124]) < 10
    column, row = ((nose * torch.tensor([1.0, -1.0]) + 1) * 64).long().tolist()
    assert subject.alpha[0, row, column] > 0.9


def test_a_photo_may_be_an_image_in_memory(tmp_path, astronaut):
    path = saved(tmp_path, astronaut)
    for source in (astronaut, np.asarray(astronaut)):
        np.testing.assert_array_equal(load_photo(source).rgb, load_photo(path).rgb)
    cutout = np.dstack([np.asarray(astronaut), np.zeros(astronaut.size[::-1], np.uint8)])
    cutout[100:200, 100:200, 3] = 255
    assert load_photo(cutout).alpha.sum() == 100**2
    for wrong in (np.zeros((64, 64, 3), np.float32), np.zeros((3, 64, 64), np.uint8), np.zeros(64, np.uint8)):
        with pytest.raises(PhotoError, match="8-bit numbers"):
            load_photo(wrong)


def test_noise_and_flat_photos_hold_nobody(tmp_path, detector):
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    for pixels in (noise, np.full_like(noise, 127)):
        with pytest.raises(PhotoError, match=r"no person found in photo\.png"):
            find_subject(load_photo(saved(tmp_path, Image.fromarray(pixels))), detector)


def test_an_outline_replaces_the_detectors_mask(tmp_path, detector, astronaut):
    outline = Image.fromarray((np.asarray(detector.best(np.asarray(astronaut)).mask) > 0.5).astype(np.uint8) * 255)
    cutout = astronaut.copy()
    cutout.putalpha(outline)
    subject = find_subject(load_photo(saved(tmp_path, cutout)), detector)
    np.testing.assert_array_equal(subject.photo_alpha > 0.5, np.asarray(outline) > 127)
    assert subject.landmarks[INDEX["nose"], 3] > 0.5


def test_an_outline_without_a_person_has_no_landmarks(tmp_path, detector):
    rgba = np.zeros((100, 120, 4), np.uint8)
    rgba[30:70, 40:60] = 255
    rgba[5:7, 110:112] = 255
    subject = find_subject(load_photo(saved(tmp_path, Image.fromarray(rgba))), detector, 32)
    assert not subject.landmarks.any()
    assert subject.photo_alpha[6, 111] == 0
    assert subject.truncated == ()
    assert subject.crop.side_px == pytest.approx(40 * VIEW_SPAN / SUBJECT_SPAN)
    assert subject.crop.center_px == (50.0, 50.0)


def square_person(landmarks_px=None):
    """A white 40 x 80 px rectangle in a 100 x 200 px photo, with one given landmark position for all points."""
    alpha = np.zeros((200, 100), np.float32)
    alpha[60:140, 30:70] = 1
    rgb = (alpha[..., None] * np.uint8([255, 128, 0])).astype(np.uint8)
    if landmarks_px is None:
        return rgb, alpha, None
    points = np.tile([50.0, 100.0, 0.0, 1.0], (COUNT, 1))
    points[INDEX["left_ankle"], :2] = landmarks_px
    return rgb, alpha, DetectedPose(points, alpha, 1.0, np.zeros((COUNT, 2, 480), np.float32))


def test_resampling_keeps_the_area_at_every_size():
    rgb, alpha, _ = square_person()
    for size_px in (16, 64, 300):
        subject = assemble_crop(rgb, alpha, None, size_px)
        px_per_pixel = subject.crop.side_px / size_px
        assert float(subject.alpha.sum()) * px_per_pixel**2 == pytest.approx(40 * 80, rel=0.01)
        centre = subject.rgb[:, size_px // 2, size_px // 2]
        torch.testing.assert_close(centre, torch.tensor([1.0, 128 / 255, 0.0]))


def test_known_is_the_part_of_the_square_inside_the_photo():
    rgb, alpha, _ = square_person()
    rgb, alpha = rgb[:, 30:], alpha[:, 30:]
    subject = assemble_crop(rgb, alpha, None, 56)
    left_px = subject.crop.center_px[0] - subject.crop.side_px / 2
    first = int(np.ceil(-left_px / subject.crop.side_px * 56 - 0.5))
    assert subject.truncated == ("left",)
    assert bool((subject.known[0, :, :first] == 0).all())
    assert bool((subject.known[0, :, first:] == 1).all())


def test_the_square_can_be_had_at_another_resolution():
    """Stripes of four pixels: the network's small input blurs them, the photo's own resolution keeps them."""
    stripes = np.where(np.arange(256) // 4 % 2, 255, 0).astype(np.uint8)
    rgb, alpha = np.broadcast_to(stripes[:, None], (256, 256, 3)), np.zeros((256, 256), np.float32)
    alpha[20:236, 20:236] = 1
    subject = assemble_crop(np.ascontiguousarray(rgb), alpha, None, 32)
    torch.testing.assert_close(subject.image_at(32), subject.inputs.image[0])
    contrast = [float(image[0][image[3] > 0.99].std()) for image in (subject.image_at(32), subject.image_at(252))]
    assert contrast[0] < 0.2 < 0.4 < contrast[1]


def test_a_frame_that_grows_keeps_landmarks_on_their_pixels_and_lengths_in_proportion():
    subject = assemble_crop(*square_person((45.0, 100.0)), 64)
    below = np.array([[0.0, -1.5, 0.2]])
    larger = subject.expanded_to(below)

    def pixels(of) -> np.ndarray:
        return of.crop.to_px(project_ndc(of.landmarks[:, :3]).numpy())

    np.testing.assert_allclose(pixels(larger), pixels(subject), atol=1e-3)
    growth = larger.crop.side_px / subject.crop.side_px
    assert growth > 1.2
    torch.testing.assert_close(larger.landmarks[:, 2] * growth, subject.landmarks[:, 2])
    torch.testing.assert_close(larger.landmarks[:, 3], subject.landmarks[:, 3])
    at = larger.crop.to_ndc(subject.crop.to_px(project_ndc(torch.tensor(below, dtype=torch.float32)).numpy()))
    assert np.abs(at).max() <= SUBJECT_SPAN / VIEW_SPAN + 1e-6
    torch.testing.assert_close(larger.image_at(64), larger.inputs.image[0])


def test_a_frame_that_grows_invents_no_landmarks():
    subject = assemble_crop(*square_person(), 64)
    assert not subject.expanded_to(np.array([[0.0, -1.5, 0.0]])).landmarks.any()


def test_a_wildly_wrong_point_cannot_shrink_the_person():
    wild = assemble_crop(*square_person((5000.0, 100.0)), 32)
    assert wild.crop.side_px <= (80 * 0.5 + 40 + 80) * VIEW_SPAN / SUBJECT_SPAN
    assert wild.landmarks[INDEX["left_ankle"], 3] == 0
    assert wild.landmarks[INDEX["right_ankle"], 3] == 1
    assert bool(wild.landmarks.isfinite().all())


def test_a_body_cut_by_the_photo_gets_room_for_its_legs():
    rgb, alpha, pose = square_person((50.0, 280.0))
    cut = assemble_crop(rgb[:140], alpha[:140], pose, 32)
    assert cut.truncated == ("bottom",)
    assert cut.landmarks[INDEX["left_ankle"], 3] == 1
    assert cut.crop.side_px == pytest.approx(220 * VIEW_SPAN / SUBJECT_SPAN)


def test_empty_masks_and_unequal_sizes_are_refused():
    rgb, alpha, _ = square_person()
    with pytest.raises(ValueError, match="mask is empty"):
        assemble_crop(rgb, np.zeros_like(alpha), None, 32)
    with pytest.raises((ValueError, TypeError), match=r"expected equal|Type-check"):
        assemble_crop(rgb, alpha[:50], None, 32)
    with pytest.raises(ValueError, match="size_px=0"):
        assemble_crop(rgb, alpha, None, 0)
