"""Rows "per-image": our field fitted to the pictures of one person, without any training.

Follows the per-image human NeRFs and their surface kind (NeRF, Mildenhall et al. 2020; VolSDF, Yariv et al. 2021): a
field is optimised until its renderings agree with the given pictures. One picture leaves the other sides open; four
are an oracle, for they are true pictures from all sides with exact cameras. Reduced against the papers:

- the field is ours (``model.paper_field``: planes of features and an MLP) instead of one deep MLP, 300 steps instead of
  hundreds of thousands, at 128 px;
- no body model or pose prior, which the human kind adds for moving people (Neural Body, Peng et al. 2021).

Its minutes are the method's own time; no hours of training come before.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.camera import Cameras
from humanlrm.evaluate.case import IMAGE_PX, SIDES, Case, ColoredSurface, Method
from humanlrm.evaluate.methods import colors_at_vertices, inputs_at
from humanlrm.extraction import extract_body
from humanlrm.frame import canonical_camera
from humanlrm.mesh.preview import YAW_DEG, orbit_camera
from humanlrm.model.config import PaperConfig
from humanlrm.model.paper_field import PaperField
from humanlrm.model.triplane import InputView, Triplane
from humanlrm.render.density import LaplaceDensity, RadianceField
from humanlrm.render.settings import Sampling
from humanlrm.train.config import RenderStage, RenderWeights
from humanlrm.train.losses import weighted_sum
from humanlrm.train.render_losses import render_losses
from humanlrm.views import Targets

#: Side of a picture that is fitted.
_PICTURE_PX = 128
_WEIGHTS = RenderWeights(rgb=1.0, perceptual=0.0, mask=0.1, normal=0.0, depth=0.0, eikonal=0.1)


@dataclass(frozen=True)
class NerfConfig:
    """Settings of a fit.

    Attributes:
        steps: of Adam.
        rays: per step.
        side: pixels of a plane's side.
        channels: of the planes.
        learning_rate: of the planes; the networks have a tenth of it. Both fall to a tenth by the end.
        seed: of the initial field and of the rays.
    """

    steps: int = 300
    rays: int = 512
    side: int = 64
    channels: int = 12
    learning_rate: float = 0.03
    seed: int = 0


class FittedField(nn.Module):
    """Planes that are parameters, and our field on top of them. It starts as a sphere."""

    def __init__(self, config: NerfConfig) -> None:
        super().__init__()
        self.planes = nn.Parameter(0.1 * torch.randn(3, 1, config.channels, config.side, config.side))
        sizes = PaperConfig(plane_channels=config.channels, field_width=64, field_depth=2, latent=16)
        self.field = PaperField(sizes)
        self.density = LaplaceDensity()

    def triplane(self) -> Triplane:
        """The planes as the field takes them; it looks at no picture."""
        xy, zy, xz = self.planes
        return Triplane(xy, zy, xz, InputView(xy.new_zeros(1, 5, 1, 1), None, None, None))


def nerf(config: NerfConfig, resolution: int = 128, sides: tuple[str, ...] = ("front",)) -> Method:
    """The method: given the photo alone, or the true pictures of several of ``SIDES``."""

    def run(case: Case) -> ColoredSurface:
        fitted = fit_field(photo_target(case) if sides == ("front",) else side_targets(case, sides), config)
        with torch.no_grad():
            planes = fitted.triplane()
            surface = extract_body(lambda p: fitted.field.distance(planes, p[None])[0], resolution, None)
            colors = colors_at_vertices(surface, lambda p, n: fitted.field.color(planes, p[None], n[None])[0])
        return ColoredSurface(surface, colors)

    return run


@torch.enable_grad()
def fit_field(targets: Targets, config: NerfConfig) -> FittedField:
    """A field whose renderings agree with the pictures of one person."""
    torch.manual_seed(config.seed)
    fitted, rng = FittedField(config), torch.Generator().manual_seed(config.seed)
    networks = [p for name, p in fitted.named_parameters() if name != "planes"]
    groups = [
        {"params": [fitted.planes], "lr": config.learning_rate},
        {"params": networks, "lr": config.learning_rate / 10},
    ]
    optimizer = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.1 ** (1 / config.steps))
    stage = RenderStage(_PICTURE_PX, config.rays, patch_px=0, sampling=Sampling(coarse=24, fine=12, shaded=3))
    for _ in range(config.steps):
        planes = fitted.triplane()
        radiance = RadianceField(partial(fitted.field.distance, planes), partial(fitted.field, planes), fitted.density)
        loss = weighted_sum(render_losses(radiance, targets, stage, rng), _WEIGHTS)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return fitted.eval()


def photo_target(case: Case) -> Targets:
    """The photo as one picture to be rendered; what lies beyond its border is unknown."""
    image = inputs_at(case.shown, _PICTURE_PX).image[0]
    unknown = image[4:] < 0.5
    return _targets(
        image[None, :3].masked_fill(unknown, torch.nan),
        image[None, 3:4].masked_fill(unknown, torch.nan),
        torch.eye(4)[None],
    )


def side_targets(case: Case, sides: tuple[str, ...]) -> Targets:
    """The true pictures from these sides, with their cameras."""
    pictures = dict(zip(SIDES, case.truth.pictures, strict=True))
    rgb = torch.from_numpy(np.stack([pictures[side].rgb for side in sides])).float().permute(0, 3, 1, 2)
    alpha = torch.from_numpy(np.stack([pictures[side].mask for side in sides])).float()[:, None]
    to_input = torch.stack([view_to_input(orbit_camera(YAW_DEG[side], IMAGE_PX)) for side in sides])
    return _targets(rgb, alpha, to_input)


def view_to_input(camera: Cameras) -> Float[Tensor, "4 4"]:
    """From the frame of a camera that stands as the canonical one stands in its own frame, to the world."""
    return torch.linalg.inv(camera.w2c) @ canonical_camera(IMAGE_PX).w2c.to(camera.w2c)


def _targets(
    rgb: Float[Tensor, "T 3 H W"], alpha: Float[Tensor, "T 1 H W"], to_input: Float[Tensor, "T 4 4"]
) -> Targets:
    unknown = torch.full_like(rgb, torch.nan)
    return Targets(rgb[None], alpha[None], unknown[None], unknown[None, :, :1], to_input.float()[None])
