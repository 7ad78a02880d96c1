"""Row "generic LRM": a density field, and nothing that knows of people.

Follows LRM (Hong et al. 2023) as our ablation builds it (``evaluate.study``, row "density field (LRM)"), trained as
long as the other rivals. Reduced against the paper: the sizes of ``evaluate.study.plain`` and its frozen encoder, and
our perceptual loss. More than the paper: beside renderings, points are compared by inside and outside, and surface
colors are compared, because renderings alone teach too slowly for three core-hours.
"""

from dataclasses import replace

from humanlrm.evaluate.study import plain
from humanlrm.model.config import PaperConfig
from humanlrm.train.config import LossWeights, RenderSchedule, RenderWeights, TrainConfig


def generic_config() -> PaperConfig:
    """The ablation's density field."""
    return replace(plain(), field="density")


def generic_plan(plan: TrainConfig) -> TrainConfig:
    """Renderings, colors and the side of points; nothing that asks for a distance or a normal."""
    weights = LossWeights(sdf=0.0, surface=0.0, normal=0.0, eikonal=0.0)
    rendering = RenderSchedule(weights=RenderWeights(normal=0.0, depth=0.0, eikonal=0.0))
    return replace(plan, weights=weights, rendering=rendering)
