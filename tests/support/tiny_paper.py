"""The paper's family at the size of tests, with the encoder that needs no extra."""

from dataclasses import replace

from humanlrm.model.config import PaperConfig


def tiny_paper(**changes) -> PaperConfig:
    config = PaperConfig(
        encoder="lite",
        image_px=64,
        camera_width=16,
        width=32,
        depth=2,
        heads=2,
        plane_side=8,
        bottleneck=8,
        upsample_width=16,
        plane_channels=8,
        field_width=32,
        field_depth=3,
        latent=16,
        lifter_width=64,
        lifter_depth=1,
    )
    return replace(config, **changes)
