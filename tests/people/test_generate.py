"""The laws of rendered people: distances are negative inside, masks are the mesh's, jobs go on, pictures are drawn."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from humanlrm.body.landmarks import INDEX
from humanlrm.cli import main
from humanlrm.data.contact_sheet import check_picture
from humanlrm.data.render.shoot import RenderSettings
from humanlrm.data.render.solid import SolidScan
from humanlrm.data.shards import ShardFolder
from humanlrm.mesh.raycast import RayScene
from humanlrm.people.contact_sheet import Sheet, sheet
from humanlrm.people.describe import describe, figure, yaw_deg
from humanlrm.people.generate import PersonSampler, ShardRenderer, run
from humanlrm.people.job import PeopleJob, PeopleSelection

SMALL = RenderSettings(views=1, image_px=64, depth_px=32, points=300)
ASSETS = Path(os.environ["HUMANLRM_ASSETS"]) if "HUMANLRM_ASSETS" in os.environ else None
KINDS = ["procedural", *(["avatar", "composed"] if ASSETS else [])]
INSIDE = [f"{side}_{joint}" for side in ("left", "right") for joint in ("hip", "knee", "elbow")]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    job = PeopleJob(tmp_path_factory.mktemp("people"), PeopleSelection(2, 40), SMALL)
    outcome = ShardRenderer(job)(job.shards()[0])
    assert (outcome.subjects, outcome.failures) == (2, [])
    return job.out


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_joints_are_inside_and_the_far_space_is_outside(kind, seed):
    scan = PersonSampler(ASSETS, kind)(seed)
    assert scan.landmarks is not None
    assert scan.tags["kind"] == kind
    joints = scan.landmarks[[INDEX[name] for name in INSIDE]]
    solid = SolidScan(scan)
    assert (solid.signed_distance(joints) < 0).mean() >= 5 / 6
    low, high = scan.vertices.min(0), scan.vertices.max(0)
    corners = np.stack(np.meshgrid(*zip(low - 0.05, high + 0.05, strict=True)), -1).reshape(-1, 3)
    assert (solid.signed_distance(corners.astype(np.float32)) > 0.02).all()


def test_the_mask_is_where_rays_meet_the_mesh(rendered: Path):
    shards = ShardFolder(rendered)
    for index, seed in enumerate((40, 41)):
        view = shards.load(index, 0)[0]
        scan = PersonSampler(None)(seed)
        marks = scan.moved(view.to_frame).landmarks
        np.testing.assert_allclose(view.landmarks, marks, atol=2e-3)
        hit = np.isfinite(view.depth[0])
        again = RayScene(scan.moved(view.to_frame).vertices, scan.faces)
        step = (np.arange(32) + 0.5) / 32 * 2.1 - 1.05
        x, y = np.meshgrid(step, -step)
        plane = np.stack([x, y, 0 * x], -1)
        eye = np.float32([0, 0, 4])
        met = again.first_hit(eye, (plane - eye).astype(np.float32)).hit
        assert (met != hit).mean() < 0.01


def test_an_interrupted_job_renders_only_what_is_missing(rendered: Path):
    shard = next(rendered.glob("*.tar"))
    before = shard.stat().st_mtime_ns
    assert run(PeopleJob(rendered, PeopleSelection(2, 40), SMALL)) == []
    assert shard.stat().st_mtime_ns == before


@pytest.mark.parametrize(("first", "count", "twice"), [(41, 3, True), (30, 11, True), (42, 8, False), (30, 10, False)])
def test_a_job_that_would_make_people_again_is_refused(rendered: Path, first: int, count: int, twice: bool):
    """The shard that is there begins at seed 40 and ends at 41."""
    job = PeopleJob(rendered, PeopleSelection(count, first), SMALL)
    if twice:
        with pytest.raises(ValueError, match=r"people-00000040\.tar holds the seeds 40 to 41 already; give --seed 42"):
            job.missing_shards()
    else:
        assert len(job.missing_shards()) == 1


def test_a_larger_job_goes_on_where_a_smaller_one_ended(rendered: Path):
    assert PeopleJob(rendered, PeopleSelection(2, 40)).missing_shards() == []
    assert [seeds for _, seeds in PeopleJob(rendered, PeopleSelection(3, 40)).missing_shards()] == [range(40, 43)]
    assert [seeds for _, seeds in PeopleJob(rendered, PeopleSelection(60, 40)).missing_shards()] == [
        range(40, 90),
        range(90, 100),
    ]


def test_a_missing_pack_is_said_before_processes_start(tmp_path: Path):
    with pytest.raises(ValueError, match="asset pack"):
        run(PeopleJob(tmp_path, PeopleSelection(1, kind="avatar")))
    with pytest.raises(FileNotFoundError):
        run(PeopleJob(tmp_path, PeopleSelection(1, kind="avatar", assets=tmp_path / "none")))


def test_a_description_counts_every_person_and_view(rendered: Path):
    found = describe(rendered)
    assert (found.people, found.views) == (2, 2)
    bars = {b.title: b.shares for b in found.bars}
    assert bars["kind"] == {"procedural": 1.0}
    assert sum(bars["posture"].values()) == pytest.approx(1)
    assert sum(bars["height (m)"].values()) == pytest.approx(1)
    assert figure(found).std() > 5


def test_yaw_is_zero_toward_the_camera_and_grows_toward_the_right_of_the_image():
    marks = np.zeros((3, 19, 3), np.float32)
    for k, turn in enumerate(np.deg2rad([0.0, 90.0, -150.0])):
        for side, x in (("left", 1.0), ("right", -1.0)):
            marks[k, [INDEX[f"{side}_shoulder"], INDEX[f"{side}_hip"]]] = [x * np.cos(turn), 0, -x * np.sin(turn)]
    np.testing.assert_allclose(yaw_deg(marks), [0, 90, -150], atol=1e-3)


def test_a_sheet_shows_everybody_in_the_order_of_seeds():
    plan = Sheet(PeopleSelection(3, 40), tile_px=96, columns=2)
    picture = sheet(plan)
    width = picture.shape[1] // 2
    assert picture.shape == (2 * 96, 2 * width, 3)
    tiles = [picture[:96, :width], picture[:96, width:], picture[96:, :width]]
    assert all(tile.std() > 10 for tile in tiles)
    np.testing.assert_array_equal(sheet(replace(plan, people=PeopleSelection(1, 41))), tiles[1])
    assert (picture[96:, width:] == 255).all()


def test_bad_input_is_refused_before_any_work():
    with pytest.raises(ValueError, match=r"\.gif"):
        check_picture(Path("people.gif"))
    with pytest.raises(ValueError, match="count"):
        PeopleSelection(0)


def test_two_workers_of_a_local_ray_cluster_write_the_same_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("ray")
    from humanlrm.people import job as people_job
    from humanlrm.people.cluster import run_on_ray

    monkeypatch.setattr(people_job, "SHARD", 1)
    jobs = [PeopleJob(tmp_path / name, PeopleSelection(2, 40), SMALL) for name in ("ray", "here")]
    seen: list[int] = []
    outcomes = run_on_ray(jobs[0], "local", 2, lambda outcome, done, todo: seen.append(done))
    assert sorted(o.shard.name for o in outcomes) == [path.name for path, _ in jobs[1].shards()]
    assert seen == [1, 2]
    assert run_on_ray(jobs[0], "local", 2) == []
    ShardRenderer(jobs[1])(jobs[1].shards()[0])
    first, second = (ShardFolder(job.out).load(0, 0)[0] for job in jobs)
    np.testing.assert_array_equal(first.rgb, second.rgb)
    np.testing.assert_array_equal(first.depth, second.depth)


@pytest.mark.parametrize(
    "options", [[], ["--out", "a", "--preview", "b.png"], ["--describe"], ["--data", "a", "--out", "b"]]
)
def test_the_command_does_one_thing_at_a_time(options: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(["people", *options]) == 2
    assert "give one of --out DIR" in " ".join(capsys.readouterr().err.split())


def test_the_command_describes_and_previews(rendered: Path, tmp_path: Path):
    assert main(["people", "--describe", "--data", str(rendered), "--figure", str(tmp_path / "figure.png")]) == 0
    assert main(["people", "--preview", str(tmp_path / "sheet.webp"), "--count", "1"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"figure.png", "sheet.webp"}
