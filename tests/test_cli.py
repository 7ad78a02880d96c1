"""The command line from end to end: what it makes, and how it refuses."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import trimesh
from PIL import Image

from humanlrm.cli import main, parse_command
from humanlrm.commands.evaluate import EvaluatePhotos
from humanlrm.data.shards import ShardFolder
from humanlrm.model.config import tiny
from humanlrm.model.history import read_history
from humanlrm.model.lrm import build
from humanlrm.model.pretrained import SHIPPED

AVATAR = Path(__file__).parents[1] / "examples" / "avatar.jpg"
needs_shipped_weights = pytest.mark.skipif(
    not (SHIPPED / "model.safetensors").exists(), reason="the package has no weights yet"
)


@pytest.fixture(scope="module")
def astronaut(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "astronaut.png"
    Image.fromarray(skimage.data.astronaut()).save(path)
    return path


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Default paths are relative, and an asset pack on the machine must not matter."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HUMANLRM_ASSETS", raising=False)


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def assert_refused(capsys, folder: Path, arguments: tuple[object, ...], *words: str, code: int = 2) -> None:
    """The exit code, one line on stderr that holds ``words``, and nothing new on disk."""
    before = sorted(folder.rglob("*"))
    assert run(*arguments) == code
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("humanlrm: ")
    assert "Traceback" not in line
    for word in words:
        assert word in line
    assert sorted(folder.rglob("*")) == before


def body_of(path: Path) -> trimesh.Trimesh:
    """The geometry of a file, its texture seams closed."""
    mesh = trimesh.load(path, force="mesh")
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    return mesh


def assert_sound(mesh: trimesh.Trimesh) -> None:
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume > 0
    assert mesh.body_count == 1
    assert mesh.bounds[0, 1] == pytest.approx(0, abs=1e-4)


# ---- refusals


def test_a_missing_photo_is_refused(capsys, tmp_path, weights):
    assert_refused(
        capsys, tmp_path, ("reconstruct", "nobody.jpg", "--weights", weights), "nobody.jpg", "does not exist", code=3
    )


def test_a_file_that_is_no_picture_is_refused(capsys, tmp_path, weights):
    (tmp_path / "notes.jpg").write_text("not a picture", encoding="utf-8")
    call = ("reconstruct", "notes.jpg", "--weights", weights)
    assert_refused(capsys, tmp_path, call, "notes.jpg", "not a picture", code=3)


@pytest.mark.parametrize(
    ("output", "more", "word"),
    [("me.obj", (), "is an input"), ("you.obj", ("--preview", "you.png"), "choose another name"),
     ("me.jpg/you.glb", (), "may be written"), ("folder.glb", (), "it is a folder")],
)  # fmt: skip
def test_nothing_of_the_users_is_overwritten(capsys, tmp_path, astronaut, output, more, word):
    """The texture of an OBJ lies beside it as a PNG."""
    shutil.copy(astronaut, tmp_path / "me.png")
    shutil.copy(AVATAR, tmp_path / "me.jpg")
    (tmp_path / "folder.glb").mkdir()
    before = (tmp_path / "me.png").read_bytes()
    assert_refused(capsys, tmp_path, ("reconstruct", "me.png", "-o", output, *more), word)
    assert (tmp_path / "me.png").read_bytes() == before


@pytest.mark.parametrize("option", [("--up=-y",), ("--unit", "m")])
def test_what_belongs_to_cameras_is_refused_without_them(capsys, tmp_path, option):
    assert_refused(capsys, tmp_path, ("reconstruct", AVATAR, *option), "--cameras")


@pytest.mark.parametrize(
    "arguments",
    [("people", "--out", "p"), ("train", "tiny", "--data", "."), ("train-poses", "--data", "."), ("evaluate",),
     ("export-weights", "--run", "r", "--data", ".", "--out", "o"), ("prepare", "scans", "--source", ".", "--out", "o"),
    ],
)  # fmt: skip
def test_an_extra_that_is_not_installed_is_named(capsys, tmp_path, monkeypatch, arguments):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert_refused(capsys, tmp_path, arguments, "anny", "humanlrm[train]")


def test_help_is_printed_without_the_networks_library():
    """Help of all commands, for which the modules of all are imported, and of one."""
    code = """
import sys
from humanlrm.cli import main
for words in (["--help"], ["train", "--help"]):
    try:
        main(words)
    except SystemExit:
        pass
    assert "torch" not in sys.modules, words
"""
    call = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, encoding="utf-8")
    assert "usage: humanlrm train" in call.stdout


def test_photos_need_no_extra():
    """Reconstruction from one photo and from several, and a folder of photos measured."""
    code = """
import sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"anny", "igl", "webdataset", "tensorboard", "accelerate", "transformers", "ray"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NotInstalled())
import humanlrm.cli, humanlrm.completion, humanlrm.evaluate.photos, humanlrm.multiview
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_picture_without_a_person_is_refused(capsys, tmp_path, weights):
    Image.new("RGB", (200, 200), (90, 120, 60)).save(tmp_path / "lawn.png")
    assert_refused(capsys, tmp_path, ("reconstruct", "lawn.png", "--weights", weights), "no person found", code=3)


def test_an_unknown_suffix_is_refused_before_any_work(capsys, tmp_path):
    assert_refused(capsys, tmp_path, ("reconstruct", AVATAR, "-o", "person.fbx"), ".glb, .gltf", "person.fbx")


@pytest.mark.parametrize(
    ("options", "extra"),
    [(("--for", "ar"), "usd"), (("-o", "person.usdz"), "usd"), (("--turntable", "person.mp4"), "video")],
)
def test_a_file_whose_extra_is_missing_is_refused_before_any_work(capsys, tmp_path, monkeypatch, options, extra):
    monkeypatch.setattr("humanlrm.output_settings.find_spec", lambda name: None)
    assert_refused(capsys, tmp_path, ("reconstruct", AVATAR, *options), f"humanlrm[{extra}]")


@pytest.mark.parametrize(
    ("option", "value"), [("--resolution", 100), ("--height-m", 17), ("--texture-px", 3), ("--faces", 1)]
)
def test_a_setting_out_of_range_is_refused(capsys, tmp_path, option, value):
    assert_refused(capsys, tmp_path, ("reconstruct", AVATAR, option, value), option[2:].replace("-", "_"), str(value))


def test_a_folder_without_weights_is_refused(capsys, tmp_path):
    assert_refused(capsys, tmp_path, ("reconstruct", AVATAR, "--weights", tmp_path), "config.json")


def test_describe_prints_what_a_preset_costs(capsys):
    assert main(["describe", "tiny"]) == 0
    shown = capsys.readouterr().out
    for line in ("parameters in all", "plane tokens", "GFLOP", "MiB"):
        assert line in shown
    assert f"{sum(p.numel() for p in build(tiny()).parameters() if p.requires_grad):,}" in shown


def test_describe_refuses_what_it_does_not_know(capsys, tmp_path):
    assert_refused(capsys, tmp_path, ("describe", "huge"), "unknown preset 'huge'", "paper")
    assert_refused(capsys, tmp_path, ("describe", "tiny", "--views", "3"), "takes one view, got 3")


def test_an_unknown_preset_is_refused(capsys, tmp_path):
    assert_refused(capsys, tmp_path, ("train", "huge", "--data", tmp_path), "unknown preset 'huge'", "small", "tiny")


@pytest.mark.parametrize("folder", [".", "missing"])
def test_training_without_data_is_refused(capsys, tmp_path, folder):
    assert_refused(capsys, tmp_path, ("train", "tiny", "--data", folder, "--workers", 0), "humanlrm people")
    assert_refused(capsys, tmp_path, ("train-poses", "--data", folder), "humanlrm people")


@pytest.mark.parametrize("option", ["--photos", "--batch"])
def test_training_on_nothing_is_refused(capsys, tmp_path, option):
    assert_refused(capsys, tmp_path, ("train", "tiny", "--data", ".", option, 0), "positive")


def test_an_impossible_learning_rate_is_refused(capsys, tmp_path):
    assert_refused(capsys, tmp_path, ("train", "tiny", "--data", ".", "--learning-rate", -1), "learning rate")


@pytest.mark.parametrize(("option", "value"), [("--count", 0), ("--seed", -1)])
def test_no_people_are_refused(capsys, tmp_path, option, value):
    assert_refused(capsys, tmp_path, ("people", "--out", "people", option, value), "count must be positive")


@pytest.mark.parametrize(("option", "value"), [("--views", 0), ("--cropped", 1.5), ("--occluded", -0.1)])
def test_impossible_photographs_of_people_are_refused(capsys, tmp_path, option, value):
    assert_refused(capsys, tmp_path, ("people", "--out", "people", option, value), option[2:])


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--alignment", "rotation"),
        ("--methods", "mean"),
        ("--sets", "train"),
        ("--protocols", "night"),
        ("--mask", "none"),
        ("--scans", "missing"),
    ],
)
def test_an_evaluation_of_something_unknown_is_refused(capsys, tmp_path, option, value):
    assert_refused(capsys, tmp_path, ("evaluate", "people", option, value), value)


def test_photos_that_do_not_exist_are_refused(capsys, tmp_path):
    assert_refused(capsys, tmp_path, ("evaluate", "photos", "missing"), "missing")


@pytest.mark.parametrize(("option", "value"), [("--alignment", "rotation"), ("--methods", "mean")])
def test_a_quick_measure_of_something_unknown_is_refused(capsys, tmp_path, option, value):
    assert_refused(capsys, tmp_path, ("evaluate", "--quick", option, value), value)


def test_people_are_evaluated_unless_another_measure_is_named():
    bare, quick = (parse_command(words).command.plan for words in (["evaluate"], ["evaluate", "--quick"]))
    assert (bare.quick, bare.sources.count, bare.alignment) == (False, 100, "scale+translation")
    assert (quick.quick, quick.sources.count, quick.alignment) == (True, 64, "translation")
    assert isinstance(parse_command(["evaluate", "photos", "."]).command, EvaluatePhotos)


def test_missing_weights_are_refused_before_anything_is_written(capsys, tmp_path):
    assert_refused(capsys, tmp_path, ("evaluate", "people", "--weights", "missing"), "missing")


def test_a_set_without_its_assets_is_refused(capsys, tmp_path):
    assert_refused(capsys, tmp_path, ("evaluate", "people", "--sets", "valid-val"), "valid-val", "--assets")


def test_a_card_of_missing_weights_is_refused(capsys, tmp_path):
    assert_refused(capsys, tmp_path, ("evaluate", "card", "--weights", "none"), "none")


def test_a_card_is_written_anew(tmp_path, weights, capsys):
    folder = shutil.copytree(weights, tmp_path / "weights")
    (folder / "MODEL_CARD.md").unlink(missing_ok=True)
    assert main(["evaluate", "card", "--weights", str(folder), "--count", "1", "--preset", "tiny"]) == 0
    text = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert text.startswith("# humanlrm `tiny` weights")
    assert "| humanlrm | 1 | translation |" in text


def test_an_exported_run_tells_all_the_data_that_it_has_seen(tmp_path, shards, capsys):
    copy = shutil.copytree(shards, tmp_path / "other")
    options = ("--run", "run", "--photos", 2, "--batch", 2, "--workers", 0)
    assert run("train", "tiny", "--data", shards, copy, *options) == 0
    assert run("export-weights", "--run", "run", "--out", "weights", "--count", 1) == 0
    assert "4 procedural" in (tmp_path / "weights" / "MODEL_CARD.md").read_text(encoding="utf-8")
    shutil.rmtree(copy)
    capsys.readouterr()
    assert run("export-weights", "--run", "run", "--out", "weights2", "--count", 1) == 2
    assert "other, which is gone; name its folders of shards with --data" in capsys.readouterr().err


def test_a_run_says_what_it_trains_and_does_not_go_on_with_something_else(tmp_path, shards, capsys):
    begin = ("train", "tiny", "--data", shards, "--run", "run", "--batch", 2, "--workers", 0, "--seed", 5)
    assert run(*begin, "--photos", 2, "--part", "landmarks") == 0
    capsys.readouterr()
    assert run(*begin, "--photos", 4, "--part", "field") == 2
    assert "run trains the part 'landmarks'" in capsys.readouterr().err
    assert run(*begin, "--photos", 4, "--part", "landmarks") == 0
    assert "going on from 2 of 4 samples" in capsys.readouterr().out
    assert list((tmp_path / "run" / "log").iterdir())
    assert run("export-weights", "--run", "run", "--out", "weights", "--count", 1) == 0
    assert "weights cannot sample half bodies until" in capsys.readouterr().out
    (stage,) = read_history(tmp_path / "weights")
    assert (stage.part, stage.seed, stage.samples) == ("landmarks", 5, 4)


def test_a_run_that_cannot_start_leaves_no_folder(tmp_path, shards, capsys):
    begin = ("train", "tiny", "--data", shards, "--run", "run", "--workers", 0)
    assert_refused(capsys, tmp_path, (*begin, "--initial", "nowhere"), "nowhere")


def test_what_the_system_says_of_a_file_is_said_without_a_number(tmp_path, capsys):
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert run("people", "--count", 1, "--out", "file") == 1
    assert capsys.readouterr().err.strip() == "humanlrm: file: File exists"


def test_a_run_is_no_folder_of_weights(tmp_path, shards, astronaut, capsys):
    assert run("train", "tiny", "--data", shards, "--run", "run", "--photos", 2, "--batch", 2, "--workers", 0) == 0
    assert run("reconstruct", astronaut, "-o", "a.glb", "--weights", "run") == 2
    assert (
        "run is a training run; `humanlrm export-weights --run run --out DIR` makes weights" in capsys.readouterr().err
    )


def test_options_that_a_folder_of_photos_does_not_know_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        run("evaluate", "photos", ".", "--methods", "inflated")
    assert "--methods" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_exporting_a_run_without_checkpoints_is_refused(capsys, tmp_path):
    assert_refused(
        capsys, tmp_path, ("export-weights", "--run", "none", "--data", ".", "--out", "out"), "no checkpoint"
    )


@pytest.mark.parametrize("arguments", [(), ("dance",), ("reconstruct", "a.jpg", "--wings", "2")])
def test_a_command_that_does_not_exist_is_explained(capsys, arguments):
    with pytest.raises(SystemExit) as stopped:
        run(*arguments)
    assert stopped.value.code != 0
    assert "Traceback" not in capsys.readouterr().err


def test_reconstructing_nothing_is_refused(capsys, tmp_path):
    assert_refused(capsys, tmp_path, ("reconstruct",), "give a photo")


# ---- from nothing to a person


def test_people_train_and_reconstruct_make_a_sound_textured_person(tmp_path, astronaut, capsys):
    assert run("people", "--out", "people", "--count", 2, "--views", 2, "--points", 3000) == 0
    assert len(ShardFolder(tmp_path / "people")) == 2
    train = ("train", "tiny", "--data", "people", "--run", "run", "--photos", 8, "--batch", 4, "--workers", 0)
    assert run(*train, "--weights-out", "weights") == 0
    sizes = ("--resolution", 64, "--texture-px", 128, "--faces", 2000)
    assert run("reconstruct", astronaut, "-o", "out/a.glb", "--weights", "weights", *sizes, "--preview", "a.png") == 0
    assert "a.glb" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.glb"]
    assert Image.open(tmp_path / "a.png").width > 1000
    scene = trimesh.load(tmp_path / "out" / "a.glb", force="mesh")
    assert scene.visual.material.baseColorTexture.size == (128, 128)
    assert_sound(body_of(tmp_path / "out" / "a.glb"))


def test_training_on_several_folders_with_rendering_logs_its_terms(tmp_path, shards, capsys):
    options = ("--photos", 4, "--batch", 2, "--accumulate", 2, "--workers", 0, "--run", "run", "--fall", "cosine")
    mixed = ("--data", shards, shards, "--shares", 2, 1)
    assert run("train", "tiny", *mixed, "--rendering", *options) == 0
    assert (tmp_path / "run" / "step-0000001" / "density.safetensors").exists()


def test_people_that_exist_already_are_not_made_again(tmp_path, shards, capsys):
    (tmp_path / "people").mkdir()
    (shard,) = shards.glob("*.tar")
    existing = tmp_path / "people" / "people-00000000.tar"
    existing.write_bytes(shard.read_bytes())
    assert run("people", "--out", "people", "--count", 2) == 0
    assert existing.read_bytes() == shard.read_bytes()
    assert "0 people written" in capsys.readouterr().out


def test_a_taller_person_is_larger_in_proportion(tmp_path, weights, astronaut):
    for name, height_m in (("small", 1.0), ("large", 2.0)):
        options = ("--height-m", height_m, "--resolution", 64, "--texture-px", 64, "--faces", 1000)
        assert run("reconstruct", astronaut, "-o", f"{name}.glb", "--weights", weights, *options) == 0
    small, large = (body_of(tmp_path / f"{name}.glb").extents for name in ("small", "large"))
    np.testing.assert_allclose(large, 2 * small, rtol=1e-3)


@pytest.mark.parametrize("suffix", ["obj", "ply"])
def test_other_formats_hold_the_same_body(tmp_path, weights, astronaut, suffix):
    options = ("--weights", weights, "--resolution", 64, "--texture-px", 64, "--faces", 1000)
    assert run("reconstruct", astronaut, "-o", f"a.{suffix}", *options) == 0
    assert_sound(body_of(tmp_path / f"a.{suffix}"))


# ---- the shipped weights


@needs_shipped_weights
def test_a_full_body_photo_becomes_a_sound_upright_person_of_the_given_height(tmp_path):
    assert run("reconstruct", AVATAR, "-o", "a.glb", "--height-m", 1.8, "--resolution", 128) == 0
    mesh = body_of(tmp_path / "a.glb")
    assert_sound(mesh)
    width, height, depth = mesh.extents
    assert height == pytest.approx(1.8, rel=0.15)
    assert 0.1 < depth < height
    assert 0.25 < width < height
    assert 0.02 < mesh.volume < 0.25


@needs_shipped_weights
def test_the_astronaut_becomes_a_sound_person(tmp_path, astronaut):
    assert run("reconstruct", astronaut, "-o", "a.glb", "--resolution", 128) == 0
    mesh = body_of(tmp_path / "a.glb")
    assert_sound(mesh)
    assert 0.4 < mesh.extents[1] < 2.3
    assert 0.01 < mesh.volume < 0.3


@needs_shipped_weights
def test_the_shipped_weights_beat_the_inflated_silhouette(tmp_path):
    for name, options in (("ours", ()), ("floor", ("--methods", "inflated"))):
        assert run("evaluate", "--quick", "--count", 2, "--json", f"{name}.json", *options) == 0
    ours, floor = (
        json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))["mean"]["chamfer"]
        for name in ("ours", "floor")
    )
    assert ours < floor
