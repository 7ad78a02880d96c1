"""Laws of what a result says about itself, and of the command's report and exit codes."""

import json
import os
from io import BytesIO
from pathlib import Path

import pytest
import torch
import trimesh
from PIL import Image

from humanlrm.cli import main
from humanlrm.mesh.extract import extract_surface
from humanlrm.mesh.surface import EmptySurfaceError
from humanlrm.reconstruct import Reconstruction, Reconstructor, Settings

AVATAR = Path(__file__).parents[1] / "examples" / "avatar.jpg"
SMALL = Settings(resolution=64, texture_px=64, faces=1000)
OPTIONS = ("--resolution", "64", "--texture-px", "64", "--faces", "1000")


@pytest.fixture(scope="module")
def reconstructor() -> Reconstructor:
    return Reconstructor(threads=1)


@pytest.fixture(scope="module")
def avatar(reconstructor) -> Reconstruction:
    return reconstructor(AVATAR, settings=SMALL)


def test_of_a_plain_photo_nothing_is_remarked(avatar):
    assert avatar.warnings == ()
    assert avatar.people_seen == 1
    assert avatar.confidence > 0.9


def test_a_cut_photo_says_what_is_missing(reconstructor):
    photo = Image.open(AVATAR)
    half = reconstructor(photo.crop((0, 0, photo.width, photo.height // 2)), settings=SMALL)
    (remark,) = half.warnings
    assert remark.code == "hidden"
    assert "border cuts the person: bottom" in remark.sentence
    assert half.report()["cut_by"] == ["bottom"]


def test_bytes_and_open_files_give_the_same_person(reconstructor, avatar):
    content = AVATAR.read_bytes()
    with AVATAR.open("rb") as file:
        assert reconstructor(file, settings=SMALL).to_bytes() == avatar.to_bytes()
    assert reconstructor(content, settings=SMALL).to_bytes() == avatar.to_bytes()


def test_bytes_of_a_result_are_its_file(avatar, tmp_path):
    for kind in ("glb", "ply"):
        assert avatar.to_bytes(kind) == avatar.save(tmp_path / f"person.{kind}").read_bytes()
    assert len(trimesh.load(BytesIO(avatar.to_bytes("glb")), file_type="glb", force="mesh").faces) > 500
    with pytest.raises(ValueError, match="obj is several files"):
        avatar.to_bytes("obj")


def test_the_report_holds_what_the_result_knows(avatar, tmp_path, capsys):
    path = tmp_path / "report.json"
    call = ["reconstruct", str(AVATAR), "-o", str(tmp_path / "a.glb"), *OPTIONS, "--json", str(path), "--quiet"]
    assert main(call) == 0
    assert capsys.readouterr().out == ""
    report = json.loads(path.read_text(encoding="utf-8"))
    (person,) = report["people"]
    assert report["settings"]["faces"] == 1000
    assert len(report["weights"]["sha256"]) == 64
    assert set(person["seconds"]) == {"photo", "person", "network", "views", "surface", "texture"}
    assert {name: person[name] for name in ("warnings", "people_seen", "hidden", "height_m", "landmarks_m")} == {
        name: avatar.report()[name] for name in ("warnings", "people_seen", "hidden", "height_m", "landmarks_m")
    }
    head, foot = (person["landmarks_m"][name] for name in ("head", "left_ankle"))
    assert 1.2 < head[1] - foot[1] < 1.7


def test_standard_input_is_read(tmp_path, monkeypatch, avatar):
    class StandardInput:
        buffer = BytesIO(AVATAR.read_bytes())

    monkeypatch.setattr("sys.stdin", StandardInput)
    assert main(["reconstruct", "-", "-o", str(tmp_path / "person.glb"), *OPTIONS]) == 0
    assert (tmp_path / "person.glb").read_bytes() == avatar.to_bytes()


@pytest.mark.parametrize("address", ["https://example.org/a.jpg", "s3://people/a.jpg", "data:image/png;base64,AAAA"])
def test_addresses_are_refused(address, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["reconstruct", address]) == 3
    assert f"{address} is an address, and nothing is downloaded" in " ".join(capsys.readouterr().err.split())


@pytest.mark.skipif(os.name == "nt", reason="no such files there")
def test_devices_pipes_and_dead_links_are_named(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "gone.jpg")
    for path, kind in (("/dev/null", "a device"), (tmp_path / "pipe", "a pipe"), (tmp_path / "link.jpg", "a link to")):
        assert main(["reconstruct", str(path), "-o", str(tmp_path / "a.glb")]) == 3
        assert kind in " ".join(capsys.readouterr().err.split())


def test_a_mistyped_option_suggests_the_nearest(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["reconstruct", "a.jpg", "--hight-m", "1.8"])
    assert ended.value.code == 2
    assert "--height-m" in capsys.readouterr().err


def test_the_version_is_said(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("humanlrm 0.")


@pytest.mark.parametrize(("error", "code"), [(EmptySurfaceError("empty"), 4), (KeyboardInterrupt(), 130)])
def test_each_end_has_its_exit_code(error, code, monkeypatch, capsys):
    """Nothing solid, and Ctrl-C; 2 and 3 are held by the refusals of test_cli."""

    def fail(_):
        raise error

    monkeypatch.setattr("humanlrm.cli.parse_command", fail)
    assert main(["reconstruct", "a.jpg"]) == code
    assert capsys.readouterr().err.count("\n") == 1


def test_a_field_without_a_surface_has_an_error_of_its_own():
    with pytest.raises(EmptySurfaceError):
        extract_surface(lambda points: torch.ones(len(points)), 64)
