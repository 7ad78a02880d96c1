"""Files of a photo, as the service and the batch write them."""

from pathlib import Path

import pytest

from humanlrm import output_settings, results
from humanlrm.reconstruct import Reconstructor
from humanlrm.rig import turntable
from humanlrm.settings import PhotoOptions, Settings

AVATAR = Path(__file__).parents[1] / "examples" / "avatar.jpg"
SETTINGS = Settings(resolution=64, texture_px=64, faces=1000)


@pytest.fixture(scope="module")
def person():
    return Reconstructor(threads=1)(AVATAR, settings=SETTINGS)


@pytest.mark.parametrize(("has_video", "suffix"), [(True, "mp4"), (False, "webp")])
def test_a_film_is_an_mp4_only_where_one_can_be_written(person, has_video, suffix, tmp_path, monkeypatch):
    if has_video:
        pytest.importorskip("av", reason="PyAV is not installed (extra 'video')")
    monkeypatch.setattr(turntable, "_SIZE_PX", 24)
    monkeypatch.setattr(turntable, "_TURN_S", 0.4)
    if not has_video:
        monkeypatch.setattr(output_settings, "find_spec", lambda name: None)
    options = PhotoOptions(SETTINGS, formats=("stl",), preview=False, turntable=True)
    files = results.write_results([person], tmp_path, "model", options)
    assert [path.name for path in files] == ["model.stl", f"model.turntable.{suffix}", "model.json"]
    assert files[1].read_bytes()[4:8] == b"ftyp" if has_video else files[1].read_bytes()[8:12] == b"WEBP"


def test_a_format_whose_extra_is_missing_is_refused_before_the_work(monkeypatch):
    monkeypatch.setattr(output_settings, "find_spec", lambda name: None)
    assert "usdz" not in results.writable_formats()
    with pytest.raises(ValueError, match=r"humanlrm\[usd\]"):
        results.check_formats(PhotoOptions(formats=("glb", "usdz")))
