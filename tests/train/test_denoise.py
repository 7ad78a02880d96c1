"""Laws of training the denoiser."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from painted import subject
from safetensors.torch import load_file
from tiny_diffusion import tiny_lrm
from torch.utils.data import Dataset

from humanlrm.body.landmarks import COUNT, DETECTOR_FEATURE_CHANNELS
from humanlrm.cli import main
from humanlrm.data.shards import write_shard
from humanlrm.diffusion.latent.complete import LatentSampling, complete
from humanlrm.diffusion.latent.condition import fit_config
from humanlrm.diffusion.latent.denoiser import Denoiser, denoiser_from_pretrained, tiny_denoiser
from humanlrm.model.config import tiny
from humanlrm.model.lrm import build
from humanlrm.model.pretrained import CheckpointError, save_pretrained
from humanlrm.train.checkpoint import list_checkpoints, load_averaged_weights, trained_parameters
from humanlrm.train.config import LogSettings
from humanlrm.train.denoise import DenoisingConfig, denoising_steps
from humanlrm.train.latent.distill import Teacher, distill, train_denoiser
from humanlrm.train.latent.pairs import Pair
from humanlrm.train.latent.targets import LatentFolder
from humanlrm.train.optimizer import make_optimizer
from humanlrm.train.stop import TrainingStopped
from humanlrm.views import Inputs

EACH = LogSettings(checkpoint_s=0, keep=9, log_every=1)
PLAN = DenoisingConfig(samples=8, batch=2, levels=2, steps=denoising_steps(warmup=1), log=EACH, workers=0)


class Four(Dataset[Pair]):
    """Four people over and over: pictures and latents of pure chance."""

    def __init__(self) -> None:
        rng = torch.Generator().manual_seed(2)
        coarse = torch.rand(4, 3, 4, 4, generator=rng).repeat_interleave(16, 2).repeat_interleave(16, 3)
        self.images = torch.cat([coarse, torch.ones(4, 2, 64, 64)], dim=1)
        self.latents = torch.randn(4, 3, 8, 8, 8, generator=rng)

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Pair:
        given = Inputs(self.images[index % 4], torch.zeros(COUNT, 4), torch.zeros(COUNT, 2, DETECTOR_FEATURE_CHANNELS))
        return Pair(given, self.latents[index % 4])


@pytest.fixture(scope="module")
def lrm():
    return tiny_lrm()


@pytest.fixture(scope="module")
def config(lrm):
    return fit_config(tiny_denoiser(), lrm)


@pytest.fixture(scope="module")
def uninterrupted(lrm, config, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("run")
    train_denoiser(config, PLAN, lrm, Four(), run)
    return run


def test_samples_reproduce_the_person_they_are_conditioned_on(lrm, config, tmp_path):
    people = Four()
    steps, log = denoising_steps(warmup=40, ema=0.95), LogSettings(log_every=1)
    plan = replace(PLAN, samples=4 * 220, batch=4, levels=8, learning_rate=4e-3, steps=steps, drop=0.05, log=log)
    losses = []
    report = lambda progress: losses.append(progress.losses["denoising"])  # noqa: E731
    model = train_denoiser(config, plan, lrm, people, tmp_path, report)
    assert losses[0] == pytest.approx(1, abs=0.25)
    for person in range(4):
        given = people[person].inputs
        batch = Inputs(given.image[None], given.landmarks[None], given.detector_features[None])
        for guidance in (1.0, 2.0):
            settings = LatentSampling(samples=2, steps=8, seed=person, guidance=guidance)
            found = complete(lrm, model, batch, settings).latents
            distance = (found[:, None] - people.latents).square().mean((2, 3, 4, 5))
            assert distance.argmin(1).tolist() == [person, person], (losses[-1], distance)
            assert float(distance[:, person].max()) < 0.1, (losses[-1], distance)


def test_an_interrupted_run_ends_with_the_same_weights_bit_for_bit(lrm, config, uninterrupted, tmp_path):
    def interrupt(progress):
        if progress.counters.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_denoiser(config, PLAN, lrm, Four(), tmp_path, interrupt)
    assert list_checkpoints(tmp_path)[-1].name == "step-0000002"
    torch.manual_seed(99)
    train_denoiser(config, PLAN, lrm, Four(), tmp_path)
    for part in ("model", "average", "optimizer"):
        one, two = (load_file(list_checkpoints(run)[-1] / f"{part}.safetensors") for run in (tmp_path, uninterrupted))
        assert one.keys() == two.keys()
        assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_the_model_holds_the_averaged_weights_and_a_finished_run_changes_nothing(lrm, config, uninterrupted):
    model = train_denoiser(config, PLAN, lrm, Four(), uninterrupted)
    saved, average, state = load_averaged_weights(uninterrupted)
    assert (saved, state.seen, state.step) == (config, 8, 4)
    assert not model.training
    assert all(torch.equal(p, average[name]) for name, p in trained_parameters(model).items())


def test_another_seed_gives_other_weights(lrm, config, uninterrupted, tmp_path):
    other = train_denoiser(config, replace(PLAN, seed=1), lrm, Four(), tmp_path)
    average = load_averaged_weights(uninterrupted)[1]
    assert not all(torch.equal(p, average[name]) for name, p in trained_parameters(other).items())


def test_a_run_of_another_denoiser_is_refused(lrm, config, uninterrupted):
    with pytest.raises(CheckpointError, match="choose another --run"):
        train_denoiser(replace(config, depth=1), PLAN, lrm, Four(), uninterrupted)
    statistics = {"mean": (1.0,) * 24, "scale": (1.0,) * 24}
    with pytest.raises(CheckpointError, match="choose another --run"):
        train_denoiser(replace(config, **statistics), PLAN, lrm, Four(), uninterrupted)


def test_the_reconstruction_model_is_not_changed(lrm, config, tmp_path):
    before = {name: p.detach().clone() for name, p in lrm.named_parameters()}
    train_denoiser(config, PLAN, lrm, Four(), tmp_path)
    assert all(torch.equal(p, before[name]) for name, p in lrm.named_parameters())
    assert all(p.grad is None for p in lrm.parameters())


def test_a_loss_that_is_no_number_stops_the_run(lrm, config, tmp_path):
    people = Four()
    people.latents[:] = torch.nan
    with pytest.raises(TrainingStopped, match="nan"):
        train_denoiser(config, PLAN, lrm, people, tmp_path)
    assert list_checkpoints(tmp_path) == []


def test_biases_and_embeddings_do_not_decay(config):
    model = Denoiser(config)
    names = {id(p): name for name, p in trained_parameters(model).items()}
    groups = make_optimizer(model, PLAN).param_groups
    decayed, rest = (
        [names[id(p)] for group in groups if bool(group["weight_decay"]) is decays for p in group["params"]]
        for decays in (True, False)
    )
    assert all(name.endswith("weight") for name in decayed)
    assert {"place", "nothing"} <= set(rest)
    assert len(decayed) + len(rest) == len(names)


@pytest.mark.parametrize("changes", [{"samples": 0}, {"levels": 0}, {"drop": 1.0}])
def test_plans_that_make_no_sense_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        DenoisingConfig(**changes)


# ---- from shards to a denoiser, as the command does it


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    write_shard(folder / "a.tar", [("00000001", subject(1)), ("00000002", subject(2))])
    return folder


def test_distillation_stores_the_teachers_statistics_and_goes_on(lrm, data, tmp_path):
    teacher = Teacher(lrm, tmp_path / "latents", views=3)
    go = lambda plan: distill(tiny_denoiser(), plan, lrm, teacher, data, tmp_path / "run")  # noqa: E731
    model = go(replace(PLAN, samples=4))
    cached = LatentFolder(tmp_path / "latents", lrm)
    assert (model.config.mean, model.config.scale) == cached.statistics()
    assert len(cached) == 6
    go(PLAN)
    assert [path.name for path in list_checkpoints(tmp_path / "run")] == [f"step-000000{n}" for n in (1, 2, 3, 4)]


def test_models_of_different_latents_are_refused(lrm, data, tmp_path):
    teacher = Teacher(tiny_lrm(bottleneck=4), tmp_path / "latents")
    with pytest.raises(ValueError, match="share a latent triplane"):
        distill(tiny_denoiser(), PLAN, lrm, teacher, data, tmp_path / "run")
    assert not (tmp_path / "latents").exists()


def test_the_command_trains_and_exports(lrm, data, tmp_path, capsys):
    save_pretrained(tmp_path / "lrm", lrm.config, dict(trained_parameters(lrm)))
    arguments = ["train-diffusion", "tiny", "--data", data, "--latents", tmp_path / "latents", "--workers", "0"]
    arguments += ["--photos", "4", "--batch", "2", "--run", tmp_path / "run", "--weights-out", tmp_path / "out"]
    assert main([*map(str, arguments), "--student", str(tmp_path / "lrm")]) == 0
    assert denoiser_from_pretrained(tmp_path / "out").config.mean != ()
    save_pretrained(tmp_path / "small", tiny(), dict(trained_parameters(build(tiny()))))
    assert main([*map(str, arguments), "--student", str(tmp_path / "small")]) == 2
    assert "paper's family" in capsys.readouterr().err
