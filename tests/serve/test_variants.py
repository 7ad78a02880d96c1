"""Looks of a model in the page's viewer."""

import io
import json

import numpy as np
import pytest
import trimesh
from PIL import Image
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial

from humanlrm.serve.variants import LOOKS, write_variant


@pytest.fixture
def model(tmp_path):
    box = trimesh.creation.box()
    material = PBRMaterial(baseColorTexture=Image.new("RGB", (8, 8), "red"))
    box.visual = TextureVisuals(uv=np.zeros((len(box.vertices), 2)), material=material)
    path = tmp_path / "model.glb"
    path.write_bytes(trimesh.Scene({"person": box}).export(file_type="glb", include_normals=True))
    return path


def test_a_wireframe_has_every_edge_once(model, tmp_path):
    data = write_variant(model, tmp_path / "none.png", "Wireframe", tmp_path / "page").read_bytes()
    tree = json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])
    assert len(data) == int.from_bytes(data[8:12], "little")
    assert tree["meshes"][0]["primitives"][0]["mode"] == 1
    assert [accessor["count"] for accessor in tree["accessors"]] == [8, 2 * 18]
    assert tree["accessors"][0]["max"] == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("look", sorted({*LOOKS} - {"Wireframe"}))
def test_every_look_has_the_same_surface(model, look, tmp_path):
    heat_map = tmp_path / "model.uncertainty.png"
    Image.new("RGB", (8, 8), "blue").save(heat_map)
    model.with_suffix(".walk.glb").write_bytes(model.read_bytes())
    path = write_variant(model, heat_map, look, tmp_path / "page")
    mesh = trimesh.load(io.BytesIO(path.read_bytes()), file_type="glb", force="mesh")
    assert mesh.volume == pytest.approx(1)
    unlit = b"KHR_materials_unlit" in path.read_bytes()
    assert unlit == (look in ("Color", "Normals", "Uncertainty"))


@pytest.mark.parametrize("look", ["Uncertainty", "Walk"])
def test_a_look_that_was_not_asked_for_is_refused(model, tmp_path, look):
    with pytest.raises(ValueError, match=look):
        write_variant(model, tmp_path / "none.png", look, tmp_path / "page")
