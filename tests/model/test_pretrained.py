import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from humanlrm.body.landmarks import DETECTOR_FEATURE_CHANNELS
from humanlrm.encoding import encode
from humanlrm.model.config import preset_of, small, tiny
from humanlrm.model.lrm import build
from humanlrm.model.pretrained import (
    CheckpointError,
    copied,
    from_pretrained,
    load_grown,
    load_tensors,
    save_pretrained,
    with_landmarks,
)
from humanlrm.views import Inputs


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(5)
    return build(tiny())


@pytest.fixture
def folder(model, tmp_path):
    save_pretrained(tmp_path / "weights", tiny(), tensors_of(model))
    return tmp_path / "weights"


@pytest.fixture
def photo_like() -> Inputs:
    generator = torch.Generator().manual_seed(0)
    landmarks = torch.rand(1, 19, 4, generator=generator)
    return Inputs(
        torch.rand(1, 5, 64, 64, generator=generator), landmarks, torch.zeros(1, 19, 2, DETECTOR_FEATURE_CHANNELS)
    )


def tensors_of(model) -> dict[str, torch.Tensor]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def test_saved_weights_come_back_in_half_precision(model, folder):
    loaded = from_pretrained(folder)
    assert loaded.config == tiny()
    assert not loaded.training
    again = tensors_of(loaded)
    for name, tensor in tensors_of(model).items():
        torch.testing.assert_close(again[name], tensor.half().float(), rtol=0, atol=0)
        assert again[name].dtype == torch.float32


def test_the_encoder_is_not_among_the_weights(folder):
    assert not [name for name in load_file(folder / "model.safetensors") if name.startswith("encoder")]


def test_nothing_partial_is_left_behind(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]


def change(folder, **changes: torch.Tensor | None) -> None:
    tensors = load_file(folder / "model.safetensors")
    for name, value in changes.items():
        if value is None:
            del tensors[name]
        else:
            tensors[name] = value
    save_file(tensors, folder / "model.safetensors")


def test_a_missing_tensor_is_refused_and_named(folder):
    change(folder, **{"field.sdf.weight": None})
    with pytest.raises(CheckpointError, match=r"lack field\.sdf\.weight"):
        from_pretrained(folder)


def test_an_extra_tensor_is_refused_and_named(folder):
    change(folder, surplus=torch.zeros(2))
    with pytest.raises(CheckpointError, match="hold surplus"):
        from_pretrained(folder)


def test_a_tensor_of_another_shape_is_refused_and_named(folder):
    change(folder, **{"field.sdf.weight": torch.zeros(1, 7)})
    with pytest.raises(CheckpointError, match=r"field\.sdf\.weight has shape \(1, 7\)"):
        from_pretrained(folder)


def test_a_refusal_changes_nothing(model, tmp_path):
    before = {name: p.detach().clone() for name, p in tensors_of(model).items()}
    tensors = {name: torch.zeros_like(p) for name, p in before.items()}
    tensors["zzz"] = torch.zeros(1)
    with pytest.raises(CheckpointError):
        load_tensors(model, tensors, tmp_path)
    assert all(torch.equal(p, before[name]) for name, p in tensors_of(model).items())


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "cut", "noise"])
def test_a_damaged_file_is_refused(folder, name, damage):
    path = folder / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else b"\xff\xfe\x00 no" * 50)
    with pytest.raises(CheckpointError, match="weights"):
        from_pretrained(folder)


@pytest.mark.parametrize("config", [{"wings": 2}, {"width": "wide"}, [1, 2], {"heads": 7}])
def test_a_config_that_describes_no_model_is_refused(folder, config):
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(CheckpointError):
        from_pretrained(folder)


def test_landmarks_can_be_those_of_other_weights():
    models = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        models.append(build(tiny()))
    one, other = ({n: p.detach() for n, p in model.named_parameters() if p.requires_grad} for model in models)
    mixed = with_landmarks(tiny(), one, tiny(), other)
    torch.manual_seed(2)
    model = build(tiny()).eval()
    load_tensors(model, mixed, Path("mixed"))
    given = Inputs(torch.rand(1, 5, 64, 64), torch.rand(1, 19, 4), torch.rand(1, 19, 2, DETECTOR_FEATURE_CHANNELS))
    with torch.no_grad():
        torch.testing.assert_close(
            model.estimate_landmarks(given).points, models[1].eval().estimate_landmarks(given).points
        )
        told = torch.rand(1, 19, 3)
        found, wanted = encode(model, given, told), encode(models[0].eval(), given, told)
    for name in ("xy", "zy", "xz"):
        torch.testing.assert_close(getattr(found, name), getattr(wanted, name))
    with pytest.raises(CheckpointError, match="same small config"):
        with_landmarks(tiny(), one, small(), other)


def test_a_copy_of_weights_may_be_changed_and_stays_changed(folder, tmp_path):
    (folder / "poses").mkdir()
    to = copied(folder, tmp_path / "copy")
    assert sorted(path.name for path in to.iterdir()) == ["config.json", "model.safetensors"]
    (to / "config.json").write_text("{}", encoding="utf-8")
    copied(folder, to)
    assert (to / "config.json").read_text(encoding="utf-8") == "{}"
    assert (folder / "config.json").read_text(encoding="utf-8") != "{}"


def test_weights_have_the_permissions_of_their_config(folder):
    assert (folder / "model.safetensors").stat().st_mode == (folder / "config.json").stat().st_mode


def test_a_config_knows_its_preset():
    assert preset_of(tiny()) == "tiny"
    assert preset_of(replace(tiny(), depth=2)) is None


def test_a_larger_model_starts_where_older_weights_ended(photo_like):
    """More layers and an eye for the planes change nothing until they are trained; the eye starts as the landmarks'."""
    older = replace(tiny(), trainable_trunk=True)
    torch.manual_seed(1)
    before, after = build(older).eval(), build(replace(older, depth=3, plane_adapter=True)).eval()
    with torch.no_grad():
        for parameter in before.parameters():
            if parameter.requires_grad and parameter.ndim >= 2:
                parameter.add_(torch.randn_like(parameter) * 0.02)
    load_grown(after, tensors_of(before), Path("older"))
    with torch.no_grad():
        one, two = encode(before, photo_like), encode(after, photo_like)
    assert all(torch.equal(getattr(one, name), getattr(two, name)) for name in ("xy", "zy", "xz"))
    eye, own = (
        dict(part.named_parameters()) for part in (after.landmark_head.image_trunk, after.decoder.adapter.image_trunk)
    )
    assert all(torch.equal(p, own[name]) for name, p in eye.items())


def test_what_a_larger_model_shares_with_older_weights_has_to_fit(model):
    with pytest.raises(CheckpointError, match=r"older: .* has shape"):
        load_grown(build(replace(tiny(), width=48, plane_adapter=True)), tensors_of(model), Path("older"))
