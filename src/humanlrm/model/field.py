"""The field: a point reads the planes; the SDF-MLP gives distance and ``h``, the RGB-MLP gives colour (paper, 3.1)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.body.skeleton import SkeletonCapsules
from humanlrm.frame import project_ndc, sample_plane
from humanlrm.model.blocks import fourier
from humanlrm.model.config import ModelConfig
from humanlrm.model.head import Head, HeadPlaces, head_places
from humanlrm.model.triplane import InputView, Triplane

_OCTAVES = 4
#: A distance field whose gradient is shorter has no direction worth the name.
_FLAT = 0.1
_PIXEL = 5
_FEATURES = 16
#: Axis offsets of the forward differences.
_STEPS = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclass(frozen=True)
class FieldSamples:
    """The field at points: signed distance (negative inside, box units), its gradient, the unit normal, colour."""

    sdf: Float[Tensor, "B P"]
    gradient: Float[Tensor, "B P 3"]
    normal: Float[Tensor, "B P 3"]
    rgb: Float[Tensor, "B P 3"]


@dataclass(frozen=True)
class PointFeatures:
    """What is known of points before the networks.

    Attributes:
        features: of planes and picture.
        geometry: what places, bones and depths tell.
        prior: a rough signed distance.
        head: the points near heads; ``None``: heads are nothing special.
    """

    features: Float[Tensor, "B P F"]
    geometry: Float[Tensor, "B P G"]
    prior: Float[Tensor, "B P 1"]
    head: HeadPlaces | None


class Field(nn.Module):
    """SDF-MLP and RGB-MLP on triplane features.

    The SDF starts from a prior: the intersection of the silhouette and the predicted front and back depth
    (DESIGN section 5; our choice). The MLP's last layer starts at zero, so an untrained field is that prior.

    Attributes:
        only_head: gradients reach the head's part alone.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.step = config.normal_step
        self.bones = SkeletonCapsules()
        features = 3 * config.plane_channels + _FEATURES + _PIXEL
        inputs = features + 3 + 6 * _OCTAVES + 4 + SkeletonCapsules.count
        layers: list[nn.Module] = []
        for _ in range(config.field_depth):
            layers += [nn.Linear(inputs, config.field_width), nn.SiLU()]
            inputs = config.field_width
        self.trunk = nn.Sequential(*layers)
        self.sdf = nn.Linear(config.field_width, 1)
        self.latent = nn.Linear(config.field_width, config.latent)
        self.prior_weight = nn.Parameter(torch.tensor(0.6))
        self.rgb = nn.Sequential(
            nn.Linear(config.latent + features + 3, 64),
            nn.SiLU(),
            nn.Linear(64, 4),
        )
        self.head = Head(features) if config.head else None
        self.only_head = False
        nn.init.zeros_(self.sdf.weight)
        nn.init.zeros_(self.sdf.bias)

    def sample_features(self, planes: Triplane, points: Float[Tensor, "B P 3"]) -> "PointFeatures":
        """What the planes, the given view and the landmarks tell of points."""
        inputs, ndc = planes.inputs, project_ndc(points)
        assert inputs.features is not None  # this family always has all that a view can give
        assert inputs.landmarks is not None
        pixel = sample_plane(inputs.image, ndc)
        before, behind, prior = silhouette_prior(inputs, pixel, points)
        capsules, _ = self.bones.distances(points, inputs.landmarks)
        near = torch.cat([before, behind, prior, capsules.min(-1, keepdim=True).values], dim=-1).clamp(-0.3, 0.3)
        geometry = torch.cat([points, near * 4, capsules.clamp(-0.15, 0.25) * 4, fourier(points, _OCTAVES)], dim=-1)
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
        return PointFeatures(features, geometry, prior, head_places(points, inputs.landmarks) if self.head else None)

    def _grad(self) -> torch.set_grad_enabled:
        """For all that is not the head's."""
        return torch.set_grad_enabled(torch.is_grad_enabled() and not self.only_head)

    def _distance(self, sample_features: "PointFeatures") -> tuple[Float[Tensor, "B P"], Float[Tensor, "B P h"]]:
        with self._grad():
            hidden = self.trunk(torch.cat([sample_features.features, sample_features.geometry], dim=-1))
            sdf = (self.sdf(hidden) + self.prior_weight * sample_features.prior.clamp(-0.2, 0.2))[..., 0]
        if self.head is not None and sample_features.head is not None:
            sdf = self.head(sample_features.head, sample_features.features, sdf)
        return sdf, hidden

    def distance(self, planes: Triplane, points: Float[Tensor, "B P 3"]) -> Float[Tensor, "B P"]:
        """Signed distance only: what surface extraction asks for."""
        return self._distance(self.sample_features(planes, points))[0]

    def _color(
        self, features: Float[Tensor, "B P F"], hidden: Float[Tensor, "B P h"], normal: Float[Tensor, "B P 3"]
    ) -> Float[Tensor, "B P 3"]:
        out = self.rgb(torch.cat([self.latent(hidden), features, normal], dim=-1))
        own, trust = torch.sigmoid(out[..., :3]), torch.sigmoid(out[..., 3:])
        pixel, alpha = features[..., -_PIXEL : -_PIXEL + 3], features[..., -_PIXEL + 3 : -_PIXEL + 4]
        # The pixel is premultiplied: it lies over the own colour as far as it shows the person.
        return trust * pixel + (1 - trust * alpha) * own

    def color(
        self, planes: Triplane, points: Float[Tensor, "B P 3"], normals: Float[Tensor, "B P 3"]
    ) -> Float[Tensor, "B P 3"]:
        """sRGB in [0, 1] at surface points whose normals are known already (from the extracted mesh)."""
        sample_features = self.sample_features(planes, points)
        return self._color(sample_features.features, self._distance(sample_features)[1], normals)

    def forward(self, planes: Triplane, points: Float[Tensor, "B P 3"]) -> FieldSamples:
        """Distance, finite-difference normal and colour. Forward differences: one extra query per axis."""
        sample_features = self.sample_features(planes, with_neighbours(points, self.step))
        sdf, hidden = self._distance(sample_features)
        here, gradient = forward_differences(sdf, self.step)
        normal = unit_normal(gradient)
        count = points.shape[1]
        with self._grad():
            rgb = self._color(sample_features.features[:, :count], hidden[:, :count], normal)
        return FieldSamples(here, gradient, normal, rgb)


def silhouette_prior(
    inputs: InputView, pixel: Float[Tensor, "B P 5"], points: Float[Tensor, "B P 3"]
) -> tuple[Float[Tensor, "B P 1"], Float[Tensor, "B P 1"], Float[Tensor, "B P 1"]]:
    """How far points lie before the front depth and behind the back depth, and a rough signed distance to the
    intersection of both with the silhouette; box units. ``pixel`` is what the points' pixels show."""
    assert inputs.depth is not None
    z = sample_plane(inputs.depth, project_ndc(points))
    before, behind = points[..., 2:] - z[..., :1], z[..., 1:] - points[..., 2:]
    outside = (0.5 - pixel[..., 3:4]) * 0.2 * pixel[..., 4:5]
    return before, behind, torch.maximum(torch.maximum(before, behind), outside)


def unit_normal(gradient: Float[Tensor, "B P 3"]) -> Float[Tensor, "B P 3"]:
    """The gradient's direction; where the field is flat the shorter the flatter, because the direction of (nearly)
    nothing would have a gradient without bound, and a single such point would outvote a batch."""
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
