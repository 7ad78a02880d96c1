"""Laws of files that cannot be written as asked: a full disk, folders that are read-only, names that are no text."""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import trimesh

from humanlrm.cli import main
from humanlrm.mesh.export import save
from humanlrm.mesh.surface import TexturedMesh

AVATAR = Path(__file__).parents[1] / "examples" / "avatar.jpg"
SIZES = ("--resolution", "64", "--texture-px", "64", "--faces", "1000")
posix = pytest.mark.skipif(os.name == "nt", reason="POSIX only")


def reconstruct(weights: Path, *words: object) -> int:
    return main(["reconstruct", *map(str, words), "--weights", str(weights), *SIZES])


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The system refuses to write more bytes to a file, as on a full disk."""
    import resource

    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


@contextmanager
def without_rights() -> Iterator[None]:
    """Rights of files count for root, too."""
    if os.getuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@posix
@pytest.mark.parametrize("suffix", ["glb", "obj"])
def test_on_a_full_disk_one_line_is_said_and_nothing_half_is_left(weights, tmp_path, capsys, suffix):
    """An older file stays."""
    output = tmp_path / f"person.{suffix}"
    output.write_bytes(b"before")
    with files_of_at_most(4000):
        assert reconstruct(weights, AVATAR, "-o", output) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("humanlrm: ")
    assert "Traceback" not in line
    assert [path.name for path in tmp_path.iterdir()] == [output.name]
    assert output.read_bytes() == b"before"


@posix
def test_a_read_only_folder_is_refused_before_any_work(capsys):
    with TemporaryDirectory() as name:
        folder = Path(name) / "folder"
        folder.mkdir()
        folder.chmod(0o555)
        Path(name).chmod(0o755)
        with without_rights():
            assert main(["reconstruct", str(AVATAR), "-o", str(folder / "person.glb")]) == 2
        assert "is no folder that may be written to" in capsys.readouterr().err
        assert list(folder.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="names are text there")
def test_names_that_are_no_text_are_read_and_written(weights, tmp_path, capfdbinary):
    """Byte 255 begins no letter of UTF-8."""
    photo, output, report = (
        Path(os.fsdecode(bytes(tmp_path) + b"/\xff" + end)) for end in (b".jpg", b".obj", b".json")
    )
    photo.write_bytes(AVATAR.read_bytes())
    assert reconstruct(weights, photo, "-o", output, "--json", report) == 0
    assert b".obj" in capfdbinary.readouterr().out
    assert len(list(tmp_path.iterdir())) == 5  # photo, mesh, material, texture, report
    (material,), (texture,) = tmp_path.glob("*.mtl"), tmp_path.glob("*.png")
    assert f"mtllib {material.name}" in output.read_text(encoding="utf-8")
    assert f"map_Kd {texture.name}" in material.read_text(encoding="utf-8")
    missing = Path(os.fsdecode(bytes(tmp_path) + b"/\xfe.jpg"))
    assert reconstruct(weights, missing, "-o", tmp_path / "a.glb") == 3
    assert b"does not exist" in capfdbinary.readouterr().err


def colored_box(color: int) -> TexturedMesh:
    """A box of one color."""
    box = trimesh.creation.box()
    normals = np.asarray(box.vertex_normals, np.float32)
    texture = np.full((64, 64, 3), color, np.uint8)
    uv = np.full((len(box.vertices), 2), 0.5, np.float32)
    vertices, faces = np.asarray(box.vertices, np.float32), np.asarray(box.faces)
    return TexturedMesh(vertices, faces, uv, texture, normals, np.arange(len(vertices)))


@pytest.mark.parametrize("suffix", ["glb", "obj", "ply"])
def test_two_writers_of_one_output_both_end_with_whole_files(tmp_path, suffix):
    """Each file that is left is one of both writers'."""
    boxes = [colored_box(color) for color in (10, 200)]
    for number, box in enumerate(boxes):
        save(tmp_path / str(number) / f"a.{suffix}", box, height_m=1 + number)
    with ThreadPoolExecutor(2) as writers:
        for _ in range(10):
            list(writers.map(lambda k: save(tmp_path / "both" / f"a.{suffix}", boxes[k], height_m=1 + k), (0, 1)))
            left = {path.name: path.read_bytes() for path in (tmp_path / "both").iterdir()}
            assert left.keys() == {path.name for path in (tmp_path / "0").iterdir()}
            for name, content in left.items():
                assert content in [(tmp_path / str(number) / name).read_bytes() for number in (0, 1)]
