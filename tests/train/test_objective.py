"""Every sample uses what it has; all losses of a run in one module."""

from dataclasses import fields, replace

import pytest
import torch
from train_tiny import RENDERING, STAGE, numbers

from humanlrm.encoding import encode
from humanlrm.model.config import tiny
from humanlrm.model.lrm import build
from humanlrm.train.config import LossWeights, TrainConfig
from humanlrm.train.losses import compute_losses
from humanlrm.train.objective import Objective, StepContext
from humanlrm.train.optimizer import make_optimizer
from humanlrm.views import Batch, Supervision

FIRST = StepContext(progress=0.0, seed=1, patch=True)


def as_capture(batch: Batch, of: slice = slice(None)) -> Batch:
    """What a multi-view capture knows: photographs and masks."""

    def unknown(value: torch.Tensor) -> torch.Tensor:
        value = value.clone()
        value[of] = torch.nan
        return value

    wanted = batch.supervision
    direct = {f.name: unknown(getattr(wanted, f.name)) for f in fields(Supervision) if f.name != "targets"}
    targets = replace(wanted.targets, **{name: unknown(getattr(wanted.targets, name)) for name in ("normal", "depth")})
    return Batch(batch.inputs, Supervision(**direct, targets=targets))


def new(config: TrainConfig) -> Objective:
    torch.manual_seed(0)
    return Objective(build(tiny()).eval(), config)


def gradients(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad for name, p in module.named_parameters() if p.grad is not None}


def test_a_capture_trains_by_its_pictures_alone(scans):
    losses = new(TrainConfig(rendering=RENDERING))
    loss, terms = losses(as_capture(scans), FIRST)
    loss.backward()
    for name in (
        "sdf",
        "occupancy",
        "surface",
        "normal",
        "eikonal",
        "rgb",
        "depth",
        "slope",
        "landmarks",
        "heat",
        "heatmaps",
        "coarse_depth",
    ):
        assert terms[name] == 0, name
    assert terms["render_rgb"] > 0
    assert terms["render_mask"] > 0
    assert terms["render_normal"] == terms["render_depth"] == 0
    found = gradients(losses)
    assert all(g.isfinite().all() for g in found.values())
    assert any(found[name].abs().sum() > 0 for name in found if name.startswith("model.decoder"))
    assert found["density.log_beta"] != 0


def test_without_rendering_a_capture_neither_pulls_nor_spoils(scans):
    losses = new(TrainConfig())
    losses(as_capture(scans), FIRST)[0].backward()
    assert all((g == 0).all() for g in gradients(losses).values())


def test_a_scan_pulls_equally_hard_beside_a_capture(scans):
    """Half of a batch unknown: half of the terms that are means over samples; landmarks are a mean over known ones."""
    model = build(tiny()).eval()
    by_itself = numbers(model, first_alone(scans))
    beside = numbers(model, as_capture(scans, slice(1, 2)))
    for name in ("sdf", "occupancy", "surface", "normal", "eikonal", "rgb", "depth", "slope"):
        assert beside[name] == pytest.approx(by_itself[name] / 2, rel=1e-4), name
    assert beside["landmarks"] == pytest.approx(by_itself["landmarks"], rel=1e-4)


def first_alone(batch: Batch) -> Batch:
    """The first sample of a batch, without its target views."""

    def cut(part, **rest):
        return type(part)(**{f.name: getattr(part, f.name)[:1] for f in fields(part) if f.name not in rest}, **rest)

    return Batch(cut(batch.inputs), cut(batch.supervision, targets=None))


def test_a_scan_without_colors_keeps_its_other_terms(scans):
    bare = replace(scans.supervision, rgb=torch.full_like(scans.supervision.rgb, torch.nan))
    model = build(tiny()).eval()
    with_color, without = numbers(model, scans), numbers(model, Batch(scans.inputs, bare))
    assert without.pop("rgb") == 0 < with_color.pop("rgb")
    assert without == with_color


def test_a_known_point_with_a_broken_distance_is_no_unknown_point(scans):
    broken = replace(scans.supervision, sdf=scans.supervision.sdf * torch.nan)
    assert compute_losses(build(tiny()).eval(), Batch(scans.inputs, broken))["sdf"].isnan()


def test_every_term_is_told_by_name_and_the_patch_only_when_it_was_rendered(scans):
    losses = new(TrainConfig(rendering=RENDERING))
    with_patch, without = (losses(scans, replace(FIRST, patch=patch))[1] for patch in (True, False))
    assert with_patch.keys() - without.keys() == {"render_perceptual"}
    assert {"sdf", "landmarks", "render_rgb", "render_mask", "render_normal", "render_depth", "beta"} <= without.keys()
    assert float(without["beta"]) == pytest.approx(0.02)


def test_the_sum_is_of_both_kinds_of_terms(scans):
    losses = new(TrainConfig(rendering=RENDERING))
    loss, terms = losses(scans, FIRST)
    expected = sum(getattr(LossWeights(), n) * float(terms[n]) for n in vars(LossWeights()))
    expected += sum(w * float(terms[f"render_{n}"]) for n, w in vars(RENDERING.weights).items())
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_every_weight_has_its_loss_and_none_is_forgotten(scans):
    assert list(compute_losses(build(tiny()).eval(), scans)) == list(vars(LossWeights()))


def test_the_same_seed_renders_the_same_pixels_and_another_seed_others(scans):
    losses = new(TrainConfig(rendering=RENDERING))
    value = lambda seed: float(losses(scans, replace(FIRST, seed=seed))[0])  # noqa: E731
    assert value(1) == value(1) != value(2)


def test_the_second_stage_renders_at_its_own_resolution(scans):
    schedule = replace(RENDERING, high=replace(STAGE, render_px=48))
    losses = new(TrainConfig(rendering=schedule))
    losses(scans, FIRST)
    with pytest.raises(ValueError, match="render_px=48"):
        losses(scans, replace(FIRST, progress=0.9))


def test_rendering_without_target_views_says_what_to_set(scans):
    with pytest.raises(ValueError, match="target_views"):
        new(TrainConfig(rendering=RENDERING))(Batch(scans.inputs, replace(scans.supervision, targets=None)), FIRST)


def test_bfloat16_changes_the_network_a_little_and_the_losses_stay_float32(scans):
    exact, rough = (new(TrainConfig(bf16=bf16))(scans, FIRST) for bf16 in (False, True))
    assert rough[0].dtype == torch.float32
    assert 0 < abs(float(exact[0] - rough[0])) < 0.02 * float(exact[0])


def test_nothing_is_made_for_rendering_if_nothing_is_rendered():
    assert {name.split(".")[0] for name, _ in new(TrainConfig()).named_parameters()} == {"model"}


def test_landmarks_can_be_trained_alone(scans):
    torch.manual_seed(0)
    model = build(replace(tiny(), corrector_rounds=2)).train()
    losses = Objective(model, TrainConfig(part="landmarks"))
    loss, terms = losses(scans, FIRST)
    assert terms.keys() == {"landmarks", "bones", "heat", "heatmaps", "coarse_depth"}
    expected = sum(getattr(LossWeights(), name) * float(value) for name, value in terms.items())
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    found = model.estimate_landmarks(scans.inputs)
    given = encode(model, scans.inputs).inputs
    torch.testing.assert_close(found.points, given.estimated)
    torch.testing.assert_close(found.heatmaps.logits, given.heatmaps.logits)
    assert found.tokens.shape == (*found.points.shape[:2], model.config.width)
    optimizer = make_optimizer(model, TrainConfig(learning_rate=1e-3))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for _ in range(12):
        optimizer.zero_grad()
        losses(scans, FIRST)[0].backward()
        optimizer.step()
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert {name.split(".")[0] for name in moved} == {"landmark_head"}
    assert {"landmark_head.heatmap_head.heat.weight", "landmark_head.fusion.share.weight"} <= moved
    assert {"landmark_head.lifter.delta.weight", "landmark_head.rounds.1.delta.weight"} <= moved
    assert losses(scans, FIRST)[0] < 0.85 * loss


def test_the_field_can_be_trained_on_told_landmarks_alone(scans):
    torch.manual_seed(0)
    model = build(tiny()).train()
    both = Objective(model, TrainConfig())(scans, FIRST)[1]
    losses = Objective(model, TrainConfig(part="field"))
    loss, terms = losses(scans, FIRST)
    unused = {"landmarks", "bones", "heat", "heatmaps", "coarse_depth"}
    assert all(terms[name] == 0 for name in unused)
    for name in terms.keys() - unused:
        torch.testing.assert_close(terms[name], both[name], rtol=1e-4, atol=1e-5)
    loss.backward()
    found = [name.removeprefix("model.") for name in gradients(losses)]
    assert not any(name.startswith("landmark_head.") for name in found)
    for part in ("decoder.transformer.", "field.", "decoder.depth.", "decoder.landmark_tokens.", "decoder.skip."):
        assert any(name.startswith(part) for name in found), part


def test_the_head_can_be_trained_alone(scans):
    torch.manual_seed(0)
    model = build(tiny()).train()
    with torch.no_grad():
        model.field.head.trunk[-1].weight.normal_(0, 0.01)  # a new one gets no gradient below its last layer
    together = Objective(model, TrainConfig(part="field"))(scans, FIRST)[1]
    losses = Objective(model, TrainConfig(part="head"))
    loss, terms = losses(scans, FIRST)
    for name, value in terms.items():
        torch.testing.assert_close(value, together[name], rtol=1e-4, atol=1e-5)
    loss.backward()
    assert {name.split(".")[2] for name in gradients(losses)} == {"head"}
    assert model.field(encode(model, scans.inputs), scans.supervision.surface).rgb.requires_grad is False


def test_what_is_not_told_is_estimated_but_not_trained(scans):
    teacher_landmarks = scans.supervision.teacher_landmarks.clone()
    teacher_landmarks[0, 3] = torch.nan
    partly = replace(scans, supervision=replace(scans.supervision, teacher_landmarks=teacher_landmarks))
    torch.manual_seed(0)
    losses = Objective(build(tiny()).train(), TrainConfig(part="field"))
    losses(partly, FIRST)[0].backward()
    assert all(not g.any() for name, g in gradients(losses).items() if name.startswith("model.landmark_head"))
