"""What the log shows of a model, and how much of the machine its steps use."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from analytic_fields import by_place, field_of, sphere
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from train_tiny import RENDERING

from humanlrm.camera import rotation_about_y
from humanlrm.mesh.surface import TriangleSurface, is_closed
from humanlrm.model.config import tiny
from humanlrm.model.lrm import build
from humanlrm.train.checkpoint import Counters
from humanlrm.train.config import TrainConfig
from humanlrm.train.hooks import Progress
from humanlrm.train.objective import Objective, StepContext
from humanlrm.train.pictures import Pictures, draw_around, draw_pictures
from humanlrm.train.report import TrainingReport
from humanlrm.train.throughput import bf16_pays, flop_counter, matmul_peak, step_flops
from humanlrm.views import Batch, Targets

SIDE = 16


@pytest.fixture(scope="module")
def drawn(scans) -> Pictures:
    """An untrained model: its field is the prior, silhouette and depth."""
    torch.manual_seed(0)
    return draw_pictures(build(tiny()).eval(), scans, size_px=SIDE)


def test_pictures_have_a_row_per_view_and_values_that_can_be_shown(drawn):
    assert drawn.inputs.shape == (2, 3, 64, 64)
    assert drawn.around.shape == drawn.targets.shape == (2, 3, 2 * SIDE, 4 * SIDE)
    for picture in (drawn.inputs, drawn.around, drawn.targets):
        assert picture.isfinite().all()
        assert 0 <= picture.min() < picture.max() <= 1


def test_wanted_and_predicted_silhouettes_of_the_given_view_overlap(scans):
    """An untrained field begins as the silhouette; normals that are unknown stay grey."""
    image = scans.inputs.image[:, None]
    unknown = torch.full_like(image[:, :, :3], torch.nan)
    own = Targets(image[:, :, :3], image[:, :, 3:4], unknown, unknown[:, :, :1], torch.eye(4).expand(2, 1, 4, 4))
    exact = torch.cat([scans.supervision.landmarks, torch.ones(len(image), 19, 1)], dim=-1)
    inside = torch.cat([scans.inputs.image[:, :4], torch.ones_like(scans.inputs.image[:, :1])], dim=1)
    batch = Batch(replace(scans.inputs, image=inside, landmarks=exact), replace(scans.supervision, targets=own))
    row = draw_pictures(build(tiny()).eval(), batch, subjects=1, size_px=SIDE).targets[0]
    wanted, predicted, normals, _ = row.chunk(4, dim=-1)
    wanted, predicted = ((picture - 0.5).abs().amax(0) > 1e-3 for picture in (wanted, predicted))
    assert (wanted & predicted).sum() > 0.5 * (wanted | predicted).sum()
    assert (normals == 0.5).all()


def test_pictures_from_all_around_show_each_side_with_its_color_and_normal():
    around = draw_around(field_of(sphere(0.6), by_place), 1, 24)
    assert around.shape == (1, 3, 48, 96)
    for column, yaw_deg in enumerate((0.0, 90.0, 180.0, 270.0)):
        toward_camera = torch.from_numpy(rotation_about_y(np.deg2rad(yaw_deg)))[:, 2].float()
        color, normal = (around[0, :, row, 24 * column + 12] for row in (12, 36))
        torch.testing.assert_close(color, toward_camera * 0.3 + 0.5, rtol=0, atol=0.06)
        torch.testing.assert_close(normal, torch.tensor([0.5, 0.5, 1.0]), rtol=0, atol=0.06)
    assert around[0, :, 0, 0].min() == 1


def test_the_mesh_is_closed_and_colored(drawn):
    mesh = drawn.mesh
    assert is_closed(mesh.faces)
    assert TriangleSurface(mesh.vertices, mesh.faces).volume > 0.01
    assert mesh.colors.shape == mesh.vertices.shape
    assert mesh.colors.std() > 1


def test_a_field_without_a_surface_has_no_mesh_and_a_batch_without_targets_no_such_picture(scans):
    model = build(tiny()).eval()
    with torch.no_grad():
        model.field.sdf.bias += 5
    pictures = draw_pictures(
        model, Batch(scans.inputs, replace(scans.supervision, targets=None)), subjects=1, size_px=16
    )
    assert pictures.mesh is None
    assert pictures.targets is None
    assert pictures.inputs.shape[0] == 1


def test_operations_of_a_step_grow_with_what_is_rendered_and_leave_no_gradient(scans):
    plain, rendering = (Objective(build(tiny()), TrainConfig(rendering=r)) for r in (None, RENDERING))
    flops = step_flops(plain, scans, 0.0)
    assert flops > 1e7
    assert step_flops(rendering, scans, 0.0) > 1.05 * flops
    assert all(p.grad is None for p in plain.parameters())


def test_the_backward_pass_costs_twice_the_forward_pass(scans):
    """But for the frozen encoder, which has none."""
    losses = Objective(build(tiny()), TrainConfig())
    with flop_counter() as forward, torch.no_grad():
        losses(scans, StepContext(0.0, 0, patch=False))
    with flop_counter() as encoder, torch.no_grad():
        losses.model.encoder(scans.inputs.image)
    whole, frozen = forward.get_total_flops(), encoder.get_total_flops()
    assert step_flops(losses, scans, 0.0) == pytest.approx(3 * whole - 2 * frozen, rel=0.1)


@pytest.mark.parametrize("groups", [1, 8])
def test_gradients_of_a_convolution_cost_twice_the_convolution_whatever_its_groups(groups):
    x, layer = torch.rand(2, 8, 16, 16, requires_grad=True), nn.Conv2d(8, 8, 3, padding=1, groups=groups)
    with flop_counter() as forward:
        y = layer(x)
    with flop_counter() as backward:
        y.sum().backward()
    assert forward.get_total_flops() == 2 * 2 * 8 * (8 // groups) * 9 * 16 * 16
    assert backward.get_total_flops() == 2 * forward.get_total_flops()


def test_the_peak_is_that_of_a_computer():
    assert 1e8 < matmul_peak(seconds=0.0) < 1e16


@pytest.mark.parametrize(("half_s", "single_s"), [(1.0, 2.0), (2.0, 1.0)])
def test_bfloat16_pays_where_its_products_take_less_time(half_s, single_s):
    # In one of the turns something else took the processor while the faster one was timed.
    turns = [[0, 0, half_s, 0, 0, single_s]] * 4 + [[0, 0, half_s + 9, 0, 0, single_s + 9]]
    ticks = iter(np.cumsum(turns))
    assert bf16_pays(clock=lambda: float(next(ticks))) == (half_s < single_s)


def test_the_log_holds_pictures_mesh_and_throughput(drawn, tmp_path):
    with TrainingReport(tmp_path, 8, Console(quiet=True)) as report:
        report.show_progress(Progress(Counters(8, 1), {"sdf": 0.5, "render_rgb": 0.1}, 1e-3, 2.0, 1e9))
        report.show_pictures(8, drawn)
    log = EventAccumulator(str(tmp_path / "log"), size_guidance={"images": 0, "tensors": 0})
    log.Reload()
    assert {"loss/sdf", "loss/render_rgb", "samples_per_s", "mfu", "learning_rate"} <= set(log.Tags()["scalars"])
    assert log.Scalars("mfu")[0].value > 0
    names = {tag.split("/")[0] for tag in log.Tags()["images"]}
    assert names == {"inputs", "predicted", "true and predicted, color and normals"}
    meshes = [tag for tag in log.Tags()["tensors"] if "mesh" in tag]
    assert len(meshes) == 3
    np.testing.assert_equal({log.Tensors(tag)[0].step for tag in meshes}, {8})
