"""The laws of avatars, on a little person made of boxes; the real ones only if the asset pack is given."""

import os
from pathlib import Path

import numpy as np
import pytest
from box_people import CLOTH, SKIN, write_box_people
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation

from humanlrm.body.landmarks import INDEX, LANDMARKS, MIRROR
from humanlrm.people.armature import skin
from humanlrm.people.avatars.build import Build, build_matrices, random_build
from humanlrm.people.avatars.person import AvatarLibrary, load_avatar, make_avatar, posed, skeleton
from humanlrm.people.dye import find_dye, likeness_to_skin, redye
from humanlrm.people.figures import figures
from humanlrm.people.mesh import line_sheets
from humanlrm.people.poses.pack import POSE_INDEX


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_box_people(tmp_path_factory.mktemp("assets"))


@pytest.fixture(scope="module")
def library(assets: Path) -> AvatarLibrary:
    return AvatarLibrary(assets, "train")


def test_the_same_seed_gives_the_same_person(library: AvatarLibrary):
    one, again, other = make_avatar(library, 3), make_avatar(library, 3), make_avatar(library, 4)
    np.testing.assert_array_equal(one.vertices, again.vertices)
    np.testing.assert_array_equal(one.texture, again.texture)
    assert not np.allclose(one.vertices, other.vertices)


@pytest.mark.parametrize("seed", range(6))
def test_a_person_stands_on_the_floor_in_the_middle(library: AvatarLibrary, seed: int):
    scan = make_avatar(library, seed)
    low, high = scan.vertices.min(0), scan.vertices.max(0)
    np.testing.assert_allclose(low[1], 0, atol=1e-5)
    np.testing.assert_allclose((low + high)[[0, 2]], 0, atol=1e-5)
    assert scan.vertices.dtype == np.float32
    assert scan.landmarks is not None
    assert scan.landmarks.shape == (19, 3)


def test_at_rest_the_body_keeps_its_shape_and_the_landmarks_are_near_their_joints(library: AvatarLibrary):
    avatar = library.avatar("one_a")
    height = float(np.ptp(avatar.vertices[:, 1]))
    world = np.tile(np.eye(3), (22, 1, 1))
    vertices, marks = posed(avatar, world, build=Build(), height_m=height, finger_bend_deg=np.zeros(2))
    shift = vertices.mean(0) - avatar.vertices.mean(0)
    np.testing.assert_allclose(vertices - shift, avatar.vertices, atol=1e-5)
    np.testing.assert_allclose(marks[INDEX["left_elbow"]] - shift, (0.43, 1.4, 0), atol=0.02)
    np.testing.assert_allclose(marks[INDEX["head"]] - shift, (0, 1.65, 0), atol=0.025)
    sides = (marks - shift)[: INDEX["nose"]]
    np.testing.assert_allclose(sides[MIRROR[: INDEX["nose"]]], sides * [-1, 1, 1], atol=1e-4)
    np.testing.assert_allclose(marks[INDEX["nose"]] - shift, (0, 1.6, 0.12), atol=0.015)


def test_a_landmark_is_carried_by_the_limb_above_it(library: AvatarLibrary):
    avatar, world = library.avatar("one_a"), np.tile(np.eye(3), (22, 1, 1))
    options = {"build": Build(), "height_m": 1.7, "finger_bend_deg": np.zeros(2)}
    rest = posed(avatar, world, **options)[1]
    bent = world.copy()
    bent[[POSE_INDEX["left_elbow"], POSE_INDEX["left_wrist"]]] = Rotation.from_euler("z", 90, degrees=True).as_matrix()
    there = posed(avatar, bent, **options)[1]
    moved = there - there[INDEX["neck"]] - (rest - rest[INDEX["neck"]])
    assert np.linalg.norm(moved[INDEX["left_elbow"]]) < 1e-5
    assert np.linalg.norm(moved[INDEX["left_wrist"]]) > 0.2


def test_seam_twins_become_one_vertex(library: AvatarLibrary):
    avatar = library.avatar("one_a")
    assert len(avatar.vertices) * 3 == len(avatar.uv)
    edges = np.sort(avatar.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    _, counts = np.unique(edges, axis=0, return_counts=True)
    assert (counts == 2).all()


def test_joints_of_a_stretched_body_stay_connected(library: AvatarLibrary):
    rig = library.avatar("one_a").armature
    stretch = build_matrices(rig, random_build(np.random.default_rng(0), child=True))
    turns = np.tile(np.eye(3), (len(rig.names), 1, 1))
    linear, places = rig.place(turns, stretch)
    for joint, parent in enumerate(rig.parents):
        if parent >= 0:
            reached = linear[parent] @ (rig.rest[joint] - rig.rest[parent]) + places[parent]
            np.testing.assert_allclose(reached, places[joint], atol=1e-9)


def test_a_thicker_arm_grows_across_its_bone_only(library: AvatarLibrary):
    avatar = library.avatar("one_a")
    rig = avatar.armature
    turns = np.tile(np.eye(3), (len(rig.names), 1, 1))
    thick = rig.place(turns, build_matrices(rig, Build(arm=1.5)))
    wide = skin(avatar.vertices, avatar.weights, rig, thick)
    mine = avatar.weights[:, [rig.index("LeftArm")]].toarray()[:, 0] == 1
    np.testing.assert_allclose(np.ptp(wide[mine], 0) / np.ptp(avatar.vertices[mine], 0), [1, 1.5, 1.5], rtol=1e-3)


def test_skin_keeps_its_color_and_cloth_takes_the_hue(library: AvatarLibrary):
    avatar = library.avatar("one_a")
    texture = redye(avatar.texture, avatar.dye, np.random.default_rng(1))
    np.testing.assert_array_equal(texture[:, :30], avatar.texture[:, :30])
    assert np.abs(texture[:, 34:].astype(int) - avatar.texture[:, 34:]).mean() > 10
    np.testing.assert_array_equal(
        redye(avatar.texture, avatar.dye, np.random.default_rng(1), strength=0), avatar.texture
    )


def test_shaded_skin_is_skin_and_blue_cloth_is_not():
    skin = np.array([SKIN], float)
    assert likeness_to_skin((0.7 * skin).astype(np.uint8), skin)[0] > 0.9
    assert likeness_to_skin(np.array([CLOTH], np.uint8), skin)[0] == 0


def test_a_texture_without_cloth_can_be_dyed():
    texture, kept = np.full((8, 8, 3), SKIN, np.uint8), np.ones((8, 8), bool)
    dye = find_dye(texture, kept, ~kept, np.array([SKIN], float))
    np.testing.assert_array_equal(redye(texture, dye, np.random.default_rng(0)), texture)


def test_the_oldest_avatar_leaves_a_full_cache(assets: Path):
    library = AvatarLibrary(assets, "train", cached=1)
    first = library.avatar("one_a")
    assert library.avatar("one_a") is first
    library.avatar("two_b")
    assert library.avatar("one_a") is not first


def test_what_is_missing_is_named(assets: Path, tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="index"):
        AvatarLibrary(tmp_path, "train")
    with pytest.raises(ValueError, match="split"):
        AvatarLibrary(assets, "test")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no avatar"):
        AvatarLibrary(assets, "train").avatar("six_c")
    with pytest.raises(FileNotFoundError, match="avatar file"):
        load_avatar(tmp_path / "nobody.npz")


@pytest.mark.skipif("HUMANLRM_ASSETS" not in os.environ, reason="needs the asset pack")
@pytest.mark.parametrize("split", ["train", "val"])
def test_real_avatars_are_whole_people(split: str):
    library = AvatarLibrary(Path(os.environ["HUMANLRM_ASSETS"]), split)  # type: ignore[arg-type]
    for seed in range(3):
        scan = make_avatar(library, seed)
        assert scan.landmarks is not None
        assert np.isfinite(scan.vertices).all()
        assert scan.landmarks.min() > -3
        edges = np.sort(scan.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
        _, counts = np.unique(edges, axis=0, return_counts=True)
        assert (counts == 2).mean() > 0.98
        assert 0.2 < np.ptp(scan.vertices, axis=0).max() < 3


def test_a_lined_sheet_is_closed_and_shows_its_own_texture():
    square = np.array([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)], float)
    faces = np.array([(0, 1, 2), (0, 2, 3)])
    lining = line_sheets(square, faces, np.array([True, True]), thickness_m=0.1)
    edges = lining.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    assert {tuple(e) for e in edges} == {tuple(e[::-1]) for e in edges}
    a, b, c = lining.vertices[lining.faces].transpose(1, 0, 2)
    np.testing.assert_allclose(np.einsum("fa,fa->", a, np.cross(b, c)) / 6, 0.1, atol=1e-6)
    np.testing.assert_array_equal(lining.texture_corners(faces), lining.rows[lining.faces])


def test_a_mesh_without_sheets_gets_no_lining(library: AvatarLibrary):
    avatar = library.avatar("one_a")
    lining = line_sheets(avatar.vertices, avatar.faces, np.zeros(len(avatar.faces), bool))
    np.testing.assert_array_equal(lining.faces, avatar.faces)
    assert len(lining.vertices) == len(avatar.vertices)


def test_a_skeleton_has_the_landmarks_of_the_posed_person_up_to_scale_and_place(library: AvatarLibrary):
    avatar, rng = library.avatar(library.ids[0]), np.random.default_rng(4)
    world = Rotation.random(22, rng=rng).as_matrix().astype(np.float32)
    build, bend = random_build(rng, child=False), np.array([10.0, 20.0])
    _, true = posed(avatar, world, build=build, height_m=1.6, finger_bend_deg=bend)
    between = [pdist(points) for points in (skeleton(avatar, build, bend)(world), true)]
    np.testing.assert_allclose(between[0] / between[0].sum(), between[1] / between[1].sum(), atol=1e-5)


def test_the_seed_decides_which_figures_are_drawn(library: AvatarLibrary):
    found = figures(library, 6, seed=2)
    assert found.shape == (6, len(LANDMARKS), 3)
    np.testing.assert_array_equal(found, figures(library, 6, seed=2))
    assert not np.allclose(found, figures(library, 6, seed=3))
