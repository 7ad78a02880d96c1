import os
from dataclasses import asdict, replace
from functools import partial

import pytest
import torch
from tiny_paper import tiny_paper
from train_tiny import Call, numbers, run_training, total_loss
from train_tiny import plan as tiny_plan

from humanlrm.body.landmarks import COUNT, DETECTOR_FEATURE_CHANNELS
from humanlrm.camera import Cameras, look_at
from humanlrm.diffusion.latent.condition import encode_latent
from humanlrm.extraction import fitted_surface
from humanlrm.frame import canonical_camera
from humanlrm.model.config import PaperConfig, paper, read_config, small
from humanlrm.model.lrm import HumanLRM, build
from humanlrm.model.pretrained import from_pretrained, save_pretrained
from humanlrm.rays import image_rays
from humanlrm.render.density import LaplaceDensity, RadianceField, SoftplusDensity
from humanlrm.render.settings import Sampling
from humanlrm.render.volume import render_rays
from humanlrm.train.checkpoint import load_averaged_weights
from humanlrm.train.config import TrainConfig
from humanlrm.train.objective import Objective
from humanlrm.train.optimizer import make_optimizer

os.environ.setdefault("HF_HUB_OFFLINE", "1")
ALL = {"pixel_features": True, "depth_prior": True, "landmarks": True}


def enliven(model: HumanLRM) -> HumanLRM:
    """None of its layers are zero."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2 and not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1)
    return model


@pytest.fixture(scope="module")
def lively() -> HumanLRM:
    torch.manual_seed(0)
    return enliven(build(tiny_paper()))


@pytest.fixture(scope="module")
def flagged() -> HumanLRM:
    torch.manual_seed(0)
    return enliven(build(tiny_paper(**ALL)))


def around(views: int, batch: int = 2, side: int = 64) -> Cameras:
    """The canonical camera, then others around the person."""
    turn = torch.arange(views) * 2.1
    eyes = torch.stack([4 * turn.sin(), 0.3 * turn, 4 * turn.cos()], dim=-1)
    one = canonical_camera(side)
    w2c = look_at(eyes, torch.zeros(views, 3))
    return Cameras(one.K.expand(batch, views, 3, 3), w2c.expand(batch, views, 4, 4), one.size_px)


def latent(model: HumanLRM, image, landmarks=None, cameras=None) -> torch.Tensor:
    marks = torch.zeros(len(image), COUNT, 4) if landmarks is None else landmarks
    features = torch.zeros(len(image), COUNT, 2, DETECTOR_FEATURE_CHANNELS)
    with torch.no_grad():
        return encode_latent(model, image, cameras, marks, features)[0]


def test_planes_have_the_sizes_of_the_config(lively):
    planes = lively(torch.rand(2, 5, 64, 64))
    assert planes.xy.shape == planes.zy.shape == planes.xz.shape == (2, 8, 16, 16)
    assert latent(lively, torch.rand(2, 5, 64, 64)).shape == (2, 3, 8, 8, 8)


def test_forward_is_decoding_after_encoding_to_the_latent(lively):
    image = torch.rand(1, 5, 64, 64)
    view = lively(image).inputs
    whole, parts = lively(image), lively.decoder.from_latent(latent(lively, image), view)
    torch.testing.assert_close(whole.zy, parts.zy, rtol=0, atol=0)


@pytest.mark.parametrize("views", [1, 2, 8])
@pytest.mark.parametrize("size", [(64, 64), (96, 64), (70, 83)])
def test_any_number_of_views_of_any_size_gives_planes_of_one_size(lively, views, size):
    cameras = around(views, 1)
    found = latent(lively, torch.rand(1, views, 5, *size), None, Cameras(cameras.K, cameras.w2c, size))
    assert found.shape == (1, 3, 8, 8, 8)
    assert found.isfinite().all()


def test_a_single_canonical_view_needs_no_view_axis(lively):
    image = torch.rand(2, 5, 64, 64)
    torch.testing.assert_close(latent(lively, image), latent(lively, image[:, None]), rtol=0, atol=0)


def test_the_order_of_the_views_does_not_matter_but_their_cameras_do(lively):
    images, cameras, order = torch.rand(1, 3, 5, 64, 64), around(3, 1), [0, 2, 1]
    turned = Cameras(cameras.K[:, order], cameras.w2c[:, order], cameras.size_px)
    together = latent(lively, images, None, cameras)
    torch.testing.assert_close(latent(lively, images[:, order], None, turned), together, rtol=1e-3, atol=1e-4)
    mistaken = latent(lively, images, None, turned)
    assert (mistaken - together).abs().max() > 1e-3 * together.abs().max()


def test_every_view_counts(lively):
    images, cameras = torch.rand(1, 3, 5, 64, 64), around(3, 1)
    together = latent(lively, images, None, cameras)
    for view in range(3):
        other = images.clone()
        other[:, view, :4] = torch.rand(4, 64, 64)
        assert (latent(lively, other, None, cameras) - together).abs().max() > 1e-4


def test_a_canonical_view_without_camera_is_not_modulated(lively):
    image = torch.rand(1, 5, 64, 64)
    plain = latent(lively, image)
    with torch.no_grad():
        weight = lively.encoder.modulate.layer.weight
        kept = weight.clone()
        weight.mul_(2)
        again = latent(lively, image)
        with_camera = latent(lively, image[:, None], None, around(1, 1))
        weight.copy_(kept)
    torch.testing.assert_close(again, plain, rtol=0, atol=0)
    assert not torch.allclose(with_camera, plain)


def test_subjects_do_not_influence_each_other(flagged):
    images, marks, cameras = torch.rand(2, 2, 5, 64, 64), torch.rand(2, 19, 4), around(2)
    alone = Cameras(cameras.K[1:], cameras.w2c[1:], cameras.size_px)
    together = latent(flagged, images, marks, cameras)[1:]
    torch.testing.assert_close(latent(flagged, images[1:], marks[1:], alone), together, rtol=1e-3, atol=1e-4)


def test_the_background_does_not_matter(flagged):
    image, marks = torch.rand(1, 5, 64, 64), torch.rand(1, 19, 4)
    image[:, 3] = (image[:, 3] > 0.5).float()
    other = image.clone()
    other[:, :3] = torch.where(image[:, 3:4] > 0, image[:, :3], 1 - image[:, :3])
    one, two = flagged(image, marks), flagged(other, marks)
    torch.testing.assert_close(one.xy, two.xy, rtol=0, atol=0)
    torch.testing.assert_close(one.inputs.features, two.inputs.features, rtol=0, atol=0)


def test_a_model_predicts_what_its_flags_ask_for(lively, flagged):
    image, marks = torch.rand(2, 5, 64, 64), torch.rand(2, 19, 4)
    given = lively(image, marks).inputs
    assert given.features is given.depth is given.landmarks is None
    given = flagged(image, marks).inputs
    assert given.features.shape == (2, 16, 32, 32)
    assert given.depth.shape == (2, 2, 32, 32)
    assert given.landmarks.shape == (2, 19, 3)


def test_a_new_model_takes_the_landmarks_as_they_were_detected():
    marks = torch.rand(2, 19, 4) * 0.9 + 0.05
    given = build(tiny_paper(landmarks=True))(torch.rand(2, 5, 64, 64), marks).inputs
    torch.testing.assert_close(given.landmarks, marks[..., :3])


@pytest.mark.parametrize("flags", [{}, ALL], ids=["plain", "all flags"])
def test_gradients_reach_every_trained_parameter(flags, batch):
    model = enliven(build(tiny_paper(**flags)))
    gone = batch.inputs.landmarks.clone()
    gone[:, :2] = 0  # so that the learned mean of missing landmarks counts
    total_loss(model, replace(batch, inputs=replace(batch.inputs, landmarks=gone))).backward()
    posed = model(batch.inputs.image[:, None].expand(-1, 2, -1, -1, -1), gone, None, around(2))
    model.field.distance(posed, batch.supervision.points).sum().backward()
    without = {n for n, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())}
    assert without == set()


@pytest.mark.parametrize("changes", [{}, ALL, {"field": "density"}], ids=["plain", "all flags", "density"])
def test_training_lowers_the_loss(changes, batch):
    torch.manual_seed(0)
    model = build(tiny_paper(**changes)).train()
    optimizer = make_optimizer(model, TrainConfig(learning_rate=3e-3))
    before, loss_before = numbers(model, batch), float(total_loss(model, batch).detach())
    for _ in range(50):
        optimizer.zero_grad()
        total_loss(model, batch).backward()
        optimizer.step()
    after = numbers(model, batch)
    assert total_loss(model, batch) < 0.7 * loss_before
    for name in ("sdf", "surface", "rgb"):
        assert after[name] < 0.9 * before[name], name
    if not changes:
        assert after["depth"] == after["landmarks"] == 0


def test_a_second_view_tells_people_apart_who_look_alike_in_the_first():
    torch.manual_seed(0)
    model = build(tiny_paper(plane_side=4)).train()
    images = torch.full((2, 2, 5, 32, 32), 0.5)
    images[:, :, 3:] = 1
    images[0, 1, :3] = torch.rand(3, 32, 32)
    points = (torch.rand(1, 200, 3) * 1.6 - 0.8).expand(2, -1, -1)
    wanted = (points.norm(dim=-1) - torch.tensor([[0.4], [0.65]])).clamp(-0.15, 0.15)
    of_one_answer_for_both = (wanted[0] - wanted[1]).abs().mean() / 2
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 3e-3)
    for _ in range(80):
        optimizer.zero_grad()
        found = model.field.distance(model(images, None, None, around(2, side=32)), points)
        loss = (found - wanted).abs().mean()
        loss.backward()
        optimizer.step()
    assert loss < 0.6 * of_one_answer_for_both


def test_an_untrained_model_extracts_as_a_sphere(lively):
    model, image = build(tiny_paper()), torch.rand(1, 5, 64, 64)
    image[:, 3], image[:, 4] = 0, 1  # no outline to meet
    with torch.no_grad():
        surface = fitted_surface(model, model(image), 64)
    radius = torch.from_numpy(surface.vertices).norm(dim=-1)
    assert float(radius.min()) == pytest.approx(0.5, abs=0.02)
    assert float(radius.max()) == pytest.approx(0.5, abs=0.02)


def test_an_untrained_model_is_rendered_as_a_sphere():
    model, camera = build(tiny_paper()), canonical_camera(32)
    with torch.no_grad():
        seen = render_rays(radiance(model, LaplaceDensity(0.004)), image_rays(camera), Sampling(64, 32, None))
    # A sphere of radius 0.5 seen from 4 units: tan of its angular radius, times the focal length in pixels.
    radius_px = 0.5 / (16 - 0.25) ** 0.5 * float(camera.K[0, 0])
    assert float(seen.alpha.sum()) == pytest.approx(torch.pi * radius_px**2, rel=0.1)
    assert float(seen.depth.view(32, 32)[16, 16]) == pytest.approx(3.5, abs=0.05)


@pytest.mark.parametrize("field", ["sdf", "density"])
def test_gradients_of_a_rendering_reach_network_and_field(field):
    model = enliven(build(tiny_paper(field=field)))
    density = LaplaceDensity() if field == "sdf" else SoftplusDensity()
    seen = render_rays(radiance(model, density), image_rays(canonical_camera(8)), Sampling(16, 8, None))
    (seen.rgb.sum() + seen.alpha.sum()).backward()
    for part in (model.encoder, model.decoder, model.decoder.upsampler, model.field):
        assert sum(float(p.grad.abs().sum()) for p in part.parameters() if p.grad is not None) > 0


def radiance(model: HumanLRM, density) -> RadianceField:
    planes = model(torch.rand(1, 5, 64, 64))
    return RadianceField(partial(model.field.distance, planes), partial(model.field, planes), density)


def test_weights_come_back_with_their_family(flagged, tmp_path):
    save_pretrained(tmp_path, flagged.config, {n: p for n, p in flagged.named_parameters() if p.requires_grad})
    loaded = from_pretrained(tmp_path)
    assert loaded.config == flagged.config
    image, marks = torch.rand(1, 5, 64, 64), torch.rand(1, 19, 4)
    torch.testing.assert_close(loaded(image, marks).xy, flagged(image, marks).xy, rtol=0.02, atol=0.02)


def plan(samples: int) -> TrainConfig:
    config = tiny_plan(samples, 2)
    return replace(config, log=replace(config.log, keep=3))


@pytest.mark.parametrize("flags", [{}, ALL], ids=["plain", "all flags"])
def test_a_run_can_be_interrupted_and_ends_with_the_same_weights(flags, shards, tmp_path):
    config = tiny_paper(**flags)

    def interrupt(state):
        if state.counters.step == 2:
            raise KeyboardInterrupt

    whole = run_training(config, plan(6), shards, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run_training(config, plan(6), shards, tmp_path / "parts", [Call(interrupt)])
    parts = run_training(config, plan(6), shards, tmp_path / "parts")
    saved, average, state = load_averaged_weights(tmp_path / "parts")
    assert (saved, state.seen) == (config, 6)
    found = dict(parts.named_parameters())
    assert all(torch.equal(p, found[name]) for name, p in whole.named_parameters())
    assert all(torch.equal(found[name], tensor) for name, tensor in average.items())


def test_published_encoder_weights_are_only_for_encoders_that_want_them(shards, tmp_path):
    with pytest.raises(ValueError, match="brings its own weights"):
        run_training(small(), replace(plan(2), encoder="facebook/dino-vitb16"), shards, tmp_path)


def test_a_run_starts_from_published_encoder_weights(shards, tmp_path):
    pytest.importorskip("transformers")
    config = tiny_paper(encoder="dinov2", encoder_width=24, encoder_depth=1, encoder_heads=2, patch_px=14)
    torch.manual_seed(5)
    published = build(config).encoder.net
    published.save_pretrained(tmp_path / "weights")
    still = replace(plan(2), learning_rate=0.0, encoder=str(tmp_path / "weights"))
    model = run_training(config, still, shards, tmp_path / "run")
    expected = published.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.encoder.net.state_dict().items())


@pytest.mark.parametrize("config", [paper(), small(), tiny_paper(**ALL)], ids=["paper", "small", "tiny"])
def test_a_config_comes_back_from_its_fields(config):
    assert read_config(asdict(config)) == config


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((torch.rand(1, 2, 5, 64, 64),), "2 views need"),
        ((torch.rand(1, 9, 5, 64, 64), None, None, around(9, 1)), "1 to 8 views"),
        ((torch.rand(1, 2, 5, 64, 64), None, None, around(3, 1)), r"cameras must be \(1, 2\)"),
        ((torch.rand(1, 2, 5, 64, 64), None, None, around(2, 1, side=32)), "64, 64.* px"),
    ],
)
def test_views_that_do_not_fit_are_refused(lively, given, message):
    with pytest.raises(ValueError, match=message):
        lively(*given)


def test_a_landmark_model_wants_landmarks(flagged):
    with pytest.raises(ValueError, match="landmarks detected in the first view"):
        flagged(torch.rand(1, 5, 64, 64))


def test_points_read_the_first_view_only_if_it_is_canonical(flagged):
    images, marks, cameras = torch.rand(1, 2, 5, 64, 64), torch.rand(1, 19, 4), around(2, 1)
    flagged(images, marks, None, cameras)
    turned = Cameras(cameras.K, cameras.w2c.flip(1), cameras.size_px)
    with pytest.raises(ValueError, match="must be the canonical one"):
        flagged(images, marks, None, turned)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": 5}, "multiple of heads"),
        ({"upsample": 3}, "power of two"),
        ({"image_px": 0}, "image_px must be positive"),
        ({"field": "density", "landmarks": True}, "density field"),
    ],
)
def test_impossible_configs_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        PaperConfig(**changes)


def test_this_family_has_no_part_for_landmarks():
    with pytest.raises(ValueError, match="small family"):
        Objective(build(tiny_paper(**ALL)), TrainConfig(part="landmarks"))
