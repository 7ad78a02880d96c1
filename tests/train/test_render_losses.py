import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from analytic_fields import by_place, field_of, sphere, union

from humanlrm.body.landmarks import DETECTOR_FEATURE_CHANNELS
from humanlrm.camera import rotation_about_y
from humanlrm.frame import canonical_camera
from humanlrm.model.config import tiny
from humanlrm.model.encoder import LiteEncoder
from humanlrm.model.lrm import build
from humanlrm.rays import image_rays, pixel_rays
from humanlrm.render.density import LaplaceDensity, RadianceField
from humanlrm.render.settings import Sampling
from humanlrm.render.volume import render_rays, to_image
from humanlrm.train.config import RenderSchedule, RenderStage, RenderWeights
from humanlrm.train.losses import weighted_sum
from humanlrm.train.perceptual import PerceptualLoss
from humanlrm.train.pixels import box_map, choose_patch, choose_pixels, edge_map
from humanlrm.train.render_losses import (
    depth_loss,
    mask_loss,
    radiance_field,
    render_losses,
)
from humanlrm.views import Targets

SIDE = 32
STAGE = RenderStage(render_px=SIDE, rays=192, patch_px=0)
BODY = union(sphere(0.4, (0.1, 0.0, 0.0)), sphere(0.25, (0.1, 0.5, 0.2)))


def similarities() -> torch.Tensor:
    """The given view itself, and one from the side in a frame of its own scale and origin."""
    side = torch.eye(4)
    side[:3, :3] = torch.from_numpy(rotation_about_y(np.deg2rad(80.0)))
    side[:3, :3] *= 0.9
    side[:3, 3] = torch.tensor([0.05, -0.1, 0.08])
    return torch.stack([torch.eye(4), side])


def seen_by(field: RadianceField, size_px: int = SIDE) -> Targets:
    """What two views show of a field: one subject."""
    camera, views = canonical_camera(size_px), []
    for similarity in similarities():
        scale = torch.linalg.det(similarity[:3, :3]) ** (1 / 3)
        with torch.no_grad():
            seen = render_rays(field, image_rays(camera).moved(similarity[None]), Sampling(64, 64, None))
        known = (seen.alpha > 0.5)[..., None]
        normal = torch.where(known, seen.normal @ similarity[:3, :3] / scale, torch.nan)
        depth = torch.where(known, 4 - seen.depth[..., None] / scale, torch.nan)
        parts = (seen.rgb, seen.alpha, normal, depth)
        views.append([to_image(part, camera.size_px) for part in parts])
    return Targets(*(torch.stack(part, dim=1) for part in zip(*views, strict=True)), similarities()[None])


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


TRUTH = field_of(BODY, by_place, beta=0.01)
TARGETS = seen_by(TRUTH)


@pytest.fixture(scope="module")
def perceptual() -> PerceptualLoss:
    return PerceptualLoss(LiteEncoder())


def test_the_true_field_has_no_loss(perceptual):
    terms = render_losses(TRUTH, TARGETS, replace(STAGE, patch_px=16), rng(), perceptual)
    limits = {"rgb": 2e-4, "perceptual": 0.02, "mask": 5e-3, "normal": 5e-3, "depth": 3e-6, "eikonal": 1e-6}
    for name, limit in limits.items():
        assert terms[name] < limit, name


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("rgb", field_of(BODY, lambda p: 1 - by_place(p), beta=0.01)),
        ("mask", field_of(union(BODY, sphere(0.2, (-0.5, -0.5, 0.0))), by_place, beta=0.01)),
        ("normal", field_of(sphere(0.5, (0.1, 0.2, 0.0)), by_place, beta=0.01)),
        ("depth", field_of(sphere(0.5, (0.1, 0.2, 0.3)), by_place, beta=0.01)),
        ("eikonal", field_of(lambda p: 1.5 * BODY(p), by_place, beta=0.015)),
    ],
)
def test_each_term_sees_its_error(name, wrong):
    true = render_losses(TRUTH, TARGETS, STAGE, rng())[name]
    assert render_losses(wrong, TARGETS, STAGE, rng())[name] > 30 * true + 1e-4


def test_the_perceptual_term_sees_a_wrong_pattern(perceptual):
    stage = replace(STAGE, patch_px=16)
    stripes = field_of(BODY, lambda p: (p * 40).sin() / 2 + 0.5, beta=0.01)
    true, wrong = (render_losses(f, TARGETS, stage, rng(), perceptual)["perceptual"] for f in (TRUTH, stripes))
    assert wrong > 10 * true


@pytest.mark.parametrize("missing", ["rgb", "normal", "depth"])
def test_a_view_without_a_map_has_no_such_term_and_finite_gradients(missing, perceptual):
    radius = torch.tensor(0.45, requires_grad=True)
    color = torch.tensor([0.2, 0.5, 0.5], requires_grad=True)
    field = field_of(sphere(radius), lambda p: color.expand_as(p), beta=0.02)
    targets = replace(TARGETS, **{missing: torch.full_like(getattr(TARGETS, missing), math.nan)})
    terms = render_losses(field, targets, replace(STAGE, patch_px=16), rng(), perceptual)
    weighted_sum(terms, RenderWeights()).backward()
    assert radius.grad.isfinite()
    assert radius.grad != 0
    if missing == "rgb":  # what is left is background, which shows at the silhouette only
        assert terms["rgb"] < 0.1 * render_losses(field, TARGETS, STAGE, rng())["rgb"]
    else:
        assert terms[missing] == 0
        assert terms["rgb"] > 0.01
    assert color.grad.isfinite().all()


def test_partly_unknown_maps_leave_the_known_part():
    half = TARGETS.depth.clone()
    half[..., : SIDE // 2] = math.nan
    wrong = field_of(sphere(0.5, (0.1, 0.2, 0.0)), by_place, beta=0.01)
    assert render_losses(wrong, replace(TARGETS, depth=half), STAGE, rng())["depth"] > 1e-5


@pytest.mark.parametrize("shaded", [3, None])
def test_a_sphere_is_fitted_from_two_views(shaded):
    """Place, radius and colour, all wrong at first, from pictures alone (no depth, no normals)."""
    truth = field_of(sphere(0.5, (0.1, -0.1, 0.2)), torch.tensor([0.8, 0.3, 0.1]), beta=0.02)
    seen = seen_by(truth)
    unknown = {name: torch.full_like(getattr(seen, name), math.nan) for name in ("normal", "depth")}
    targets = replace(seen, **unknown)
    radius, centre = torch.tensor(0.3, requires_grad=True), torch.zeros(3, requires_grad=True)
    color = torch.zeros(3, requires_grad=True)
    field = field_of(
        lambda p: ((p - centre) ** 2).sum(-1).sqrt() - radius, lambda p: torch.sigmoid(color).expand_as(p), beta=0.02
    )
    optimizer = torch.optim.Adam([{"params": [radius, centre], "lr": 0.02}, {"params": [color], "lr": 0.15}])
    stage, draw = RenderStage(render_px=SIDE, rays=96, patch_px=0, sampling=Sampling(16, 10, shaded)), rng()
    for _ in range(60):
        optimizer.zero_grad()
        weighted_sum(render_losses(field, targets, stage, draw), RenderWeights()).backward()
        optimizer.step()
    assert float(radius) == pytest.approx(0.5, abs=0.02)
    torch.testing.assert_close(centre.detach(), torch.tensor([0.1, -0.1, 0.2]), rtol=0, atol=0.03)
    torch.testing.assert_close(torch.sigmoid(color).detach(), torch.tensor([0.8, 0.3, 0.1]), rtol=0, atol=0.05)


@pytest.mark.parametrize("recompute", [False, True])
def test_the_models_own_field_gets_gradients_everywhere(recompute, perceptual):
    model, density = build(tiny()), LaplaceDensity(0.05)
    for layer in (
        model.field.sdf,
        model.decoder.depth,
        model.field.head.trunk[-1],
    ):  # an untrained last layer would keep the gradient to itself
        torch.nn.init.normal_(layer.weight, std=0.05)
    image = torch.cat([torch.rand(1, 3, 64, 64), box_map(TARGETS.alpha[:, 0, 0])[:, None].repeat(1, 2, 2, 2)], dim=1)
    planes = model(image, torch.rand(1, 19, 4) - 0.5, torch.zeros(1, 19, 2, DETECTOR_FEATURE_CHANNELS))
    stage = RenderStage(render_px=SIDE, rays=64, patch_px=8, recompute=recompute)
    terms = render_losses(radiance_field(model, planes, density), TARGETS, stage, rng(), perceptual)
    weighted_sum(terms, RenderWeights()).backward()
    for name, parameter in [*model.field.named_parameters(), *density.named_parameters()]:
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name
    assert model.decoder.transformer.planes.grad.abs().max() > 0


def test_views_that_mirror_are_refused():
    mirrored = TARGETS.to_input @ torch.diag(torch.tensor([-1.0, 1, 1, 1]))
    with pytest.raises(ValueError, match="mirror"):
        render_losses(TRUTH, replace(TARGETS, to_input=mirrored), STAGE, rng())


def test_the_same_seed_draws_the_same_loss():
    wrong = field_of(sphere(0.5), by_place, beta=0.01)
    first, again, other = (render_losses(wrong, TARGETS, STAGE, rng(seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_missing_limb_is_pulled_out_of_nothing():
    """The silhouette loss has a useful gradient even where the rays meet almost nothing."""
    alpha = torch.tensor([[1e-3]], requires_grad=True)
    mask_loss(alpha, torch.ones(1, 1)).backward()
    squared = 2 * (1 - 1e-3)
    assert -alpha.grad.item() > 100 * squared
    full = torch.tensor([[1.0]], requires_grad=True)
    mask_loss(full, torch.ones(1, 1)).backward()
    assert full.grad.isfinite()


def test_the_mask_loss_is_least_for_the_truth_even_where_it_is_soft():
    had = torch.linspace(0.01, 0.99, 99)
    losses = torch.stack([mask_loss(h.reshape(1, 1), torch.tensor([[0.3]])) for h in had])
    assert float(had[losses.argmin()]) == pytest.approx(0.3, abs=0.011)
    assert float(losses.min()) == pytest.approx(0, abs=1e-3)


def test_a_depth_that_is_wrong_by_a_factor_is_half_forgiven():
    target, view = torch.tensor([[3.0, 4.0, 5.0]]), torch.zeros(1, 3, dtype=torch.long)
    weight = torch.ones(1, 3)
    scaled = depth_loss(target * 1.1, target, weight, view, 1)
    assert float(scaled) == pytest.approx(0.5 * math.log(1.1) ** 2, rel=1e-4)
    bent = target * torch.tensor([[1.1, 1.0, 1 / 1.1]])
    assert float(depth_loss(bent, target, weight, view, 1)) == pytest.approx(2 / 3 * math.log(1.1) ** 2, rel=1e-4)
    assert depth_loss(target, target, weight, view, 1) == 0


def test_every_view_is_forgiven_its_own_scale():
    target, view = torch.full((1, 4), 4.0), torch.tensor([[0, 0, 1, 1]])
    opposite = target * torch.tensor([[1.1, 1.1, 1 / 1.1, 1 / 1.1]])
    found = depth_loss(opposite, target, torch.ones(1, 4), view, 2)
    assert float(found) == pytest.approx(0.5 * math.log(1.1) ** 2, rel=1e-4)


def test_a_view_without_depth_does_not_dilute_the_others():
    target = torch.tensor([[4.0, math.nan]])
    found = depth_loss(torch.tensor([[4.4, 1.0]]), target, torch.ones(1, 2), torch.tensor([[0, 1]]), 2)
    assert float(found) == pytest.approx(0.5 * math.log(1.1) ** 2, rel=1e-4)


def test_reduced_targets_are_what_a_smaller_camera_sees():
    small, direct = seen_by(TRUTH, 64).reduced(SIDE), TARGETS
    assert (small.alpha - direct.alpha).abs().mean() < 0.01
    solid = (direct.alpha > 0.99) & (small.alpha > 0.99)
    assert (small.rgb - direct.rgb).abs()[solid.expand_as(small.rgb)].mean() < 0.01
    known = ~small.depth.isnan() & ~direct.depth.isnan() & solid
    assert (small.depth - direct.depth)[known].abs().mean() < 0.01
    assert known.sum() > 0.8 * solid.sum()
    lengths = small.normal.norm(dim=2, keepdim=True)[~small.normal[:, :, :1].isnan()]
    torch.testing.assert_close(lengths, torch.ones_like(lengths))


def test_reduced_edges_keep_their_color():
    alpha = torch.zeros(1, 1, 1, 8, 8)
    alpha[..., 3:, 3:] = 1
    nothing = torch.zeros(1, 1, 3, 8, 8)
    white = Targets(alpha.expand_as(nothing) * 0.7, alpha, nothing, alpha, torch.eye(4)[None, None])
    small = white.reduced(4)
    assert float(small.alpha[0, 0, 0, 1, 1]) == pytest.approx(0.25)
    torch.testing.assert_close(small.rgb[0, 0, :, 1, 1], torch.full((3,), 0.7))


def test_where_nothing_is_met_depth_and_normal_do_not_count():
    elsewhere = field_of(sphere(0.05, (-0.8, -0.8, -0.8)), by_place, beta=0.01)
    terms = render_losses(elsewhere, TARGETS, STAGE, rng())
    assert terms["depth"] < 1e-4
    assert terms["normal"] < 1e-2
    assert terms["mask"] > 1


def test_targets_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="render_px=24"):
        render_losses(TRUTH, TARGETS, replace(STAGE, render_px=24), rng())


def test_pixels_lie_in_the_box_of_the_person_and_gather_at_the_edge():
    alpha = torch.zeros(2, 3, SIDE, SIDE)
    alpha[:, :, 8:20, 10:14] = 1
    index = choose_pixels(alpha, 4000, 0.5, rng())
    y, x = index // SIDE % SIDE, index % SIDE
    assert bool(((y >= 6) & (y < 22) & (x >= 8) & (x < 16)).all())
    views = torch.bincount((index // SIDE**2).flatten(), minlength=3).float() / index.numel()
    torch.testing.assert_close(views, torch.full((3,), 1 / 3), rtol=0, atol=0.03)
    edge = edge_map(alpha.flatten(0, 1)).reshape(2, -1)
    share = edge.gather(1, index).mean()
    chance = edge.sum() / box_map(alpha.flatten(0, 1)).sum()
    assert share == pytest.approx(float(0.5 + 0.5 * chance), abs=0.03)


def test_a_view_that_shows_nobody_is_sampled_everywhere():
    index = choose_pixels(torch.zeros(1, 1, SIDE, SIDE), 3000, 0.4, rng())
    assert len(index.unique()) > 0.8 * SIDE**2


def test_a_patch_is_a_square_that_shows_the_person():
    alpha = torch.zeros(2, 2, SIDE, SIDE)
    alpha[:, 1, 0:4, 28:32] = 1  # in a corner of the second view
    alpha[:, 0, 15:17, 15:17] = 1
    for seed in range(8):
        index = choose_patch(alpha, 8, rng(seed)).reshape(2, 8, 8)
        view, y, x = index // SIDE**2, index // SIDE % SIDE, index % SIDE
        assert (view == view[:, :1, :1]).all()
        assert (y.diff(dim=1) == 1).all()
        assert (x.diff(dim=2) == 1).all()
        assert (y.diff(dim=2) == 0).all()
        row = torch.arange(2)[:, None, None]
        assert bool((alpha[row, view, y, x].sum((1, 2)) > 0).all())


def test_the_perceptual_loss_is_zero_for_equal_images_and_has_the_gradient_of_finite_differences(perceptual):
    a, b = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)
    assert perceptual(a, a) == 0
    pairs = [
        (getattr(perceptual.encoder(a), f"stride{s}"), getattr(perceptual.encoder(b), f"stride{s}")) for s in (2, 4, 8)
    ]
    turned = [2 - 2 * torch.nn.functional.cosine_similarity(x, y, dim=1).mean() for x, y in pairs]
    torch.testing.assert_close(perceptual(a, b), torch.stack(turned).mean(), rtol=1e-3, atol=1e-4)
    a.requires_grad_()
    perceptual(a, b).backward()
    step = torch.nn.functional.interpolate(torch.randn(1, 3, 4, 4), size=(32, 32), mode="bicubic") * 1e-3
    with torch.no_grad():
        measured = (perceptual(a + step, b) - perceptual(a - step, b)) / 2
    torch.testing.assert_close((a.grad * step).sum(), measured, rtol=0.05, atol=1e-7)


def test_the_encoder_itself_still_keeps_no_gradient():
    image = torch.rand(1, 3, 32, 32, requires_grad=True)
    assert not LiteEncoder()(image).stride8.requires_grad


def test_the_schedule_has_two_stages():
    schedule = RenderSchedule(switch=0.5)
    assert schedule.at(0.0) == schedule.at(0.49) == schedule.low
    assert schedule.at(0.5) == schedule.high
    assert schedule.low.render_px < schedule.high.render_px


def test_every_weight_has_its_term_and_none_is_forgotten():
    names = list(render_losses(TRUTH, TARGETS, STAGE, rng()))
    assert names == list(asdict(RenderWeights()))
    terms = {name: torch.tensor(float(i)) for i, name in enumerate(names)}
    assert weighted_sum(terms, RenderWeights(*(10.0**i for i in range(6)))) == 543210


@pytest.mark.parametrize("wrong", [{"patch_px": 12}, {"patch_px": 128}, {"rays": 0}, {"edge": 1.5}])
def test_impossible_stages_are_refused(wrong):
    with pytest.raises(ValueError, match=r"patch_px|rays"):
        RenderStage(**wrong)


def test_rays_of_targets_meet_in_the_given_frame():
    """A landmark seen by both views lies where their rays cross."""
    at = torch.tensor([0.2, 0.3, -0.1])
    rays = []
    for similarity in similarities():
        own = torch.linalg.inv(similarity) @ torch.cat([at, torch.ones(1)])
        pixel = canonical_camera(SIDE).project(own[None, :3])[0, :2]
        rays.append(pixel_rays(canonical_camera(SIDE), pixel[None, None]).moved(similarity[None]))
    for ray in rays:
        t = ((at - ray.origins) * ray.directions).sum(-1)
        torch.testing.assert_close(ray.at(t[..., None])[0, 0, 0], at, rtol=0, atol=1e-5)
