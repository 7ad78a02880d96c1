"""The parts that adapters share, each against what it must not change."""

import io
import pickle

import numpy as np
import pytest
import trimesh
from trimesh.caching import TrackedArray

from humanlrm.camera import TO_Y_UP
from humanlrm.data.importers.io.atlas import TexturedPart, colored_part, flat_part, merge_textures
from humanlrm.data.importers.io.mesh_files import read_mesh
from humanlrm.data.importers.io.pickles import get_array, read_object_npy, read_pickle
from humanlrm.data.job import Placement
from humanlrm.photo.calibrated import distort, level_rotation, undistort

RNG = np.random.default_rng(0)


def look_up(texture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    height, width = texture.shape[:2]
    return texture[
        ((1 - uv[:, 1]) * height).astype(int).clip(0, height - 1), (uv[:, 0] * width).astype(int).clip(0, width - 1)
    ]


# ---- textures


@pytest.mark.parametrize("count", [1, 2, 7, 1280])
def test_vertex_colors_are_exact_at_corners_and_near_inside(count):
    ball = trimesh.creation.icosphere(3)
    faces = np.asarray(ball.faces)[:count].astype(np.int64)
    colors = RNG.integers(0, 256, (len(ball.vertices), 3)).astype(np.uint8)
    part = colored_part(np.asarray(ball.vertices), faces, colors)
    corners = part.uv[part.uv_faces]
    np.testing.assert_array_equal(look_up(part.picture, corners.reshape(-1, 2)), colors[faces].reshape(-1, 3))
    weights = RNG.dirichlet([1, 1, 1], len(faces))
    got = look_up(part.picture, np.einsum("fk,fkc->fc", weights, corners)).astype(float)
    wanted = np.einsum("fk,fkc->fc", weights, colors[faces].astype(float))
    # Nothing outside of the triangle's own colors, so nothing from a neighbor's block.
    own = colors[faces].astype(float)
    assert (got >= own.min(1) - 1).all()
    assert (got <= own.max(1) + 1).all()
    assert np.abs(got - wanted).mean() < 40


def square(picture: np.ndarray, uv: np.ndarray) -> TexturedPart:
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    return TexturedPart(RNG.normal(size=(4, 3)), faces, uv, faces, picture)


UNIT = np.array([[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]])


def test_merged_textures_show_what_each_showed():
    pictures = [RNG.integers(0, 256, (h, w, 3)).astype(np.uint8) for h, w in ((32, 48), (64, 20), (8, 8), (32, 48))]
    parts = [square(picture, UNIT) for picture in pictures]
    parts.append(flat_part(np.zeros((3, 3)), np.array([[0, 1, 2]]), np.array([10, 200, 30], np.uint8)))
    texture, uvs = merge_textures(parts)
    for part, uv in zip(parts, uvs, strict=True):
        np.testing.assert_array_equal(look_up(texture, uv), look_up(part.picture, part.uv))


def test_parts_that_share_a_picture_store_it_once():
    picture = RNG.integers(0, 256, (32, 48, 3)).astype(np.uint8)
    texture, _ = merge_textures([square(picture, UNIT), square(picture.copy(), UNIT * 0.5)])
    np.testing.assert_array_equal(texture, picture)


def test_a_repeated_texture_is_unrolled():
    picture = RNG.integers(0, 256, (16, 16, 3)).astype(np.uint8)
    part = square(picture, UNIT * [2.9, 1] + [-1.2, 0])
    texture, (uv,) = merge_textures([part])
    np.testing.assert_array_equal(look_up(texture, uv), look_up(picture, part.uv % 1))


def test_a_texture_that_repeats_too_often_is_refused():
    with pytest.raises(ValueError, match="repeats"):
        merge_textures([square(np.zeros((4, 4, 3), np.uint8), UNIT * 50)])


# ---- axes and units


@pytest.mark.parametrize("up", list(TO_Y_UP))
def test_every_up_axis_becomes_plus_y_by_a_rotation(up):
    axis = np.zeros(3)
    axis["xyz".index(up[1])] = 1 if up[0] == "+" else -1
    np.testing.assert_allclose(TO_Y_UP[up] @ axis, [0, 1, 0])
    assert np.linalg.det(TO_Y_UP[up]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("height", "metres", "words"),
    [(1.8, 1.8, "m (by"), (180, 1.8, "cm (by"), (1800, 1.8, "mm (by"), (0.9, 0.9, "m (by"), (7.3, 1.7, "unknown")],
)
def test_the_unit_is_told_by_the_height_or_the_height_is_set(height, metres, words):
    scale, said = Placement().metres(height)
    assert scale * height == pytest.approx(metres)
    assert words in said


def test_opposite_cameras_have_no_common_up():
    upside_down = np.diag([1.0, -1, -1, 1])
    with pytest.raises(ValueError, match="--up"):
        level_rotation([np.eye(4), upside_down])


def test_cameras_that_hang_upside_down_are_turned():
    np.testing.assert_allclose(level_rotation([np.eye(4)]) @ [0, -1, 0], [0, 1, 0])


# ---- lenses


def test_undistorting_moves_a_point_to_where_a_pinhole_sees_it():
    K = np.array([[300.0, 0, 150], [0, 310.0, 120], [0, 0, 1]])
    lens = np.array([-0.2, 0.06, 0.004, -0.003, 0.01])
    for point in ([0.2, 0.1], [-0.35, 0.3], [0.0, -0.3]):
        x, y = distort(np.array(point), lens) * [300, 310] + [150, 120] - 0.5
        picture = np.zeros((240, 300), np.uint8)
        ys, xs = np.mgrid[:240, :300]
        picture = (255 * np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / 8)).astype(np.uint8)
        row, column = np.unravel_index(undistort(picture, K, lens).argmax(), picture.shape)
        assert abs(column + 0.5 - (point[0] * 300 + 150)) <= 1
        assert abs(row + 0.5 - (point[1] * 310 + 120)) <= 1


# ---- pickles


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["float32", "fortran", "tracked", "empty", "scalar", "text", "nested"])
def test_arrays_survive_every_pickle_protocol(tmp_path, protocol, name):
    value = {
        "float32": RNG.normal(size=(3, 4)).astype(np.float32),
        "fortran": np.asfortranarray(RNG.normal(size=(3, 4))),
        "tracked": RNG.normal(size=3).view(TrackedArray),
        "empty": np.zeros((0, 3)),
        "scalar": np.float64(0.416),
        "text": "neutral",
        "nested": [{"a": np.arange(3)}, (1, None, 2.5)],
    }[name]
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"value": value}, protocol=protocol))
    found = read_pickle(path)["value"]
    np.testing.assert_equal(found, value if name != "tracked" else np.asarray(value))
    assert type(found) is (np.ndarray if isinstance(value, np.ndarray) else type(value))


def test_an_npy_file_of_a_dict_is_read_without_pickle(tmp_path):
    np.save(tmp_path / "a.npy", {"cams": {"K": [np.eye(3)] * 2}, "ims": [{"ims": ["a.jpg"]}]}, allow_pickle=True)
    found = read_object_npy(tmp_path / "a.npy")
    assert found["ims"] == [{"ims": ["a.jpg"]}]
    np.testing.assert_array_equal(found["cams"]["K"][1], np.eye(3))


class _Evil:
    def __init__(self, function, *arguments) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "evil",
    [
        _Evil(eval, "1/0"),
        _Evil(__import__, "this"),
        _Evil(np.load, "a.npy"),
        _Evil(np.core.multiarray._reconstruct, np.ndarray, (10**12,), b"d"),
        _Evil(io.open, "/etc/hostname"),
    ],
)
def test_whatever_is_no_array_is_refused(tmp_path, evil):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(evil))
    with pytest.raises(ValueError, match=r"a\.pkl is not a pickle of plain arrays.*not loaded"):
        read_pickle(path)


@pytest.mark.parametrize(
    ("value", "words"), [(None, "lacks x"), ([1, 2], "shape"), (["a"] * 3, "numbers"), ([1, 2, np.nan], "finite")]
)
def test_an_entry_that_does_not_fit_is_named(tmp_path, value, words):
    with pytest.raises(ValueError, match=words):
        get_array({"x": value}, "x", (3,), tmp_path / "a.pkl")


_TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nf 1/1 2/2 3/3\n"


@pytest.mark.parametrize(
    ("material", "lost"),
    [(None, "a.mtl"), ("newmtl m\nKd 0.5 0.5 0.5\nmap_Kd -bm 1 skin.png\n", "skin.png")],
)
def test_an_obj_whose_texture_is_lost_is_no_grey_person(tmp_path, material, lost):
    (tmp_path / "a.obj").write_text(f"mtllib a.mtl\nusemtl m\n{_TRIANGLE}", encoding="utf-8")
    if material is not None:
        (tmp_path / "a.mtl").write_text(material, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"a\.obj names {lost}, which is missing"):
        read_mesh(tmp_path / "a.obj")
    assert len(read_mesh(tmp_path / "a.obj", colorless=True).faces) == 1


def test_a_part_of_one_color_may_have_texture_coordinates(tmp_path):
    (tmp_path / "a.obj").write_text(f"mtllib a.mtl\nusemtl m\n{_TRIANGLE}", encoding="utf-8")
    (tmp_path / "a.mtl").write_text("newmtl m\nKd 1.0 0.0 0.0\n", encoding="utf-8")
    assert (read_mesh(tmp_path / "a.obj").texture.reshape(-1, 3) == [255, 0, 0]).all()
