"""A folder of photos: each photo once, none stops the others."""

import csv
import importlib.util
import json
import os
import shutil
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

import humanlrm.batch
from humanlrm.batch import BatchPlan, find_photos, map_in_processes, run_batch
from humanlrm.cluster import map_on_ray
from humanlrm.reconstruct import Settings
from humanlrm.settings import PhotoOptions

AVATAR = Path(__file__).parents[1] / "examples" / "avatar.jpg"
OPTIONS = PhotoOptions(Settings(resolution=64, texture_px=64, faces=1000))


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    (folder / "sub" / ".hidden").mkdir(parents=True)
    shutil.copy(AVATAR, folder / "sub" / "person.jpg")
    shutil.copy(AVATAR, folder / "sub" / ".hidden" / "person.jpg")
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("no photo", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def done(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("people")
    return out, run_batch(BatchPlan(photos, out, OPTIONS))


def contents(out: Path) -> dict[str, bytes]:
    """Meshes and pictures; reports hold seconds."""
    files = [path for path in out.rglob("*") if path.suffix in (".glb", ".png", ".jpg")]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def test_a_bad_photo_does_not_stop_the_others(done):
    _, (broken, person) = done
    assert (broken.photo, broken.state) == ("broken.png", "failed")
    assert "not a picture" in broken.reason
    assert (person.photo, person.state) == ("sub/person.jpg", "done")
    assert person.files == ("sub/person.glb", "sub/person.preview.png", "sub/person.json")


def test_the_summaries_tell_about_every_photo(done):
    out, _ = done
    lines = [json.loads(line) for line in (out / "summary.jsonl").read_text(encoding="utf-8").splitlines()]
    with (out / "summary.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [line["state"] for line in lines] == [row["state"] for row in rows] == ["failed", "done"]
    assert Image.open(out / "contact-sheet-1.jpg").height == 160


def test_finished_photos_are_skipped_until_photo_or_options_change(done, photos, tmp_path):
    out = tmp_path / "people"
    shutil.copytree(done[0], out)
    plan, counts = BatchPlan(photos, out, OPTIONS), []
    before = (out / "sub" / "person.glb").stat().st_mtime_ns
    run_batch(plan, progress=lambda finished, total: counts.append((finished, total)))
    assert counts[0] == (1, 2)
    assert (out / "sub" / "person.glb").stat().st_mtime_ns == before
    (out / "sub" / "person.glb").unlink()
    run_batch(plan, progress=lambda finished, total: counts.append((finished, total)))
    assert counts[2] == (0, 2)
    assert contents(out) == contents(done[0])


def test_other_options_are_another_result(done, photos):
    rows, others = (
        humanlrm.batch._rows(BatchPlan(photos, done[0], options).absolute())
        for options in (OPTIONS, PhotoOptions(Settings(resolution=64)))
    )
    assert not {row["key"] for row in rows} & {row["key"] for row in others}


def test_photos_of_one_name_keep_their_endings(tmp_path):
    for name in ("a.jpg", "a.png", "b.png"):
        Image.new("RGB", (20, 20)).save(tmp_path / name)
    assert [path.name for path in find_photos(tmp_path)] == ["a.jpg", "a.png", "b.png"]
    rows = humanlrm.batch._rows(BatchPlan(tmp_path, tmp_path / "out", OPTIONS).absolute())
    assert [row["target"] for row in rows] == ["a.jpg", "a.png", "b"]


@pytest.mark.parametrize("folder", ["missing", "."])
def test_a_folder_without_photos_is_refused(tmp_path, folder):
    with pytest.raises(ValueError, match="folder"):
        find_photos(tmp_path / folder)


class DyingTask:
    """A task whose process ends at one photo, as for want of memory."""

    def __init__(self, plan: BatchPlan) -> None:
        pass

    def __call__(self, row):
        if row["photo"] == "1":
            os._exit(1)
        values = {"photo": row["photo"], "state": "done", "reason": "", "files": [], "people": [], "seconds": 0.0}
        return {"record": json.dumps(values)}


def test_a_photo_whose_process_dies_takes_no_other_with_it(tmp_path, monkeypatch):
    plan = BatchPlan(tmp_path, tmp_path, OPTIONS)
    monkeypatch.setattr(humanlrm.batch, "PhotoTask", DyingTask)
    rows = [{"photo": str(number)} for number in range(4)]
    records = {record.photo: record.state for record in map_in_processes(rows, plan, workers=2)}
    assert records == {"0": "done", "1": "failed", "2": "done", "3": "done"}


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed (extra 'cluster')")
def test_a_cluster_of_two_workers_gives_the_same_files(done, photos, tmp_path):
    records = run_batch(BatchPlan(photos, tmp_path, OPTIONS), cluster=partial(map_on_ray, address="local", workers=2))
    assert [record.state for record in records] == ["failed", "done"]
    assert contents(tmp_path) == contents(done[0])
