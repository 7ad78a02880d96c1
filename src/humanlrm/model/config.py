"""Sizes of reconstruction models. Presets are plain functions that return a frozen config.

Two families have a config each, so that none has fields that mean nothing for it: :class:`ModelConfig` is the small one
(the shipped weights), :class:`PaperConfig` the paper's architecture at any size. ``model.lrm.build`` takes either. In
``config.json`` the field ``family`` tells them apart (absent: the small one).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar, get_args

Family = Literal["paper"]
Encoder = Literal["lite", "dino", "dinov2"]
FieldKind = Literal["sdf", "density"]
Sizes = TypeVar("Sizes")


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the small family (``model.lrm.build_small``).

    Attributes:
        image_px: side of the square input crop; a multiple of 32.
        width: channels of a token.
        depth: transformer layers of the triplane decoder.
        heads: attention heads.
        side_tokens: tokens along a side of the ZY and XZ planes (the XY plane has one per 16 image pixels).
        plane_channels: channels of each feature plane.
        field_width: width of the SDF-MLP.
        field_depth: hidden layers of the SDF-MLP.
        latent: channels of ``h``, which the RGB-MLP gets from the SDF-MLP.
        trainable_trunk: the landmark head trains a copy of the encoder's coarser blocks (``encoder.TrainableTrunk``).
        corrector_rounds: how often the landmark head samples the image and moves the landmarks.
        corrector_depth: its transformer layers in each round.
        lifter_width: channels of the landmark lifter.
        lifter_depth: its residual blocks.
        normal_step: step of the finite differences that give the field's normal, box units.
        plane_adapter: the decoder trains a copy of the encoder's coarser blocks as well (``decoder.PlaneAdapter``).
        upright: estimated landmarks of standing people are set upright (``body.balance.correct_posture``).
    """

    image_px: int = 256
    width: int = 192
    depth: int = 4
    heads: int = 3
    side_tokens: int = 8
    plane_channels: int = 24
    field_width: int = 96
    field_depth: int = 2
    latent: int = 32
    trainable_trunk: bool = True
    corrector_rounds: int = 2
    corrector_depth: int = 2
    lifter_width: int = 768
    lifter_depth: int = 3
    normal_step: float = 0.01
    plane_adapter: bool = False
    upright: bool = False
    #: ``humanlrm train-poses`` can train a denoiser of its landmarks.
    samples_poses: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.image_px % 32:
            raise ValueError(f"image_px must be a multiple of 32 (the encoder's largest stride), got {self.image_px}")
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads, got width={self.width}, heads={self.heads}")


@dataclass(frozen=True)
class PaperConfig:
    """Sizes of the paper's family (``model.paper.build_paper``); the defaults are LRM's (Hong et al. 2023, section 4).

    Attributes:
        family: tells the families apart in ``config.json``.
        encoder: "dino" (ViT) and "dinov2" come from ``transformers``; "lite" is the frozen encoder of ``small``.
        image_px: side of the training images; any other size can be given.
        patch_px: side of a ViT's patch.
        encoder_width: channels of a ViT's token.
        encoder_depth: layers of the ViT.
        encoder_heads: attention heads of the ViT.
        camera_width: channels of a view's camera embedding.
        width: channels of a plane token.
        depth: layers of the plane decoder.
        heads: its attention heads.
        plane_side: tokens along a side of each plane.
        bottleneck: channels of the latent triplane.
        upsample_width: channels inside of the latent decoder.
        upsample: plane pixels along a token's side, a power of two.
        plane_channels: channels of each feature plane.
        field: "sdf" is the paper's field, "density" the generic LRM's, for the ablation.
        field_width: width of the field's MLPs.
        field_depth: hidden layers of the SDF-MLP.
        latent: channels of ``h``, which the RGB-MLP gets from the SDF-MLP.
        pixel_features: points also sample the first view where they project to (not in the paper).
        depth_prior: the SDF starts from predicted front and back depth and the silhouette (not in the paper).
        landmarks: decoder and field get corrected body landmarks (not in the paper).
        lifter_width: channels of the landmark lifter, if there are landmarks.
        lifter_depth: its residual blocks.
        normal_step: step of the finite differences that give the field's normal, box units.
    """

    family: Family = "paper"
    encoder: Encoder = "dino"
    image_px: int = 512
    patch_px: int = 16
    encoder_width: int = 768
    encoder_depth: int = 12
    encoder_heads: int = 12
    camera_width: int = 1024
    width: int = 1024
    depth: int = 16
    heads: int = 16
    plane_side: int = 32
    bottleneck: int = 32
    upsample_width: int = 256
    upsample: int = 2
    plane_channels: int = 80
    field: FieldKind = "sdf"
    field_width: int = 64
    field_depth: int = 10
    latent: int = 64
    pixel_features: bool = False
    depth_prior: bool = False
    landmarks: bool = False
    lifter_width: int = 768
    lifter_depth: int = 3
    normal_step: float = 0.01
    #: This family neither corrects the posture nor samples poses.
    upright: ClassVar[bool] = False
    samples_poses: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name, allowed in (("family", Family), ("encoder", Encoder), ("field", FieldKind)):
            if getattr(self, name) not in get_args(allowed):
                raise ValueError(f"{name} must be one of {', '.join(get_args(allowed))}, got {getattr(self, name)!r}")
        for name, value in vars(self).items():
            if isinstance(value, (int, float)) and not isinstance(value, bool) and value <= 0:
                raise ValueError(f"{name} must be positive, got {value}")
        for width, heads in (("width", "heads"), ("encoder_width", "encoder_heads")):
            if getattr(self, width) % getattr(self, heads):
                sizes = f"{width}={getattr(self, width)}, {heads}={getattr(self, heads)}"
                raise ValueError(f"{width} must be a multiple of {heads}, got {sizes}")
        if self.upsample < 1 or self.upsample & (self.upsample - 1):
            raise ValueError(f"upsample must be a power of two, got {self.upsample}")
        if self.field == "density" and (self.depth_prior or self.landmarks):
            raise ValueError("a density field has no distance to start from: turn depth_prior and landmarks off")


#: The config of either family.
Config = ModelConfig | PaperConfig

#: Names of fields up to the tenth weights, and their names since.
_RENAMED_FIELDS = {
    "eye": "trainable_trunk",
    "sight": "plane_adapter",
    "told": "token_channels",
}
#: Former flags of the small family: they are always on.
_ALWAYS_ON = ("spotter", "heatmap_head", "corrector_norms", "head")


def read_config(fields: dict[str, Any]) -> Config:
    """The config of a reconstruction model from its fields in ``config.json``.

    Raises:
        ValueError, TypeError: the fields describe no reconstruction model of ours, or one that is no longer supported.
    """
    fields = dict(fields)
    family = fields.get("family")
    if str(family).endswith("denoiser"):
        raise ValueError("this is a denoiser, which reconstructs nobody by itself")
    if family == "paper":
        return from_fields(PaperConfig, fields)
    for name in _ALWAYS_ON:
        if (value := fields.pop(name, True)) is not True:
            raise ValueError(f"{name} must be true, got {value!r}; use weights that were trained with it")
    return from_fields(ModelConfig, fields)


def from_fields(kind: type[Sizes], fields: dict[str, Any]) -> Sizes:
    """A config from its fields in ``config.json``, which knows no tuples.

    Raises:
        ValueError, TypeError: the fields are not those of this kind.
    """
    named = {_RENAMED_FIELDS.get(name, name): value for name, value in fields.items()}
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in named.items()})


def tiny() -> ModelConfig:
    """For tests: seconds on a CPU."""
    return ModelConfig(
        image_px=64,
        width=32,
        depth=1,
        heads=2,
        side_tokens=4,
        plane_channels=8,
        field_width=32,
        trainable_trunk=False,
        corrector_rounds=1,
        corrector_depth=1,
        lifter_width=64,
        lifter_depth=1,
        upright=True,
    )


def small() -> ModelConfig:
    """The weights shipped in the package: trained and run on two CPU cores."""
    return ModelConfig(upright=True)


def base() -> PaperConfig:
    """For one GPU: DINOv2 ViT-B/14, 12 layers x 768 (weights: ``facebook/dinov2-base``)."""
    return PaperConfig(
        encoder="dinov2",
        image_px=448,
        patch_px=14,
        camera_width=768,
        width=768,
        depth=12,
        heads=12,
        bottleneck=16,
        plane_channels=40,
    )


def paper() -> PaperConfig:
    """LRM's reference sizes, for a cluster (weights of the encoder: ``facebook/dino-vitb16``)."""
    return PaperConfig()


PRESETS: dict[str, Callable[[], Config]] = {"tiny": tiny, "small": small, "base": base, "paper": paper}


def preset_of(config: object) -> str | None:
    """The preset that has this config; ``None``: none has."""
    return next((name for name, preset in PRESETS.items() if preset() == config), None)
