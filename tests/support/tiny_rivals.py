"""Rivals at the size of tests, and a short plan to train them."""

from dataclasses import replace
from typing import Any

from tiny_paper import tiny_paper

from humanlrm.data.dataset import SampleSettings
from humanlrm.model.config import tiny
from humanlrm.rivals.hmr import HmrConfig
from humanlrm.rivals.hybrid import HybridConfig
from humanlrm.rivals.nerf import NerfConfig
from humanlrm.rivals.pifu import PifuConfig
from humanlrm.rivals.pifuhd import PifuHdConfig
from humanlrm.rivals.triplane import TriplaneRivalConfig
from humanlrm.train.config import LogSettings, StepSettings, TrainConfig

SIZES: dict[str, Any] = {
    "hmr": HmrConfig(image_px=64, width=32, every=40),
    "pifu": PifuConfig(image_px=64, width=16, widths=(32, 16)),
    "pifuhd": PifuHdConfig(image_px=64, width=16, fine_width=8, coarse_widths=(32, 16), fine_widths=(16,)),
    "hybrid": HybridConfig(image_px=64, width=16, widths=(32, 16), body_width=32, fit_steps=5),
    # Planes alone need thousands of steps until anything is inside; with pixel features a test sees a body.
    "generic": tiny_paper(field="density", pixel_features=True),
    "triplane": TriplaneRivalConfig(image_px=64, width=32, depth=1, heads=2, side=8, channels=8, layers=2, samples=16),
    "ours": tiny(),
}
NERF = NerfConfig(steps=12, rays=64, side=16, channels=4)


def short_plan(samples: int, learning_rate: float = 3e-3) -> TrainConfig:
    """A run of steps of two samples, in this process."""
    return TrainConfig(
        samples=samples,
        batch=2,
        learning_rate=learning_rate,
        workers=0,
        steps=StepSettings(warmup=1, lifter_steps=2, ema=0.8),
        log=LogSettings(checkpoint_s=1000, keep=2),
        draw=replace(SampleSettings(), points=256, surface=64, augment=False),
    )
