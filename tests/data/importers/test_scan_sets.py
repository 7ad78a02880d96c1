"""What is written in a data set's layout from a procedural person comes back as that person."""

import pickle
from dataclasses import replace

import layouts
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from humanlrm.camera import TO_Y_UP, Cameras, look_at
from humanlrm.data.importers import ADAPTERS
from humanlrm.data.job import Options
from humanlrm.data.render.renderer import SceneRenderer
from humanlrm.data.scan import Scan
from humanlrm.mesh.raycast import pixel_rays


def centred(scan: Scan) -> Scan:
    low, high = scan.vertices.min(0), scan.vertices.max(0)
    return replace(scan, vertices=scan.vertices - [(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2])


def seen(studio: SceneRenderer, yaw: float) -> tuple[np.ndarray, np.ndarray]:
    """Mask and albedo from one side, 160 px."""
    toward = torch.tensor([np.sin(yaw), 0.2, np.cos(yaw)], dtype=torch.float64)
    middle = torch.tensor([0.0, 0.85, 0.0], dtype=torch.float64)
    K = torch.tensor([[260.0, 0, 80], [0, 260, 80], [0, 0, 1]], dtype=torch.float64)
    hits = studio.scene.first_hit(*pixel_rays(Cameras(K, look_at(middle + 3.5 * toward, middle), (160, 160))))
    colors = np.zeros((160, 160, 3))
    colors[hits.hit] = studio.scan.albedo(hits.face[hits.hit], hits.barycentric[hits.hit])
    return hits.hit, colors


def assert_same_person(found: Scan, person: Scan, color_error: float = 0.02) -> None:
    expected, here = SceneRenderer(centred(person)), SceneRenderer(found)
    for yaw in (0.3, 2.2):
        (a, wanted), (b, got) = seen(expected, yaw), seen(here, yaw)
        assert (a & b).sum() / (a | b).sum() > 0.98
        assert np.abs(wanted - got)[a & b].mean() < color_error


def only(name: str, root, options: Options | None = None) -> Scan:
    (item,) = ADAPTERS[name].find(root)
    return ADAPTERS[name].load(item, options or Options())


@pytest.mark.parametrize(
    ("name", "write", "unit"),
    [
        ("thuman", layouts.thuman, "m"),
        ("custom-humans", layouts.custom_humans, "m"),
        ("x-humans", layouts.x_humans, "m"),
        ("renderpeople", layouts.renderpeople, "cm"),
        ("scans", layouts.scans_obj, "cm (by its height)"),
        ("scans", layouts.scans_glb, "m (by its height)"),
    ],
)
def test_a_textured_person_comes_back_in_metres_upright_and_in_color(tmp_path, person, name, write, unit):
    write(tmp_path, person)
    found = only(name, tmp_path)
    assert_same_person(found, person)
    assert found.tags["unit"] == unit
    assert found.source in (name, "thuman")


@pytest.mark.parametrize(("name", "write"), [("2k2k", layouts.two_k_ply), ("scans", layouts.scans_ply)])
def test_a_vertex_colored_person_comes_back(tmp_path, person, name, write):
    write(tmp_path, person)
    height = float(np.ptp(person.vertices[:, 1]))
    found = only(name, tmp_path, Options(height_m=round(height, 6)))
    assert_same_person(found, person, 0.06)


def test_the_obj_form_of_2k2k_finds_its_texture(tmp_path, person):
    layouts.two_k_obj(tmp_path, person)
    assert_same_person(only("2k2k", tmp_path, Options(height_m=float(np.ptp(person.vertices[:, 1])))), person)


def test_thuman_without_a_fit_has_a_set_height_and_an_unknown_yaw(tmp_path, person):
    layouts.thuman(tmp_path, person, fit=False)
    found = only("thuman", tmp_path, Options(height_m=1.6))
    assert np.ptp(found.vertices[:, 1]) == pytest.approx(1.6, rel=1e-5)
    assert found.tags["yaw"] == "unknown"
    assert "unknown" in found.tags["unit"]


def test_a_leaning_body_keeps_its_lean(tmp_path, person):
    """Only the yaw of the fit is undone."""
    layouts.thuman(tmp_path, person)
    path = next(tmp_path.rglob("smplx_param.pkl"))
    fit = pickle.loads(path.read_bytes())
    lean = Rotation.from_rotvec(fit["global_orient"][0]) * Rotation.from_euler("x", 20, degrees=True)
    path.write_bytes(pickle.dumps(fit | {"global_orient": lean.as_rotvec()[None]}))
    assert_same_person(only("thuman", tmp_path), person)


@pytest.mark.parametrize("up", list(TO_Y_UP))
def test_any_stated_up_axis_is_turned_to_y(tmp_path, person, up):
    turned = person.vertices @ TO_Y_UP[up]
    layouts.as_trimesh(person, turned).export(tmp_path / "a.glb")
    found = only("scans", tmp_path, Options(up=up))
    np.testing.assert_allclose(
        np.sort(found.vertices, axis=0), np.sort(np.unique(centred(person).vertices, axis=0), axis=0), atol=1e-5
    )


@pytest.mark.parametrize("turn_inside_out", [False, True])
def test_faces_look_outward_whatever_the_file_says(tmp_path, person, turn_inside_out):
    mesh = layouts.as_trimesh(person, person.vertices)
    if turn_inside_out:
        mesh.invert()
    mesh.export(tmp_path / "a.glb")
    found = only("scans", tmp_path)
    corner = found.vertices[found.faces].astype(np.float64)
    assert np.einsum("fi,fi->f", corner[:, 0], np.cross(corner[:, 1], corner[:, 2])).sum() > 0
    assert_same_person(found, person)


def test_texture_seams_are_welded(tmp_path, person):
    layouts.scans_glb(tmp_path, person)
    assert len(only("scans", tmp_path).vertices) == len(np.unique(person.vertices[np.unique(person.faces)], axis=0))


def test_several_materials_become_one_texture(tmp_path, person):
    """The upper half of the faces gets a picture of its own with other coordinates, another part a flat colour."""
    layouts.scans_obj(tmp_path, person)
    obj = tmp_path / "a" / "person.obj"
    lines = obj.read_text(encoding="utf-8").splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("f "))
    middle = (first + len(lines)) // 2
    lines.insert(middle, "usemtl other")
    obj.write_text("\n".join(lines), encoding="utf-8")
    layouts.save(tmp_path / "a" / "other.png", person.texture[::2, ::2])
    with obj.with_suffix(".mtl").open("a", encoding="utf-8") as file:
        file.write("newmtl other\nmap_Kd other.png\n")
    found = only("scans", tmp_path)
    assert found.texture.shape[0] * found.texture.shape[1] > person.texture[..., 0].size
    assert_same_person(found, person, 0.03)


def test_each_frame_of_x_humans_has_a_number_and_a_part(tmp_path, person):
    layouts.x_humans(tmp_path, person)
    folder = next(tmp_path.rglob("meshes_pkl"))
    (folder / "mesh-f00002.pkl").write_bytes(b"")
    first, second = ADAPTERS["x-humans"].find(tmp_path)
    assert (first.part, first.frame, second.frame) == ("train", 0, 1)
    assert first.group == "00016"
    assert first.id == "00016-train-Take2-f00001"


# ---- refusals


def refusal(name: str, root, options: Options | None = None) -> str:
    with pytest.raises(ValueError, match=str(root)) as refused:
        only(name, root, options)
    return str(refused.value)


def test_a_scan_without_its_texture_is_refused_by_name(tmp_path, person):
    layouts.scans_obj(tmp_path, person)
    (tmp_path / "a" / "person.png").unlink()
    assert "person.obj names person.png, which is missing" in refusal("scans", tmp_path)


@pytest.mark.parametrize("suffix", ["obj", "ply", "glb"])
def test_a_damaged_mesh_is_refused_by_name(tmp_path, person, suffix):
    {"obj": layouts.scans_obj, "ply": layouts.scans_ply, "glb": layouts.scans_glb}[suffix](tmp_path, person)
    path = next(tmp_path.rglob(f"*.{suffix}"))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] if suffix != "obj" else b"v 1 2 x\nf 1 2 3\n")
    assert path.name in refusal("scans", tmp_path)


def test_faces_turned_at_random_are_refused(tmp_path, person):
    faces = person.faces.copy()
    odd = np.random.default_rng(0).random(len(faces)) < 0.5
    faces[odd] = faces[odd, ::-1]
    layouts.save_colored_ply(tmp_path / "a.ply", replace(person, faces=faces), person.vertices)
    assert "no inside" in refusal("scans", tmp_path)


def test_an_impossible_height_asks_for_the_unit(tmp_path, person):
    layouts.scans_glb(tmp_path, person)
    assert "--unit" in refusal("scans", tmp_path, Options(unit="mm"))


def test_a_pickle_that_would_run_something_is_refused_and_does_not_run(tmp_path, person):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    layouts.thuman(tmp_path, person)
    next(tmp_path.rglob("smplx_param.pkl")).write_bytes(pickle.dumps({"scale": Trap()}))
    message = refusal("thuman", tmp_path)
    assert "smplx_param.pkl" in message
    assert "open" in message
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(("option", "value"), [("up", "y"), ("unit", "feet"), ("height_m", 17.0), ("image_px", 1)])
def test_unknown_options_are_refused(option, value):
    with pytest.raises(ValueError, match=option):
        Options(**{option: value})
