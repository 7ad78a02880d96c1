"""Skeleton of capsules between landmarks: signed distances for the field, small pictures for the planes."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.body.landmarks import BONE_RADII, BONES, LIMBS
from humanlrm.frame import project_ndc

#: Radius of a bridge across a gap, and of the thinnest arm or leg, in radii of the capsule.
_BRIDGE_RADIUS, _THINNEST_LIMB = 0.45, 0.7
#: Largest distance from the field's own surface at which capsules change it (box units).
_CAPSULE_REACH = 0.05


class SkeletonCapsules(nn.Module):
    """Capsules between landmarks; not in the paper."""

    count = len(BONES)
    start: Tensor
    stop: Tensor
    radius: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("start", torch.from_numpy(BONES[:, 0].copy()), persistent=False)
        self.register_buffer("stop", torch.from_numpy(BONES[:, 1].copy()), persistent=False)
        self.register_buffer("radius", torch.from_numpy(BONE_RADII.copy()), persistent=False)

    def distances(
        self, points: Float[Tensor, "B P D"], landmarks: Float[Tensor, "B J D"]
    ) -> tuple[Float[Tensor, "B P E"], Float[Tensor, "B P E"]]:
        """Signed distance of points to each of the E capsules, and the nearest point's place along the bone (0..1).

        |p - (a + t ab)|^2 is expanded into dot products, so that no (B, P, E, D) tensor is made.
        """
        a, ab = landmarks[:, self.start], landmarks[:, self.stop] - landmarks[:, self.start]
        length2 = (ab * ab).sum(-1)[:, None].clamp(min=1e-6)
        along = points @ ab.transpose(1, 2) - (a * ab).sum(-1)[:, None]
        t = (along / length2).clamp(0, 1)
        to_a2 = (points * points).sum(-1, keepdim=True) - 2 * points @ a.transpose(1, 2) + (a * a).sum(-1)[:, None]
        distance2 = to_a2 - 2 * t * along + t * t * length2
        return distance2.clamp(min=1e-6).sqrt() - self.radius, t

    def bridge_gaps(
        self, sdf: Float[Tensor, "B P"], points: Float[Tensor, "B P 3"], landmarks: Float[Tensor, "B J 3"]
    ) -> Float[Tensor, "B P"]:
        """Join the body's parts along the bones where little is missing: a lost neck must not cost the head."""
        capsules, _ = self.distances(points, landmarks)
        return self._with_core(sdf, capsules, _BRIDGE_RADIUS)

    def enforce_limbs(self, sdf: Float[Tensor, "B P"], capsules: Float[Tensor, "B P E"]) -> Float[Tensor, "B P"]:
        """Add arms and legs that the field lost.

        A limb may project beside the mask: something hides it, or its estimate is a little off. The field is empty
        there.

        Args:
            capsules: the points' distances from :meth:`distances`.
        """
        return self._with_core(sdf, capsules[..., : len(LIMBS)], _THINNEST_LIMB)

    def _with_core(self, sdf: Float[Tensor, "B P"], capsules: Float[Tensor, "B P C"], share: float) -> Tensor:
        """Union of the body and the first C capsules at a share of their radii, where the body is near."""
        core = (capsules + (1 - share) * self.radius[: capsules.shape[-1]]).amin(-1)
        return torch.minimum(sdf, torch.maximum(core, sdf - _CAPSULE_REACH))

    def rasterize(
        self, landmarks: Float[Tensor, "B J 3"], axes: tuple[int, int, int], size: int, perspective: bool = False
    ) -> Float[Tensor, "B 4 size size"]:
        """Draw the bones into a plane: mean depth of the near bones, its spread, distance, depth of the nearest.

        Args:
            landmarks: box units.
            axes: (image x, image y, depth) as indices of x, y, z.
            size: pixels of the picture, which spans [-1, 1]; its first row is +1.
            perspective: project with the input camera (only for axes (0, 1, 2)).
        """
        flat = project_ndc(landmarks) if perspective else landmarks[..., list(axes[:2])]
        depth = landmarks[..., axes[2]]
        centres = (torch.arange(size, device=landmarks.device, dtype=landmarks.dtype) + 0.5) / size * 2 - 1
        grid = torch.stack(torch.meshgrid(-centres, centres, indexing="ij")[::-1], dim=-1).reshape(1, -1, 2)
        distance, t = self.distances(grid.expand(len(landmarks), -1, -1), flat)
        z = depth[:, None, self.start] * (1 - t) + depth[:, None, self.stop] * t
        weight = torch.softmax(-distance * 30, dim=-1)
        mean = (weight * z).sum(-1)
        spread = (weight * (z - mean[..., None]) ** 2).sum(-1).clamp(min=1e-8).sqrt()
        nearest = (torch.softmax((z - (distance > 0.03) * 9) * 30, dim=-1) * z).sum(-1)
        image = torch.stack([mean, spread, distance.min(-1).values.clamp(-0.2, 0.2), nearest], dim=1)
        return image.reshape(len(landmarks), 4, size, size)
