import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from humanlrm.model.config import ModelConfig, tiny
from humanlrm.model.lrm import HumanLRM, build
from humanlrm.model.pretrained import CheckpointError
from humanlrm.render.density import LaplaceDensity
from humanlrm.train.checkpoint import (
    Counters,
    list_checkpoints,
    load_averaged_weights,
    load_checkpoint,
    save_checkpoint,
    trained_parameters,
)
from humanlrm.train.config import TrainConfig
from humanlrm.train.optimizer import make_optimizer


def fresh(
    seed: int, config: ModelConfig | None = None
) -> tuple[HumanLRM, dict[str, torch.Tensor], torch.optim.Optimizer]:
    torch.manual_seed(seed)
    model = build(config or tiny())
    average = {name: torch.rand_like(p) for name, p in trained_parameters(model).items()}
    return model, average, make_optimizer(model, TrainConfig())


def stepped(seed: int = 1, config: ModelConfig | None = None):
    """A model whose optimizer has moments."""
    model, average, optimizer = fresh(seed, config)
    for parameter in trained_parameters(model).values():
        parameter.grad = torch.rand_like(parameter)
    optimizer.step()
    return model, average, optimizer


@pytest.fixture
def saved(tmp_path):
    parts = stepped()
    return parts, save_checkpoint(tmp_path, *parts, Counters(80, 10, 2.5), keep=3)


def test_a_checkpoint_restores_weights_average_moments_and_state(saved):
    (model, average, optimizer), folder = saved
    again, other_average, other_optimizer = fresh(2)
    state = load_checkpoint(folder, again, other_average, other_optimizer)
    assert state == Counters(80, 10, 2.5)
    for name, parameter in trained_parameters(model).items():
        twin = trained_parameters(again)[name]
        assert torch.equal(parameter, twin)
        assert torch.equal(average[name], other_average[name])
        for key, value in optimizer.state[parameter].items():
            assert torch.equal(value, other_optimizer.state[twin][key])


#: Beginnings of names of parameters, and those that older code wrote.
OLD_NAMES = {
    "landmark_head.lifter.feature.": "corrector.lifter.clue.",
    "landmark_head.heatmap_head.coarse_depth.": "corrector.spotter.relief.",
    "landmark_head.heatmap_head.": "corrector.spotter.",
    "landmark_head.image_trunk.": "corrector.eye.",
    "landmark_head.": "corrector.",
    "decoder.adapter.image_trunk.": "decoder.sight.eye.",
    "decoder.adapter.": "decoder.sight.",
    "landmark_tokens.": "marks.",
}


def old_name(name: str) -> str:
    return next((old + name.removeprefix(new) for new, old in OLD_NAMES.items() if name.startswith(new)), name)


def test_a_checkpoint_with_older_names_of_parameters_and_moments_is_restored(tmp_path):
    config = replace(tiny(), trainable_trunk=True, plane_adapter=True)
    model, average, optimizer = stepped(config=config)
    folder = save_checkpoint(tmp_path, model, average, optimizer, Counters(80, 10, 2.5), keep=3)
    for file, keys in (("model", [""]), ("average", [""]), ("optimizer", ["step.", "exp_avg.", "exp_avg_sq."])):
        path, renamed = folder / f"{file}.safetensors", {}
        for name, tensor in load_file(path).items():
            key = next(key for key in keys if name.startswith(key))
            renamed[key + old_name(name.removeprefix(key))] = tensor
        assert renamed.keys() != load_file(path).keys()
        save_file(renamed, path)
    twin, twin_average, twin_optimizer = fresh(2, config)
    assert load_checkpoint(folder, twin, twin_average, twin_optimizer) == Counters(80, 10, 2.5)
    assert twin_average.keys() == average.keys()
    for name, parameter in trained_parameters(model).items():
        assert torch.equal(parameter, trained_parameters(twin)[name])
        assert torch.equal(average[name], twin_average[name])
        moments = twin_optimizer.state[trained_parameters(twin)[name]]
        assert moments.keys() == optimizer.state[parameter].keys()
        assert all(torch.equal(value, moments[key]) for key, value in optimizer.state[parameter].items())


def test_there_is_no_pickle_in_a_checkpoint(saved):
    assert {path.suffix for path in saved[1].iterdir()} == {".json", ".safetensors"}


def test_only_the_newest_are_kept(tmp_path):
    parts = stepped()
    for step in (1, 2, 3, 12):
        save_checkpoint(tmp_path, *parts, Counters(step, step, 0.0), keep=2)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-0000003", "step-0000012"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_half_written_checkpoint_does_not_count(tmp_path, saved):
    (tmp_path / ".partial-0000011").mkdir()
    assert list_checkpoints(tmp_path) == [saved[1]]


def test_a_checkpoint_can_be_written_again(tmp_path, saved):
    save_checkpoint(tmp_path, *saved[0], Counters(99, 10, 0.0), keep=3)
    assert json.loads((saved[1] / "state.json").read_text(encoding="utf-8"))["seen"] == 99


def test_a_checkpoint_of_another_model_is_refused(saved):
    config = replace(tiny(), depth=2)
    other = build(config)
    with pytest.raises(CheckpointError, match="choose another --run"):
        load_checkpoint(saved[1], other, {}, make_optimizer(other, TrainConfig()))


@pytest.mark.parametrize(
    "name", ["config.json", "state.json", "model.safetensors", "average.safetensors", "optimizer.safetensors"]
)
@pytest.mark.parametrize("missing", [True, False])
def test_a_damaged_checkpoint_is_refused_and_named(saved, name, missing):
    path = saved[1] / name
    content = path.read_bytes()
    path.unlink()
    if not missing:
        path.write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=saved[1].name):
        load_checkpoint(saved[1], *fresh(2))


def test_the_newest_averaged_weights_are_found(tmp_path, saved):
    (_, average, _), _ = saved
    config, tensors, state = load_averaged_weights(tmp_path)
    assert config == tiny()
    assert state.seen == 80
    assert all(torch.equal(tensors[name], value) for name, value in average.items())


def test_a_run_without_checkpoints_says_so(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load_averaged_weights(tmp_path)


def with_density(seed: int, beta: float):
    """As :func:`stepped`, with the renderer's density among what is trained."""
    torch.manual_seed(seed)
    model, density = build(tiny()), LaplaceDensity(beta)
    average = {name: torch.rand_like(p) for name, p in trained_parameters(model, density).items()}
    optimizer = make_optimizer(model, TrainConfig(), density)
    for parameter in trained_parameters(model, density).values():
        parameter.grad = torch.rand_like(parameter)
    optimizer.step()
    return model, average, optimizer, density


def test_the_density_is_restored_with_average_and_moments(tmp_path):
    model, average, optimizer, density = with_density(1, 0.05)
    folder = save_checkpoint(tmp_path, model, average, optimizer, Counters(8, 1), 3, density)
    again, other_average, other_optimizer, twin = with_density(2, 0.01)
    load_checkpoint(folder, again, other_average, other_optimizer, twin)
    assert torch.equal(density.log_beta, twin.log_beta)
    assert other_average.keys() == average.keys()
    assert torch.equal(average["density.log_beta"], other_average["density.log_beta"])
    for key, value in optimizer.state[density.log_beta].items():
        assert torch.equal(value, other_optimizer.state[twin.log_beta][key])


def test_a_checkpoint_of_a_run_that_did_not_render_loads_into_one_that_does(saved):
    model, average, optimizer, density = with_density(2, 0.03)
    own = density.log_beta.detach().clone(), average["density.log_beta"].clone()
    load_checkpoint(saved[1], model, average, optimizer, density)
    assert torch.equal(density.log_beta, own[0])
    assert torch.equal(average["density.log_beta"], own[1])


def test_a_checkpoint_of_a_run_that_renders_is_one_of_the_model_for_everyone_else(tmp_path):
    model, average, optimizer, density = with_density(1, 0.05)
    folder = save_checkpoint(tmp_path, model, average, optimizer, Counters(8, 1), 3, density)
    load_checkpoint(folder, *fresh(2))
    assert load_averaged_weights(tmp_path)[1].keys() == trained_parameters(model).keys()
