"""Motions: our own, BVH files, and what is written of them."""

from pathlib import Path

import numpy as np
import pytest
from gltf_files import GltfFile
from scipy.spatial.transform import Rotation

from humanlrm.mesh.export.place import metric_placement
from humanlrm.output import Deliverable, write
from humanlrm.output_settings import OutputSettings
from humanlrm.rig.bvh import read_bvh
from humanlrm.rig.clips import CLIPS
from humanlrm.rig.motion import transfer
from humanlrm.rig.skeleton import JOINT
from humanlrm.rig.turntable import film

#: Names of joints of three kinds of files: hips, spine, chest, neck, head, and of a side.
_CMU = (("Hips", "LowerBack", "Spine1", "Neck", "Head"),
        ("{}Shoulder", "{}Arm", "{}ForeArm", "{}Hand", "{}UpLeg", "{}Leg", "{}Foot", "{}ToeBase"),
        "Left", "Right")  # fmt: skip
_MIXAMO = (tuple(f"mixamorig:{n}" for n in ("Hips", "Spine", "Spine2", "Neck", "Head")),
           tuple("mixamorig:" + n for n in _CMU[1]), "Left", "Right")  # fmt: skip
_VRM = (("hips", "spine", "chest", "neck", "head"),
        ("{}Shoulder", "{}UpperArm", "{}LowerArm", "{}Hand", "{}UpperLeg", "{}LowerLeg", "{}Foot", "{}Toes"),
        "left", "right")  # fmt: skip
_FRAMES = 3


def bvh_text(
    names=_CMU, scale: float = 10.0, bend: dict[str, float] | None = None, drop: str = "", splay_deg=0.0
) -> str:
    """A T-pose in a file's own units; ``bend`` turns joints about z, more in every frame. Legs may be apart at rest."""
    trunk, side_names, left, right = names
    rows: list[str] = []
    order: list[str] = []

    def joint(name: str, offset: tuple[float, float, float], children: list, kind: str = "JOINT") -> None:
        place = " ".join(f"{scale * value:.5f}" for value in offset)
        position = "6 Xposition Yposition Zposition" if kind == "ROOT" else "3"
        rows.extend([f"{kind} {name}", "{", f"OFFSET {place}", f"CHANNELS {position} Zrotation Xrotation Yrotation"])
        order.append(name)
        for child in children:
            joint(*child)
        if not children:
            rows.extend(["End Site", "{", f"OFFSET 0 0 {0.1 * scale}", "}"])
        rows.append("}")

    def limbs(word: str, sign: float) -> tuple[tuple, tuple]:
        s, ua, la, h, ul, ll, f, t = (name.format(word) for name in side_names)
        hand = (h, (0.25 * sign, 0, 0), [])
        arm = (s, (0.05 * sign, 0, 0), [(ua, (0.12 * sign, 0, 0), [(la, (0.28 * sign, 0, 0), [hand])])])
        bone = (0.42 * sign * np.sin(np.deg2rad(splay_deg)), -0.42 * np.cos(np.deg2rad(splay_deg)), 0)
        leg = (ul, (0.1 * sign, -0.05, 0), [(ll, bone, [(f, bone, [(t, (0, -0.05, 0.14), [])])])])
        return arm, leg

    (left_arm, left_leg), (right_arm, right_leg) = limbs(left, 1), limbs(right, -1)
    neck = (trunk[3], (0, 0.25, 0), [(trunk[4], (0, 0.1, 0.02), [])])
    chest = (trunk[2], (0, 0.15, 0), [neck, left_arm, right_arm])
    joint(trunk[0], (0, 0, 0), [(trunk[1], (0, 0.1, 0), [chest]), left_leg, right_leg], "ROOT")
    frames = []
    for frame in range(_FRAMES):
        values = [0.0, 0.97 * scale, 0.5 * scale * frame]
        for name in order:
            values += [(bend or {}).get(name, 0.0) * frame, 0.0, 0.0]
        frames.append(" ".join(f"{value:.5f}" for value in values))
    lines = ["HIERARCHY", *rows, "MOTION", f"Frames: {_FRAMES}", "Frame Time: 0.0333333", *frames]
    text = "\n".join(lines)
    return text.replace(drop, "Thing") if drop else text


def write_bvh(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", sorted(CLIPS))
def test_motions_of_our_own_repeat_without_a_seam(name):
    motion = CLIPS[name]()
    np.testing.assert_array_equal(motion.rotations[0], motion.rotations[-1])
    assert motion.times_s[0] == 0
    steps = np.linalg.norm(np.diff(motion.rotations, axis=0), axis=(-2, -1))
    # No joint jumps from one frame to the next.
    assert steps.max() < 0.45
    assert steps.max() > 0


@pytest.mark.parametrize("name", sorted(CLIPS))
def test_feet_stay_on_the_floor(free, name):
    movement = transfer(free, CLIPS[name]())
    floor = free.mesh.vertices[:, 1].min()
    for frame in range(0, len(movement.times_s), 9):
        lowest = free.vertices_in(movement.rotations[frame], movement.hips[frame])[:, 1].min()
        assert lowest == pytest.approx(floor, abs=0.02)


def test_walking_legs_take_turns(free):
    movement = transfer(free, CLIPS["walk"]())
    thighs = [movement.rotations[:, JOINT[f"{side}UpperLeg"]] @ [0, -1, 0] for side in ("left", "right")]
    ahead = [thigh[:, 2] for thigh in thighs]
    assert np.corrcoef(*ahead)[0, 1] < -0.5


def test_a_clip_in_a_file_moves_the_skin_as_the_library_does(free, free_landmarks, tmp_path):
    person = Deliverable(free.mesh, free_landmarks, 0.9, {}, {})
    path = write(tmp_path / "a.glb", person, OutputSettings(animate=("walk", "wave", "walk")))[0]
    file = GltfFile(path)
    assert [clip["name"] for clip in file.tree["animations"]] == ["walk", "wave", "walk 2"]
    rigged = person.rigged
    placement, movement = metric_placement(rigged.mesh, metres_per_unit=0.9), transfer(rigged, CLIPS["walk"]())
    for frame in (0, 11):
        expected = placement.apply(rigged.vertices_in(movement.rotations[frame], movement.hips[frame]))
        np.testing.assert_allclose(file.vertices(*file.key_frame("walk", frame)), expected, atol=1e-4)


@pytest.mark.parametrize("names", [_CMU, _MIXAMO, _VRM], ids=["cmu", "mixamo", "vrm"])
def test_joint_names_of_three_kinds_of_files_are_known(tmp_path, names):
    found = read_bvh(write_bvh(tmp_path / "a.bvh", bvh_text(names)))
    assert found.mapping["leftUpperArm"] == names[1][1].format(names[2])
    assert found.mapping["rightLowerLeg"] == names[1][5].format(names[3])
    assert len(found.mapping) == 21
    assert found.motion.rotations.shape == (_FRAMES, 21, 3, 3)


def test_a_person_does_what_a_file_says(free, tmp_path):
    text = bvh_text(bend={"LeftArm": 20.0, "RightForeArm": -30.0})
    motion = read_bvh(write_bvh(tmp_path / "a.bvh", text)).motion
    movement = transfer(free.in_pose("t"), motion)
    arm = movement.rotations[2, JOINT["leftUpperArm"]] @ [1, 0, 0]
    np.testing.assert_allclose(arm, [np.cos(np.deg2rad(40)), np.sin(np.deg2rad(40)), 0], atol=0.03)
    forearm = movement.rotations[2, JOINT["rightLowerArm"]] @ [-1, 0, 0]
    np.testing.assert_allclose(forearm, Rotation.from_euler("z", -60, degrees=True).apply([-1, 0, 0]), atol=0.03)


def test_legs_that_are_apart_at_rest_come_together_as_in_files_of_cmu(tmp_path):
    bend = {"LeftUpLeg": -21.0, "RightUpLeg": 21.0}
    apart = read_bvh(write_bvh(tmp_path / "a.bvh", bvh_text(splay_deg=21.0, bend=bend))).motion
    straight = read_bvh(write_bvh(tmp_path / "a.bvh", bvh_text())).motion
    legs = [JOINT[f"{side}{bone}Leg"] for side in ("left", "right") for bone in ("Upper", "Lower")]
    np.testing.assert_allclose(apart.rotations[1, legs], straight.rotations[1, legs], atol=0.02)


def test_the_way_of_the_hips_is_scaled_to_the_legs(free, tmp_path):
    ways = []
    for scale in (1.0, 40.0):
        motion = read_bvh(write_bvh(tmp_path / "a.bvh", bvh_text(scale=scale))).motion
        ways.append(transfer(free, motion).hips)
    np.testing.assert_allclose(*ways, atol=1e-3)
    leg = np.linalg.norm(free.skeleton.offsets[[JOINT["leftLowerLeg"], JOINT["leftFoot"]]], axis=1).sum()
    assert ways[0][2, 2] - ways[0][0, 2] == pytest.approx(leg / 0.84, rel=0.05)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("solid thing", "does not begin with HIERARCHY"),
        (bvh_text(drop="Hips"), "no joint for hips"),
        (bvh_text(drop="LeftUpLeg"), "no joint for leftUpperLeg"),
        (bvh_text().replace("Frames: 3", "Frames: 9"), "incomplete"),
        (bvh_text().partition("MOTION")[0], "no MOTION"),
        (bvh_text().replace("Zrotation", "Wrotation"), "cannot read"),
    ],
)
def test_files_that_cannot_be_used_are_refused_in_one_line(tmp_path, text, words):
    with pytest.raises(ValueError, match=words) as error:
        read_bvh(write_bvh(tmp_path / "a.bvh", text))
    assert "\n" not in str(error.value)
    assert "a.bvh" in str(error.value)


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_films_turn_once(free, tmp_path, suffix, monkeypatch):
    from PIL import Image

    from humanlrm.rig import turntable

    monkeypatch.setattr(turntable, "_SIZE_PX", 24)
    monkeypatch.setattr(turntable, "_TURN_S", 0.6)
    with Image.open(film(tmp_path / f"a{suffix}", free.mesh, None, [])) as picture:
        assert picture.n_frames == round(0.6 * turntable._FRAMES_PER_S)
        first = np.asarray(picture.convert("RGB"), int)
        picture.seek(picture.n_frames // 2)
        assert np.abs(np.asarray(picture.convert("RGB"), int) - first).mean() > 1


def test_an_mp4_is_a_film_of_one_turn(free, tmp_path, monkeypatch):
    pytest.importorskip("av", reason="PyAV is not installed (extra 'video')")
    import imageio.v3

    from humanlrm.rig import turntable

    monkeypatch.setattr(turntable, "_SIZE_PX", 24)
    monkeypatch.setattr(turntable, "_TURN_S", 0.6)
    frames = imageio.v3.imread(film(tmp_path / "a.mp4", free.mesh, None, []), plugin="pyav")
    assert frames.shape == (round(0.6 * turntable._FRAMES_PER_S), 24, 24, 3)
    assert np.abs(frames[0].astype(int) - frames[len(frames) // 2]).mean() > 1
