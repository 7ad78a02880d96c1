"""Several people of one photo, from training the denoiser to the files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
import trimesh
from PIL import Image
from tiny_diffusion import lively, tiny_lrm

from humanlrm.cli import main
from humanlrm.completion import LATENTS
from humanlrm.diffusion.latent.condition import fit_config
from humanlrm.diffusion.latent.denoiser import Denoiser, tiny_denoiser
from humanlrm.mesh.surface import is_closed
from humanlrm.model.config import tiny
from humanlrm.model.lrm import build
from humanlrm.model.pose_denoiser import PoseDenoiserConfig
from humanlrm.model.pretrained import save_pretrained
from humanlrm.reconstruct import Completion, Reconstructor, Settings
from humanlrm.train.checkpoint import trained_parameters
from humanlrm.train.config import LogSettings
from humanlrm.train.poses import collect_examples, pose_recipe, train_poses

SMALL = Settings(resolution=64, texture_px=128, faces=2000)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """An untrained tiny model without a denoiser."""
    folder = tmp_path_factory.mktemp("plain")
    torch.manual_seed(0)
    save_pretrained(folder, tiny(), dict(trained_parameters(build(tiny()))))
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory, plain, shards):
    """The same with a denoiser that was trained for a moment."""
    folder, run = tmp_path_factory.mktemp("weights"), tmp_path_factory.mktemp("run")
    for path in plain.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    options = ("--photos", 12, "--examples", 640, "--run", run)
    assert main([str(a) for a in ("train-poses", "--data", shards, "--weights", folder, *options)]) == 0
    assert (run / "examples" / "examples-0000000.safetensors").is_file()
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("photos") / "astronaut.png"
    Image.fromarray(skimage.data.astronaut()).save(path)
    return path


def test_samples_are_people_of_their_own_and_repeatable(weights, whole):
    reconstructor = Reconstructor(weights)
    first, second = reconstructor(whole, None, SMALL, Completion(samples=2, seed=3)).samples
    assert first.sampled
    assert second.sampled
    assert np.abs(first.landmarks - second.landmarks).max() > 0.01
    again = reconstructor(whole, None, SMALL, Completion(samples=3, seed=3)).samples
    assert len(again) == 3
    np.testing.assert_allclose(again[1].landmarks, second.landmarks, atol=1e-5)


def test_a_photo_that_hides_much_is_completed_by_itself_and_says_so(weights, plain, whole):
    automatic, never = (Reconstructor(weights)(whole, None, SMALL, Completion(when)) for when in ("auto", "never"))
    assert automatic.sampled
    assert any("border cuts the person" in reason for reason in automatic.hidden.reasons)
    assert not never.sampled
    assert np.abs(automatic.landmarks - never.landmarks).max() > 1e-3
    assert not Reconstructor(plain)(whole, None, SMALL, Completion("auto")).sampled  # nothing to sample with


def test_uncertainty_is_of_every_vertex_and_as_hot_as_it_is_large(weights, whole):
    person = Reconstructor(weights)(whole, None, SMALL, Completion("never", uncertainty=True))
    assert person.uncertainty is not None
    assert person.uncertainty.spread.shape == (len(person.mesh.vertices),)
    assert float(person.uncertainty.spread.min()) >= 0
    heat = person.heat_map(64)
    assert heat.shape == (64, 64, 3)
    assert len(np.unique(heat.reshape(-1, 3), axis=0)) > 1
    with pytest.raises(ValueError, match="no uncertainty"):
        Reconstructor(weights)(whole, settings=SMALL).heat_map()


def test_weights_with_a_denoiser_of_triplanes_sample_whole_people(tmp_path, whole):
    model = tiny_lrm()
    save_pretrained(tmp_path, model.config, dict(trained_parameters(model)))
    plan = Completion("always", 2, prior="latent", uncertainty=True)
    with pytest.raises(ValueError, match="needs their folder latents"):
        Reconstructor(tmp_path)(whole, None, SMALL, plan)
    denoiser = lively(Denoiser(fit_config(tiny_denoiser(), model)))
    save_pretrained(tmp_path / LATENTS, denoiser.config, dict(trained_parameters(denoiser)))
    reconstructor = Reconstructor(tmp_path)
    first, second = reconstructor(whole, None, SMALL, plan).samples
    assert first.sampled
    assert first.uncertainty is not None
    assert not np.array_equal(first.mesh.vertices[:100], second.mesh.vertices[:100])
    again = reconstructor(whole, None, SMALL, plan)
    np.testing.assert_allclose(again.mesh.vertices, first.mesh.vertices, atol=1e-5)
    assert not reconstructor(whole, None, SMALL, Completion("never", prior="latent")).sampled


def test_the_shipped_denoiser_fits_the_shipped_model():
    avatar = Path(__file__).parents[1] / "examples" / "avatar.jpg"
    person = Reconstructor()(avatar, None, SMALL, Completion(samples=2))
    heights = [np.ptp(sample.mesh.vertices[:, 1]) for sample in person.samples]
    assert person.sampled
    assert min(heights) > 1.4  # of a frame whose person is 1.8 high
    assert is_closed(person.mesh.welded[person.mesh.faces])


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


def test_the_command_writes_every_person_its_heat_map_and_a_sheet(tmp_path, weights, whole, capsys):
    out = tmp_path / "out" / "person.glb"
    sizes = ("--resolution", 64, "--texture-px", 128, "--faces", 2000, "--weights", weights)
    assert run("reconstruct", whole, "-o", out, "--samples", 2, "--uncertainty", *sizes) == 0
    said = capsys.readouterr().out
    assert "the rest is sampled" in " ".join(said.split())
    names = {path.name for path in out.parent.iterdir()}
    stems = {f"person.{k}{end}" for k in (0, 1) for end in (".glb", ".uncertainty.png")}
    assert names == stems | {"person.sheet.png"}
    scene = trimesh.load(out.parent / "person.0.glb", process=False)
    (mesh,) = scene.geometry.values()
    assert mesh.vertex_attributes["_SPREAD_M"].size == len(mesh.vertices)
    assert 0 <= mesh.vertex_attributes["_SPREAD_M"].min() <= mesh.vertex_attributes["_SPREAD_M"].max() < 1
    assert Image.open(out.parent / "person.0.uncertainty.png").size == (128, 128)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--samples", 0), "between 1 and 64"),
        (("--guidance", -1), "guidance"),
        (("--seed", -1), "seed"),
        (("--samples", 2), "no denoiser"),
        (("--complete", "always"), "no denoiser"),
        (("--samples", 2, "--prior", "latent"), "train-diffusion"),
        (("--samples", 2, "--cameras", "rig.json"), "single photo"),
    ],
)
def test_what_cannot_be_sampled_is_refused_in_one_line(tmp_path, plain, whole, capsys, arguments, words):
    out = tmp_path / "a.glb"
    assert run("reconstruct", whole, "-o", out, "--weights", plain, *arguments) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert not out.exists()


def test_training_of_the_denoiser_goes_on_where_it_was(tmp_path, shards, weights):
    examples = collect_examples(weights, [shards], tmp_path / "examples", 12)
    config = PoseDenoiserConfig(share=4, width=32, depth=1)
    once = train_poses(config, pose_recipe(640), examples, tmp_path / "once")
    short = pose_recipe(640)
    stopped = tmp_path / "stopped"
    log = LogSettings(checkpoint_s=0, log_every=1)
    with pytest.raises(KeyboardInterrupt):
        train_poses(config, replace(short, log=log), examples, stopped, _interrupt_after(4))
    twice = train_poses(config, short, examples, stopped)
    for (name, a), (_, b) in zip(once.named_parameters(), twice.named_parameters(), strict=True):
        torch.testing.assert_close(a, b, msg=name)


def _interrupt_after(steps: int):
    def report(progress) -> None:
        if progress.counters.step > steps:
            raise KeyboardInterrupt

    return report


def test_a_damaged_file_of_examples_is_named(tmp_path, shards, weights):
    (tmp_path / "examples-0000000.safetensors").write_bytes(b"no")
    with pytest.raises(ValueError, match="damaged file of examples"):
        collect_examples(weights, [shards], tmp_path, 12)
