import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from humanlrm.data.records import ShardError
from humanlrm.data.shards import ShardFolder, write_shard


def copy_without(shard: Path, target: Path, keep) -> None:
    """The files of a shard for which ``keep(name)`` holds."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(shard) as source, tarfile.open(target, "w") as out:
        for member in source:
            if keep(member.name):
                out.addfile(member, source.extractfile(member))


def only_shard(folder: Path) -> Path:
    (shard,) = folder.glob("*.tar")
    return shard


def test_what_is_written_is_read_back(shards, rendered):
    folder = ShardFolder(shards)
    assert len(folder) == 2
    assert folder.problems == []
    for k, view in enumerate(rendered.views):
        record, samples = folder.load(0, k)
        for name in ("alpha", "known", "depth", "detected", "landmarks", "to_frame"):
            np.testing.assert_array_equal(getattr(record, name), getattr(view, name), err_msg=name)
        for name in ("ambient", "directions", "colors"):
            np.testing.assert_array_equal(getattr(record.light, name), getattr(view.light, name))
        for name in ("points", "sdf", "surface", "normals", "albedo"):
            np.testing.assert_array_equal(getattr(samples, name), getattr(rendered.samples, name))
        error = np.abs(record.rgb.astype(int) - view.rgb.astype(int))
        assert error.mean() < 6  # WebP is lossy


def test_a_subject_tells_its_source_and_licence(shards, rendered):
    about = ShardFolder(shards).about(0)
    assert about["id"] == rendered.scan.id
    assert about["licence"] == rendered.scan.licence
    assert about["views"] == 2


def test_a_truncated_shard_is_reported_by_name_and_the_others_are_read(shards, tmp_path):
    whole = only_shard(shards).read_bytes()
    (tmp_path / "good.tar").write_bytes(whole)
    (tmp_path / "cut.tar").write_bytes(whole[: len(whole) // 3])
    folder = ShardFolder(tmp_path)
    assert len(folder.problems) == 1
    assert "cut.tar" in folder.problems[0]
    assert {entry.shard.name for entry in folder.entries} == {"good.tar"}


def test_something_that_is_no_tar_is_reported(shards, tmp_path):
    (tmp_path / "good.tar").write_bytes(only_shard(shards).read_bytes())
    (tmp_path / "notes.tar").write_bytes(b"hello" * 500)
    assert "notes.tar" in ShardFolder(tmp_path).problems[0]


def test_a_subject_that_lacks_a_file_is_an_error_that_names_it(shards, tmp_path):
    copy_without(only_shard(shards), tmp_path / "a.tar", lambda name: not name.endswith("points.npz"))
    with pytest.raises(ShardError, match=r"a\.tar.*00000003.*points\.npz"):
        ShardFolder(tmp_path).load(0, 0)


def test_a_damaged_picture_is_an_error_that_names_shard_and_subject(shards, tmp_path):
    data = bytearray(only_shard(shards).read_bytes())
    offset, size = ShardFolder(shards).entries[0].files["0.webp"]
    data[offset : offset + size] = bytes(size)
    (tmp_path / "a.tar").write_bytes(bytes(data))
    with pytest.raises(ShardError, match=r"a\.tar.*00000003.*damaged"):
        ShardFolder(tmp_path).load(0, 0)


@pytest.mark.parametrize("name", ["views.npz", "points.npz"])
def test_damaged_arrays_are_an_error_that_names_shard_and_subject(shards, tmp_path, name):
    data = bytearray(only_shard(shards).read_bytes())
    offset, size = ShardFolder(shards).entries[0].files[name]
    data[offset + size // 3 : offset + size // 2] = bytes(size // 2 - size // 3)
    (tmp_path / "a.tar").write_bytes(bytes(data))
    with pytest.raises(ShardError, match=r"a\.tar.*00000003.*damaged"):
        ShardFolder(tmp_path).load(0, 0)


def test_a_folder_without_subjects_says_how_to_make_some(tmp_path):
    with pytest.raises(ShardError, match="humanlrm people"):
        ShardFolder(tmp_path)
    with pytest.raises(ShardError, match="humanlrm people"):
        ShardFolder(tmp_path / "missing")


def test_a_writer_that_fails_leaves_no_shard(rendered, tmp_path):
    def subjects():
        yield "00000001", rendered
        raise RuntimeError("lights out")

    with pytest.raises(RuntimeError, match="lights out"):
        write_shard(tmp_path / "a.tar", subjects())
    assert list(tmp_path.glob("*.tar")) == []


def test_a_failed_shard_can_be_written_again(rendered, tmp_path):
    def failing():
        yield "00000001", rendered
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_shard(tmp_path / "a.tar", failing())
    assert write_shard(tmp_path / "a.tar", [("00000001", rendered)]) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]
    assert len(ShardFolder(tmp_path)) == 1


def test_an_npz_with_pickled_objects_is_refused(shards, tmp_path):
    buffer = io.BytesIO()
    np.savez(buffer, depth=np.array([{"a": 1}], dtype=object))
    with tarfile.open(only_shard(shards)) as source, tarfile.open(tmp_path / "a.tar", "w") as out:
        for member in source:
            content = source.extractfile(member).read()
            if member.name.endswith("views.npz"):
                content = buffer.getvalue()
                member.size = len(content)
            out.addfile(member, io.BytesIO(content))
    with pytest.raises(ShardError, match="damaged"):
        ShardFolder(tmp_path).load(0, 0)


def test_maps_are_read_only_if_asked_for(shards, rendered):
    folder, names = ShardFolder(shards), ("normal", "target")
    plain, _ = folder.load(0, 1)
    assert all(getattr(plain, name) is None for name in names)
    record, _ = folder.load(0, 1, names)
    view = rendered.views[1]
    np.testing.assert_array_equal(record.normal, view.normal)
    assert np.abs(record.target.astype(int) - view.target).mean() < 4


def test_layers_are_read_back(shards, rendered):
    view = rendered.views[1]
    for loaded, written in zip(ShardFolder(shards).layers(0, 1), (view.layers, view.head_layers), strict=True):
        np.testing.assert_array_equal(loaded.alpha, written.alpha)
        for side in ("front", "back"):
            assert np.abs(getattr(loaded, side).astype(int) - getattr(written, side)).mean() < 4


def test_shards_of_older_versions_have_lamps_only_and_no_maps(shards, rendered, tmp_path):
    lamps_only(only_shard(shards), tmp_path / "old.tar")
    folder = ShardFolder(tmp_path)
    assert [entry.views for entry in folder.entries] == [2, 2]
    record, _ = folder.load(0, 0, ("normal", "target"))
    assert record.normal is record.target is None
    assert folder.layers(0, 0) == (None, None)
    assert (record.light.shadows == -1).all()
    assert (record.light.environment == 0).all()
    np.testing.assert_array_equal(record.light.colors, rendered.views[0].light.colors)


def lamps_only(shard: Path, target: Path) -> None:
    """A shard as the first version wrote it: no maps, lights of three arrays."""
    with tarfile.open(shard) as source, tarfile.open(target, "w") as out:
        for member in source:
            name = member.name.partition(".")[2]
            if name.split(".", 1)[-1].startswith(("normal", "target", "layers", "head")):
                continue
            content = source.extractfile(member).read()
            if name == "views.npz":
                with np.load(io.BytesIO(content)) as arrays:
                    kept = {k: arrays[k] for k in arrays if k not in ("environment", "shadow_rad")}
                buffer = io.BytesIO()
                np.savez(buffer, **kept)
                content = buffer.getvalue()
                member.size = len(content)
            out.addfile(member, io.BytesIO(content))
