"""Fields: a point samples the planes; the SDF-MLP gives distance and ``h``, the RGB-MLP gives color (paper, 3.1)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.body.skeleton import SkeletonCapsules
from humanlrm.frame import project_ndc, sample_plane
from humanlrm.model.blocks import fourier, mlp, zero_init
from humanlrm.model.config import ModelConfig
from humanlrm.model.head import Head, HeadPlaces, head_places
from humanlrm.model.triplane import InputView, Triplane

_POINT_OCTAVES = 4
#: Length of a gradient below which it has no direction.
_FLAT = 0.1
_PIXEL = 5
_FEATURES = 16
#: Axis offsets of the forward differences.
_STEPS = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclass(frozen=True)
class FieldSamples:
    """The field at points: signed distance (negative inside, box units), its gradient, the unit normal, color."""

    sdf: Float[Tensor, "B P"]
    gradient: Float[Tensor, "B P 3"]
    normal: Float[Tensor, "B P 3"]
    rgb: Float[Tensor, "B P 3"]


@dataclass(frozen=True)
class PointFeatures:
    """Inputs of the field's networks at points.

    Attributes:
        features: of planes and picture.
        geometry: of places, bones and depths; G may be 0.
        prior: a rough signed distance.
        head: the points near heads; ``None``: this field treats heads like the rest.
    """

    features: Float[Tensor, "B P F"]
    geometry: Float[Tensor, "B P G"]
    prior: Float[Tensor, "B P 1"]
    head: HeadPlaces | None = None


class SdfField(nn.Module):
    """Base of SDF fields, and the interface of all fields: ``distance``, ``color`` and ``forward``.

    The SDF-MLP's last layer starts at zero and is added to a prior: an untrained field is its prior and has a normal.
    """

    #: Whether ``distance`` is a distance; otherwise it only shares the sign with one.
    is_distance: ClassVar[bool] = True
    step: float

    def sample_features(self, planes: Triplane, points: Float[Tensor, "B P 3"]) -> PointFeatures:
        """Features of points."""
        raise NotImplementedError

    def _distance(self, sampled: PointFeatures) -> tuple[Float[Tensor, "B P"], Float[Tensor, "B P h"]]:
        """Signed distance, and the SDF-MLP's last hidden layer."""
        raise NotImplementedError

    def _color(
        self, features: Float[Tensor, "B P F"], hidden: Float[Tensor, "B P h"], normal: Float[Tensor, "B P 3"]
    ) -> Float[Tensor, "B P 3"]:
        raise NotImplementedError

    def distance(self, planes: Triplane, points: Float[Tensor, "B P 3"]) -> Float[Tensor, "B P"]:
        """Signed distance only, for surface extraction."""
        return self._distance(self.sample_features(planes, points))[0]

    def color(
        self, planes: Triplane, points: Float[Tensor, "B P 3"], normals: Float[Tensor, "B P 3"]
    ) -> Float[Tensor, "B P 3"]:
        """sRGB in [0, 1] at surface points whose normals are known already (from the extracted mesh)."""
        sampled = self.sample_features(planes, points)
        return self._color(sampled.features, self._distance(sampled)[1], normals)

    def forward(self, planes: Triplane, points: Float[Tensor, "B P 3"]) -> FieldSamples:
        """Distance, finite-difference normal and color. Forward differences: one extra query per axis."""
        sampled = self.sample_features(planes, with_neighbours(points, self.step))
        sdf, hidden = self._distance(sampled)
        here, gradient = forward_differences(sdf, self.step)
        normal = unit_normal(gradient)
        count = points.shape[1]
        return FieldSamples(here, gradient, normal, self._color(sampled.features[:, :count], hidden[:, :count], normal))


class Field(SdfField):
    """Field of ``small``. The prior is the intersection of the silhouette and the predicted front and back depth.

    Attributes:
        only_head: gradients reach the head's part alone.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.step = config.normal_step
        self.bones = SkeletonCapsules()
        features = 3 * config.plane_channels + _FEATURES + _PIXEL
        inputs = features + 3 + 6 * _POINT_OCTAVES + 4 + SkeletonCapsules.count
        self.trunk = mlp(inputs, config.field_width, config.field_depth)
        self.sdf = zero_init(nn.Linear(config.field_width, 1))
        self.latent = nn.Linear(config.field_width, config.latent)
        self.prior_weight = nn.Parameter(torch.tensor(0.6))
        self.rgb = nn.Sequential(nn.Linear(config.latent + features + 3, 64), nn.SiLU(), nn.Linear(64, 4))
        self.head = Head(features)
        self.only_head = False

    def sample_features(self, planes: Triplane, points: Float[Tensor, "B P 3"]) -> PointFeatures:
        """Features of planes, input view and landmarks at points."""
        inputs, ndc = planes.inputs, project_ndc(points)
        assert inputs.features is not None
        assert inputs.landmarks is not None
        pixel = sample_plane(inputs.image, ndc)
        before, behind, prior = silhouette_prior(inputs, pixel, points)
        capsules, _ = self.bones.distances(points, inputs.landmarks)
        near = torch.cat([before, behind, prior, capsules.min(-1, keepdim=True).values], dim=-1).clamp(-0.3, 0.3)
        geometry = torch.cat(
            [points, near * 4, capsules.clamp(-0.15, 0.25) * 4, fourier(points, _POINT_OCTAVES)], dim=-1
        )
        features = torch.cat(
            [
                sample_plane(planes.xy, ndc),
                sample_plane(planes.zy, points[..., [2, 1]]),
                sample_plane(planes.xz, points[..., [0, 2]]),
                sample_plane(inputs.features, ndc),
                pixel,
            ],
            dim=-1,
        )
        return PointFeatures(features, geometry, prior, head_places(points, inputs.landmarks))

    def _grad(self) -> torch.set_grad_enabled:
        """Gradients for all parts but the head's."""
        return torch.set_grad_enabled(torch.is_grad_enabled() and not self.only_head)

    def _distance(self, sampled: PointFeatures) -> tuple[Float[Tensor, "B P"], Float[Tensor, "B P h"]]:
        assert sampled.head is not None
        with self._grad():
            hidden = self.trunk(torch.cat([sampled.features, sampled.geometry], dim=-1))
            sdf = (self.sdf(hidden) + self.prior_weight * sampled.prior.clamp(-0.2, 0.2))[..., 0]
        return self.head(sampled.head, sampled.features, sdf), hidden

    def _color(
        self, features: Float[Tensor, "B P F"], hidden: Float[Tensor, "B P h"], normal: Float[Tensor, "B P 3"]
    ) -> Float[Tensor, "B P 3"]:
        with self._grad():
            out = self.rgb(torch.cat([self.latent(hidden), features, normal], dim=-1))
            own, trust = torch.sigmoid(out[..., :3]), torch.sigmoid(out[..., 3:])
            pixel, alpha = features[..., -_PIXEL : -_PIXEL + 3], features[..., -_PIXEL + 3 : -_PIXEL + 4]
            # The pixel is premultiplied: it lies over the field's own color as far as it shows the person.
            return trust * pixel + (1 - trust * alpha) * own


def silhouette_prior(
    inputs: InputView, pixel: Float[Tensor, "B P 5"], points: Float[Tensor, "B P 3"]
) -> tuple[Float[Tensor, "B P 1"], Float[Tensor, "B P 1"], Float[Tensor, "B P 1"]]:
    """Distances of points before the front depth and behind the back depth, and a rough signed distance to the
    intersection of both with the silhouette; box units. ``pixel`` is the picture at the points' projections."""
    assert inputs.depth is not None
    z = sample_plane(inputs.depth, project_ndc(points))
    before, behind = points[..., 2:] - z[..., :1], z[..., 1:] - points[..., 2:]
    outside = (0.5 - pixel[..., 3:4]) * 0.2 * pixel[..., 4:5]
    return before, behind, torch.maximum(torch.maximum(before, behind), outside)


def unit_normal(gradient: Float[Tensor, "B P 3"]) -> Float[Tensor, "B P 3"]:
    """The gradient's direction; shorter where the field is flat. The direction of almost nothing would have an
    unbounded gradient, and a single such point would outvote a batch."""
    return nn.functional.normalize(gradient, dim=-1, eps=_FLAT)


def with_neighbours(points: Float[Tensor, "B P 3"], step: float) -> Float[Tensor, "B Q 3"]:
    """The points, then the points one step along x, y and z: Q = 4 P queries for a value and its gradient."""
    steps = torch.tensor(_STEPS, device=points.device, dtype=points.dtype) * step
    return torch.cat([points, *(points + s for s in steps)], dim=1)


def forward_differences(
    values: Float[Tensor, "B Q"], step: float
) -> tuple[Float[Tensor, "B P"], Float[Tensor, "B P 3"]]:
    """Values at :func:`with_neighbours` to the points' own values and their gradients."""
    here, *ahead = values.chunk(4, dim=1)
    return here, torch.stack([(a - here) / step for a in ahead], dim=-1)
