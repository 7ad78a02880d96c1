"""Encoder of the paper's family: views of a person and their cameras to tokens.

:class:`LiteTokens` uses the frozen encoder of ``small``; :class:`VitEncoder` is DINO or DINOv2 of ``transformers`` (an
extra). A new model has random ViT weights; :func:`load_weights` fills in published ones before a run starts.
After that they are part of our checkpoints, so that nothing has to be fetched to use a trained model.
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

from humanlrm.camera import Cameras
from humanlrm.frame import canonical_camera
from humanlrm.model.blocks import fourier, zero_init
from humanlrm.model.config import PaperConfig
from humanlrm.model.encoder import ImageFeatures, LiteEncoder
from humanlrm.views import on_grey, premultiplied

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: Image side that the published weights have position embeddings for.
_POSITIONS_PX = {"dino": 224, "dinov2": 518}
_PATCH_OCTAVES = 5
_SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "patch_size", "image_size")
_CAMERA_NUMBERS = 16


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


@dataclass(frozen=True)
class ViewFeatures(ImageFeatures):
    """Features of the views of B people.

    Attributes:
        first: tokens of the first view.
        memory: tokens of all views, one view after the other.
    """

    first: ViewTokens
    memory: Float[Tensor, "B T D"]


def camera_numbers(cameras: Cameras) -> Float[Tensor, "*B 16"]:
    """A camera as 16 numbers that depend neither on the resolution nor on the scale of camera space.

    The world-to-camera matrix (12; box to camera, a similarity is allowed and divided by its scale, which no image
    shows), focal lengths in half image sides and the principal point in [-1, 1]. LRM's camera features, with
    intrinsics that do not depend on the resolution.
    """
    world = cameras.w2c[..., :3, :]
    scale = torch.linalg.det(world[..., :3]).abs().pow(1 / 3)[..., None, None]
    half = cameras.K.new_tensor([cameras.size_px[1] / 2, cameras.size_px[0] / 2])
    focal = torch.diagonal(cameras.K[..., :2, :2], dim1=-2, dim2=-1) / half
    principal = cameras.K[..., :2, 2] / half - 1
    return torch.cat([(world / scale).flatten(-2), focal, principal], dim=-1)


class CameraEmbedding(nn.Module):
    """Cameras to condition vectors."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(_CAMERA_NUMBERS, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())

    def forward(self, cameras: Cameras) -> Float[Tensor, "*B E"]:
        return self.layers(camera_numbers(cameras))


class Modulation(nn.Module):
    """Scale and shift of normalised tokens by a condition (LRM's ModLN: ``LN(f) (1 + gamma) + beta``). Starts as the
    identity, so that a model trained on single views is a good start for posed ones."""

    def __init__(self, condition: int, width: int) -> None:
        super().__init__()
        self.layer = zero_init(nn.Linear(condition, 2 * width))

    def forward(self, tokens: Float[Tensor, "N T D"], condition: Float[Tensor, "N E"]) -> Float[Tensor, "N T D"]:
        gamma, beta = self.layer(condition)[:, None].chunk(2, dim=-1)
        return tokens * (1 + gamma) + beta


class ViewEncoder(nn.Module):
    """Encoder part: up to eight views of one person, of any size, by any cameras.

    With several views, or one that is not the canonical one, each view's tokens are modulated by its camera. A single
    view in the canonical frame is not modulated. Subclasses encode the images (:meth:`tokens`).

    Attributes:
        width: channels of a token.
        image_tokens: number of tokens of an image of the training size.
        canonical_first: points sample the first view, so its camera must be the canonical one.
    """

    max_views = 8
    width: int
    image_tokens: int

    def __init__(self, config: PaperConfig) -> None:
        super().__init__()
        self.canonical_first = config.pixel_features or config.depth_prior or config.landmarks
        self.camera = CameraEmbedding(config.camera_width)

    def tokens(self, image: Float[Tensor, "N 3 H W"], condition: Float[Tensor, "N E"] | None = None) -> ViewTokens:
        """Tokens of sRGB images in [0, 1] of any size, resized to the nearest whole number of patches.

        Args:
            condition: embedding of each image's camera, by which tokens are modulated; ``None``: no modulation.
        """
        raise NotImplementedError

    def forward(self, image: Float[Tensor, "B *V 5 H W"], cameras: Cameras | None = None) -> ViewFeatures:
        """Features of the person on grey in B crops, or in B times V views of one size.

        Args:
            image: sRGB (not premultiplied), alpha, known (1 inside the photo), all in [0, 1].
            cameras: (B, V) cameras in the box frame; ``None``: one view by the canonical camera.

        Raises:
            ValueError: views without cameras, cameras that are not those of the views, or a first view that is not
                canonical although points sample it.
        """
        views = image if image.ndim == 5 else image[:, None]
        self._check(views, cameras)
        count = views.shape[1]
        person = on_grey(views).flatten(0, 1)
        encoded = self.tokens(person, None if cameras is None else self.camera(cameras).flatten(0, 1))
        memory = rearrange(encoded.tokens, "(B V) T D -> B (V T) D", V=count)
        return ViewFeatures(premultiplied(views[:, 0]), ViewTokens(encoded.tokens[::count], encoded.grid), memory)

    def for_landmarks(self, image: Float[Tensor, "B 5 H W"]) -> ViewFeatures:
        """The features that the landmark head uses: all."""
        return self(image)

    def _check(self, views: Float[Tensor, "B V 5 H W"], cameras: Cameras | None) -> None:
        batch, count = views.shape[:2]
        if not 1 <= count <= self.max_views:
            raise ValueError(f"1 to {self.max_views} views can be given, got {count}")
        if cameras is None:
            if count > 1:
                raise ValueError(f"{count} views need {count} cameras each; only a single canonical view goes without")
            return
        if cameras.w2c.shape[:-2] != (batch, count) or cameras.size_px != views.shape[-2:]:
            raise ValueError(
                f"cameras must be ({batch}, {count}) of {tuple(views.shape[-2:])} px like the views, got "
                f"{tuple(cameras.w2c.shape[:-2])} of {cameras.size_px} px"
            )
        if self.canonical_first:
            first = Cameras(cameras.K[:, 0], cameras.w2c[:, 0], cameras.size_px)
            canonical = camera_numbers(canonical_camera(1)).to(first.K)
            if not torch.allclose(camera_numbers(first), canonical.expand(batch, -1), atol=1e-3):
                raise ValueError(
                    "points sample the first view (pixel_features, depth_prior or landmarks): its camera must be the "
                    "canonical one (frame.canonical_camera); turn the world into its frame"
                )


def build_view_encoder(config: PaperConfig) -> ViewEncoder:
    """The encoder part of a config; a ViT has random weights.

    Raises:
        ValueError: it needs ``transformers``, which is not installed.
    """
    return LiteTokens(config) if config.encoder == "lite" else VitEncoder(config)


def to_whole_patches(image: Float[Tensor, "N 3 H W"], patch_px: int) -> Float[Tensor, "N 3 h w"]:
    """Resized to the nearest multiples of ``patch_px``; as it is where that is its size."""
    size = [max(1, round(side / patch_px)) * patch_px for side in image.shape[-2:]]
    if size == list(image.shape[-2:]):
        return image
    return nn.functional.interpolate(image, size=size, mode="bilinear", antialias=True)


class LiteTokens(ViewEncoder):
    """EfficientNet-Lite0, frozen: its stride-16 and stride-32 features and the place of each cell as one token."""

    def __init__(self, config: PaperConfig) -> None:
        super().__init__(config)
        self.net = LiteEncoder()
        self.width = self.net.channels[3] + self.net.channels[4]
        self.image_tokens = (config.image_px // 16) ** 2
        self.norm = nn.LayerNorm(self.width)
        self.place = nn.Linear(6 * _PATCH_OCTAVES, self.width)
        self.modulate = Modulation(config.camera_width, self.width)

    def tokens(self, image: Float[Tensor, "N 3 H W"], condition: Float[Tensor, "N E"] | None = None) -> ViewTokens:
        pyramid = self.net(to_whole_patches(image, 32))
        coarse = nn.functional.interpolate(pyramid.stride32, scale_factor=2, mode="bilinear")
        features = torch.cat([pyramid.stride16, coarse], dim=1)
        height, width = features.shape[-2:]
        rows, columns = ((torch.arange(n, device=image.device) + 0.5) / n * 2 - 1 for n in (height, width))
        grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1).flatten(0, 1)
        place = self.place(fourier(nn.functional.pad(grid, (0, 1)), _PATCH_OCTAVES))
        tokens = self.norm(features.flatten(2).transpose(1, 2)) + place
        return ViewTokens(tokens if condition is None else self.modulate(tokens, condition), (height, width))


class VitEncoder(ViewEncoder):
    """A vision transformer of ``transformers`` whose layer norms are modulated by the camera (as Instant3D does).

    Positions are interpolated to the size of the image, and the class token is kept, as LRM does.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: PaperConfig) -> None:
        super().__init__(config)
        self.net = _new_vit(config)
        self.settings: Any = self.net.config
        self.width = self.settings.hidden_size
        self.image_tokens = (config.image_px // config.patch_px) ** 2 + 1  # the class token
        self.modulations = nn.ModuleList([Modulation(config.camera_width, self.width) for _ in self._norms()])
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(_STD)[:, None, None], persistent=False)

    def _norms(self) -> list[nn.LayerNorm]:
        return [module for module in self.net.modules() if isinstance(module, nn.LayerNorm)]

    def tokens(self, image: Float[Tensor, "N 3 H W"], condition: Float[Tensor, "N E"] | None = None) -> ViewTokens:
        whole = to_whole_patches(image, self.settings.patch_size)
        grid = (whole.shape[-2] // self.settings.patch_size, whole.shape[-1] // self.settings.patch_size)
        # DINOv2 always interpolates its positions and does not know the option.
        options = {"interpolate_pos_encoding": True} if self.settings.model_type == "vit" else {}
        with self._modulated(condition):
            output = self.net((whole - self.mean) / self.std, **options)
        return ViewTokens(output.last_hidden_state, grid)

    @contextmanager
    def _modulated(self, condition: Float[Tensor, "N E"] | None) -> Iterator[None]:
        """Each layer norm followed by its modulation, by hooks: they leave the names of the weights as they are."""
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
    """Copy published weights into an encoder; safetensors only, nothing is unpickled and no remote code runs.

    Args:
        encoder: of a model whose config says "dino" or "dinov2".
        source: a folder with ``config.json`` and ``model.safetensors``, or a hub id such as ``facebook/dinov2-base``.

    Raises:
        ValueError: nothing can be loaded there (offline, or no such folder), or it is another network.
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
        net, report = kind.from_pretrained(
            str(source), use_safetensors=True, output_loading_info=True, dtype=torch.float32, **extra, **options
        )
    if report["missing_keys"]:
        raise ValueError(f"encoder weights {str(source)!r} lack {sorted(report['missing_keys'])[0]}")
    encoder.net.load_state_dict(net.state_dict())


@contextmanager
def _reading(source: str | Path) -> Iterator[None]:
    """Turn errors of the library into one line that says what to do."""
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
