"""Photos as projectors: their color on a surface, and how far to trust it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
import torch
from jaxtyping import Bool, Float

from humanlrm.frame import CAMERA_DISTANCE, VIEW_SPAN, SquareCrop, project_ndc
from humanlrm.mesh.raycast import RayScene, bilinear
from humanlrm.mesh.surface import TriangleSurface

_CAMERA = np.array([0.0, 0.0, CAMERA_DISTANCE], dtype=np.float32)
#: The photo fades in between these cosines of normal and view direction: grazing pixels smear.
_FADE_COSINE = (0.15, 0.45)
#: ... and between these distances in box units from the silhouette and from depth edges (3 to 12 mm).
_FADE_EDGE = (0.003, 0.013)
#: Side of the depth image in which occlusion edges are found; a jump above ``_DEPTH_JUMP`` units is one.
_DEPTH_SIZE_PX, _DEPTH_JUMP = 512, 0.03
#: Power of the weights of several photos that show a place: blended photos blur a shift of a millimetre.
_BLEND_POWER = 4


@dataclass(frozen=True)
class PhotoProjection:
    """A photo to be baked, at its original resolution.

    Attributes:
        rgb: sRGB in [0, 1].
        alpha: the person's share of each pixel, in [0, 1].
        crop: the square of the photo that the box stands for.
        to_frame: similarity from the surface's box to the photo's own frame; ``None``: they are the same.
        side: the surface that the picture shows: where its rays enter the person, or where they leave.
        ends: True if the picture's border is an edge, beyond which another picture goes on. A photo's border is none: a
            person who is cut off there does not end there.
    """

    rgb: Float[np.ndarray, "H W 3"]
    alpha: Float[np.ndarray, "H W"]
    crop: SquareCrop
    to_frame: Float[np.ndarray, "4 4"] | None = None
    side: Literal["front", "back"] = "front"
    ends: bool = False

    def __post_init__(self):
        if self.rgb.ndim != 3 or self.rgb.shape[2] != 3 or self.alpha.shape != self.rgb.shape[:2]:
            raise ValueError(
                f"Photo: expected rgb (H, W, 3) and alpha (H, W), got {self.rgb.shape}, {self.alpha.shape}"
            )


class PhotoView:
    """One photo projected onto one surface."""

    def __init__(self, photo: PhotoProjection, surface: TriangleSurface):
        self.photo = photo
        self.to_frame = np.eye(4) if photo.to_frame is None else photo.to_frame
        self.turn = self.to_frame[:3, :3] / np.linalg.norm(self.to_frame[0, :3])
        self.scene = RayScene(self._to_frame(surface.vertices), surface.faces)
        # Distances inside the mask in box units at z = 0; a pixel that is half background is background.
        inside = np.pad(photo.alpha >= 0.5, 1, mode="constant" if photo.ends else "edge")
        self.alpha_edge = _distances(inside)[1:-1, 1:-1] * (VIEW_SPAN / photo.crop.side_px)
        self.depth_edge = self._distance_to_depth_edges()

    def _to_frame(self, points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P 3"]:
        return (points @ self.to_frame[:3, :3].T + self.to_frame[:3, 3]).astype(np.float32)

    def _distance_to_depth_edges(self) -> Float[np.ndarray, "D D"]:
        """Box units (at z = 0) from each pixel of a depth image to where one body part begins to hide another."""
        half = VIEW_SPAN / 2
        line = np.linspace(-half, half, _DEPTH_SIZE_PX, dtype=np.float32)
        x, y = np.meshgrid(line, line)
        cast = self.scene.first_hit if self.photo.side == "front" else self.scene.last_hit
        hits = cast(_CAMERA, np.stack([x, y, np.full_like(x, -CAMERA_DISTANCE)], axis=-1))
        depth = np.where(hits.hit, hits.distance, 2.0) * CAMERA_DISTANCE
        edge = np.zeros(depth.shape, dtype=bool)
        for axis in (0, 1):
            jump = np.abs(np.diff(depth, axis=axis)) > _DEPTH_JUMP
            edge |= np.pad(jump, [(0, 1) if a == axis else (0, 0) for a in (0, 1)])
            edge |= np.pad(jump, [(1, 0) if a == axis else (0, 0) for a in (0, 1)])
        return _distances(~edge) * (VIEW_SPAN / (_DEPTH_SIZE_PX - 1))

    def _pixels(self, points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P 2"]:
        """(row, column) of points of the photo's frame; pixel centres are whole numbers."""
        return self.photo.crop.to_px(project_ndc(torch.from_numpy(points)).numpy())[:, ::-1] - 0.5

    def _outside(self, pixels: Float[np.ndarray, "P 2"]) -> Bool[np.ndarray, "P"]:
        return np.any((pixels < 0) | (pixels > np.array(self.photo.alpha.shape) - 1), axis=1)

    def cosine(self, points: Float[np.ndarray, "P 3"], normals: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P"]:
        """Cosine between normal and view direction, toward the camera or, of a back, away from it."""
        cosine = ((normals @ self.turn.T) * normalize(_CAMERA - self._to_frame(points))).sum(axis=-1)
        return cosine if self.photo.side == "front" else -cosine

    def color(self, points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P 3"]:
        """Bilinear samples of the photo at its original resolution."""
        pixels = self._pixels(self._to_frame(points))
        return np.stack([bilinear(self.photo.rgb[..., c], pixels) for c in range(3)], axis=-1)

    def weight(
        self, points: Float[np.ndarray, "P 3"], normals: Float[np.ndarray, "P 3"]
    ) -> tuple[Float[np.ndarray, "P"], Float[np.ndarray, "P"]]:
        """Trust in the photo, from 0 (hidden, or background) to 1 (shown well), and the cosine of :meth:`cosine`."""
        cosine = self.cosine(points, normals).astype(np.float32)
        points, normals = self._to_frame(points), (normals @ self.turn.T).astype(np.float32)
        weight = _smoothstep(cosine, *_FADE_COSINE)
        facing = np.flatnonzero(weight > 0)
        points, normals = points[facing], normals[facing]
        pixels = self._pixels(points)
        trust = _smoothstep(bilinear(self.alpha_edge, pixels), *_FADE_EDGE)
        # project_ndc spans [-1, 1] over VIEW_SPAN, as does the depth image.
        across = points[:, :2] * (CAMERA_DISTANCE / (CAMERA_DISTANCE - points[:, 2:])) / VIEW_SPAN + 0.5
        trust *= _smoothstep(bilinear(self.depth_edge, across[:, ::-1] * (_DEPTH_SIZE_PX - 1)), *_FADE_EDGE)
        trust *= ~self._outside(pixels)
        shown = trust > 0
        lifted = points[shown] + 2e-3 * normals[shown]
        toward = _CAMERA if self.photo.side == "front" else lifted + (lifted - _CAMERA)
        trust[shown] *= ~self.scene.occluded(lifted, toward, offset=0.0)
        weight[facing] *= trust
        return weight, cosine


class PhotoViews:
    """Several photos projected onto one surface; the most trusted one counts most at each place."""

    def __init__(self, views: Sequence[PhotoView]):
        self.views = views

    def sample(
        self, points: Float[np.ndarray, "P 3"], normals: Float[np.ndarray, "P 3"]
    ) -> tuple[Float[np.ndarray, "P"], Float[np.ndarray, "P 3"]]:
        """Trust in the photos, as :meth:`PhotoView.weight`, and their color; 0 where no photo shows the point."""
        best = np.zeros(len(points), np.float32)
        shares, colors = np.zeros_like(best), np.zeros((len(points), 3), np.float32)
        for view in self.views:
            weight, cosine = view.weight(points, normals)
            shown = np.flatnonzero(weight > 0)
            share = (weight[shown] * cosine[shown]) ** _BLEND_POWER
            colors[shown] += share[:, None] * view.color(points[shown])
            shares[shown] += share
            best = np.maximum(best, weight)
        colors[shares > 0] /= shares[shares > 0, None]
        return best, colors


def _distances(inside: Bool[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    """Pixels from each pixel to the nearest one that is not ``inside``."""
    return np.asarray(scipy.ndimage.distance_transform_edt(inside), dtype=np.float32)


def normalize(vectors: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P 3"]:
    """Vectors at unit length."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _smoothstep(x: Float[np.ndarray, "P"], low: float, high: float) -> Float[np.ndarray, "P"]:
    t = np.clip((x - low) / (high - low), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)
