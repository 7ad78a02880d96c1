"""Row "parametric": a naked body whose parameters are regressed from the photo.

Follows HMR (Kanazawa et al. 2018, "End-to-end Recovery of Human Shape and Pose"): image features and the current
parameters go through one regressor several times, each of which corrects the parameters. Reduced against the paper:

- the body is ``anny`` (Apache-2.0) instead of SMPL, with 20 bones and six phenotypes (``rivals.body``);
- EfficientNet-Lite0 instead of ResNet-50; the camera is the frame's, so that the body's place and scale are regressed;
- a quadratic prior instead of the discriminator; people here have 3D truth;
- no motion capture and no 2D data sets.

More than the paper: the regressor also gets the detected landmarks, as our model does, and vertices are drawn to the
true (dressed) surface. Colors are the photo's, projected through the body.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.body.landmarks import COUNT
from humanlrm.evaluate.baselines import photo_colors
from humanlrm.evaluate.case import Case, ColoredSurface
from humanlrm.evaluate.methods import inputs_at
from humanlrm.frame import project_ndc
from humanlrm.mesh.clean import clean
from humanlrm.mesh.surface import TriangleSurface
from humanlrm.model.blocks import zero_init
from humanlrm.model.encoder import LiteEncoder, TrainableTrunk
from humanlrm.rivals.body import PARAMETERS, AnnyBody, PosedBodies
from humanlrm.rivals.rival import Rival
from humanlrm.train.losses import Losses, bone_loss, inside_box, landmark_loss
from humanlrm.train.objective import StepContext
from humanlrm.views import Batch, Inputs, Supervision, on_grey


@dataclass(frozen=True)
class HmrConfig:
    """Sizes of :class:`Hmr`.

    Attributes:
        family: names the rival in its checkpoints.
        image_px: side of the square input crop.
        width: of the regressor's hidden layers (the paper: 1,024).
        rounds: corrections of the parameters.
        every: one of this many vertices takes part in the losses.
    """

    family: Literal["rival-hmr"] = "rival-hmr"
    image_px: int = 256
    width: int = 512
    rounds: int = 3
    every: int = 10


class Hmr(Rival):
    """Image and detected landmarks to parameters of a body."""

    weights: ClassVar[dict[str, float]] = {
        "landmarks": 3.0, "bones": 2.0, "reprojection": 2.0, "surface": 3.0, "prior": 0.05,
    }  # fmt: skip

    def __init__(self, config: HmrConfig) -> None:
        super().__init__()
        self.config = config
        self.net, self.trunk = LiteEncoder(), TrainableTrunk()
        self.body = AnnyBody()
        self.register_buffer("start", self.body.mean(), persistent=False)
        features = self.net.channels[4] + self.net.channels[3]
        self.norm = nn.LayerNorm(features)
        inputs = features + COUNT * 4 + PARAMETERS
        self.regressor = nn.Sequential(
            nn.Linear(inputs, config.width), nn.SiLU(), nn.Linear(config.width, config.width), nn.SiLU(),
            zero_init(nn.Linear(config.width, PARAMETERS)),
        )  # fmt: skip

    start: Tensor

    def forward(self, inputs: Inputs) -> Float[Tensor, "B Q"]:
        """The photos' bodies, as parameters of :class:`AnnyBody`. An untrained network gives the mean body."""
        pyramid = self.trunk(self.net.fine(on_grey(inputs.image)))
        pooled = torch.cat([pyramid.stride32.mean((2, 3)), pyramid.stride16.mean((2, 3))], dim=1)
        seen = torch.cat([self.norm(pooled), inputs.landmarks.flatten(1)], dim=1)
        parameters = self.start.expand(len(seen), -1)
        for _ in range(self.config.rounds):
            parameters = parameters + self.regressor(torch.cat([seen, parameters], dim=1))
        return parameters

    def losses(self, batch: Batch, context: StepContext) -> Losses:
        return body_losses(self.body(self(batch.inputs), self.config.every), batch.supervision)

    def reconstruct(self, case: Case, resolution: int) -> ColoredSurface:
        inputs = inputs_at(case.shown, self.config.image_px).to(self.device)
        surface = body_surface(self.body, self(inputs))
        return ColoredSurface(surface, photo_colors(surface, case.shown))


def body_losses(posed: PosedBodies, supervision: Supervision) -> Losses:
    """Losses of bodies, unweighted: landmarks in space and in the picture, the surface, and the prior."""
    truth = supervision.landmarks
    known = ~truth.isnan().any(-1, keepdim=True)
    flat = (project_ndc(posed.landmarks) - project_ndc(truth.nan_to_num())).abs() * known
    inside = inside_box(supervision.surface)
    gaps = torch.cdist(supervision.surface.nan_to_num(), posed.vertices).amin(-1)
    return {
        "landmarks": landmark_loss(posed.landmarks, truth),
        "bones": bone_loss(posed.landmarks, truth),
        "reprojection": flat.sum() / known.sum().clamp(min=1) / 2,
        "surface": (gaps * inside).sum() / inside.sum().clamp(min=1),
        "prior": posed.deviation.mean(),
    }


def body_surface(body: AnnyBody, parameters: Float[Tensor, "1 Q"]) -> TriangleSurface:
    """The body as one closed surface (box units), without its eyes. It may cut through itself where limbs touch."""
    vertices = body(parameters).vertices[0].cpu().numpy()
    return clean(TriangleSurface(vertices, body.faces))
