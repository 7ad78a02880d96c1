import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import train_tiny
from accelerate import Accelerator
from safetensors.torch import load_file
from train_tiny import RENDERING, Call, numbers, plan, run_training, total_loss

from humanlrm.data.records import ShardError
from humanlrm.data.shards import Mixture, ShardFolder, write_shard
from humanlrm.model.config import tiny
from humanlrm.model.history import TrainingStage, read_history, write_history
from humanlrm.model.lrm import HumanLRM, build
from humanlrm.model.pretrained import from_pretrained, save_pretrained
from humanlrm.render.density import LaplaceDensity
from humanlrm.train import stop
from humanlrm.train.checkpoint import list_checkpoints, trained_parameters
from humanlrm.train.config import LogSettings, StepSettings, TrainConfig
from humanlrm.train.hooks import DrawPictures, ReportProgress, Validate, validate
from humanlrm.train.lift import fit_lifter
from humanlrm.train.optimizer import make_optimizer
from humanlrm.train.stop import TrainingStopped, catch_stop_signals

SCRIPT = str(Path(train_tiny.__file__))


class Interrupted(Exception):
    pass


#: Steps that change nothing.
STILL = StepSettings(weight_decay=0.0, warmup=1, lifter_steps=2)


@pytest.fixture(scope="module")
def uninterrupted(shards, tmp_path_factory) -> Path:
    """Four steps of two samples."""
    run = tmp_path_factory.mktemp("uninterrupted")
    run_training(tiny(), plan(8, 2), shards, run)
    return run


@pytest.fixture(scope="module")
def clueless(rendered, tmp_path_factory) -> Path:
    """Data without clues, which are what dropout drops: it is drawn for a batch, so other batches would differ."""
    folder = tmp_path_factory.mktemp("clueless")
    views = [replace(view, detector_features=None) for view in rendered.views]
    write_shard(folder / "a.tar", [("00000000", replace(rendered, views=views))])
    return folder


@pytest.fixture(scope="module")
def alone(clueless, tmp_path_factory) -> Path:
    """Four steps of two samples by one process."""
    run = tmp_path_factory.mktemp("alone")
    run_training(tiny(), plan(8, 2), clueless, run)
    return run


def last(run: Path) -> dict[str, torch.Tensor]:
    """Everything in the newest checkpoint."""
    folder = list_checkpoints(run)[-1]
    return {
        f"{path.stem}.{name}": tensor
        for path in folder.glob("*.safetensors")
        for name, tensor in load_file(path).items()
    }


def same(a: Path, b: Path) -> bool:
    first, second = last(a), last(b)
    return (
        list_checkpoints(a)[-1].name == list_checkpoints(b)[-1].name
        and first.keys() == second.keys()
        and all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    )


def test_an_interrupted_run_ends_with_the_same_weights_bit_for_bit(shards, uninterrupted, tmp_path):
    def interrupt(state):
        if state.counters.step == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        run_training(tiny(), plan(8, 2), shards, tmp_path, [Call(interrupt)])
    assert list_checkpoints(tmp_path)[-1].name == "step-0000002"
    torch.manual_seed(99)
    run_training(tiny(), plan(8, 2), shards, tmp_path)
    assert same(tmp_path, uninterrupted)


def test_another_seed_gives_other_weights(shards, uninterrupted, tmp_path):
    run_training(tiny(), replace(plan(8, 2), seed=1), shards, tmp_path)
    assert not same(tmp_path, uninterrupted)


def test_a_killed_process_goes_on_and_ends_with_the_same_weights(shards, uninterrupted, tmp_path):
    killed = subprocess.run([sys.executable, SCRIPT, shards, tmp_path, "8", "2", "3"], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert list_checkpoints(tmp_path)[-1].name == "step-0000002"
    run_training(tiny(), plan(8, 2), shards, tmp_path)
    assert same(tmp_path, uninterrupted)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_asks_a_run_to_stop_loses_nothing(number, shards, uninterrupted, tmp_path):
    before = signal.getsignal(number)

    def ask_to_stop(state):
        if state.counters.step == 2:
            os.kill(os.getpid(), number)

    seldom = replace(plan(8, 2), log=LogSettings(checkpoint_s=1e9, keep=20, log_every=1))
    run_training(tiny(), seldom, shards, tmp_path, [Call(ask_to_stop)])
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-0000002"]
    assert signal.getsignal(number) is before
    run_training(tiny(), seldom, shards, tmp_path)
    assert same(tmp_path, uninterrupted)


def test_a_run_that_goes_on_does_not_ask_for_what_it_began_from(shards, uninterrupted, tmp_path):
    before = last(uninterrupted)
    run_training(tiny(), replace(plan(8, 2), initial=tmp_path / "gone"), shards, uninterrupted)
    assert all(torch.equal(tensor, before[name]) for name, tensor in last(uninterrupted).items())


def test_a_finished_run_started_again_changes_nothing(shards, uninterrupted):
    before = last(uninterrupted)
    run_training(tiny(), plan(8, 2), shards, uninterrupted)
    assert all(torch.equal(tensor, before[name]) for name, tensor in last(uninterrupted).items())


def test_the_trained_model_holds_the_averaged_weights(shards, uninterrupted):
    model = run_training(tiny(), plan(8, 2), shards, uninterrupted)
    average = load_file(list_checkpoints(uninterrupted)[-1] / "average.safetensors")
    assert not model.training
    assert all(torch.equal(p, average[name]) for name, p in trained_parameters(model).items())


def together(*arguments: object) -> None:
    """Runs the script in two processes that share their steps."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    both = [
        subprocess.Popen([sys.executable, SCRIPT, *map(str, arguments)], env=environment | {"RANK": r, "LOCAL_RANK": r})
        for r in ("0", "1")
    ]
    assert [process.wait() for process in both] == [0, 0]


def test_only_the_first_process_writes_into_the_run(shards, tmp_path, monkeypatch):
    """Two that write the history of the weights that they start from at once have left one without its file."""
    save_pretrained(tmp_path / "weights", tiny(), dict(trained_parameters(build(tiny()))))
    write_history(tmp_path / "weights", [TrainingStage("all", {"procedural": 2}, ["CC0"], 60_000, 1.25, 7, "abc")])
    monkeypatch.setattr(Accelerator, "is_main_process", False)
    run_training(tiny(), replace(plan(2, 2), initial=tmp_path / "weights"), shards, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def apart(a: Path, b: Path, data: Path) -> float:
    """How far apart the weights of two runs are, of the way that they went."""
    torch.manual_seed(plan(8, 2).seed)
    model = build(tiny())
    fit_lifter(model.landmark_head.lifter, ShardFolder(data), plan(8, 2).steps.lifter_steps, plan(8, 2).seed)
    start = {f"model.{name}": p.detach() for name, p in trained_parameters(model).items()}
    one, two = last(a), last(b)
    assert one.keys() == two.keys()
    assert all(one[name].shape == two[name].shape for name in one)
    moved = sum(float((one[name] - p).abs().sum()) for name, p in start.items())
    assert moved > 1
    return sum(float((one[name] - two[name]).abs().sum()) for name in start) / moved


def test_two_processes_learn_what_one_learns_from_the_same_global_batch(clueless, alone, tmp_path):
    together(clueless, tmp_path, 8, 1)
    assert apart(alone, tmp_path, clueless) < 0.01


def test_gradients_of_several_batches_make_the_step_of_one_large_batch(clueless, alone, tmp_path):
    run_training(tiny(), replace(plan(8, 1), accumulate=2), clueless, tmp_path)
    one, two = last(alone), last(tmp_path)
    assert list_checkpoints(tmp_path)[-1].name == list_checkpoints(alone)[-1].name
    names = [name for name in one if name.startswith("optimizer.exp_avg.")]
    apart = sum(float((one[name] - two[name]).abs().sum()) for name in names)
    assert apart < 0.01 * sum(float(one[name].abs().sum()) for name in names)


def test_a_run_that_renders_resumes_bit_for_bit_and_learns_its_density(shards, tmp_path):
    config = replace(plan(4, 1), rendering=RENDERING)

    def interrupt(state):
        if state.counters.step == 3:
            raise Interrupted

    run_training(tiny(), config, shards, tmp_path / "whole")
    with pytest.raises(Interrupted):
        run_training(tiny(), config, shards, tmp_path / "cut", [Call(interrupt)])
    run_training(tiny(), config, shards, tmp_path / "cut")
    assert same(tmp_path / "cut", tmp_path / "whole")
    start = LaplaceDensity().log_beta.detach()
    assert not torch.equal(last(tmp_path / "whole")["density.value.density.log_beta"], start)


def test_rendering_can_be_turned_on_in_a_run_and_off_again(shards, tmp_path):
    run_training(tiny(), plan(2, 2), shards, tmp_path)
    losses = []
    config = replace(plan(4, 2), rendering=RENDERING)
    run_training(tiny(), config, shards, tmp_path, [ReportProgress(lambda p: losses.append(p.losses))])
    assert {"sdf", "render_rgb", "render_mask", "render_perceptual", "beta"} <= losses[-1].keys()
    run_training(tiny(), plan(6, 2), shards, tmp_path)
    assert list_checkpoints(tmp_path)[-1].name == "step-0000003"


def test_a_mixture_of_folders_is_trained_on(shards, rendered, tmp_path):
    write_shard(tmp_path / "other" / "a.tar", [("00000000", rendered)])
    mixture = Mixture([(ShardFolder(shards), 1.0), (ShardFolder(tmp_path / "other"), 1.0)])
    run_training(tiny(), plan(2, 2), mixture, tmp_path / "mixed")
    run_training(tiny(), plan(2, 2), shards, tmp_path / "plain")
    assert not same(tmp_path / "mixed", tmp_path / "plain")


def test_training_on_one_batch_lowers_every_geometric_loss(batch):
    """Without clues: a new lifter does not know their scale yet (``fit_lifter`` tells it)."""
    batch = replace(
        batch, inputs=replace(batch.inputs, detector_features=torch.zeros_like(batch.inputs.detector_features))
    )
    torch.manual_seed(0)
    model = build(tiny()).train()
    optimizer = make_optimizer(model, TrainConfig(learning_rate=1e-3))
    before = numbers(model, batch)
    for _ in range(80):
        optimizer.zero_grad()
        total_loss(model, batch).backward()
        optimizer.step()
    after = numbers(model, batch)
    for name in ("sdf", "surface", "depth", "landmarks", "rgb"):
        assert after[name] < 0.9 * before[name], name


def test_a_loss_that_is_no_number_stops_and_keeps_the_batch(rendered, tmp_path):
    broken = replace(rendered, samples=replace(rendered.samples, sdf=rendered.samples.sdf * float("nan")))
    write_shard(tmp_path / "data" / "a.tar", [("00000000", broken)])
    with pytest.raises(TrainingStopped, match=r"not-finite\.safetensors"):
        run_training(tiny(), plan(8, 2), tmp_path / "data", tmp_path / "run")
    kept = load_file(tmp_path / "run" / "not-finite.safetensors")
    assert kept["wanted.sdf"].isnan().all()
    assert kept["image"].shape == (2, 5, 64, 64)
    assert kept["landmarks"].shape == (2, 19, 4)
    assert list_checkpoints(tmp_path / "run") == []


def test_a_batch_with_target_views_is_kept_whole(rendered, tmp_path):
    broken = replace(rendered, samples=replace(rendered.samples, sdf=rendered.samples.sdf * float("nan")))
    write_shard(tmp_path / "data" / "a.tar", [("00000000", broken)])
    with pytest.raises(TrainingStopped):
        run_training(tiny(), replace(plan(1, 1), rendering=RENDERING), tmp_path / "data", tmp_path / "run")
    kept = load_file(tmp_path / "run" / "not-finite.safetensors")
    assert kept["wanted.targets.rgb"].shape[:3] == (1, RENDERING.views, 3)


def test_a_run_starts_from_the_weights_of_another_run(shards, tmp_path):
    learned = trained_parameters(run_training(tiny(), plan(4, 2), shards, tmp_path / "first"))
    config = replace(plan(2, 2), learning_rate=0.0, steps=STILL, initial=tmp_path / "first")
    going_on = run_training(tiny(), config, shards, tmp_path / "second")
    assert all(torch.equal(p, learned[name]) for name, p in trained_parameters(going_on).items())


def test_a_run_starts_from_exported_weights(shards, tmp_path):
    torch.manual_seed(3)
    exported = build(tiny())
    save_pretrained(tmp_path / "weights", tiny(), dict(trained_parameters(exported)))
    been = [TrainingStage("all", {"procedural": 2}, ["CC0"], 60_000, 1.25, 7, "abc")]
    write_history(tmp_path / "weights", been)
    config = replace(plan(2, 2), learning_rate=0.0, steps=STILL, initial=tmp_path / "weights")
    going_on = run_training(tiny(), config, shards, tmp_path / "run")
    assert read_history(tmp_path / "run") == been
    assert all(
        torch.equal(p, trained_parameters(exported)[name].half().float())
        for name, p in trained_parameters(going_on).items()
    )


def test_weights_without_a_head_part_get_one(shards, tmp_path):
    parameters = trained_parameters(build(tiny())).items()
    older = {name: parameter for name, parameter in parameters if not name.startswith("field.head.")}
    save_pretrained(tmp_path / "weights", tiny(), older)
    config = replace(plan(2, 2), learning_rate=0.0, steps=STILL, initial=tmp_path / "weights")
    going_on = run_training(tiny(), config, shards, tmp_path / "run")
    assert {name for name in trained_parameters(going_on) if "field.head." in name}
    save_pretrained(tmp_path / "new", tiny(), dict(trained_parameters(going_on)))
    assert isinstance(from_pretrained(tmp_path / "new"), HumanLRM)


def test_hooks_report_losses_validation_and_pictures_when_they_are_due(shards, tmp_path):
    lines, validations, pictures = [], [], []
    log = LogSettings(checkpoint_s=0, keep=20, log_every=1, validate_every=2, picture_every=2, picture_px=8)
    config = replace(plan(4, 2), log=log)
    hooks = [
        Validate(ShardFolder(shards), lambda *report: validations.append(report)),
        DrawPictures(lambda *report: pictures.append(report)),
        ReportProgress(lambda progress: lines.append(replace(progress, counters=replace(progress.counters)))),
    ]
    run_training(tiny(), config, shards, tmp_path, hooks)
    assert [line.counters.step for line in lines] == [1, 2]
    assert [seen for seen, _ in validations] == [seen for seen, _ in pictures] == [4]
    assert pictures[0][1].around.shape[:2] == (2, 3)
    assert all(line.samples_per_s > 0 and line.flops_per_s > 0 for line in lines)
    assert validations[0][1].keys() == lines[1].losses.keys() >= {"sdf", "depth", "landmarks"}


def test_validation_is_the_same_every_time(shards):
    torch.manual_seed(0)
    model = build(tiny()).eval()
    assert validate(model, ShardFolder(shards), 2) == validate(model, ShardFolder(shards), 2)


def test_no_data_is_an_error_that_leaves_nothing(tmp_path):
    with pytest.raises(ShardError):
        run_training(tiny(), plan(2, 2), tmp_path / "empty", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_biases_norms_and_embeddings_do_not_decay_and_the_lifter_changes_slowly():
    model = build(tiny())
    names = {id(p): name for name, p in trained_parameters(model).items()}
    groups = make_optimizer(model, TrainConfig()).param_groups
    decayed, rest = (
        [names[id(p)] for group in groups if bool(group["weight_decay"]) == decays for p in group["params"]]
        for decays in (True, False)
    )
    assert all(name.endswith("weight") and "norm" not in name for name in decayed)
    assert {
        "field.prior_weight",
        "landmark_head.place",
        "landmark_head.lifter.mean",
        "landmark_head.rounds.0.tokens.name",
    } <= set(rest)
    assert len(decayed) + len(rest) == len(names)
    slow = {names[id(p)] for group in groups if group["share"] < 1 for p in group["params"]}
    assert slow == {name for name in names.values() if name.startswith("landmark_head.lifter.")}


@pytest.mark.usefixtures("ctrl_c")
def test_who_presses_ctrl_c_twice_means_now(shards, tmp_path, monkeypatch):
    monkeypatch.setattr(stop, "_ECHO_S", 0)

    def insist(state):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_training(tiny(), plan(8, 2), shards, tmp_path, [Call(insist)])


@pytest.mark.usefixtures("ctrl_c")
def test_a_run_in_the_background_does_not_hear_the_ctrl_c_of_others():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with catch_stop_signals() as asked:
        os.kill(os.getpid(), signal.SIGINT)
        assert asked == []
        for _ in range(2):  # the second is an echo
            os.kill(os.getpid(), signal.SIGTERM)
        assert asked == [signal.SIGTERM]
