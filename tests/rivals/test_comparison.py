"""The table: all systems on the same photos by the evaluation's runner, pairs, the page and the sheet."""

import sys
from dataclasses import replace

import pytest
from PIL import Image
from tiny_rivals import SIZES, short_plan

from humanlrm.commands.rivals import RivalTable
from humanlrm.data.shards import ShardFolder
from humanlrm.evaluate.plan import Corruption
from humanlrm.evaluate.report.rows import Row
from humanlrm.rivals.comparison import difference_table
from humanlrm.rivals.plan import Comparison
from humanlrm.rivals.sheet import choose_people
from humanlrm.rivals.systems import System, find_systems
from humanlrm.rivals.training import train_rival
from humanlrm.train.hooks import SaveCheckpoints

SPHERE = "import trimesh,sys;trimesh.creation.icosphere(2,300).export(sys.argv[2])"


@pytest.fixture(scope="module")
def runs(shards, tmp_path_factory):
    """A folder with the run of a rival."""
    folder = tmp_path_factory.mktemp("runs")
    train_rival("hmr", short_plan(2), ShardFolder(shards), folder / "hmr", [SaveCheckpoints()], SIZES["hmr"])
    return folder


@pytest.fixture(scope="module")
def command(runs, weights) -> RivalTable:
    comparison = Comparison(
        runs,
        sets=("procedural-val",),
        count=1,
        weights=weights,
        resolution=64,
        points=1000,
        systems=("hmr", "sphere"),
        occluded=False,
        programs=(f'sphere={sys.executable} -c "{SPHERE}" {{image}} {{out}}',),
    )
    return RivalTable(comparison, runs / "page" / "comparison.md")


@pytest.fixture(scope="module")
def page(command) -> str:
    command.out.parent.mkdir()
    command.out.write_text("# Comparison\n\nFeatures of others.\n", encoding="utf-8")
    assert command.run() == 0
    return command.out.read_text(encoding="utf-8")


def test_every_system_has_a_row_in_every_table(page, command):
    systems = find_systems(command.comparison)
    assert [system.name for system in systems] == ["humanlrm", "hmr", "sphere"]
    for system in systems:
        assert page.count(f"| {system.title} |") == 3 + (system.name != "humanlrm")
    assert page.startswith("# Comparison\n\nFeatures of others.\n")
    cost = next(line for line in page.splitlines() if line.startswith("| parametric body"))
    assert all(cell.strip() for cell in cost.split("|")[1:-1])
    assert "| 2 |" in cost


def test_all_systems_are_measured_unless_some_are_named(command):
    names = [system.name for system in find_systems(replace(command.comparison, systems=()))]
    fields, floors = ["nerf-one", "nerf-four"], ["inflated", "mean-body", "visual-hull"]
    assert names == ["humanlrm", "humanlrm-textured", "hmr", *fields, *floors, "sphere"]
    with pytest.raises(ValueError, match="unknown system"):
        find_systems(replace(command.comparison, systems=("spline",)))


def test_the_sheet_has_a_column_per_system(page, command):
    count = len(find_systems(command.comparison)) + 1
    with Image.open(command.out.with_suffix(".webp")) as sheet:
        assert sheet.width == 192 * count
    assert "(comparison.webp)" in page


def test_measured_systems_are_not_measured_again(page, command, monkeypatch):
    def never(*arguments):
        raise AssertionError("measured again")

    monkeypatch.setattr("humanlrm.evaluate.run.Worker", never)
    assert command.run() == 0
    assert command.out.read_text(encoding="utf-8") == page


def row(method: str, person: int, **values: float) -> Row:
    return Row("a", str(person), str(person), 0.0, Corruption(), True, method, values)


def test_where_ours_loses_the_row_says_so():
    systems = [System(name, name, name) for name in ("humanlrm", "other")]
    ours = [row("humanlrm", k, chamfer_cm=2.0 + k, psnr_back=20.0 + k) for k in range(5)]
    other = [row("other", k, chamfer_cm=1.0 + k, psnr_back=19.0 + k) for k in range(5)]
    (line,) = difference_table(list(zip(systems, (ours, other), strict=True))).lines
    assert line[1] == "-1.00 [-1.00, -1.00]"
    assert line[-1] == "ours wins 1 of 2, **loses Chamfer cm**"
    (line,) = difference_table(list(zip(systems, (ours, other[:4]), strict=True))).lines
    assert line[-1] == "too few photos"


def test_the_people_of_the_sheet_are_spread_and_appear_once():
    rows = [row("humanlrm", person, chamfer_cm=1.0) for person in range(20) for _ in range(2)]
    assert [r.person for r in choose_people(rows, 4)] == ["0", "5", "10", "15"]
    assert len(choose_people(rows[:3], 8)) == 2


@pytest.mark.parametrize("program", ["nothing", "tool={image}", "=tool {image} {out}"])
def test_a_program_without_name_or_places_is_refused(runs, program):
    with pytest.raises(ValueError, match=r"NAME=COMMAND|must contain"):
        Comparison(runs, programs=(program,))
