from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from humanlrm.body.landmarks import INDEX
from humanlrm.evaluate.case import SIDES, ColoredSurface, stands_in_front
from humanlrm.evaluate.case_builder import CaseBuilder
from humanlrm.evaluate.images import iou
from humanlrm.evaluate.plan import Corruption, Shooting
from humanlrm.evaluate.scores import Scorer, component_count, is_sound
from humanlrm.evaluate.sources import Unit
from humanlrm.frame import project_ndc
from humanlrm.mesh.surface import TriangleSurface


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer("none", 4000)


def truth_of(case) -> ColoredSurface:
    return ColoredSurface(case.truth.surface, np.full_like(case.truth.surface.vertices, 0.5))


def test_what_is_shown_and_the_truth_agree(case):
    given = case.shown.alpha[0].numpy() > 0.5
    assert iou(case.truth.pictures[0].mask, given) > 0.93
    assert np.abs(case.truth.surface.vertices[:, :2]).max() < 1.1


def test_centimetres_are_at_true_height(case, person):
    height_cm = np.ptp(case.truth.surface.vertices[:, 1]) * case.truth.cm_per_unit
    assert height_cm == pytest.approx(100 * np.ptp(person.vertices[:, 1]), rel=0.02)


def test_visible_samples_face_the_camera_and_hidden_ones_are_behind(case):
    toward = np.array([0, 0, 4]) - case.truth.samples.points
    cosine = (toward * case.truth.samples.normals).sum(1) / np.linalg.norm(toward, axis=1)
    assert not case.truth.visible[cosine < -0.1].any()  # the photo's own camera is nearly the canonical one
    assert 0.25 < case.truth.visible.mean() < 0.55
    assert case.truth.visible[cosine > 0.1].mean() > 0.6
    seen = project_ndc(torch.from_numpy(case.truth.samples.points[case.truth.visible])).numpy()
    row, column = ((1 - seen[:, 1]) * 128).astype(int), ((seen[:, 0] + 1) * 128).astype(int)
    assert (case.shown.alpha[0].numpy()[row, column] > 0.2).mean() > 0.97


def test_three_sides_show_the_person_from_three_sides(shoot):
    cases = [shoot(yaw_deg=yaw) for yaw in (0, 120)]
    noses = [c.truth.landmarks[INDEX["nose"]] - c.truth.landmarks[INDEX["head"]] for c in cases]
    assert noses[0] @ noses[1] < 0


def test_landmarks_are_not_those_of_the_person_in_front(shoot, monkeypatch):
    """The mask is known: whoever brings a cut-out is not given the pose of somebody else either."""
    behind = Corruption("occlusion", "person in front, share of mask", 0.25)

    def off(case):
        return (case.shown.landmarks[:, :2].numpy() - case.truth.landmarks[:, :2]).std(0).max()

    found = off(shoot(behind))
    monkeypatch.setattr("humanlrm.evaluate.case_builder._SAME_PERSON_IOU", 0.0)
    assert found < 0.5 * off(shoot(behind))


def test_exact_landmarks_are_the_true_ones(shoot):
    case = shoot(shooting=Shooting(landmarks="exact", points=500))
    np.testing.assert_allclose(case.shown.landmarks[:, :3], case.truth.landmarks, atol=1e-6)


def test_a_detected_mask_is_nearly_the_exact_one(shoot, case):
    detected = shoot(shooting=Shooting(mask="detected", points=500)).shown.alpha[0].numpy() > 0.5
    assert 0.5 < iou(detected, case.shown.alpha[0].numpy() > 0.5) < 1


def test_unknown_ways_of_shooting_are_refused():
    with pytest.raises(ValueError, match="exact or detected"):
        Shooting(mask="drawn")


def test_the_truth_scores_best_and_a_shift_is_measured_in_centimetres(case, scorer):
    best = scorer(case, truth_of(case)).values
    assert best["chamfer_cm"] < 1.5  # 4,000 samples: half their spacing
    assert best["normals_signed"] > 0.9
    assert best["iou_front"] > 0.97
    assert best["f2"] > 0.9
    offset = np.array([0, 5 / case.truth.cm_per_unit, 0], np.float32)
    moved = ColoredSurface(
        TriangleSurface(case.truth.surface.vertices + offset, case.truth.surface.faces), truth_of(case).colors
    )
    worse = scorer(case, moved).values
    assert best["chamfer_cm"] + 0.3 < worse["chamfer_cm"] < 5
    assert worse["iou_front"] < best["iou_front"] - 0.1
    aligned = Scorer("translation", 4000)(case, moved).values
    assert aligned["chamfer_cm"] == pytest.approx(best["chamfer_cm"], abs=0.1)
    assert aligned["iou_front"] > 0.95
    assert aligned["mask_iou"] == pytest.approx(worse["mask_iou"])  # never aligned


def test_errors_on_the_hidden_side_are_hidden_errors(case, scorer):
    vertices = case.truth.surface.vertices.copy()
    vertices[vertices[:, 2] < np.median(vertices[:, 2])] -= np.array([0, 0, 0.1], np.float32)
    values = scorer(
        case, ColoredSurface(TriangleSurface(vertices, case.truth.surface.faces), truth_of(case).colors)
    ).values
    best = scorer(case, truth_of(case)).values
    assert values["hidden_cm"] - best["hidden_cm"] > 3 * (values["visible_cm"] - best["visible_cm"])


def test_the_true_colors_beat_grey_ones(case, scorer):
    grey = scorer(case, truth_of(case)).values
    normals = ColoredSurface(case.truth.surface, np.full_like(case.truth.surface.vertices, 1.0))
    assert len(case.truth.pictures) == len(SIDES)
    white = scorer(case, normals).values
    assert {grey["psnr_front"], white["psnr_front"]} != {60.0}
    assert grey["psnr_front"] != white["psnr_front"]


def test_open_or_broken_meshes_are_not_sound():
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]], np.float32)
    faces = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]], np.int32)
    two = TriangleSurface(np.concatenate([corners, corners + 2]), np.concatenate([faces, faces + 4]))
    assert is_sound(TriangleSurface(corners, faces))
    assert not is_sound(TriangleSurface(corners, faces[:3]))
    assert not is_sound(two)
    assert component_count(two) == 2


def test_standing_in_front_needs_a_frontal_upright_person(case):
    marks = np.zeros((len(INDEX), 3), np.float32)
    for name, point in {"hip": (0.1, 0), "knee": (0.12, -0.4), "ankle": (0.12, -0.8), "shoulder": (0.2, 0.5)}.items():
        marks[INDEX[f"left_{name}"]] = [*point, 0]
        marks[INDEX[f"right_{name}"]] = [-point[0], point[1], 0]
    marks[INDEX["neck"]] = [0, 0.55, 0]
    assert stands_in_front(marks)
    assert not stands_in_front(marks * [-1, 1, 1])  # from behind
    assert not stands_in_front(marks[:, [2, 1, 0]])  # from the side
    seated = marks.copy()
    seated[INDEX["left_knee"]] = [0.1, 0, 0.4]
    assert not stands_in_front(seated)
    assert not stands_in_front(None)
    assert not stands_in_front(np.full_like(marks, np.nan))


def test_a_photo_and_its_scan_in_another_unit_come_together(renderer, case, detector, tmp_path):
    alpha = (case.shown.photo_alpha * 255).astype(np.uint8)
    Image.fromarray(np.dstack([case.shown.photo_rgb, alpha])).save(tmp_path / "a.png")
    scan = replace(renderer.scan, vertices=(renderer.scan.vertices * 1000 + 50).astype(np.float32))
    unit = Unit("pairs-a", "a", "a", 3, tmp_path / "a.obj")
    pair = CaseBuilder(unit, scan, detector, Shooting(points=4000)).pair()
    assert iou(pair.truth.pictures[0].mask, case.truth.pictures[0].mask) > 0.9
    assert pair.truth.visible.mean() == pytest.approx(case.truth.visible.mean(), abs=0.05)
    assert pair.truth.cm_per_unit == pytest.approx(case.truth.cm_per_unit * 1000, rel=0.05)
