from dataclasses import replace

import pytest
import torch
from tiny_paper import tiny_paper

from humanlrm.model.config import base, paper, small, tiny
from humanlrm.model.describe import describe
from humanlrm.model.latent_decoder import LatentDecoder
from humanlrm.model.lrm import build


def test_the_paper_preset_has_the_sizes_of_lrm():
    pytest.importorskip("transformers")
    found = describe(paper())
    assert sum(found.parameters.values()) == found.trained
    assert 0.4e9 < found.trained < 0.55e9
    assert found.image_tokens == 1025
    assert found.plane_tokens == 3072
    assert found.planes == ((80, 64, 64),) * 3
    assert paper().encoder_width == 768
    assert paper().width == 1024
    assert {paper().pixel_features, paper().depth_prior, paper().landmarks} == {False}


def test_the_paper_preset_is_built_without_memory():
    pytest.importorskip("transformers")
    with torch.device("meta"):
        model = build(paper())
    assert {p.device.type for p in model.parameters()} == {"meta"}


def test_operations_are_those_of_the_matrix_products():
    """The transformer's share, by hand: two operations per weight and token, four per pair of tokens and channel."""
    pytest.importorskip("transformers")
    config = paper()
    found = describe(config)
    with torch.device("meta"):
        decoder = LatentDecoder(config, 768)
    weights = {n: p.numel() for n, p in decoder.blocks.named_parameters() if p.ndim == 2}
    over_views = sum(count for name, count in weights.items() if "cross.key_value" in name)
    planes, image = 3072, 1025
    by_hand = 2 * (planes * (sum(weights.values()) - over_views) + image * over_views)
    by_hand += 16 * 4 * 1024 * planes * (planes + image)
    by_hand += 2 * image * 85e6 + 12 * 4 * 768 * image**2  # ViT-B
    assert found.network_flops == pytest.approx(by_hand, rel=0.05)


def test_more_views_cost_more_operations_but_no_parameters():
    one, four = describe(tiny_paper()), describe(tiny_paper(), views=4)
    assert one.parameters == four.parameters
    assert four.network_flops > 2 * one.network_flops
    assert four.activation_bytes > one.activation_bytes


def test_what_is_kept_on_the_meta_device_is_what_is_kept_on_a_real_one():
    pytest.importorskip("transformers")
    config = tiny_paper(encoder="dino", encoder_width=24, encoder_depth=2, encoder_heads=2)
    meta = describe(config, queries=64)
    real = describe(config, queries=64, device="cpu")
    assert real.network_flops == meta.network_flops
    assert real.activation_bytes == pytest.approx(meta.activation_bytes, rel=0.02)


def test_a_field_query_costs_two_operations_per_weight():
    config = tiny_paper()
    weights = [p for n, p in build(config).field.named_parameters() if p.ndim == 2 and n.startswith(("trunk", "sdf"))]
    assert describe(config).point_flops == 2 * sum(p.numel() for p in weights)


@pytest.mark.parametrize("config", [tiny(), small(), tiny_paper()], ids=["tiny", "small", "paper"])
def test_parameters_are_those_of_the_model(config):
    found, model = describe(config, queries=16), build(config)
    assert found.trained == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert found.parameters["encoder"] > 2.5e6  # the frozen ones count as parameters, not as trained
    assert found.state_bytes > 20 * found.trained


def test_memory_grows_with_queries_and_model():
    config = tiny_paper()
    few = describe(config, queries=64).activation_bytes
    assert describe(config, queries=512).activation_bytes > few
    assert describe(replace(config, depth=6), queries=64).activation_bytes > 1.2 * few


def test_the_base_preset_fits_one_gpu():
    pytest.importorskip("transformers")
    found = describe(base())
    assert found.state_bytes + 2 * found.activation_bytes < 16 * 2**30
    assert found.plane_tokens == 3072


def test_the_small_family_takes_one_view():
    with pytest.raises(ValueError, match="takes one view, got 2"):
        describe(tiny(), views=2)
