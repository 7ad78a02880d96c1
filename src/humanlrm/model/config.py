"""What a reconstruction model is made of. Presets are plain functions that return a frozen ``ModelConfig``."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of :class:`humanlrm.model.lrm.HumanLRM`.

    Attributes:
        image_px: side of the square input crop; a multiple of 32.
        width: channels of a token.
        depth: transformer layers of the triplane decoder.
        heads: attention heads.
        side_tokens: tokens along a side of the ZY and XZ planes (the XY plane has one per 16 image pixels).
        plane_channels: channels of each feature plane.
        field_width: width of the SDF-MLP.
        field_depth: hidden layers of the SDF-MLP.
        latent: channels of ``h``, what the SDF-MLP tells the RGB-MLP.
        corrector_depth: transformer layers of the landmark correction head.
        normal_step: step of the finite differences that give the field's normal, box units.
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
    corrector_depth: int = 2
    normal_step: float = 0.01

    def __post_init__(self) -> None:
        if self.image_px % 32:
            raise ValueError(f"image_px must be a multiple of 32 (the encoder's largest stride), got {self.image_px}")
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads, got width={self.width}, heads={self.heads}")


def tiny() -> ModelConfig:
    """For tests: seconds on a CPU."""
    return ModelConfig(
        image_px=64, width=32, depth=1, heads=2, side_tokens=4, plane_channels=8, field_width=32, corrector_depth=1
    )


def small() -> ModelConfig:
    """The weights shipped in the package: trained and run on two CPU cores."""
    return ModelConfig()


PRESETS = {"tiny": tiny, "small": small}
