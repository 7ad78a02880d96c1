"""The laws of the cached body model: it is anny's, and the cache changes nobody."""

from collections.abc import Iterator
from pathlib import Path

import anny
import numpy as np
import pytest
import torch

from humanlrm.data.scan import Scan
from humanlrm.people.body_model import Topology, body_model
from humanlrm.people.procedural.bodies import outer_vertices, rig
from humanlrm.people.procedural.lofts import _slices
from humanlrm.people.procedural.person import make_person
from humanlrm.people.procedural.sites import texels, vertex_sites

PHENOTYPES = [{}, {"gender": 0.0, "age": 0.2, "weight": 0.9}, {"gender": 1.0, "age": 1.0, "height": 0.3, "muscle": 0.1}]


@pytest.fixture
def cold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("HUMANLRM_CACHE", str(tmp_path))
    start_anew()
    yield tmp_path
    monkeypatch.undo()
    start_anew()


def start_anew() -> None:
    """Forget what a process remembers."""
    for remembered in (body_model, outer_vertices, rig, vertex_sites, texels, _slices):
        remembered.cache_clear()


@pytest.mark.parametrize("topology", ["anny", "makehuman"])
def test_bodies_are_those_of_annys_own_model(topology: Topology):
    theirs, ours = anny.Anny(topology=topology, skinning_method="lbs").to(dtype=torch.float32), body_model(topology)
    rest = torch.eye(4).repeat(1, len(ours.bones), 1, 1)
    for phenotype in PHENOTYPES:
        with torch.no_grad():
            out = theirs(pose_parameters=rest, phenotype_kwargs={k: torch.tensor([v]) for k, v in phenotype.items()})
        for points, name in zip(ours.rest(phenotype), ("rest_vertices", "rest_bone_heads"), strict=True):
            x, y, z = out[name][0].numpy().T
            np.testing.assert_array_equal(points, np.stack([x, z, -y], axis=1))


def test_an_unknown_phenotype_is_named():
    with pytest.raises(ValueError, match="no phenotype hight; it has gender"):
        body_model("anny").rest({"hight": 0.5})


def test_the_same_seed_gives_the_same_person_with_a_cold_a_warm_and_a_damaged_cache(cold: Path):
    def made_anew() -> Scan:
        start_anew()
        return make_person(7)

    first = made_anew()
    file = next((cold / "bodies").glob("*.arrays"))
    warm = made_anew()
    file.write_bytes(file.read_bytes()[:1000])
    again = made_anew()
    for other in (warm, again):
        np.testing.assert_array_equal(first.vertices, other.vertices)
        np.testing.assert_array_equal(first.texture, other.texture)
        np.testing.assert_array_equal(first.landmarks, other.landmarks)
    assert file.stat().st_size > 1000
