"""One field of several views: each view's triplane says most where the view sees."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from humanlrm.frame import project_ndc, sample_plane
from humanlrm.model.field import Field
from humanlrm.model.triplane import Triplane

#: Weight of a view where it sees nothing: inside of the person, and where no view sees, all have the same say.
_BLIND = 0.1
#: How far behind the surface a view still sees, and over what distance that ends (box units). All our choice.
_BEHIND, _FADE = 0.04, 0.015
#: A view colours what faces it: power of the cosine.
_FACING = 3


@dataclass(frozen=True)
class FusedField:
    """The fields of V views of one person (any of the small family's), each in its own frame, as one.

    A view knows free space up to the surface and the surface itself, and guesses the rest. So distances are averaged
    with weights that are high before and at the surface that the view sees, and low behind it (the visibility weights
    of volumetric fusion, Curless and Levoy 1996; the rest is our choice).

    Attributes:
        field: of the model.
        planes: a batch of V triplanes.
        to_views: similarities from the common frame to the frames of the views.
    """

    field: Field
    planes: Triplane
    to_views: Float[Tensor, "V 4 4"]

    def distance(self, points: Float[Tensor, "P 3"]) -> Float[Tensor, "P"]:
        """Signed distance in units of the common frame."""
        there = self._there(points)
        found = self.field.distance(self.planes, there) / self._scales[:, None]
        weights = self._weights(there)
        return (weights * found).sum(0) / weights.sum(0)

    def color(self, points: Float[Tensor, "P 3"], normals: Float[Tensor, "P 3"]) -> Float[Tensor, "P 3"]:
        """sRGB in [0, 1] at surface points with unit normals: mostly by the views that they face."""
        there = self._there(points)
        turned = normals @ (self.to_views[:, :3, :3] / self._scales[:, None, None]).transpose(1, 2)
        weights = self._weights(there) * (0.02 + turned[..., 2].clamp(min=0) ** _FACING)
        found = self.field.color(self.planes, there, turned)
        return (weights[..., None] * found).sum(0) / weights.sum(0)[..., None]

    @property
    def _scales(self) -> Float[Tensor, "V"]:
        return self.to_views[:, 0, :3].norm(dim=-1)

    def _there(self, points: Float[Tensor, "P 3"]) -> Float[Tensor, "V P 3"]:
        return points @ self.to_views[:, :3, :3].transpose(1, 2) + self.to_views[:, None, :3, 3]

    def _weights(self, there: Float[Tensor, "V P 3"]) -> Float[Tensor, "V P"]:
        """Weight of each view for points in its frame."""
        inputs, ndc = self.planes.inputs, project_ndc(there)
        assert inputs.depth is not None
        alpha, known = sample_plane(inputs.image[:, 3:], ndc).unbind(-1)
        behind = sample_plane(inputs.depth, ndc)[..., 0] - there[..., 2]
        seen = torch.sigmoid((_BEHIND - behind) / _FADE)
        inside = (ndc.abs().amax(-1) < 1).to(known)
        return _BLIND + known * inside * (alpha * seen + 1 - alpha)
