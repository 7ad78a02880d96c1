"""Every rival, tiny: it trains by our loop, its losses fall, and it reconstructs a person from a photo."""

import numpy as np
import pytest
import torch
from tiny_rivals import NERF, SIZES, short_plan

from humanlrm.data.shards import ShardFolder
from humanlrm.evaluate.case import SIDES
from humanlrm.mesh.surface import EmptySurfaceError, is_closed
from humanlrm.rivals.kinds import RIVALS
from humanlrm.rivals.nerf import nerf
from humanlrm.rivals.training import open_trained, read_record, train_rival
from humanlrm.train.hooks import SaveCheckpoints
from humanlrm.train.loop import Hook

_SAMPLES = {"hmr": 16, "pifu": 40, "pifuhd": 120, "hybrid": 16, "generic": 120, "triplane": 16, "ours": 8}
_RATES = {"pifu": 6e-3, "pifuhd": 6e-3, "generic": 6e-3}


class Totals(Hook):
    """Keeps the losses of each step."""

    def __init__(self) -> None:
        self.losses = []

    def after_step(self, state, step) -> None:
        self.losses.append(step.losses)


@pytest.fixture(scope="module")
def trained(shards, tmp_path_factory):
    """From a rival's name to its run and the losses of its steps; each is trained once."""
    made = {}

    def run(name: str):
        if name not in made:
            folder, totals = tmp_path_factory.mktemp(name), Totals()
            hooks = [totals, SaveCheckpoints()]
            plan = short_plan(_SAMPLES[name], _RATES.get(name, 3e-3))
            train_rival(name, plan, ShardFolder(shards), folder, hooks, SIZES[name])
            made[name] = folder, totals.losses
        return made[name]

    return run


def assert_sound_person(person, case) -> None:
    """A finite closed body with a color for each vertex, in the box."""
    vertices, colors = person.surface.vertices, person.colors
    assert np.isfinite(vertices).all()
    assert np.abs(vertices).max() < 1.5
    assert colors.shape == vertices.shape
    assert np.isfinite(colors).all()
    assert 0 <= colors.min() <= colors.max() <= 1
    assert is_closed(person.surface.faces)
    assert person.surface.volume > 0


@pytest.mark.parametrize("name", RIVALS)
def test_a_rival_trains_and_reconstructs_a_closed_body_in_each_of_its_rows(name, trained, case):
    run, _ = trained(name)
    network, counters = open_trained(run)
    assert counters.seen == _SAMPLES[name]
    for opener in RIVALS[name].rows.values():
        try:
            person = opener(network, 64)(case)
        except EmptySurfaceError:
            # Occupancies and densities begin with nothing inside; so few steps are enough on most machines only.
            if name not in ("pifuhd", "generic"):
                raise
            pytest.xfail("the network is too young for a surface")
        assert_sound_person(person, case)


@pytest.mark.parametrize("name", ["hmr", "pifu", "pifuhd", "hybrid", "triplane"])
def test_the_losses_of_a_rival_fall(name, trained):
    losses, weights = trained(name)[1], RIVALS[name].network.weights
    assert {key for step in losses for key in step} == set(weights)
    # Patches come in some steps only.
    total = [sum(weights[key] * step[key] for key in weights if key != "perceptual") for step in losses]
    quarter = max(1, len(total) // 4)
    assert np.mean(total[-quarter:]) < np.mean(total[:quarter])


@pytest.mark.parametrize("name", RIVALS)
def test_a_run_says_what_it_cost(name, trained):
    record = read_record(trained(name)[0])
    assert record.name == name
    assert record.samples == _SAMPLES[name]
    assert record.finished
    assert 0 < record.trained < record.parameters
    assert record.core_hours > 0


@pytest.mark.parametrize("sides", [("front",), SIDES], ids=["one", "four"])
def test_a_field_is_fitted_to_the_pictures_of_a_case(sides, case):
    person = nerf(NERF, 64, sides)(case)
    assert_sound_person(person, case)
    torch.testing.assert_close(nerf(NERF, 64, sides)(case).surface.vertices, person.surface.vertices)
