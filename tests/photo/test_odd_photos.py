"""Laws of who is found in photos that are hard: odd outlines, people who touch, lost parts, turned photos, things."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from humanlrm.body.landmarks import INDEX
from humanlrm.data.render.environment import random_surroundings
from humanlrm.data.render.group import GroupPhoto, photograph_group, stand_in_row
from humanlrm.data.render.odd_pictures import odd_pictures
from humanlrm.people.procedural.person import make_person
from humanlrm.photo.blazepose import DetectedPose
from humanlrm.photo.competition import compete
from humanlrm.photo.load import Photo, PhotoError, load_photo, with_mask
from humanlrm.photo.missing_parts import mend, missing_remarks
from humanlrm.photo.plausibility import measure_signs
from humanlrm.photo.segment import choose_person, segment
from humanlrm.photo.upright import turn_upright
from humanlrm.settings import Selection


@pytest.fixture(scope="module")
def pair() -> GroupPhoto:
    """Two procedural people whose silhouettes overlap a little."""
    rng = np.random.default_rng(4)
    people = stand_in_row([make_person(3), make_person(5)], [0.1, -0.1], 0.1, 0.2)
    return photograph_group(people, random_surroundings(rng), rng, (512, 512))


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def codes(of) -> list[str]:
    return [remark.code for remark in of.remarks]


# ---- outlines


def test_a_vignette_is_no_outline(avatar, found, detector):
    rows, columns = np.nonzero(found.mask > 0.5)
    y, x = np.mgrid[: len(found.mask), : found.mask.shape[1]]
    radius = 0.45 * np.ptp(rows)
    circle = ((y - rows.mean()) ** 2 + (x - columns.mean()) ** 2 < radius**2).astype(np.float32)
    again = segment(replace(avatar, alpha=circle), detector)
    assert codes(again) == ["outline-ignored"]
    assert iou(again.mask > 0.5, found.mask > 0.5) > 0.95


def test_an_inverted_outline_is_seen_through(avatar, found, detector):
    again = segment(replace(avatar, alpha=1 - found.mask), detector)
    assert codes(again) == ["outline-ignored"]
    assert iou(again.mask > 0.5, found.mask > 0.5) > 0.95


def test_the_outline_of_a_person_is_believed(avatar, found, detector):
    again = segment(replace(avatar, alpha=found.mask), detector)
    assert codes(again) == []
    assert iou(again.mask > 0.5, found.mask > 0.5) > 0.999


@pytest.mark.parametrize("shape", ["speck", "car"])
def test_an_outline_without_anybody_is_refused(shape, detector):
    """Three pixels of something, and a drawn car."""
    if shape == "speck":
        rgb, alpha = np.full((200, 200, 3), 127, np.uint8), np.zeros((200, 200), np.float32)
        alpha[50:53, 50:53] = 1
    else:
        rgb = next(pixels for name, pixels in odd_pictures(4) if name.startswith("car"))
        alpha = np.zeros(rgb.shape[:2], np.float32)
        alpha[170:372, 60:420] = 1
    with pytest.raises(PhotoError, match=r"nobody is recognized in the opaque part|no person found"):
        segment(Photo(rgb, alpha, "x.png"), detector)


def test_a_mask_that_is_given_is_believed(tmp_path, avatar, found, detector):
    mask = found.mask > 0.5
    mask[: len(mask) // 2] = False
    Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / "mask.png")
    again = segment(with_mask(avatar, tmp_path / "mask.png"), detector)
    assert iou(again.mask > 0.5, mask) > 0.99
    Image.new("L", (30, 90), 255).save(tmp_path / "narrow.png")
    with pytest.raises(PhotoError, match="of the photo's shape"):
        with_mask(avatar, tmp_path / "narrow.png")
    Image.new("L", mask.shape[::-1], 0).save(tmp_path / "empty.png")
    with pytest.raises(PhotoError, match="is empty"):
        with_mask(avatar, tmp_path / "empty.png")


def test_hardly_opaque_is_not_called_transparent(tmp_path, avatar):
    faint = np.dstack([avatar.rgb, np.full(avatar.rgb.shape[:2], 60, np.uint8)])
    Image.fromarray(faint).save(tmp_path / "faint.png")
    photo = load_photo(tmp_path / "faint.png")
    assert codes(photo) == ["outline-faint"]
    assert photo.alpha is None


# ---- people who touch


def test_of_two_who_touch_the_chosen_one_is_cut_out(pair, detector):
    found = segment(Photo(pair.rgb, None, "pair"), detector)
    chosen = max((0, 1), key=lambda k: iou(found.mask > 0.5, pair.owner == k))
    assert iou(found.mask > 0.5, pair.owner == chosen) > 0.9
    assert found.people_seen == 2
    assert "several-people" in codes(found)
    mirrored = segment(Photo(np.ascontiguousarray(pair.rgb[:, ::-1]), None, "pair"), detector)
    assert iou(mirrored.mask[:, ::-1] > 0.5, pair.owner == chosen) > 0.85


def test_a_cut_out_of_two_becomes_one(pair, detector):
    found = segment(Photo(pair.rgb, (pair.owner >= 0).astype(np.float32), "pair"), detector)
    assert max(iou(found.mask > 0.5, pair.owner == k) for k in (0, 1)) > 0.85


def people_at(*columns: float) -> list[DetectedPose]:
    """Standing people whose middles are at these columns of a photo of 100 x 300 px."""
    poses = []
    for column in columns:
        points = np.zeros((len(INDEX), 4))
        points[:, 0], points[:, 1], points[:, 3] = column, np.linspace(90, 20, len(INDEX)), 1
        mask = np.zeros((100, 300), np.float32)
        mask[15:95, int(column) - 12 : int(column) + 12] = 1
        poses.append(DetectedPose(points, mask, 1.0, np.zeros((len(INDEX), 2, 480), np.float32)))
    return poses


def test_another_person_can_be_chosen_by_number_or_place():
    photo, poses = Photo(np.zeros((100, 300, 3), np.uint8), None, "x", scale=0.5), people_at(150, 50, 250)
    assert choose_person(photo, poses, Selection()) is poses[0]
    assert choose_person(photo, poses, Selection("1")) is poses[1]
    assert choose_person(photo, poses, Selection("3")) is poses[2]
    assert choose_person(photo, poses, Selection("500,100")) is poses[2]
    with pytest.raises(ValueError, match="3 people are seen"):
        choose_person(photo, poses, Selection("4"))
    with pytest.raises(ValueError, match="nobody is seen there; heads are at 300,"):
        choose_person(photo, poses, Selection("200,100"))
    for word in ("0", "left", "1,", "a,b"):
        with pytest.raises(ValueError, match="person must be"):
            Selection(word)


def test_pixels_between_two_people_go_to_the_nearer_color():
    """Both masks hold all of both; skeletons tell the middles, the edge between two colors tells the rest."""
    poses = [replace(pose, mask=np.ones((100, 300), np.float32)) for pose in people_at(100, 200)]
    rgb = np.zeros((100, 300, 3), np.uint8)
    rgb[:, :170], rgb[:, 170:] = (200, 40, 40), (40, 40, 200)
    left, right = compete(rgb, poses)
    assert (left > right)[50, 110:165].all()
    assert (right > left)[50, 175:190].all()


def test_what_only_one_mask_claims_is_this_persons():
    """Also where the skeleton of somebody else, who is hidden there, is nearer."""
    left, right = people_at(100, 114)
    left.mask[:], right.mask[:] = 0, 0
    left.mask[15:95, 88:112], right.mask[15:95, 112:126] = 1, 1
    shares = compete(np.full((100, 300, 3), 120, np.uint8), [left, right])
    assert (shares[0] > shares[1])[40:70, 100:111].all()
    assert (shares[1] > shares[0])[40:70, 114:124].all()


# ---- parts


def test_a_head_that_the_mask_has_lost_comes_back(avatar, found):
    head = found.pose.landmarks[[INDEX["head"], INDEX["neck"]], 1]
    headless = found.mask.copy()
    headless[: int(head.mean()) + 1] = 0
    assert [remark.code for remark in missing_remarks(headless, found.pose)] == ["part-missing"]
    mended, remarks = mend(avatar.rgb, headless, found.pose)
    assert [remark.code for remark in remarks] == ["part-mended"]
    assert "ead" in remarks[0].sentence
    top = np.s_[: int(head.mean())]
    assert iou(mended[top] > 0.5, found.mask[top] > 0.5) > 0.6


def test_a_mask_that_has_all_parts_stays_as_it_is(avatar, found):
    mended, remarks = mend(avatar.rgb, found.mask, found.pose)
    assert mended is found.mask
    assert remarks == ()


def test_a_pixelated_head_stays_on_its_shoulders(avatar, found, detector):
    x, y = found.pose.landmarks[INDEX["head"], :2].astype(int)
    side = 34
    pixels, box = avatar.rgb.copy(), np.s_[y - side : y + side, x - side : x + side]
    patch = Image.fromarray(pixels[box])
    pixels[box] = np.asarray(patch.resize((4, 4), Image.Resampling.BOX).resize(patch.size, Image.Resampling.NEAREST))
    again = segment(replace(avatar, rgb=pixels), detector)
    assert (again.mask[box] > 0.5).sum() > 0.7 * (found.mask[box] > 0.5).sum()


# ---- turned photos


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_photo_is_turned_back_with_a_remark(avatar, detector, degrees):
    turned = replace(avatar, rgb=np.ascontiguousarray(np.rot90(avatar.rgb, degrees // 90)))
    upright = turn_upright(turned, detector, Selection()).photo
    np.testing.assert_array_equal(upright.rgb, avatar.rgb)
    assert f"turned by {degrees} degrees" in upright.remarks[0].sentence
    np.testing.assert_array_equal(turn_upright(turned, detector, Selection(rotate=0)).photo.rgb, turned.rgb)
    np.testing.assert_array_equal(turn_upright(turned, detector, Selection(rotate=degrees)).photo.rgb, avatar.rgb)


def test_somebody_who_lies_on_a_floor_stays_lying(avatar, found, detector):
    """The person on the side, on a dark floor before a light wall."""
    person = np.rot90(found.mask > 0.5)
    floor = np.where(np.arange(len(person)) > 0.45 * len(person), 60, 215).astype(np.uint8)
    scene = np.where(person[..., None], np.rot90(avatar.rgb), floor[:, None, None])
    photo = replace(avatar, rgb=np.ascontiguousarray(scene))
    assert turn_upright(photo, detector, Selection()).photo is photo


def test_a_photo_of_a_camera_that_rolls_is_levelled(avatar, detector):
    assert turn_upright(avatar, detector, Selection()).photo is avatar
    rolled = np.asarray(Image.fromarray(avatar.rgb).rotate(20, Image.Resampling.BICUBIC, fillcolor=(120, 120, 120)))
    level = turn_upright(replace(avatar, rgb=rolled), detector, Selection()).photo
    assert codes(level) == ["turned"]
    (pose, *_) = detector.survey(level.rgb)
    ankles = pose.landmarks[[INDEX["left_ankle"], INDEX["right_ankle"]], :2].mean(0)
    across, up = pose.landmarks[INDEX["neck"], :2] - ankles
    assert abs(across) < np.tan(np.deg2rad(6)) * abs(up)


# ---- things


def test_a_person_is_surer_than_things(avatar, found, detector):
    assert found.confidence > 0.9
    for name, rgb in odd_pictures(10):
        for pose in detector.survey(rgb)[:1]:
            assert measure_signs(rgb, pose, detector).confidence < found.confidence - 0.2, name


def test_a_small_person_in_a_large_photo_is_found(avatar, found, detector):
    """60 px of 2048."""
    rows, columns = np.flatnonzero((found.mask > 0.5).any(1)), np.flatnonzero((found.mask > 0.5).any(0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    size = (round(60 * np.ptp(columns) / np.ptp(rows)), 60)
    small, outline = (
        Image.fromarray(plane[box]).resize(size, Image.Resampling.BOX)
        for plane in (avatar.rgb, (found.mask * 255).astype(np.uint8))
    )
    photo = Image.new("RGB", (2048, 600), (140, 150, 160))
    photo.paste(small, (900, 300), outline)
    again = segment(Photo(np.asarray(photo), None, "large"), detector)
    np.testing.assert_allclose(again.pose.landmarks[INDEX["head"], :2], [900 + size[0] / 2, 306], atol=12)
    shown = np.zeros(again.mask.shape, dtype=bool)
    shown[300:360, 900 : 900 + size[0]] = np.asarray(outline) > 127
    assert iou(again.mask > 0.5, shown) > 0.6


def test_where_nobody_is_found_the_least_size_is_said(detector):
    """In pixels of the file, of which the photo in memory has half."""
    with pytest.raises(PhotoError, match="at least 120 px high"):
        segment(Photo(np.full((64, 64, 3), 127, np.uint8), None, "x", scale=0.5), detector)


def test_of_an_upright_photo_one_survey_is_enough(avatar, detector):
    """The survey that looks for the photo's up is that of the photo which is segmented."""
    turned = replace(avatar, rgb=np.ascontiguousarray(np.rot90(avatar.rgb)))
    for photo in (avatar, turned):
        upright = turn_upright(photo, detector, Selection())
        again = detector.survey(upright.photo.rgb)
        assert len(upright.poses) == len(again) == 1
        np.testing.assert_array_equal(upright.poses[0].landmarks, again[0].landmarks)
