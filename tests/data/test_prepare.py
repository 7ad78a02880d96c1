"""``humanlrm prepare`` from a folder of files to shards: what it makes, skips, resumes and holds out."""

import shutil
from dataclasses import replace
from pathlib import Path

import layouts
import numpy as np
import pytest
from PIL import Image

from captures import read_capture
from humanlrm.cli import main
from humanlrm.data.importers import ADAPTERS
from humanlrm.data.importers.adapter import Item
from humanlrm.data.job import Options, PrepareJob
from humanlrm.data.prepare import SHARD, ShardPreparer, choose, plan, record_key, summarize
from humanlrm.data.prepare import run as run_job
from humanlrm.data.render.shoot import RenderSettings
from humanlrm.data.shards import ShardFolder


def run(*arguments: object) -> int:
    return main(["prepare", *map(str, arguments)])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*")}


@pytest.fixture(scope="module")
def capture_tree(person, tmp_path_factory) -> Path:
    """Two captures: a good, b with a damaged file."""
    root = tmp_path_factory.mktemp("captures")
    shown = layouts.photographs(person, views=3)
    for name in "ab":
        (root / name).mkdir()
        layouts.nerfstudio(root / name, shown)
    (root / "b" / "images" / "1.png").write_bytes(b"not a picture")
    return root


def test_scans_become_subjects_and_bad_files_are_named(tmp_path, person):
    layouts.scans_glb(tmp_path, person)
    (tmp_path / "torn.ply").write_bytes(b"ply\nformat ascii 1.0\nelement vertex 9\n")
    settings = RenderSettings(views=1, points=600, cropped=0, own_mask=1)
    whole = job(tmp_path, settings=settings, options=Options(licence="CC0-1.0"))
    planned = plan(whole)
    outcome = ShardPreparer(whole)(planned.todo[0])
    assert "torn.ply" in outcome.skipped[0]
    said = dict(summarize(whole, planned, [outcome]))
    assert (said["written"], said["skipped"], said["unit: m (by its height)"]) == ("1", "1", "1")
    shards = ShardFolder(tmp_path / "out")
    assert len(shards) == 1
    assert shards.about(0)["licence"] == "CC0-1.0"
    record, samples = shards.load(0, 0)
    assert (samples.sdf < 0).mean() > 0.1
    # The truth was triangulated; it lies where the procedural person has it.
    low, high = person.vertices.min(0), person.vertices.max(0)
    to_frame = record.to_frame.astype(np.float64)
    true = (person.landmarks - [(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2]) @ to_frame[:3, :3].T
    error = np.linalg.norm(true + to_frame[:3, 3] - record.landmarks, axis=1)
    assert np.isfinite(error).sum() >= 17
    assert np.nanmedian(error) < 0.05


def keys(folder: Path) -> list[str]:
    return sorted(entry.key for entry in ShardFolder(folder).entries)


def test_a_second_run_does_only_what_is_missing_and_what_was_mended(tmp_path, capture_tree, capsys):
    shutil.copytree(capture_tree, tmp_path / "in")
    call = ("multiview", "--source", tmp_path / "in", "--out", tmp_path / "out")
    assert run(*call, "--limit", 1) == 0
    assert keys(tmp_path / "out") == ["a"]
    first = contents(tmp_path / "out")
    capsys.readouterr()
    assert run(*call) == 1
    said = capsys.readouterr()
    assert "skipped b" in said.err
    assert "1.png" in said.err
    assert keys(tmp_path / "out") == ["a"]
    shutil.copy(tmp_path / "in" / "a" / "images" / "1.png", tmp_path / "in" / "b" / "images" / "1.png")
    assert run(*call) == 0
    assert keys(tmp_path / "out") == ["a", "b"]
    assert contents(tmp_path / "out").items() > first.items()
    assert read_capture(ShardFolder(tmp_path / "out").entries[0]).landmarks.shape == (19, 3)
    second = contents(tmp_path / "out")
    assert run(*call) == 0
    assert contents(tmp_path / "out") == second


def test_shards_of_one_folder_are_made_with_the_same_options(tmp_path, capture_tree, capsys):
    call = ("multiview", "--source", capture_tree, "--out", tmp_path / "out", "--limit", 1)
    assert run(*call, "--licence", "CC-BY-NC-4.0", "--preview", tmp_path / "sheet.png") == 0
    assert "(CC-BY-NC-4.0)" in capsys.readouterr().out
    shown = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert shown.shape == (128, 128, 3)
    assert 0.05 < (shown != 230).any(-1).mean() < 0.9
    before = contents(tmp_path / "out")
    assert run(*call) == 2
    assert "holds shards with licence CC-BY-NC-4.0, not None; give another --out" in capsys.readouterr().err
    assert contents(tmp_path / "out") == before


def test_who_lies_down_is_named(tmp_path, person):
    """A file whose up axis is another one."""
    layouts.scans_glb(tmp_path, person)
    settings = RenderSettings(views=1, points=600, cropped=0, own_mask=1)
    lying = job(tmp_path, settings=settings, options=Options(up="+z", unit="height"))
    planned = plan(lying)
    said = dict(summarize(lying, planned, [ShardPreparer(lying)(planned.todo[0])]))
    assert planned.todo[0][1][0].id in said["lie, or stand on their head"]


@pytest.mark.parametrize(("scale", "named"), [(0.5, True), (1, False)])
def test_who_is_a_dwarf_or_a_giant_is_named(tmp_path, person, scale, named):
    layouts.scans_glb(tmp_path, replace(person, vertices=scale * person.vertices, landmarks=None))
    settings = RenderSettings(views=1, points=600, cropped=0, own_mask=1)
    small = job(tmp_path, settings=settings, options=Options(unit="m"))
    planned = plan(small)
    said = dict(summarize(small, planned, [ShardPreparer(small)(planned.todo[0])]))
    assert (planned.todo[0][1][0].id in said.get("under 1.0 m or over 2.3 m", "")) == named


def test_another_process_makes_what_this_one_makes(tmp_path, capture_tree):
    whole = job(tmp_path, name="multiview", source=capture_tree)
    items = ADAPTERS["multiview"].find(capture_tree)
    ShardPreparer(whole)((tmp_path / "here" / "0.tar", items))
    (outcome,) = run_job(whole, [(tmp_path / "there" / "0.tar", items)], workers=2)
    assert [done.id for done in outcome.done] == ["a"]
    assert outcome.skipped[0].startswith("b: ")
    here, there = (read_capture(ShardFolder(tmp_path / name).entries[0]) for name in ("here", "there"))
    np.testing.assert_array_equal(here.landmarks, there.landmarks)
    for one, other in zip(here.views, there.views, strict=True):
        np.testing.assert_array_equal(one.rgb, other.rgb)


# ---- choice


def job(tmp_path, **changes) -> PrepareJob:
    return replace(PrepareJob("scans", tmp_path, tmp_path / "out"), **changes)


ITEMS = [
    Item(f"s{s}.{f}", Path("x"), f"s{s}", f, part="test" if s == 2 else "train") for s in range(3) for f in range(4)
]


def test_the_list_of_held_out_ids_names_items_or_groups(tmp_path):
    (tmp_path / "test.txt").write_text("# mine\ns1\ns0.3\n", encoding="utf-8")
    held = job(tmp_path, split=str(tmp_path / "test.txt"))
    test = {item.id for item in choose(ITEMS, replace(held, part="test"))}
    assert test == {"s0.3", "s1.0", "s1.1", "s1.2", "s1.3"}
    train = {item.id for item in choose(ITEMS, held)}
    assert train == {item.id for item in ITEMS} - test
    assert len(choose(ITEMS, replace(held, part="all"))) == len(ITEMS)


def test_a_set_with_folders_of_its_own_is_split_by_them(tmp_path):
    assert {item.group for item in choose(ITEMS, job(tmp_path))} == {"s0", "s1"}
    assert {item.group for item in choose(ITEMS, job(tmp_path, part="test"))} == {"s2"}


def test_every_counts_within_each_sequence_and_the_limit_at_the_end(tmp_path):
    chosen = choose(ITEMS, job(tmp_path, every=3, limit=3))
    assert [item.id for item in chosen] == ["s0.0", "s0.3", "s1.0"]


def test_thuman_has_a_list_of_its_own(tmp_path):
    items = [Item(f"{k:04d}", Path("x"), f"{k:04d}") for k in range(600)]
    assert len(choose(items, job(tmp_path, split="thuman2", part="test"))) == 20
    assert len(choose(items, job(tmp_path, split="thuman2"))) == 580


def test_a_list_that_names_nobody_is_refused(tmp_path):
    (tmp_path / "test.txt").write_text("nobody\n", encoding="utf-8")
    with pytest.raises(ValueError, match="names none"):
        choose(ITEMS, job(tmp_path, split=str(tmp_path / "test.txt")))


def test_a_test_part_that_nothing_defines_is_refused(tmp_path):
    items = [replace(item, part=None) for item in ITEMS]
    with pytest.raises(ValueError, match="--split"):
        choose(items, job(tmp_path, part="test"))


def test_items_with_one_id_are_named_and_not_overwritten(tmp_path, person):
    layouts.scans_glb(tmp_path, person)
    layouts.scans_ply(tmp_path, person)
    planned = plan(job(tmp_path))
    assert planned.chosen == 2
    assert len(planned.skipped) == 1
    assert "same id" in planned.skipped[0]
    assert planned.existing == 0


def test_many_items_make_several_shards(tmp_path):
    for k in range(SHARD + 1):
        (tmp_path / f"{k}.obj").touch()
    todo = plan(job(tmp_path)).todo
    assert [(path.name, len(items)) for path, items in todo] == [("scans-00000.tar", SHARD), ("scans-00001.tar", 1)]


def test_keys_have_no_dots():
    assert record_key("a.b/c d") == "a-b-c-d"


# ---- refusals


def refused(capsys, *arguments: object) -> str:
    assert run(*arguments) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_an_unknown_data_set_is_refused_with_the_known_ones(tmp_path, capsys):
    line = refused(capsys, "thumans", "--source", tmp_path, "--out", tmp_path)
    assert all(name in line for name in ADAPTERS)


def test_a_folder_without_the_data_set_says_what_it_should_look_like(tmp_path, capsys):
    line = refused(capsys, "thuman", "--source", tmp_path, "--out", tmp_path)
    assert "NNNN.obj" in line


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--unit", "feet"), "unit"),
        (("--up", "y"), "up"),
        (("--every", 0), "every"),
        (("--limit", 0), "limit"),
        (("--part", "half"), "part"),
        (("--workers", 0), "workers"),
        (("--split", "none.txt"), "none.txt"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path, capsys, options, word):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "a.obj").write_text("v 0 0 0\n", encoding="utf-8")
    assert word in refused(capsys, "scans", "--source", tmp_path, "--out", tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


def test_a_source_that_does_not_exist_is_refused(tmp_path, capsys):
    assert "nowhere" in refused(capsys, "scans", "--source", tmp_path / "nowhere", "--out", tmp_path)


def test_the_help_lists_every_adapter(capsys):
    with pytest.raises(SystemExit):
        run("--help")
    said = capsys.readouterr().out
    assert all(name in said for name in ADAPTERS)
