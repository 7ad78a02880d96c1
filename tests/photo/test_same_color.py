"""Laws of people whose clothes have the color of the ground, of legs alone, and of tight crops."""

from dataclasses import replace

import numpy as np
import pytest

from humanlrm.photo.contrast import raise_contrast
from humanlrm.photo.load import Photo
from humanlrm.photo.segment import segment
from humanlrm.photo.visibility import measure_visibility, visibility_remarks


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """First and last row, first and last column."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])


def dressed(photo: Photo, mask: np.ndarray, clothes: int, ground: int) -> Photo:
    """The person in clothes of one tone, with faint folds, on a ground of another."""
    top, bottom, _, _ = box_of(mask)
    grey = photo.rgb.mean(-1, keepdims=True)
    folds = (clothes + 0.08 * (grey - grey[mask].mean())).clip(0, 255).repeat(3, axis=-1)
    below_the_head = np.arange(len(mask))[:, None, None] > top + 0.16 * (bottom - top)
    rgb = np.where(mask[..., None], np.where(below_the_head, folds, photo.rgb), ground)
    return replace(photo, rgb=rgb.astype(np.uint8))


@pytest.mark.parametrize(("clothes", "ground"), [(240, 248), (14, 8)], ids=["white", "black"])
def test_clothes_in_the_color_of_the_ground_keep_legs_and_shape(avatar, found, detector, clothes, ground):
    """White on white keeps its legs; black on black is no sack."""
    mask = found.mask > 0.5
    again = segment(dressed(avatar, mask, clothes, ground), detector).mask > 0.5
    top, bottom, _, _ = box_of(mask)
    legs = np.s_[top + (bottom - top) // 2 :]
    assert (again & mask)[legs].sum() > 0.9 * mask[legs].sum()
    assert (again & mask).sum() > 0.9 * (again | mask).sum()


def test_only_photos_of_one_tone_are_seen_with_more_contrast(avatar, found):
    assert raise_contrast(avatar.rgb) is avatar.rgb
    flat = np.full((40, 60, 3), 127, np.uint8)
    assert raise_contrast(flat) is flat
    mask = found.mask > 0.5
    dull = dressed(avatar, mask, 240, 248)
    contrasts = [abs(float(rgb[mask][-5000:].mean()) - float(rgb[~mask].mean())) for rgb in (dull.rgb, dull.seen)]
    assert contrasts[1] > 2 * contrasts[0]


def test_of_legs_alone_it_is_said_what_is_missing(avatar, found, detector):
    """They stay two legs, and the rest is called estimated."""
    top, bottom, _, _ = box_of(found.mask > 0.5)
    below = np.s_[top + int(0.52 * (bottom - top)) :]
    photo = replace(avatar, rgb=np.ascontiguousarray(avatar.rgb[below]))
    legs = segment(photo, detector)
    truth = found.mask[below] > 0.5
    assert ((legs.mask > 0.5) & truth).sum() > 0.9 * ((legs.mask > 0.5) | truth).sum()
    subject = legs.crop(photo, 256)
    hidden = measure_visibility(subject)
    (remark,) = visibility_remarks(hidden, subject.truncated, sampled=False)
    assert hidden.hidden > 0.2
    assert "border cuts the person: top" in remark.sentence


@pytest.mark.parametrize("margin", [0, 2, 10])
def test_of_a_tight_crop_with_nothing_missing_nothing_is_said(avatar, found, detector, margin):
    top, bottom, left, right = box_of(found.mask > 0.5)
    rgb = avatar.rgb[top - margin : bottom + 1 + margin, left - margin : right + 1 + margin]
    photo = replace(avatar, rgb=np.ascontiguousarray(rgb))
    tight = segment(photo, detector)
    subject = tight.crop(photo, 256)
    assert tight.remarks == ()
    assert visibility_remarks(measure_visibility(subject), subject.truncated, sampled=False) == ()


def test_a_person_on_a_plain_ground_is_cut_out_as_on_any_other(avatar, found, detector):
    """A small person on a plain ground is a photo of one tone, too."""
    mask = found.mask > 0.5
    plain = np.where(mask[..., None], avatar.rgb, 200).astype(np.uint8)
    wide = np.pad(plain, ((0, 0), (500, 500), (0, 0)), constant_values=200)
    again = segment(Photo(wide, None, "wide"), detector).mask[:, 500:-500] > 0.5
    assert raise_contrast(wide) is not wide
    assert (again & mask).sum() > 0.95 * (again | mask).sum()
