"""What training minimises: the model on a batch to its loss terms."""

from dataclasses import asdict, dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from humanlrm.model.lrm import Model
from humanlrm.train.config import LossWeights
from humanlrm.train.losses import (
    eikonal_loss,
    inside_box,
    landmark_loss,
    masked_l1,
    normal_loss,
    occupancy_loss,
    sdf_loss,
)
from humanlrm.views import Batch


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
    landmarks: Float[Tensor, ""]

    def total(self, weights: LossWeights) -> Float[Tensor, ""]:
        return torch.stack([weight * getattr(self, name) for name, weight in asdict(weights).items()]).sum()

    def numbers(self) -> dict[str, float]:
        return {name: float(value) for name, value in vars(self).items()}


def objective(model: Model, batch: Batch) -> LossTerms:
    """Direct 3D supervision: distances in space, distance, normal and colour on the surface, depth, landmarks.

    Depth and landmarks count 0 for a model that does not predict them.
    """
    wanted = batch.wanted
    planes = model.planes_of(batch.given)
    depth, landmarks = planes.given.depth, planes.given.landmarks
    sdf = model.field.distance(planes, wanted.points)
    on = model.field(planes, wanted.surface)
    inside, none = inside_box(wanted.surface), sdf.new_zeros(())
    return LossTerms(
        sdf=sdf_loss(sdf, wanted.sdf, wanted.points),
        occupancy=occupancy_loss(sdf, wanted.sdf, wanted.points),
        surface=(on.sdf.abs() * inside).mean(),
        normal=normal_loss(on.normal, wanted.normals, inside),
        eikonal=eikonal_loss(on.gradient, inside),
        rgb=((on.rgb - wanted.rgb).abs().mean(-1) * inside).mean(),
        depth=none if depth is None else masked_l1(depth, wanted.depth),
        landmarks=none if landmarks is None else landmark_loss(landmarks, wanted.landmarks),
    )
