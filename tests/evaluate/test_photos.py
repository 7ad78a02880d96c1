import re

import numpy as np
import pytest
import torch
from PIL import Image

from humanlrm.commands.evaluate import EvaluatePhotos
from humanlrm.evaluate.photos import PhotoRow, photo_files, verdict
from humanlrm.model.config import tiny
from humanlrm.model.lrm import build
from humanlrm.model.pretrained import save_pretrained
from humanlrm.train.checkpoint import trained_parameters


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    save_pretrained(folder, tiny(), dict(trained_parameters(build(tiny()))))
    return folder


def test_every_photo_gets_a_row_and_a_failure_says_why(tmp_path, case, weights):
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    alpha = (case.shown.photo_alpha * 255).astype(np.uint8)
    Image.fromarray(np.dstack([case.shown.photo_rgb, alpha])).save(photos / "person.png")
    Image.new("RGB", (200, 200), (90, 120, 60)).save(photos / "lawn.png")
    (photos / "notes.txt").write_text("no photo", encoding="utf-8")
    assert EvaluatePhotos(photos, out, weights, 64).run() == 1
    html = (out / "index.html").read_text(encoding="utf-8")
    assert html.count("data:image/webp;base64,") == 1
    assert "no person found in lawn.png" in html
    assert not re.search(r'(src|href)="(?!data:)', html)
    assert "1 of 2 photos reconstructed, 1 watertight with one component" in html
    assert [path.name for path in (out / "strips").iterdir()] == ["person.png.webp"]


def test_a_folder_without_photos_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no pictures"):
        photo_files(tmp_path)


def test_the_verdict_counts_what_is_sound():
    rows = [PhotoRow("a", "", True, 1, 0.9), PhotoRow("b", "", True, 2, 0.7), PhotoRow("c", failure="nobody")]
    assert verdict(rows).startswith("2 of 3 photos reconstructed, 1 watertight with one component")
    assert "0.800" in verdict(rows)


def test_people_whom_a_border_cuts_are_counted_apart():
    rows = [PhotoRow("a", "", True, 1, 0.9, "", 1.0), PhotoRow("b", "", True, 1, 0.7, "bottom", 1.0)]
    assert verdict(rows).endswith("0.800 on average, 0.900 for the 1 that no border cuts")
    assert "border" not in verdict(rows[:1])
