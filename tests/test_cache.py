import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from humanlrm.cache import cache_folder, cached_arrays


def ones() -> dict[str, np.ndarray]:
    return {"a": np.ones((3, 2), np.float32), "names": np.array(["x", "yy"])}


def never() -> dict[str, np.ndarray]:
    raise AssertionError("computed although it is in the cache")


def test_humanlrm_cache_overrides_the_systems_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HUMANLRM_CACHE", str(tmp_path / "mine"))
    assert cache_folder("bodies") == tmp_path / "mine" / "bodies"
    assert (tmp_path / "mine" / "bodies").is_dir()


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "ROOT/xdg"}, "xdg/humanlrm"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "home/.cache/humanlrm"),
        ("linux", {}, "home/.cache/humanlrm"),
        ("darwin", {"XDG_CACHE_HOME": "ROOT/xdg"}, "home/Library/Caches/humanlrm"),
        ("win32", {"LOCALAPPDATA": "ROOT/local"}, "local/humanlrm/cache"),
        ("win32", {}, "home/AppData/Local/humanlrm/cache"),
    ],
)
def test_the_cache_is_where_the_system_keeps_caches(
    platform: str, variables: dict[str, str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("HUMANLRM_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.replace("ROOT", str(tmp_path)))
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    assert cache_folder("bodies") == tmp_path / expected / "bodies"


def test_without_a_writable_folder_everything_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    monkeypatch.setenv("HUMANLRM_CACHE", str(tmp_path / "file"))
    assert cache_folder("bodies") is None
    assert cached_arrays("bodies", "key", ones)["a"].sum() == 6


def test_arrays_are_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HUMANLRM_CACHE", str(tmp_path))
    cold, warm = cached_arrays("bodies", "key", ones), cached_arrays("bodies", "key", never)
    assert cold.keys() == warm.keys()
    for name in cold:
        np.testing.assert_array_equal(cold[name], warm[name])
        assert cold[name].dtype == warm[name].dtype
    assert {p.suffix for p in (tmp_path / "bodies").iterdir()} <= {".arrays", ".lock"}


@pytest.mark.parametrize("share", [0.0, 0.5, 0.98])
def test_a_truncated_file_is_made_again(share: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HUMANLRM_CACHE", str(tmp_path))
    cached_arrays("bodies", "key", ones)
    path = tmp_path / "bodies" / "key.arrays"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert cached_arrays("bodies", "key", ones)["a"].sum() == 6
    assert cached_arrays("bodies", "key", never)["a"].sum() == 6


def test_no_damaged_byte_changes_an_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HUMANLRM_CACHE", str(tmp_path))
    cached_arrays("bodies", "key", ones)
    path = tmp_path / "bodies" / "key.arrays"
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        arrays = cached_arrays("bodies", "key", ones)
        np.testing.assert_array_equal(arrays["a"], ones()["a"])
        np.testing.assert_array_equal(arrays["names"], ones()["names"])


def _make_slowly(made: Path) -> float:
    def make() -> dict[str, np.ndarray]:
        made.write_text(str(os.getpid()), encoding="utf-8")
        time.sleep(0.5)
        return ones()

    return float(cached_arrays("bodies", "key", make)["a"].sum())


def test_of_two_processes_one_computes_and_the_other_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HUMANLRM_CACHE", str(tmp_path))
    made = [tmp_path / name for name in ("first", "second")]
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(_make_slowly, made)) == [6, 6]
    assert sum(path.exists() for path in made) == 1
    assert {p.suffix for p in (tmp_path / "bodies").iterdir()} <= {".arrays", ".lock"}


def test_a_file_system_without_locks_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HUMANLRM_CACHE", str(tmp_path))

    def fail(lock: FileLock) -> None:
        raise NotImplementedError

    monkeypatch.setattr(FileLock, "acquire", fail)
    assert cached_arrays("bodies", "key", ones)["a"].sum() == 6
    assert cached_arrays("bodies", "key", never)["a"].sum() == 6
