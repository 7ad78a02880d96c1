import torch

from humanlrm.frame import project_ndc
from humanlrm.model.encoder import LiteEncoder
from humanlrm.model.heatmap_head import Fusion, HeatmapHead, LandmarkHeatmaps

SIDE = 12


def inputs_of(batch: int = 2):
    generator = torch.Generator().manual_seed(0)
    initial = torch.rand(batch, 19, 3, generator=generator) - 0.5
    maps = [
        torch.randn(batch, count, side, side, generator=generator)
        for count, side in zip(LiteEncoder.channels[2:], (SIDE, SIDE // 2, SIDE // 4), strict=True)
    ]
    return initial, torch.ones(batch, 2, SIDE, SIDE), *maps


def heatmap_head() -> HeatmapHead:
    torch.manual_seed(0)
    return HeatmapHead(LiteEncoder.channels)


def test_a_single_hot_cell_is_the_place():
    net, inputs = heatmap_head(), inputs_of()
    with torch.no_grad():
        net.heat.weight.zero_()
        row, column = 3, 8
        hot = torch.zeros(2, 19, SIDE, SIDE)
        hot[:, :, row, column] = 60
        net.heat.register_forward_hook(lambda *_: hot)
        heatmaps = net(*inputs)
    ndc = project_ndc(heatmaps.points)
    torch.testing.assert_close(ndc[..., 0], torch.full((2, 19), (column + 0.5) / SIDE * 2 - 1))
    torch.testing.assert_close(ndc[..., 1], torch.full((2, 19), 1 - (row + 0.5) / SIDE * 2))
    torch.testing.assert_close(heatmaps.points[..., 2], inputs[0][..., 2])  # a new one leaves depths alone
    torch.testing.assert_close(heatmaps.confidence[..., 0], torch.ones(2, 19))
    assert heatmaps.confidence[..., 1].max() < 0.01


def test_an_even_map_has_little_confidence():
    net = heatmap_head()
    with torch.no_grad():
        net.heat.weight.zero_()
        net.heat.bias.zero_()
        heatmaps = net(*inputs_of())
    torch.testing.assert_close(heatmaps.confidence[..., 0], torch.full((2, 19), 1 / SIDE**2))
    assert heatmaps.confidence[..., 1].min() > 0.7


def test_subjects_do_not_influence_each_other():
    net, inputs = heatmap_head(), inputs_of()
    with torch.no_grad():
        both, one = net(*inputs), net(*(x[1:] for x in inputs))
    torch.testing.assert_close(both.points[1:], one.points, rtol=1e-3, atol=1e-4)


def test_a_new_fusion_keeps_the_initial_landmarks_and_can_move_to_the_heat_maps():
    initial = torch.rand(2, 19, 3) - 0.5
    heatmaps = LandmarkHeatmaps(
        torch.zeros(2, 19, 4, 4), torch.rand(2, 19, 3) - 0.5, torch.rand(2, 19, 2), torch.zeros(2, 2, 4, 4)
    )
    fusion = Fusion()
    detected = torch.cat([initial, torch.ones(2, 19, 1)], dim=-1)
    torch.testing.assert_close(fusion(initial, detected, heatmaps), initial)
    with torch.no_grad():
        fusion.share.bias.unflatten(0, (19, 6))[:, :3] = 1
    torch.testing.assert_close(fusion(initial, detected, heatmaps), heatmaps.points)
