"""What training minimises: the model on a batch to its loss terms."""

from dataclasses import asdict, dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.data import augment
from humanlrm.encoding import encode
from humanlrm.model.config import PaperConfig
from humanlrm.model.encoder import LiteEncoder
from humanlrm.model.heatmap_head import LandmarkHeatmaps
from humanlrm.model.lrm import HumanLRM, Model
from humanlrm.model.triplane import Triplane
from humanlrm.render.density import LaplaceDensity, SoftplusDensity
from humanlrm.train.config import LossWeights, TrainConfig
from humanlrm.train.losses import (
    bone_loss,
    coarse_depth_loss,
    eikonal_loss,
    heat_loss,
    inside_box,
    landmark_loss,
    masked_l1,
    normal_loss,
    occupancy_loss,
    rgb_loss,
    sdf_loss,
    slope_loss,
)
from humanlrm.train.perceptual import PerceptualLoss
from humanlrm.train.render_config import RenderSchedule
from humanlrm.train.render_objective import radiance_field, render_losses
from humanlrm.views import Batch, Supervision


@dataclass(frozen=True)
class LossTerms:
    """Unweighted terms, as named in :class:`LossWeights`."""

    sdf: Float[Tensor, ""]
    occupancy: Float[Tensor, ""]
    surface: Float[Tensor, ""]
    normal: Float[Tensor, ""]
    eikonal: Float[Tensor, ""]
    rgb: Float[Tensor, ""]
    depth: Float[Tensor, ""]
    slope: Float[Tensor, ""]
    landmarks: Float[Tensor, ""]
    bones: Float[Tensor, ""]
    heat: Float[Tensor, ""]
    heatmaps: Float[Tensor, ""]
    coarse_depth: Float[Tensor, ""]

    def total(self, weights: LossWeights) -> Float[Tensor, ""]:
        return torch.stack([weight * getattr(self, name) for name, weight in asdict(weights).items()]).sum()

    def numbers(self) -> dict[str, float]:
        return {name: float(value.detach()) for name, value in vars(self).items()}


def objective(model: Model, batch: Batch) -> LossTerms:
    """Direct 3D supervision: distances in space, distance, normal and colour on the surface, depth, landmarks.

    Every sample uses what it has. One without a surface (a multi-view capture) has NaN as places of its points and
    surface samples; depth, colours and landmarks may be NaN in part. Depth and landmarks count 0 for a model that does
    not predict them.
    """
    return direct_terms(model, encode(model, batch.inputs), batch.supervision)


def direct_terms(model: Model, planes: Triplane, supervision: Supervision) -> LossTerms:
    """:func:`objective` of planes that are there already."""
    depth, landmarks, heatmaps = planes.inputs.depth, planes.inputs.estimated, planes.inputs.heatmaps
    # Unknown places are asked at the origin and do not count: a question at NaN would spoil all gradients.
    sdf = model.field.distance(planes, supervision.points.nan_to_num())
    on = model.field(planes, supervision.surface.nan_to_num())
    inside, none = inside_box(supervision.surface), sdf.new_zeros(())
    return LossTerms(
        sdf=sdf_loss(sdf, supervision.sdf, supervision.points),
        occupancy=occupancy_loss(sdf, supervision.sdf, supervision.points),
        surface=(on.sdf.abs() * inside).mean(),
        normal=normal_loss(on.normal, supervision.normals, inside),
        eikonal=eikonal_loss(on.gradient, inside),
        rgb=rgb_loss(on.rgb, supervision.rgb, inside),
        depth=none if depth is None else masked_l1(depth, supervision.depth),
        slope=none if depth is None else slope_loss(depth, supervision.depth),
        **(
            dict.fromkeys(("landmarks", "bones"), none)
            if landmarks is None
            else _landmark_terms(landmarks, supervision)
        ),
        **(
            dict.fromkeys(("heat", "heatmaps", "coarse_depth"), none)
            if heatmaps is None
            else _spot_terms(heatmaps, supervision)
        ),
    )


def _landmark_terms(landmarks: Float[Tensor, "B J 3"], supervision: Supervision) -> dict[str, Float[Tensor, ""]]:
    return {
        "landmarks": landmark_loss(landmarks, supervision.landmarks),
        "bones": bone_loss(landmarks, supervision.landmarks),
    }


def _spot_terms(heatmaps: LandmarkHeatmaps, supervision: Supervision) -> dict[str, Float[Tensor, ""]]:
    return {
        "heat": heat_loss(heatmaps.logits, supervision.landmarks),
        "heatmaps": landmark_loss(heatmaps.points, supervision.landmarks),
        "coarse_depth": coarse_depth_loss(heatmaps.coarse_depth, supervision.depth),
    }


@dataclass(frozen=True)
class StepContext:
    """Where in the run a batch is used.

    Attributes:
        progress: share of the run that is over, 0 to 1.
        seed: of the batch: which pixels are rendered, and where rays are sampled.
        patch: a patch is rendered for the perceptual term.
    """

    progress: float
    seed: int
    patch: bool


class Objective(nn.Module):
    """All losses as one module, so that one ``forward`` meets everything that is trained (DDP asks for that).

    Attributes:
        model: the model.
        density: the renderer's, with its learned width; ``None``: nothing is rendered. A density field brings its own
            rule, in which nothing is learned.
    """

    def __init__(self, model: Model, config: TrainConfig) -> None:
        super().__init__()
        self.model, self.weights, self.bf16, self.part = model, config.weights, config.bf16, config.part
        if self.part == "head":
            field = self._small().field
            if field.head is None:
                raise ValueError("this model's field has no part for heads that could be trained alone")
            field.only_head = True
        self.rendering: RenderSchedule | None = config.rendering
        free = isinstance(model.config, PaperConfig) and model.config.field == "density"
        kind = SoftplusDensity if free else LaplaceDensity
        self.density = self._perceptual = None
        if config.rendering is not None:
            self.density = kind()
            self._perceptual = PerceptualLoss(LiteEncoder())

    def forward(self, batch: Batch, context: StepContext) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """The weighted sum, and every term by name, unweighted and without gradient.

        Raises:
            ValueError: views are to be rendered, and the batch has no targets.
        """
        if self.part == "landmarks":
            return self._landmarks(batch, context)
        with torch.autocast(batch.inputs.image.device.type, torch.bfloat16, enabled=self.bf16):
            planes = self._planes(batch)
        direct = direct_terms(self.model, planes, batch.supervision)
        loss, terms = direct.total(self.weights), dict(vars(direct))
        if self.rendering is not None and self.density is not None:
            if batch.supervision.targets is None:
                raise ValueError("rendering losses need target views: set SampleSettings.target_views to 1 or more")
            rendered = render_losses(
                radiance_field(self.model, planes, self.density),
                batch.supervision.targets,
                self.rendering.at(context.progress),
                torch.Generator().manual_seed(context.seed),
                self._perceptual if context.patch else None,
            )
            loss = loss + rendered.total(self.rendering.weights)
            parts = {f"render_{name}": value for name, value in vars(rendered).items()}
            if not context.patch:
                del parts["render_perceptual"]
            terms |= parts
            if isinstance(self.density, LaplaceDensity):
                terms["beta"] = self.density.beta
        return loss, {name: value.detach() for name, value in terms.items()}

    def _planes(self, batch: Batch) -> Triplane:
        teacher = batch.supervision.teacher_landmarks
        if self.part == "all":
            return encode(self.model, batch.inputs, teacher)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.part != "head"):
            planes = encode(self._small(), batch.inputs, teacher, estimate=False)
        # Where something is not told the estimate stands in; it is not trained.
        return replace(planes, inputs=replace(planes.inputs, estimated=None, heatmaps=None))

    def _small(self) -> HumanLRM:
        if not isinstance(self.model, HumanLRM):
            raise ValueError(f"only a model of the small family can train its {self.part} alone")
        return self.model

    def _landmarks(self, batch: Batch, context: StepContext) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """What :meth:`forward` returns, of the landmarks alone."""
        model = self._small()
        rng = torch.Generator().manual_seed(context.seed)
        inputs, supervision = augment.augment_batch(batch.inputs, batch.supervision, rng)
        with torch.autocast(batch.inputs.image.device.type, torch.bfloat16, enabled=self.bf16):
            found = model.estimate_landmarks(inputs)
        terms = _landmark_terms(found.points, supervision)
        if found.heatmaps is not None:
            terms |= _spot_terms(found.heatmaps, supervision)
        loss = torch.stack([getattr(self.weights, name) * value for name, value in terms.items()]).sum()
        return loss, {name: value.detach() for name, value in terms.items()}
