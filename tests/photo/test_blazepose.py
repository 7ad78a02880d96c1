"""Laws of the detector, the lifting of landmarks and the mask's refinement. Bounds are noted where they are used."""

from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from scipy import ndimage

from humanlrm.body.landmarks import COUNT, INDEX, MIRROR
from humanlrm.frame import SquareCrop, project_ndc
from humanlrm.photo import blazepose as matting
from humanlrm.photo.blazepose import DetectedPose, PoseDetector
from humanlrm.photo.crop import lift_landmarks
from humanlrm.photo.matte import keep_main_part, refine_mask

#: Tip of the nose, read off the photo.
NOSE_PX = np.array([225.0, 124.0])


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return skimage.data.astronaut()


@pytest.fixture(scope="module")
def pose(detector, astronaut) -> DetectedPose:
    found = detector.best(astronaut)
    assert found is not None
    return found


def test_astronaut_nose_and_mask_are_where_the_face_is(pose):
    assert pose.landmarks.shape == (COUNT, 4)
    assert np.linalg.norm(pose.landmarks[INDEX["nose"], :2] - NOSE_PX) < 10
    assert pose.mask.shape == (512, 512)
    assert pose.mask[90:140, 205:245].min() > 0.5
    assert pose.mask[:60, :60].max() < 0.1
    assert pose.landmarks[INDEX["left_shoulder"], 0] > pose.landmarks[INDEX["right_shoulder"], 0]


def test_the_mirrored_photo_shows_the_same_person_mirrored(detector, astronaut, pose):
    """The only differences are of rounding: the letterbox and the nets' arithmetic."""
    narrow = np.ascontiguousarray(astronaut[:, 3:-6])  # an odd width
    direct, mirrored = detector.best(narrow), detector.best(np.ascontiguousarray(narrow[:, ::-1]))
    back = mirrored.landmarks[MIRROR] * [-1, 1, 1, 1] + [narrow.shape[1], 0, 0, 0]
    np.testing.assert_allclose(back, direct.landmarks, atol=0.5)
    np.testing.assert_allclose(mirrored.mask[:, ::-1], direct.mask, atol=0.05)
    assert mirrored.score == pytest.approx(direct.score, abs=1e-3)


def test_a_careful_detector_averages_looks_of_one_person(detector, astronaut, pose):
    careful = PoseDetector(threads=1, careful=True).best(astronaut)
    assert careful is not None
    np.testing.assert_array_equal(careful.mask, pose.mask)
    assert careful.score == pose.score
    seen = pose.landmarks[:, 3] > 0.9
    apart = np.linalg.norm((careful.landmarks - pose.landmarks)[seen, :2], axis=1)
    assert 0 < apart.max() < 25
    assert np.linalg.norm(careful.landmarks[INDEX["nose"], :2] - NOSE_PX) < 10
    assert careful.detector_features.shape == pose.detector_features.shape
    assert not np.array_equal(careful.detector_features, pose.detector_features)


def test_the_nets_look_at_the_photo_and_not_at_its_scale(detector, astronaut, pose):
    grown = detector.best(np.ascontiguousarray(astronaut.repeat(3, 0).repeat(3, 1)))
    assert np.linalg.norm(grown.landmarks[INDEX["nose"], :2] / 3 - NOSE_PX) < 15
    overlap = ((grown.mask[1::3, 1::3] > 0.5) == (pose.mask > 0.5)).mean()
    assert overlap > 0.97


def test_lying_person_is_turned_upright_for_the_landmark_net(detector, astronaut, pose):
    turned = detector.best(np.ascontiguousarray(np.rot90(astronaut)))
    x, y = turned.landmarks[INDEX["nose"], :2]
    assert np.linalg.norm([512 - y - NOSE_PX[0], x - NOSE_PX[1]]) < 20


def test_a_small_person_in_a_large_photo_is_found_on_tiles(detector, astronaut):
    canvas = np.full((1200, 1800, 3), 90, np.uint8)
    canvas[800:1056, 1400:1656] = astronaut[::2, ::2]
    found = detector.best(canvas)
    assert np.linalg.norm(found.landmarks[INDEX["nose"], :2] - (NOSE_PX / 2 + [1400, 800])) < 15


def test_two_people_are_two_poses_and_the_larger_comes_first(detector, astronaut):
    canvas = np.full((512, 1300, 3), 128, np.uint8)
    canvas[:, :512] = astronaut
    canvas[152:, 940:] = np.asarray(Image.fromarray(astronaut).resize((360, 360)))
    poses = detector(canvas)
    noses = [p.landmarks[INDEX["nose"], :2] for p in poses]
    assert np.linalg.norm(noses[0] - NOSE_PX) < 15
    assert any(np.linalg.norm(n - (NOSE_PX * 360 / 512 + [940, 152])) < 15 for n in noses[1:])


def test_people_come_in_the_same_order_in_the_mirrored_photo(detector, astronaut):
    """Two of one size, at equal distances from the middle but for a pixel."""
    canvas = np.full((512, 1131, 3), 128, np.uint8)
    canvas[:, 10:522], canvas[:, 610:1122] = astronaut, astronaut
    columns = [pose.landmarks[INDEX["nose"], 0] for pose in detector.survey(canvas)]
    mirrored = [pose.landmarks[INDEX["nose"], 0] for pose in detector.survey(np.ascontiguousarray(canvas[:, ::-1]))]
    assert len(columns) == 2
    np.testing.assert_allclose(1131 - np.array(mirrored), columns, atol=0.5)


def test_nobody_is_found_in_noise(detector):
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    assert detector.best(noise) is None
    assert detector(noise) == []


@pytest.mark.parametrize("name", ["moon", "text", "cat"])
def test_what_is_no_person_is_not_taken_for_one(detector, name):
    """The landmark net is sure of all three."""
    picture = getattr(skimage.data, name)()
    assert detector.best(picture if picture.ndim == 3 else np.dstack([picture] * 3)) is None


def test_a_damaged_file_is_named(monkeypatch, tmp_path):
    source = Path(matting.__file__).parent / "detector"
    for file in source.glob("*.tflite"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    broken = bytearray((tmp_path / "pose_detection.tflite").read_bytes())
    broken[1000] ^= 1
    (tmp_path / "pose_detection.tflite").write_bytes(broken)
    monkeypatch.setattr(matting, "_FOLDER", tmp_path)
    with pytest.raises(ValueError, match=r"pose_detection\.tflite is damaged"):
        PoseDetector()
    (tmp_path / "pose_detection.tflite").unlink()
    with pytest.raises(ValueError, match="is missing"):
        PoseDetector()


def test_negative_threads_are_refused():
    with pytest.raises(ValueError, match="threads=-1"):
        PoseDetector(threads=-1)


def test_lift_returns_the_points_that_were_projected():
    rng = np.random.default_rng(1)
    points = rng.uniform(-0.8, 0.8, (COUNT, 3))
    trunk = [INDEX[n] for n in ("left_shoulder", "right_shoulder", "left_hip", "right_hip")]
    crop = SquareCrop((310.0, 205.0), 420.0)
    px = crop.to_px(project_ndc(torch.from_numpy(points)).numpy())
    # The detector's z has its own origin: any shift t with (z - t) - 0.7 mean(z - t) = z undoes the rule of lift.
    origin = -0.7 / 0.3 * points[trunk, 2].mean()
    z_px = (points[:, 2] - origin) * (crop.side_px / 2.1)
    visibility = rng.uniform(0, 1, COUNT)
    pose = DetectedPose(
        np.column_stack([px, z_px, visibility]),
        np.zeros((4, 4), np.float32),
        1.0,
        np.zeros((COUNT, 2, 480), np.float32),
    )
    lifted = lift_landmarks(pose, crop)
    np.testing.assert_allclose(lifted[:, :3], points, atol=1e-5)
    np.testing.assert_allclose(lifted[:, 3], visibility, atol=1e-6)


def test_refined_mask_follows_the_photos_edge():
    y, x = np.mgrid[:200, :240]
    true = (x - 120) ** 2 / 45**2 + (y - 100) ** 2 / 75**2 < 1
    rgb = np.where(true[..., None], np.uint8([190, 60, 50]), np.uint8([40, 90, 60])).astype(np.uint8)
    coarse = ndimage.gaussian_filter(np.roll(true, (1, 2), (0, 1)).astype(np.float32), 3)
    refined = refine_mask(rgb, coarse)
    # Measured: 626 wrong pixels before, 14 after.
    assert ((refined > 0.5) != true).sum() < 0.1 * ((coarse > 0.5) != true).sum()
    assert refined.min() >= 0
    assert refined.max() <= 1
    with pytest.raises((ValueError, TypeError), match=r"differ in size|Type-check"):
        refine_mask(rgb, coarse[:50])


def test_main_part_drops_far_islands_and_fills_pin_holes_only():
    mask = np.zeros((200, 200), np.float32)
    mask[20:180, 60:120] = 1
    mask[60:62, 80:82] = 0  # pin-hole
    mask[100:120, 80:100] = 0  # a real gap
    mask[150:180, 123:140] = 1  # a near part of good size
    mask[5:8, 190:193] = 1  # a far speck
    clean = keep_main_part(mask)
    assert clean[61, 81] == 1
    assert clean[110, 90] == 0
    assert clean[160, 130] == 1
    assert clean[6, 191] == 0
    assert not keep_main_part(np.zeros((9, 9), np.float32)).any()
