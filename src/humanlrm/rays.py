"""Rays through pixels, clipped to the box [-1, 1]^3. Directions are unit vectors; ``t`` is distance along the ray."""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from humanlrm.camera import Cameras

#: A direction's component smaller than this counts as parallel to the box's face.
_PARALLEL = 1e-9


@dataclass(frozen=True)
class Rays:
    """R rays for each of B subjects.

    Attributes:
        origins: box units.
        directions: unit vectors.
        cosine: camera z per unit of t: ``depth = t * cosine``.
        near: t where the ray enters the box, never behind its origin.
        far: t where it leaves the box; equal to ``near`` for a ray that misses it.
    """

    origins: Float[Tensor, "B R 3"]
    directions: Float[Tensor, "B R 3"]
    cosine: Float[Tensor, "B R"]
    near: Float[Tensor, "B R"]
    far: Float[Tensor, "B R"]

    def at(self, t: Float[Tensor, "B R S"]) -> Float[Tensor, "B R S 3"]:
        """Points at distances ``t``."""
        return self.origins[:, :, None] + t[..., None] * self.directions[:, :, None]

    def part(self, start: int, stop: int) -> "Rays":
        """Rays ``start`` to ``stop`` of every subject."""
        return Rays(*(value[:, start:stop] for value in vars(self).values()))

    def moved(self, similarity: Float[Tensor, "B 4 4"]) -> "Rays":
        """The rays in another frame: ``similarity`` (rotation, uniform scale, shift) takes points there.

        ``t`` is then measured in the other frame's unit, and the rays are clipped to its box.
        """
        linear, shift = similarity[:, :3, :3], similarity[:, None, :3, 3]
        origins = self.origins @ linear.transpose(1, 2) + shift
        directions = torch.nn.functional.normalize(self.directions @ linear.transpose(1, 2), dim=-1)
        return Rays(origins, directions, self.cosine, *clip_to_box(origins, directions))

    def grouped(self, subjects: int) -> "Rays":
        """Rays of (subjects x views) as rays of subjects, view after view."""
        return Rays(*(rearrange(v, "(B T) R ... -> B (T R) ...", B=subjects) for v in vars(self).values()))


def clip_to_box(
    origins: Float[Tensor, "B R 3"], directions: Float[Tensor, "B R 3"]
) -> tuple[Float[Tensor, "B R"], Float[Tensor, "B R"]]:
    """Distances where rays enter and leave the box (slab test); equal where they miss it."""
    away = torch.where(directions < 0, -1.0, 1.0) * directions.abs().clamp(min=_PARALLEL)
    first, second = (-1 - origins) / away, (1 - origins) / away
    near = torch.minimum(first, second).amax(-1).clamp(min=0)
    return near, torch.maximum(torch.maximum(first, second).amin(-1), near)


def pixel_rays(cameras: Cameras, pixels: Float[Tensor, "B R 2"]) -> Rays:
    """Rays through image positions (x, y) in pixels; pixel centres lie at +0.5.

    Args:
        cameras: one camera for all subjects, or one each.
    """
    inverse, c2w = torch.linalg.inv(cameras.K), cameras.c2w
    camera = torch.cat([pixels, torch.ones_like(pixels[..., :1])], dim=-1) @ inverse.transpose(-1, -2)
    length = camera.norm(dim=-1)
    directions = (camera / length[..., None]) @ c2w[..., :3, :3].transpose(-1, -2)
    origins = c2w[..., None, :3, 3].expand_as(directions)
    return Rays(origins, directions, 1 / length, *clip_to_box(origins, directions))


def pixel_centres(size_px: tuple[int, int]) -> Float[Tensor, "R 2"]:
    """Centres (x, y) of all pixels of an image of (height, width), row after row."""
    height, width = size_px
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(-1, 2)


def image_rays(cameras: Cameras) -> Rays:
    """Rays through all pixel centres of one camera or of a batch of cameras, row after row."""
    subjects = cameras.K.shape[0] if cameras.K.ndim == 3 else 1
    return pixel_rays(cameras, pixel_centres(cameras.size_px).to(cameras.K).expand(subjects, -1, -1))
