"""Image encoders behind one interface: an image (and perhaps its camera) in, tokens out.

``LiteTokens`` is the frozen encoder of ``small``; ``VitEncoder`` is DINO or DINOv2 as ``transformers`` builds them (an
extra). A new model has random ViT weights; :func:`load_weights` fills in pretrained ones before a run starts. After
that they are part of our checkpoints, so that nothing has to be fetched to use a trained model.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor, nn

from humanlrm.model.blocks import fourier
from humanlrm.model.config import PaperConfig
from humanlrm.model.encoder import LiteEncoder
from humanlrm.model.modulation import Modulation

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: Image side that the published weights have position embeddings for.
_POSITIONS_PX = {"dino": 224, "dinov2": 518}
_OCTAVES = 5
_SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "patch_size", "image_size")


@dataclass(frozen=True)
class ViewTokens:
    """Tokens of N images: class tokens, if the encoder has any, then one per patch, row by row.

    Attributes:
        tokens: the features.
        grid: rows and columns of patches.
    """

    tokens: Float[Tensor, "N T D"]
    grid: tuple[int, int]

    @property
    def patches(self) -> Float[Tensor, "N D h w"]:
        """The patches' tokens as a picture."""
        height, width = self.grid
        return rearrange(self.tokens[:, -height * width :], "N (h w) D -> N D h w", h=height)


class ViewEncoder(nn.Module):
    """The interface: ``forward(image, condition) -> ViewTokens``.

    Images are sRGB in [0, 1] of any size; they are resized to the nearest whole number of patches. The condition is an
    embedding of each image's camera, by which tokens are modulated; ``None``: the canonical camera, no modulation.
    """

    #: Channels of a token.
    width: int

    def forward(self, image: Float[Tensor, "N 3 H W"], condition: Float[Tensor, "N E"] | None = None) -> ViewTokens:
        raise NotImplementedError


def view_encoder(config: PaperConfig) -> ViewEncoder:
    """The encoder that a config asks for; a ViT has random weights.

    Raises:
        ValueError: it needs ``transformers``, which is not installed.
    """
    if config.encoder == "lite":
        return LiteTokens(LiteEncoder(), config.camera_width)
    return VitEncoder(_new_vit(config), config.camera_width)


def to_whole_patches(image: Float[Tensor, "N 3 H W"], patch_px: int) -> Float[Tensor, "N 3 h w"]:
    """Resized to the nearest multiples of ``patch_px``; as it is where that is its size."""
    size = [max(1, round(side / patch_px)) * patch_px for side in image.shape[-2:]]
    if size == list(image.shape[-2:]):
        return image
    return nn.functional.interpolate(image, size=size, mode="bilinear", antialias=True)


class LiteTokens(ViewEncoder):
    """EfficientNet-Lite0, frozen: its stride-16 and stride-32 features and the place of each cell as one token."""

    def __init__(self, net: LiteEncoder, condition: int) -> None:
        super().__init__()
        self.net = net
        self.width = net.channels[3] + net.channels[4]
        self.norm = nn.LayerNorm(self.width)
        self.place = nn.Linear(6 * _OCTAVES, self.width)
        self.modulate = Modulation(condition, self.width)

    def forward(self, image: Float[Tensor, "N 3 H W"], condition: Float[Tensor, "N E"] | None = None) -> ViewTokens:
        pyramid = self.net(to_whole_patches(image, 32))
        coarse = nn.functional.interpolate(pyramid.stride32, scale_factor=2, mode="bilinear")
        features = torch.cat([pyramid.stride16, coarse], dim=1)
        height, width = features.shape[-2:]
        rows, columns = ((torch.arange(n, device=image.device) + 0.5) / n * 2 - 1 for n in (height, width))
        grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1).flatten(0, 1)
        place = self.place(fourier(nn.functional.pad(grid, (0, 1)), _OCTAVES))
        tokens = self.norm(features.flatten(2).transpose(1, 2)) + place
        return ViewTokens(tokens if condition is None else self.modulate(tokens, condition), (height, width))


class VitEncoder(ViewEncoder):
    """A vision transformer of ``transformers`` whose layer norms are modulated by the camera (as Instant3D does).

    Positions are interpolated to the size of the image, and the class token is kept, as LRM does.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, condition: int) -> None:
        super().__init__()
        self.net = net
        self.settings: Any = net.config
        self.width = self.settings.hidden_size
        self.modulations = nn.ModuleList([Modulation(condition, self.width) for _ in self._norms()])
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(_STD)[:, None, None], persistent=False)

    def _norms(self) -> list[nn.LayerNorm]:
        return [module for module in self.net.modules() if isinstance(module, nn.LayerNorm)]

    def forward(self, image: Float[Tensor, "N 3 H W"], condition: Float[Tensor, "N E"] | None = None) -> ViewTokens:
        whole = to_whole_patches(image, self.settings.patch_size)
        grid = (whole.shape[-2] // self.settings.patch_size, whole.shape[-1] // self.settings.patch_size)
        # DINOv2 always interpolates its positions and does not know the option.
        options = {"interpolate_pos_encoding": True} if self.settings.model_type == "vit" else {}
        with self._modulated(condition):
            found = self.net((whole - self.mean) / self.std, **options)
        return ViewTokens(found.last_hidden_state, grid)

    @contextmanager
    def _modulated(self, condition: Float[Tensor, "N E"] | None) -> Iterator[None]:
        """While this lasts, every layer norm is followed by its modulation: hooks leave the network and the names of
        its weights as they are."""
        handles = []
        if condition is not None:
            for norm, modulate in zip(self._norms(), self.modulations, strict=True):
                handles.append(norm.register_forward_hook(lambda _, __, out, m=modulate: m(out, condition)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ValueError(
            "this preset's image encoder needs transformers, which is not installed: pip install 'humanlrm[paper]'"
        ) from error
    return transformers


def _new_vit(config: PaperConfig) -> nn.Module:
    transformers = _transformers()
    shared = {
        "hidden_size": config.encoder_width,
        "num_hidden_layers": config.encoder_depth,
        "num_attention_heads": config.encoder_heads,
        "patch_size": config.patch_px,
        "image_size": _POSITIONS_PX[config.encoder],
    }
    if config.encoder == "dino":
        settings = transformers.ViTConfig(**shared, intermediate_size=4 * config.encoder_width)
        return transformers.ViTModel(settings, add_pooling_layer=False)
    return transformers.Dinov2Model(transformers.Dinov2Config(**shared, mlp_ratio=4))


def load_weights(encoder: nn.Module, source: str | Path) -> None:
    """Copies published weights into an encoder; safetensors only, nothing is unpickled and no remote code runs.

    Args:
        encoder: of a model whose config says "dino" or "dinov2".
        source: a folder with ``config.json`` and ``model.safetensors``, or a hub id such as ``facebook/dinov2-base``.

    Raises:
        ValueError: there is nothing to load there (offline, or no such folder), or it is another network.
    """
    if not isinstance(encoder, VitEncoder):
        raise ValueError(f"{source}: this preset's encoder brings its own weights; leave the encoder weights out")
    transformers, settings = _transformers(), encoder.settings
    kind: Any = type(encoder.net)
    options = {"local_files_only": True} if Path(source).is_dir() else {}
    with _reading(source):
        theirs = transformers.AutoConfig.from_pretrained(str(source), **options)
    _check_sizes(source, theirs, settings)
    extra = {"add_pooling_layer": False} if settings.model_type == "vit" else {}
    with _reading(source):
        net, found = kind.from_pretrained(
            str(source), use_safetensors=True, output_loading_info=True, dtype=torch.float32, **extra, **options
        )
    if found["missing_keys"]:
        raise ValueError(f"encoder weights {str(source)!r} lack {sorted(found['missing_keys'])[0]}")
    encoder.net.load_state_dict(net.state_dict())


@contextmanager
def _reading(source: str | Path) -> Iterator[None]:
    """Whatever the library raises becomes one line that says what to do."""
    try:
        yield
    except (OSError, ValueError, SafetensorError) as error:
        why = " ".join(str(error).split())[:200]
        raise ValueError(
            f"encoder weights {str(source)!r}: no folder with a sound config.json and model.safetensors, and not on "
            f"the hub or the hub cannot be reached; download it elsewhere and give the folder ({why})"
        ) from error


def _check_sizes(source: str | Path, theirs: Any, ours: Any) -> None:
    for name in ("model_type", *_SIZES):
        if getattr(theirs, name, None) != getattr(ours, name):
            raise ValueError(
                f"encoder weights {str(source)!r}: {name} is {getattr(theirs, name, None)}, the preset asks for "
                f"{getattr(ours, name)}; give weights of its encoder"
            )
