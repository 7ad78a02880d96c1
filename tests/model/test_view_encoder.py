import os
import sys
from dataclasses import replace

import pytest
import torch
from tiny_paper import tiny_paper

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before transformers is imported: nothing here asks the network

from humanlrm.model.config import PaperConfig, paper
from humanlrm.model.encoder import LiteEncoder
from humanlrm.model.lrm import build
from humanlrm.model.view_encoder import LiteTokens, VitEncoder, build_view_encoder, load_weights

KINDS = ("lite", "dino", "dinov2")


def config(kind: str, **changes) -> PaperConfig:
    sizes = {"encoder_width": 24, "encoder_depth": 2, "encoder_heads": 2, "patch_px": 14 if kind == "dinov2" else 16}
    return tiny_paper(encoder=kind, **sizes | changes)


def encoder(kind: str):
    """New, but with modulations that do something."""
    if kind != "lite":
        pytest.importorskip("transformers")
    torch.manual_seed(0)
    out = build_view_encoder(config(kind)).eval()
    for name, parameter in out.named_parameters():
        if "modul" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return out


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(64, 64), (64, 96), (70, 83)])
def test_any_image_becomes_one_token_per_patch(kind, size):
    net = encoder(kind)
    patch = {"lite": 32, "dino": 16, "dinov2": 14}[kind]
    whole = [round(side / patch) * patch for side in size]
    cell = min(patch, 16)
    found = net.tokens(torch.rand(2, 3, *size))
    assert found.grid == (whole[0] // cell, whole[1] // cell)
    classes = 0 if kind == "lite" else 1
    assert found.tokens.shape == (2, classes + found.grid[0] * found.grid[1], net.width)
    assert found.patches.shape == (2, net.width, *found.grid)


@pytest.mark.parametrize("kind", KINDS)
def test_patches_lie_where_the_image_has_them(kind):
    net, image = encoder(kind), torch.zeros(1, 3, 112, 112)
    before = net.tokens(image).patches
    image[..., :28, 84:] = 1
    change = (net.tokens(image).patches - before).norm(dim=1)[0]
    row, column = divmod(int(change.argmax()), change.shape[1])
    assert row < change.shape[0] / 3
    assert column > change.shape[1] * 2 / 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_knows_its_place(kind):
    """In an image that is the same everywhere."""
    tokens = encoder(kind).tokens(torch.full((1, 3, 64, 64), 0.5)).patches.flatten(2)[0].T
    assert torch.cdist(tokens, tokens).add(torch.eye(len(tokens)) * 9).min() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_each_image_is_modulated_by_its_own_camera(kind):
    net, image = encoder(kind), torch.rand(1, 3, 64, 64).expand(2, -1, -1, -1)
    condition = torch.randn(2, 16)
    plain, modulated = net.tokens(image).tokens, net.tokens(image, condition).tokens
    torch.testing.assert_close(plain[0], plain[1], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(modulated[0], modulated[1], atol=1e-2)
    alone = net.tokens(image[1:], condition[1:]).tokens
    torch.testing.assert_close(modulated[1:], alone, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(net.tokens(image).tokens, plain, rtol=0, atol=0)  # and nothing of it stays behind


def test_without_a_camera_a_vit_is_that_of_its_library():
    net, image = encoder("dino"), torch.rand(1, 3, 64, 64)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    pixels = (image - mean[:, None, None]) / std[:, None, None]
    expected = net.net(pixels, interpolate_pos_encoding=True).last_hidden_state
    torch.testing.assert_close(net.tokens(image).tokens, expected, rtol=0, atol=0)


def test_a_failed_forward_leaves_no_modulation_behind():
    net, image = encoder("dino"), torch.rand(1, 3, 64, 64)
    plain = net.tokens(image).tokens
    with pytest.raises(RuntimeError):
        net.tokens(image, torch.randn(1, 5))
    torch.testing.assert_close(net.tokens(image).tokens, plain, rtol=0, atol=0)


def test_the_lite_tokens_are_the_features_of_the_small_encoder():
    net, image = encoder("lite"), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        net.place.weight.zero_()
        net.place.bias.zero_()
    pyramid = LiteEncoder()(image)
    found = net.tokens(image).patches[0, :112, 1, 2]
    expected = pyramid.stride16[0, :, 1, 2]
    assert torch.corrcoef(torch.stack([found, expected]))[0, 1] > 0.999


@pytest.fixture(params=["dino", "dinov2"])
def published(request, tmp_path):
    """A folder as the hub has it, and a new encoder that wants it."""
    torch.manual_seed(7)
    pytest.importorskip("transformers")
    build_view_encoder(config(request.param)).net.save_pretrained(tmp_path)
    return tmp_path, encoder(request.param)


def test_weights_of_a_folder_are_copied_exactly(published):
    folder, net = published
    before = {name: p.clone() for name, p in net.net.state_dict().items()}
    load_weights(net, folder)
    torch.manual_seed(7)
    expected = build_view_encoder(config("dino" if net.settings.model_type == "vit" else "dinov2")).net.state_dict()
    after = net.net.state_dict()
    assert all(torch.equal(after[name], expected[name]) for name in expected)
    assert any(not torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"encoder_depth": 3}, "num_hidden_layers is 2, the preset asks for 3"), ({"encoder_width": 32}, "hidden_size")],
)
def test_weights_of_other_sizes_are_refused(published, changes, message):
    folder, net = published
    kind = "dino" if net.settings.model_type == "vit" else "dinov2"
    with pytest.raises(ValueError, match=message):
        load_weights(build_view_encoder(replace(config(kind), **changes)), folder)


def test_weights_of_another_network_are_refused(published):
    folder, net = published
    other = encoder("dinov2" if net.settings.model_type == "vit" else "dino")
    with pytest.raises(ValueError, match="model_type"):
        load_weights(other, folder)


def test_weights_that_lack_a_layer_are_refused(published):
    from safetensors.torch import load_file, save_file

    folder, net = published
    tensors = load_file(folder / "model.safetensors")
    name = next(n for n in tensors if "layernorm" in n and n.endswith("weight"))
    del tensors[name]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match="lack"):
        load_weights(net, folder)


def test_pickled_weights_are_not_read(published):
    from safetensors.torch import load_file

    folder, net = published
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        load_weights(net, folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_damaged_weights_are_one_clear_error(published, name):
    folder, net = published
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"encoder weights .* sound config\.json") as error:
        load_weights(net, folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("source", ["facebook/dino-vitb16", "no/such-model", "/no/such/folder"])
def test_without_a_network_a_hub_id_is_one_clear_error(source):
    with pytest.raises(ValueError, match=f"encoder weights '{source}'.*hub.*give the folder") as error:
        load_weights(encoder("dino"), source)
    assert "\n" not in str(error.value)


def test_the_lite_encoder_wants_no_weights():
    with pytest.raises(ValueError, match="brings its own weights"):
        load_weights(encoder("lite"), "facebook/dino-vitb16")


def test_without_transformers_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ValueError, match=r"pip install 'humanlrm\[paper\]'"):
        build(paper())


def test_every_kind_is_behind_the_interface():
    pytest.importorskip("transformers")
    kinds = [type(build_view_encoder(config(kind))) for kind in KINDS]
    assert kinds == [LiteTokens, VitEncoder, VitEncoder]
