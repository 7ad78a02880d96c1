"""Laws of the animation error, on people made of boxes whom a perfect reconstruction gives back."""

from dataclasses import replace

import numpy as np
import pytest
from box_people import write_box_people

from humanlrm.data.scan import Scan
from humanlrm.evaluate import animation
from humanlrm.evaluate.animation import AnimationCase, measure_person, summarize
from humanlrm.mesh.surface import TexturedMesh, TriangleSurface, vertex_normals
from humanlrm.people.avatars.person import AvatarLibrary
from humanlrm.photo.crop import assemble_crop
from humanlrm.photo.load import PhotoError
from humanlrm.reconstruct import Reconstruction, Reconstructor


class _Perfect(Reconstructor):
    """Gives the person of the photograph back: true surface and landmarks."""

    def __init__(self, shift_m: float = 0.0) -> None:
        self.shift_m = shift_m
        self.scan: Scan | None = None

    def __call__(self, *_, **__) -> Reconstruction:
        assert self.scan is not None
        surface = TriangleSurface(self.scan.vertices.astype(np.float32), self.scan.faces)
        count, landmarks = len(surface.vertices), self.scan.landmarks.copy()
        landmarks[:, 1] += self.shift_m * np.linspace(-1, 1, len(landmarks))
        mesh = TexturedMesh(
            surface.vertices,
            surface.faces,
            np.full((count, 2), 0.5, np.float32),
            np.zeros((16, 16, 3), np.uint8),
            vertex_normals(surface),
            np.arange(count),
        )
        crop = assemble_crop(np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), np.float32), None, 64)
        return Reconstruction(mesh, crop, landmarks, 1.0, {})


@pytest.fixture
def measured(tmp_path, monkeypatch):
    library = AvatarLibrary(write_box_people(tmp_path), "val")

    def measure(reconstructor: _Perfect) -> list[AnimationCase]:
        def photograph(scan: Scan, seed: int) -> np.ndarray:
            reconstructor.scan = scan
            return np.zeros((8, 8, 4), np.uint8)

        monkeypatch.setattr(animation, "_photograph", photograph)
        return list(measure_person(library, library.avatar("six_c"), reconstructor, 5, 2))

    return measure


def test_a_perfect_person_with_true_weights_moves_like_the_true_one(measured):
    cases = measured(_Perfect())
    assert len(cases) == 2
    for case in cases:
        assert case.photo_cm < 0.5  # two samples of one surface
        assert case.true_weights_cm < 2


def test_wrong_joints_cost(measured):
    right, wrong = (np.mean([case.true_weights_cm for case in measured(_Perfect(shift))]) for shift in (0, 0.2))
    assert wrong > right + 0.5


def test_a_person_whom_the_detector_misses_is_left_out(measured, monkeypatch):
    def refuse(*_, **__):
        raise PhotoError("no person found")

    monkeypatch.setattr(_Perfect, "__call__", refuse)
    assert measured(_Perfect()) == []


def test_means_are_taken_over_people():
    case = AnimationCase("a", 2.0, 1.0, 0.5, 0.0)
    cases = [case, replace(case, chamfer_cm=4.0), replace(case, person="b", chamfer_cm=6.0)]
    interval = summarize(cases)["chamfer_cm"]
    assert interval is not None
    assert (interval.persons, interval.cases) == (2, 3)
    assert interval.low <= interval.mean <= interval.high
