"""Fields of the paper's family: the paper's SDF field, and the generic LRM's density field for the ablation."""

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.body.skeleton import SkeletonCapsules
from humanlrm.frame import project_ndc, sample_plane
from humanlrm.model.blocks import mlp, zero_init
from humanlrm.model.config import PaperConfig
from humanlrm.model.field import (
    FieldSamples,
    PointFeatures,
    SdfField,
    forward_differences,
    silhouette_prior,
    with_neighbours,
)
from humanlrm.model.latent_decoder import FEATURES, PICTURE
from humanlrm.model.triplane import Triplane

#: Radius of the sphere that an untrained field is, box units.
_SPHERE = 0.5
_PRIOR_FAR = 0.2
#: An untrained density field is thin fog: 0.05 of the density that counts as surface.
_FOG = 3.0


def _mlp(inputs: int, width: int, depth: int) -> nn.Sequential:
    """Hidden layers with Kaiming's initial weights: otherwise nothing gets through ten layers (TripoSR)."""
    layers: Any = mlp(inputs, width, depth)
    for layer in layers[::2]:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
    return layers


def _feature_count(config: PaperConfig) -> int:
    return 3 * config.plane_channels + (FEATURES + PICTURE if config.pixel_features else 0)


class PaperField(SdfField):
    """SDF-MLP and RGB-MLP (paper, 3.1). The prior is a sphere, or with ``depth_prior`` the intersection of silhouette
    and predicted depth."""

    def __init__(self, config: PaperConfig) -> None:
        super().__init__()
        self.step = config.normal_step
        self.pixel_features, self.depth_prior = config.pixel_features, config.depth_prior
        self.bones = SkeletonCapsules() if config.landmarks else None
        features = _feature_count(config)
        geometry = (3 if config.depth_prior else 0) + (SkeletonCapsules.count if config.landmarks else 0)
        self.trunk = _mlp(features + geometry, config.field_width, config.field_depth)
        self.sdf = zero_init(nn.Linear(config.field_width, 1))
        self.latent = nn.Linear(config.field_width, config.latent)
        self.rgb = nn.Sequential(
            _mlp(features + config.latent + 3, config.field_width, 2),
            nn.Linear(config.field_width, 3),
            nn.Sigmoid(),
        )
        self.prior_weight = nn.Parameter(torch.tensor(1.0))

    def sample_features(self, planes: Triplane, points: Float[Tensor, "B P 3"]) -> PointFeatures:
        """Features of the planes, and of the input view and landmarks as far as the flags ask for them."""
        inputs, geometry = planes.inputs, [points[..., :0]]
        prior = points.norm(dim=-1, keepdim=True) - _SPHERE
        if self.depth_prior:
            pixel = sample_plane(inputs.image, project_ndc(points))
            before, behind, prior = silhouette_prior(inputs, pixel, points)
            geometry.append(torch.cat([before, behind, prior], dim=-1).clamp(-0.3, 0.3) * 4)
        if self.bones is not None:
            assert inputs.landmarks is not None
            geometry.append(self.bones.distances(points, inputs.landmarks)[0].clamp(-0.15, 0.25) * 4)
        return PointFeatures(plane_features(planes, points, self.pixel_features), torch.cat(geometry, dim=-1), prior)

    def _distance(self, sampled: PointFeatures) -> tuple[Float[Tensor, "B P"], Float[Tensor, "B P h"]]:
        hidden = self.trunk(torch.cat([sampled.features, sampled.geometry], dim=-1))
        sdf = self.sdf(hidden) + self.prior_weight * sampled.prior.clamp(-_PRIOR_FAR, _PRIOR_FAR)
        return sdf[..., 0], hidden

    def _color(
        self, features: Float[Tensor, "B P F"], hidden: Float[Tensor, "B P h"], normal: Float[Tensor, "B P 3"]
    ) -> Float[Tensor, "B P 3"]:
        return self.rgb(torch.cat([features, self.latent(hidden), normal], dim=-1))


class DensityField(nn.Module):
    """The generic LRM field, for the ablation: one MLP of plane features gives density and color, no normal enters.

    Its "distance" is a free value that only shares the sign with one: the renderer turns it into density (softplus of
    its negative, surface at 0), and surface extraction takes its zero level.
    """

    is_distance: ClassVar[bool] = False

    def __init__(self, config: PaperConfig) -> None:
        super().__init__()
        self.step, self.pixel_features = config.normal_step, config.pixel_features
        self.trunk = _mlp(_feature_count(config), config.field_width, config.field_depth)
        self.leave = nn.Linear(config.field_width, 4)
        nn.init.zeros_(self.leave.bias)
        with torch.no_grad():
            self.leave.bias[3:] = _FOG

    def _values(self, planes: Triplane, points: Float[Tensor, "B P 3"]) -> Float[Tensor, "B P 4"]:
        """Color before the sigmoid, and the value."""
        return self.leave(self.trunk(plane_features(planes, points, self.pixel_features)))

    def distance(self, planes: Triplane, points: Float[Tensor, "B P 3"]) -> Float[Tensor, "B P"]:
        """The value: negative inside."""
        return self._values(planes, points)[..., 3]

    def color(
        self, planes: Triplane, points: Float[Tensor, "B P 3"], normals: Float[Tensor, "B P 3"]
    ) -> Float[Tensor, "B P 3"]:
        """sRGB in [0, 1]; the normals of the common interface are not used."""
        return self._values(planes, points)[..., :3].sigmoid()

    def forward(self, planes: Triplane, points: Float[Tensor, "B P 3"]) -> FieldSamples:
        """Value, its finite-difference gradient and normal, color."""
        out = self._values(planes, with_neighbours(points, self.step))
        here, gradient = forward_differences(out[..., 3], self.step)
        normal = nn.functional.normalize(gradient, dim=-1)
        return FieldSamples(here, gradient, normal, out[:, : points.shape[1], :3].sigmoid())


def plane_features(planes: Triplane, points: Float[Tensor, "B P 3"], pixel: bool) -> Float[Tensor, "B P F"]:
    """Features of three orthographic planes, which span [-1, 1]^2, side by side; with ``pixel`` also picture and
    features of the first view at the points' projections."""
    features = [
        sample_plane(planes.xy, points[..., :2]),
        sample_plane(planes.zy, points[..., [2, 1]]),
        sample_plane(planes.xz, points[..., [0, 2]]),
    ]
    if pixel:
        assert planes.inputs.features is not None
        ndc = project_ndc(points)
        features += [sample_plane(planes.inputs.image, ndc), sample_plane(planes.inputs.features, ndc)]
    return torch.cat(features, dim=-1)
