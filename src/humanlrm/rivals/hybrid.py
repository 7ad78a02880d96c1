"""Row "hybrid": an implicit function on the condition of a body.

Follows PaMIR (Zheng et al. 2021) and ICON (Xiu et al. 2022): a parametric body is estimated first; a point's occupancy
then depends on its signed distance to that body, on the body's normal there and on the predicted normal of the visible
or the unseen side (ICON's seven numbers), and on the pixel's features (PaMIR). Reduced against the papers:

- the body is that of ``rivals.hmr``, trained together with the rest (or taken from a run of it); the distance is that
  to the nearest of one in eight of its vertices, in place of a volume (PaMIR) or the exact mesh (ICON);
- the normals' network does not see the body's normals, and nothing is refined at test time;
- it trains on estimated bodies, as there are no true ones; ICON trains on fitted bodies.

Other than the papers: the network's output is added to the body's distance, so that a new network gives the body.

The body may also be fitted to the landmarks that a case shows (exact ones, with errors, in the landmark protocol), or
to the true landmarks and surface (an oracle). Colors are the photo's, projected through the body.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from humanlrm.evaluate.baselines import photo_colors
from humanlrm.evaluate.case import Case, ColoredSurface, Method
from humanlrm.evaluate.methods import inputs_at
from humanlrm.frame import project_ndc, sample_plane
from humanlrm.model.blocks import zero_init
from humanlrm.model.pretrained import load_tensors
from humanlrm.rivals.body import fit_body
from humanlrm.rivals.hmr import Hmr, HmrConfig, body_losses
from humanlrm.rivals.pifuhd import NormalMaps, normal_map_loss
from humanlrm.rivals.pixels import ImplicitFunction, PixelEncoder, occupancy_error, occupancy_surface
from humanlrm.rivals.rival import Rival
from humanlrm.train.checkpoint import load_averaged_weights
from humanlrm.train.losses import Losses
from humanlrm.train.objective import StepContext
from humanlrm.train.setup import TrainState
from humanlrm.views import Batch

#: Bodies that a hybrid may be built on.
BodySource = Literal["predicted", "landmarks", "true"]
#: One of this many vertices of the body counts in distances.
_EVERY = 8
#: Distances are clamped to this (box units) and scaled.
_FAR, _DISTANCE_SCALE = 0.3, 4.0
#: Distance (box units) to the body that is one log-odds of being inside.
_LOGIT_DISTANCE = 0.03
#: Samples of the true surface that the true body is fitted to.
_SURFACE_POINTS = 1_000
#: Signed distance, the body's normal, the predicted normal.
_BODY_FEATURES = 7


@dataclass(frozen=True)
class HybridConfig:
    """Sizes of :class:`Hybrid`.

    Attributes:
        family: names the rival in its checkpoints.
        image_px: side of the square input crop; a multiple of 32.
        width: channels of the pixel features.
        widths: of the hidden layers of the occupancy's MLP.
        body_width: of the body's regressor.
        fit_steps: of a body that is fitted.
    """

    family: Literal["rival-hybrid"] = "rival-hybrid"
    image_px: int = 256
    width: int = 32
    widths: tuple[int, ...] = (192, 96, 64)
    body_width: int = HmrConfig.width
    fit_steps: int = 150


@dataclass(frozen=True)
class BodyMaps:
    """A photo and the body in it, which points sample.

    Attributes:
        features: of pixels, at stride 4.
        normals: predicted, front then back.
        vertices, vertex_normals: of the body, box units.
    """

    features: Float[Tensor, "B C h w"]
    normals: Float[Tensor, "B 6 H2 W2"]
    vertices: Float[Tensor, "B N 3"]
    vertex_normals: Float[Tensor, "B N 3"]


class Hybrid(Rival):
    """A body, normals, and the occupancy on their condition."""

    weights: ClassVar[dict[str, float]] = {**Hmr.weights, "normals": 1.0, "occupancy": 1.0}

    def __init__(self, config: HybridConfig) -> None:
        super().__init__()
        self.config = config
        self.hmr = Hmr(HmrConfig(image_px=config.image_px, width=config.body_width))
        self.normals = NormalMaps(config.width, self.hmr.net)
        self.encoder = PixelEncoder(config.width, trained=False, net=self.hmr.net)
        self.occupancy = ImplicitFunction(config.width + _BODY_FEATURES, config.widths)
        zero_init(self.occupancy.leave)
        self.register_buffer("faces", torch.from_numpy(self.hmr.body.faces).long(), persistent=False)

    faces: Tensor

    def maps(self, image: Float[Tensor, "B 5 H W"], parameters: Float[Tensor, "B Q"]) -> BodyMaps:
        """Encode photos with these bodies; no gradient reaches the bodies."""
        with torch.no_grad():
            vertices = self.hmr.body(parameters.detach()).vertices
            normals = mesh_normals(vertices, self.faces)
        return BodyMaps(self.encoder(image), self.normals(image), vertices[:, ::_EVERY], normals[:, ::_EVERY])

    def logits(self, maps: BodyMaps, points: Float[Tensor, "B P 3"]) -> Float[Tensor, "B P"]:
        """Log-odds of being inside."""
        ndc = project_ndc(points)
        distance, normal = distance_to_body(points, maps.vertices, maps.vertex_normals)
        front, back = sample_plane(maps.normals.detach(), ndc).chunk(2, dim=-1)
        dressed = torch.where(normal[..., 2:] > 0, front, back)
        near = distance.clamp(-_FAR, _FAR)[..., None] * _DISTANCE_SCALE
        out = self.occupancy(torch.cat([sample_plane(maps.features, ndc), near, normal, dressed], dim=-1))[0]
        return out[..., 0] - distance.clamp(-_FAR, _FAR) / _LOGIT_DISTANCE

    def losses(self, batch: Batch, context: StepContext) -> Losses:
        truth, parameters = batch.supervision, self.hmr(batch.inputs)
        maps = self.maps(batch.inputs.image, parameters)
        logits = self.logits(maps, truth.points.nan_to_num())
        return {
            **body_losses(self.hmr.body(parameters, self.hmr.config.every), truth),
            "normals": normal_map_loss(maps.normals, truth.depth),
            "occupancy": occupancy_error(logits, truth.sdf.nan_to_num(), truth.points),
        }

    def reconstruct(self, case: Case, resolution: int) -> ColoredSurface:
        return self.reconstruct_on(case, "predicted", resolution)

    def reconstruct_on(self, case: Case, source: BodySource, resolution: int) -> ColoredSurface:
        """The person on a body from this source.

        Raises:
            ValueError: the true body is wanted, and the scan's landmarks are not known.
        """
        inputs = inputs_at(case.shown, self.config.image_px).to(self.device)
        parameters = self._body_in(case, source, self.hmr(inputs))
        maps = self.maps(inputs.image, parameters)
        surface = occupancy_surface(lambda points: self.logits(maps, points), resolution, self.device)
        return ColoredSurface(surface, photo_colors(surface, case.shown))

    def _body_in(self, case: Case, source: BodySource, predicted: Float[Tensor, "1 Q"]) -> Float[Tensor, "1 Q"]:
        if source == "predicted":
            return predicted
        if source == "landmarks":
            shown = case.shown.landmarks
            marks = shown[:, :3].masked_fill(shown[:, 3:] <= 0, torch.nan)
            return fit_body(self.hmr.body, predicted, marks[None].to(predicted), steps=self.config.fit_steps)
        if case.truth.landmarks is None:
            raise ValueError("the true body needs true landmarks, this scan has none; leave hybrid-true-body out")
        marks = torch.from_numpy(case.truth.landmarks)[None].to(predicted)
        points = torch.from_numpy(case.truth.samples.thinned(_SURFACE_POINTS))[None].to(predicted)
        return fit_body(self.hmr.body, predicted, marks, points, self.config.fit_steps)


def hybrid_on(model: Hybrid, resolution: int, source: BodySource) -> Method:
    """The method on a body from this source."""
    model = model.eval()

    @torch.no_grad()
    def run(case: Case) -> ColoredSurface:
        return model.reconstruct_on(case, source, resolution)

    return run


def start_from_hmr(state: TrainState, run: Path) -> None:
    """Give the body of a run of ``rivals.hmr`` to a new run of this rival.

    Raises:
        CheckpointError: the run is of something else, or of other sizes.
    """
    tensors = load_averaged_weights(run, HmrConfig)[1]
    load_tensors(state.objective.model.hmr, tensors, run)
    state.average.update({f"hmr.{name}": tensor.clone() for name, tensor in tensors.items()})


def mesh_normals(vertices: Float[Tensor, "B V 3"], faces: Int[Tensor, "F 3"]) -> Float[Tensor, "B V 3"]:
    """Unit normals, averaged over the faces around each vertex by area."""
    a, b, c = (vertices[:, faces[:, k]] for k in range(3))
    normal = torch.linalg.cross(b - a, c - a)
    summed = torch.zeros_like(vertices)
    for k in range(3):
        summed.index_add_(1, faces[:, k], normal)
    return nn.functional.normalize(summed, dim=-1)


@torch.no_grad()
def distance_to_body(
    points: Float[Tensor, "B P 3"], vertices: Float[Tensor, "B N 3"], normals: Float[Tensor, "B N 3"]
) -> tuple[Float[Tensor, "B P"], Float[Tensor, "B P 3"]]:
    """Distance to the nearest vertex, negative behind its normal, and that normal."""
    distance, index = torch.cdist(points, vertices).min(-1)
    pick = index[..., None].expand(-1, -1, 3)
    nearest, normal = vertices.gather(1, pick), normals.gather(1, pick)
    behind = ((points - nearest) * normal).sum(-1) < 0
    return torch.where(behind, -distance, distance), normal
