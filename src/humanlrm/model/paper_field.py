"""The paper's field: features of three planes -> SDF-MLP -> distance and ``h``; normal; RGB-MLP -> colour.

Both classes answer the same three questions as ``model.field.Field``: ``distance``, ``color`` and ``forward``.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.body.skeleton import SkeletonCapsules
from humanlrm.frame import project_ndc, sample_plane
from humanlrm.model.config import PaperConfig
from humanlrm.model.field import (
    FieldSamples,
    forward_differences,
    silhouette_prior,
    unit_normal,
    with_neighbours,
)
from humanlrm.model.triplane import Triplane
from humanlrm.model.view_head import FEATURES, PICTURE

#: The sphere that an untrained field is, box units (our choice).
_SPHERE = 0.5
_PRIOR_FAR = 0.2
#: An untrained density field is thin fog: 0.05 of the density that counts as surface (our choice).
_FOG = 3.0


def mlp(inputs: int, width: int, depth: int) -> nn.Sequential:
    """``depth`` hidden layers with SiLU; Kaiming's initial weights, or nothing gets through ten layers (TripoSR)."""
    layers: list[nn.Module] = []
    for _ in range(depth):
        layer = nn.Linear(inputs, width)
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.SiLU()]
        inputs = width
    return nn.Sequential(*layers)


class PaperField(nn.Module):
    """SDF-MLP and RGB-MLP (paper, 3.1).

    The SDF-MLP's last layer starts at zero and is added to a prior: a sphere, or with ``depth_prior`` the intersection
    of silhouette and predicted depth. So an untrained field is a person-sized body, and has a normal (our choice).
    """

    def __init__(self, config: PaperConfig) -> None:
        super().__init__()
        self.step = config.normal_step
        self.pixel_features, self.depth_prior = config.pixel_features, config.depth_prior
        self.bones = SkeletonCapsules() if config.landmarks else None
        features = 3 * config.plane_channels + (FEATURES + PICTURE if config.pixel_features else 0)
        geometry = (3 if config.depth_prior else 0) + (SkeletonCapsules.count if config.landmarks else 0)
        self.trunk = mlp(features + geometry, config.field_width, config.field_depth)
        self.sdf = nn.Linear(config.field_width, 1)
        self.latent = nn.Linear(config.field_width, config.latent)
        self.rgb = nn.Sequential(
            mlp(features + config.latent + 3, config.field_width, 2), nn.Linear(config.field_width, 3), nn.Sigmoid()
        )
        self.prior_weight = nn.Parameter(torch.tensor(1.0))
        nn.init.zeros_(self.sdf.weight)
        nn.init.zeros_(self.sdf.bias)

    def sample_features(
        self, planes: Triplane, points: Float[Tensor, "B P 3"]
    ) -> tuple[Float[Tensor, "B P F"], Float[Tensor, "B P G"], Float[Tensor, "B P 1"]]:
        """Features of points, what geometry alone says about them (G may be 0), and the prior distance."""
        inputs, geometry = planes.inputs, [points[..., :0]]
        prior = points.norm(dim=-1, keepdim=True) - _SPHERE
        if self.depth_prior:
            pixel = sample_plane(inputs.image, project_ndc(points))
            before, behind, prior = silhouette_prior(inputs, pixel, points)
            geometry.append(torch.cat([before, behind, prior], dim=-1).clamp(-0.3, 0.3) * 4)
        if self.bones is not None:
            assert inputs.landmarks is not None
            geometry.append(self.bones.distances(points, inputs.landmarks)[0].clamp(-0.15, 0.25) * 4)
        return read_features(planes, points, self.pixel_features), torch.cat(geometry, dim=-1), prior

    def _distance(
        self, features: Float[Tensor, "B P F"], geometry: Float[Tensor, "B P G"], prior: Float[Tensor, "B P 1"]
    ) -> tuple[Float[Tensor, "B P"], Float[Tensor, "B P h"]]:
        hidden = self.trunk(torch.cat([features, geometry], dim=-1))
        sdf = self.sdf(hidden) + self.prior_weight * prior.clamp(-_PRIOR_FAR, _PRIOR_FAR)
        return sdf[..., 0], self.latent(hidden)

    def distance(self, planes: Triplane, points: Float[Tensor, "B P 3"]) -> Float[Tensor, "B P"]:
        """Signed distance only: what surface extraction asks for."""
        return self._distance(*self.sample_features(planes, points))[0]

    def color(
        self, planes: Triplane, points: Float[Tensor, "B P 3"], normals: Float[Tensor, "B P 3"]
    ) -> Float[Tensor, "B P 3"]:
        """sRGB in [0, 1] at surface points whose normals are known already (from the extracted mesh)."""
        features, geometry, prior = self.sample_features(planes, points)
        return self.rgb(torch.cat([features, self._distance(features, geometry, prior)[1], normals], dim=-1))

    def forward(self, planes: Triplane, points: Float[Tensor, "B P 3"]) -> FieldSamples:
        """Distance, finite-difference normal and colour. Forward differences: one extra query per axis."""
        features, geometry, prior = self.sample_features(planes, with_neighbours(points, self.step))
        sdf, latent = self._distance(features, geometry, prior)
        here, gradient = forward_differences(sdf, self.step)
        normal = unit_normal(gradient)
        count = points.shape[1]
        rgb = self.rgb(torch.cat([features[:, :count], latent[:, :count], normal], dim=-1))
        return FieldSamples(here, gradient, normal, rgb)


class DensityField(nn.Module):
    """The generic LRM field, for the ablation: one MLP of plane features gives density and colour, no normal enters.

    Its "distance" is a free value that only shares the sign with one: the renderer turns it into density (softplus of
    its negative, surface at 0), and surface extraction takes its zero level.
    """

    def __init__(self, config: PaperConfig) -> None:
        super().__init__()
        self.step, self.pixel_features = config.normal_step, config.pixel_features
        features = 3 * config.plane_channels + (FEATURES + PICTURE if config.pixel_features else 0)
        self.trunk = mlp(features, config.field_width, config.field_depth)
        self.leave = nn.Linear(config.field_width, 4)
        nn.init.zeros_(self.leave.bias)
        with torch.no_grad():
            self.leave.bias[3:] = _FOG

    def sample_features(self, planes: Triplane, points: Float[Tensor, "B P 3"]) -> Float[Tensor, "B P 4"]:
        """Colour before the sigmoid, and the value."""
        return self.leave(self.trunk(read_features(planes, points, self.pixel_features)))

    def distance(self, planes: Triplane, points: Float[Tensor, "B P 3"]) -> Float[Tensor, "B P"]:
        """The value: negative inside."""
        return self.sample_features(planes, points)[..., 3]

    def color(
        self, planes: Triplane, points: Float[Tensor, "B P 3"], normals: Float[Tensor, "B P 3"]
    ) -> Float[Tensor, "B P 3"]:
        """sRGB in [0, 1]; the normals are those of the common interface and do not matter here."""
        return self.sample_features(planes, points)[..., :3].sigmoid()

    def forward(self, planes: Triplane, points: Float[Tensor, "B P 3"]) -> FieldSamples:
        """Value, its finite-difference gradient and normal, colour."""
        out = self.sample_features(planes, with_neighbours(points, self.step))
        here, gradient = forward_differences(out[..., 3], self.step)
        normal = nn.functional.normalize(gradient, dim=-1)
        return FieldSamples(here, gradient, normal, out[:, : points.shape[1], :3].sigmoid())


def read_features(planes: Triplane, points: Float[Tensor, "B P 3"], pixel: bool) -> Float[Tensor, "B P F"]:
    """Features of three orthographic planes, which span [-1, 1]^2, side by side; with ``pixel`` also what the first
    view shows where the points project to."""
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
