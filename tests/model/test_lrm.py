from dataclasses import replace

import numpy as np
import pytest
import torch
from mean_body import mean_skeleton
from train_tiny import total_loss

from humanlrm import encoding
from humanlrm.body.balance import undo_lean
from humanlrm.body.landmarks import COUNT, DETECTOR_FEATURE_CHANNELS
from humanlrm.model.config import ModelConfig, tiny
from humanlrm.model.lrm import HumanLRM, build
from humanlrm.train.config import LossWeights, TrainConfig
from humanlrm.train.losses import compute_losses, weighted_sum
from humanlrm.train.optimizer import make_optimizer
from humanlrm.views import Inputs


@pytest.fixture(scope="module")
def model() -> HumanLRM:
    torch.manual_seed(0)
    return build(tiny())


@pytest.fixture(scope="module")
def lively() -> HumanLRM:
    """A model none of whose layers are zero."""
    torch.manual_seed(1)
    out = build(tiny())
    with torch.no_grad():
        for parameter in out.parameters():
            if parameter.ndim >= 2 and not parameter.any():
                torch.nn.init.normal_(parameter, std=0.05)
    return out.eval()


def inputs(seed: int = 0, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    landmarks = torch.rand(batch, COUNT, 4, generator=generator) * 1.6 - 0.8
    landmarks[..., 3] = 1
    return torch.rand(batch, 5, 64, 64, generator=generator), landmarks


def clues_of(landmarks: torch.Tensor) -> torch.Tensor:
    """Of every subject the same."""
    generator = torch.Generator().manual_seed(1)
    return torch.rand(1, COUNT, 2, DETECTOR_FEATURE_CHANNELS, generator=generator).expand(len(landmarks), -1, -1, -1)


def encode(model: HumanLRM, image: torch.Tensor, landmarks: torch.Tensor) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        planes = model(image, landmarks, clues_of(landmarks))
    given = dict(vars(planes.inputs))
    return {"xy": planes.xy, "zy": planes.zy, "xz": planes.xz, **vars(given.pop("heatmaps")), **given}


def test_planes_have_the_sizes_of_the_config(model):
    found = encode(model, *inputs())
    config = model.config
    assert found["xy"].shape == (2, config.plane_channels, 32, 32)
    assert found["zy"].shape == found["xz"].shape == (2, config.plane_channels, 24, 24)
    assert found["depth"].shape == (2, 2, 32, 32)
    assert all(tensor.isfinite().all() for tensor in found.values())


def test_a_new_model_takes_the_landmarks_as_they_were_detected(model):
    image, landmarks = inputs()
    torch.testing.assert_close(encode(model, image, landmarks)["landmarks"], landmarks[..., :3])


def test_a_new_model_guesses_a_body_of_some_thickness_around_the_bones(model):
    depth = encode(model, *inputs())["depth"]
    torch.testing.assert_close(depth[:, 0] - depth[:, 1], torch.full((2, 32, 32), 0.24), rtol=1e-3, atol=1e-4)


def test_where_a_missing_landmark_is_said_to_be_does_not_matter(lively):
    image, landmarks = inputs()
    landmarks[:, 3:7, 3] = 0
    moved = landmarks.clone()
    moved[:, 3:7, :3] = 0.77
    for name, tensor in encode(lively, image, landmarks).items():
        torch.testing.assert_close(encode(lively, image, moved)[name], tensor, rtol=0, atol=0)
    moved[:, 0, 0] += 0.3
    assert not torch.equal(encode(lively, image, moved)["xy"], encode(lively, image, landmarks)["xy"])


def test_the_background_does_not_matter(lively):
    image, landmarks = inputs()
    image[:, 3] = (image[:, 3] > 0.5).float()
    other = image.clone()
    other[:, :3] = torch.where(image[:, 3:4] > 0, image[:, :3], 1 - image[:, :3])
    for name, tensor in encode(lively, image, landmarks).items():
        torch.testing.assert_close(encode(lively, other, landmarks)[name], tensor, rtol=0, atol=0)


def test_subjects_do_not_influence_each_other(lively):
    image, landmarks = inputs()
    together, alone = encode(lively, image, landmarks), encode(lively, image[1:], landmarks[1:])
    for name, tensor in alone.items():
        # A batch of one is summed in another order: the layers of this model amplify float32's rounding.
        torch.testing.assert_close(together[name][1:], tensor, rtol=1e-2, atol=1e-3)


def test_gradients_reach_every_trained_parameter(lively, batch):
    gone = batch.inputs.landmarks.clone()
    gone[:, :2] = 0  # so that the learned mean of missing landmarks counts
    lively.zero_grad()
    total_loss(lively, type(batch)(replace(batch.inputs, landmarks=gone), batch.supervision)).backward()
    without = {n for n, p in lively.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())}
    assert without == set()


def test_the_learned_mean_is_only_asked_for_missing_landmarks(lively, batch):
    given = batch.inputs.landmarks.clone()
    given[..., 3] = 1
    lively.zero_grad()
    known = type(batch)(replace(batch.inputs, landmarks=given), batch.supervision)
    compute_losses(lively, known)["landmarks"].backward()
    assert lively.landmark_head.lifter.mean.grad is None or not lively.landmark_head.lifter.mean.grad.any()


def test_impossible_sizes_are_refused():
    with pytest.raises(ValueError, match="multiple of 32"):
        ModelConfig(image_px=100)
    with pytest.raises(ValueError, match="multiple of heads"):
        ModelConfig(width=100, heads=3)


def test_a_person_is_built_on_what_is_told_and_on_the_estimate_where_nothing_is(lively):
    image, landmarks = inputs()
    with torch.no_grad():
        given = Inputs(image, landmarks, clues_of(landmarks))
        own = encoding.encode(lively, given)
        told = own.inputs.estimated + 0.1
        told[:, :5] = torch.nan
        teacher_landmarks = encoding.encode(lively, given, told)
    torch.testing.assert_close(teacher_landmarks.inputs.estimated, own.inputs.estimated)
    torch.testing.assert_close(teacher_landmarks.inputs.landmarks[:, :5], own.inputs.landmarks[:, :5])
    torch.testing.assert_close(teacher_landmarks.inputs.landmarks[:, 5:], told[:, 5:])
    for name in ("xy", "zy", "xz"):
        assert not torch.equal(getattr(teacher_landmarks, name), getattr(own, name)), name


def test_the_field_does_not_pull_at_the_estimate(lively, batch):
    lively.zero_grad()
    losses = compute_losses(lively, batch)
    of_landmarks = ("landmarks", "bones", "heat", "heatmaps", "coarse_depth")
    weighted_sum({k: v for k, v in losses.items() if k not in of_landmarks}, LossWeights()).backward()
    assert all(p.grad is None or not p.grad.any() for p in lively.landmark_head.parameters())


def test_an_eye_is_trained_with_the_landmarks_at_a_lower_rate(batch):
    torch.manual_seed(0)
    model = build(replace(tiny(), trainable_trunk=True)).train()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = make_optimizer(model, TrainConfig(learning_rate=1e-3))
    total_loss(model, batch).backward()
    optimizer.step()
    eye = {name: p for name, p in model.named_parameters() if ".image_trunk." in name}
    assert all(not torch.equal(p, before[name]) for name, p in eye.items())
    shares = {id(p): group["share"] for group in optimizer.param_groups for p in group["params"]}
    assert {shares[id(p)] for p in eye.values()} == {0.25}
    assert shares[id(model.landmark_head.heatmap_head.heat.weight)] == 1
    assert shares[id(model.landmark_head.lifter.delta.weight)] == 0.1


def test_the_planes_learn_to_see_with_an_eye_of_their_own(batch):
    torch.manual_seed(0)
    model = build(replace(tiny(), plane_adapter=True)).train()
    assert isinstance(model, HumanLRM)
    sight = model.decoder.adapter
    assert sight is not None
    with torch.no_grad():
        for layer in sight.leave:
            layer.weight.normal_(0, 0.05)
    total_loss(model, batch).backward()
    assert [name for name, p in sight.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("eye", [True, False])
def test_landmarks_alone_are_those_that_a_person_is_built_on(eye):
    """They are found with fewer of the encoder's maps if the eye sees the coarse ones anew."""
    torch.manual_seed(0)
    model = build(replace(tiny(), trainable_trunk=eye, upright=False)).eval()
    assert isinstance(model, HumanLRM)
    image, landmarks = inputs()
    given = Inputs(image, landmarks, clues_of(landmarks))
    with torch.no_grad():
        found, built_on = model.estimate_landmarks(given), model(image, landmarks, clues_of(landmarks)).inputs
    torch.testing.assert_close(found.points, built_on.estimated)
    torch.testing.assert_close(found.points, built_on.landmarks)


@pytest.mark.parametrize("feet_hidden", [True, False])
def test_people_who_stand_are_built_upright(feet_hidden):
    points = torch.from_numpy(mean_skeleton(np.tile(np.eye(3), (22, 1, 1)))).float() * 1.8  # arms out, feet together
    points[:, 2] += 0.1 * points[:, 1]
    wanted = undo_lean(points, torch.tensor(feet_hidden))
    assert not torch.allclose(wanted, points, atol=1e-3)
    image = inputs()[0][:1]
    image[:, 4] = 1
    image[:, 4, 40:] = float(not feet_hidden)
    landmarks = torch.cat([points, torch.ones(COUNT, 1)], dim=1)[None]
    for flag, built_on in ((True, wanted), (False, points)):
        torch.manual_seed(0)
        model = build(replace(tiny(), upright=flag)).eval()  # a new one takes landmarks as they were detected
        assert isinstance(model, HumanLRM)
        with torch.no_grad():
            seen = encoding.encode(model, Inputs(image, landmarks, clues_of(landmarks))).inputs
            samples = encoding.correct_estimate(model, landmarks[:, None, :, :3].expand(-1, 3, -1, -1), image)
        torch.testing.assert_close(seen.landmarks[0], built_on)
        torch.testing.assert_close(seen.estimated, landmarks[..., :3])
        torch.testing.assert_close(samples[0, 2], built_on)
