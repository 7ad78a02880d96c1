"""Photos as projectors: what they show of a surface, and how far to trust that."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
import torch
from jaxtyping import Bool, Float

from humanlrm.body.mirror import Membership
from humanlrm.frame import CAMERA_DISTANCE, VIEW_SPAN, SquareCrop, project_ndc
from humanlrm.mesh.raycast import RayScene, bilinear
from humanlrm.mesh.surface import TriangleSurface

_EYE = np.array([0.0, 0.0, CAMERA_DISTANCE], dtype=np.float32)
#: The photo fades in between these cosines of normal and view direction (our choice; grazing pixels smear).
_FADE_COSINE = (0.15, 0.45)
#: ... and between these distances in box units from the silhouette and from depth edges (our choice: 3 to 12 mm).
_FADE_EDGE = (0.003, 0.013)
#: Side of the depth image in which occlusion edges are found; a jump above ``_DEPTH_JUMP`` units is one.
_DEPTH_SIZE_PX, _DEPTH_JUMP = 512, 0.03
#: Of several photos that show a place, weights are raised to this power: blended photos blur what a millimetre moves.
_SUREST = 4
#: Cosines of normal and view direction at which a surface runs along the rays, and no longer does (our choice).
_ALONG = (0.25, 0.6)
#: Cosines between which a surface begins to turn its back on a photo, and how calm a place can be (our choice).
_BACK, _CALM = (0.0, 0.3), 0.86
#: How far behind the surface that is seen a place lies that is another's, and how much farther from the limb of that
#: place than from its own the surface in front is, box units: at a hip trunk and leg are one (our choice).
_BEHIND, _ANOTHER = 0.01, 0.1


@dataclass(frozen=True)
class PhotoProjection:
    """What the baker reads from the input photo, at its original resolution.

    Attributes:
        rgb: sRGB in [0, 1].
        alpha: how much of each pixel is the person, in [0, 1].
        crop: the square of the photo that the box stands for.
        to_frame: similarity from the surface's box to the photo's own frame; ``None``: they are the same.
    """

    rgb: Float[np.ndarray, "H W 3"]
    alpha: Float[np.ndarray, "H W"]
    crop: SquareCrop
    to_frame: Float[np.ndarray, "4 4"] | None = None

    def __post_init__(self):
        if self.rgb.ndim != 3 or self.rgb.shape[2] != 3 or self.alpha.shape != self.rgb.shape[:2]:
            raise ValueError(
                f"Photo: expected rgb (H, W, 3) and alpha (H, W), got {self.rgb.shape}, {self.alpha.shape}"
            )


class PhotoView:
    """The photo as a projector: its colour at surface points, and how far to trust it there."""

    def __init__(self, photo: PhotoProjection, surface: TriangleSurface):
        self.photo = photo
        self.move = np.eye(4) if photo.to_frame is None else photo.to_frame
        self.turn = self.move[:3, :3] / np.linalg.norm(self.move[0, :3])
        self.scene = RayScene(self._moved(surface.vertices), surface.faces)
        # Distances inside the mask in box units at z = 0; a pixel that is half background is background. A person whom
        # the photo's border cuts off does not end there.
        inside = np.pad(photo.alpha >= 0.5, 1, mode="edge")
        self.alpha_edge = _distances(inside)[1:-1, 1:-1] * (VIEW_SPAN / photo.crop.side_px)
        self.depth_edge = self._distance_to_depth_edges()

    def _moved(self, points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P 3"]:
        return (points @ self.move[:3, :3].T + self.move[:3, 3]).astype(np.float32)

    def _distance_to_depth_edges(self) -> Float[np.ndarray, "D D"]:
        """Box units (at z = 0) from each pixel of a depth image to where one body part begins to hide another."""
        half = VIEW_SPAN / 2
        line = np.linspace(-half, half, _DEPTH_SIZE_PX, dtype=np.float32)
        x, y = np.meshgrid(line, line)
        hits = self.scene.first_hit(_EYE, np.stack([x, y, np.full_like(x, -CAMERA_DISTANCE)], axis=-1))
        depth = np.where(hits.hit, hits.distance, 2.0) * CAMERA_DISTANCE
        edge = np.zeros(depth.shape, dtype=bool)
        for axis in (0, 1):
            jump = np.abs(np.diff(depth, axis=axis)) > _DEPTH_JUMP
            edge |= np.pad(jump, [(0, 1) if a == axis else (0, 0) for a in (0, 1)])
            edge |= np.pad(jump, [(1, 0) if a == axis else (0, 0) for a in (0, 1)])
        return _distances(~edge) * (VIEW_SPAN / (_DEPTH_SIZE_PX - 1))

    def _pixels(self, points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P 2"]:
        """(row, column) in array coordinates, where pixel centres are integers."""
        return self.photo.crop.to_px(project_ndc(torch.from_numpy(points)).numpy())[:, ::-1] - 0.5

    def beyond(self, points: Float[np.ndarray, "P 3"]) -> Bool[np.ndarray, "P"]:
        """Whether points lie where the photo does not reach."""
        return self._beyond(self._pixels(self._moved(points)))

    def shows(self, points: Float[np.ndarray, "P 3"]) -> Bool[np.ndarray, "P"]:
        """Whether the photo shows the person where points are, though perhaps another side."""
        at = self._pixels(self._moved(points))
        return (bilinear(self.alpha_edge, at) > 0) & ~self._beyond(at)

    def covered(self, points: Float[np.ndarray, "P 3"], limbs: Float[np.ndarray, "P L"]) -> Bool[np.ndarray, "P"]:
        """Whether the photo shows another limb in front of the surface's vertices.

        Args:
            limbs: how far they are from each limb, box units; they belong to the nearest.
        """
        hits = self.scene.first_hit(_EYE, self._moved(points) - _EYE)
        nearest = np.take_along_axis(self.scene.faces[hits.face], hits.barycentric.argmax(-1)[:, None], axis=1)[:, 0]
        front, own = limbs[nearest], limbs.argmin(axis=1)
        apart = np.take_along_axis(front, own[:, None], axis=1)[:, 0] - front.min(axis=1)
        return (hits.distance < 1 - _BEHIND / CAMERA_DISTANCE) & (apart > _ANOTHER)

    def _beyond(self, at: Float[np.ndarray, "P 2"]) -> Bool[np.ndarray, "P"]:
        return np.any((at < 0) | (at > np.array(self.photo.alpha.shape) - 1), axis=1)

    def cosine(self, points: Float[np.ndarray, "P 3"], normals: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P"]:
        """Of normal and view direction."""
        return ((normals @ self.turn.T) * normalize(_EYE - self._moved(points))).sum(axis=-1)

    def color(self, points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P 3"]:
        """Bilinear samples of the photo at its original resolution."""
        at = self._pixels(self._moved(points))
        return np.stack([bilinear(self.photo.rgb[..., c], at) for c in range(3)], axis=-1)

    def weight(
        self, points: Float[np.ndarray, "P 3"], normals: Float[np.ndarray, "P 3"]
    ) -> tuple[Float[np.ndarray, "P"], Float[np.ndarray, "P"]]:
        """1 where the photo shows the point well, 0 where it does not see it or shows background; and the cosine of
        normal and view direction."""
        cosine = self.cosine(points, normals).astype(np.float32)
        points, normals = self._moved(points), (normals @ self.turn.T).astype(np.float32)
        weight = _smoothstep(cosine, *_FADE_COSINE)
        facing = np.flatnonzero(weight > 0)
        seen, at = points[facing], self._pixels(points[facing])
        trust = _smoothstep(bilinear(self.alpha_edge, at), *_FADE_EDGE)
        # project_ndc spans [-1, 1] over VIEW_SPAN, as does the depth image.
        across = seen[:, :2] * (CAMERA_DISTANCE / (CAMERA_DISTANCE - seen[:, 2:])) / VIEW_SPAN + 0.5
        trust *= _smoothstep(bilinear(self.depth_edge, across[:, ::-1] * (_DEPTH_SIZE_PX - 1)), *_FADE_EDGE)
        trust *= ~self._beyond(at)
        shown = trust > 0
        lifted = seen[shown] + 2e-3 * normals[facing[shown]]
        trust[shown] *= ~self.scene.occluded(lifted, _EYE, offset=0.0)
        weight[facing] *= trust
        return weight, cosine


class PhotoViews:
    """Several photos as one projector; of those that show a place the surest counts most."""

    def __init__(self, views: Sequence[PhotoView], calm: Membership | None = None):
        self.views, self.calm = views, calm

    def look(
        self, points: Float[np.ndarray, "P 3"], normals: Float[np.ndarray, "P 3"]
    ) -> tuple[Float[np.ndarray, "P"], Float[np.ndarray, "P 3"]]:
        """How far to trust the photos at surface points, as :meth:`PhotoView.weight`, and their colour there (0 where
        no photo shows the point)."""
        best = np.zeros(len(points), np.float32)
        shares, colors = np.zeros_like(best), np.zeros((len(points), 3), np.float32)
        for view in self.views:
            weight, cosine = view.weight(points, normals)
            shown = np.flatnonzero(weight > 0)
            share = (weight[shown] * cosine[shown]) ** _SUREST
            colors[shown] += share[:, None] * view.color(points[shown])
            shares[shown] += share
            best = np.maximum(best, weight)
        colors[shares > 0] /= shares[shares > 0, None]
        return best, colors

    def along(
        self, points: Float[np.ndarray, "P 3"], normals: Float[np.ndarray, "P 3"]
    ) -> tuple[Float[np.ndarray, "P"], Float[np.ndarray, "P"]]:
        """How much colours come from around: 1 where the surface runs along the rays of every photo, 0 where it faces
        one; where it turns its back on all of them as much as it is calm there. And how much it does turn its back."""
        cosines = np.stack([view.cosine(points, normals) for view in self.views])
        along = 1 - _smoothstep(np.abs(cosines).max(axis=0), *_ALONG)
        away = _smoothstep(-cosines.max(axis=0), *_BACK)
        return along if self.calm is None else np.maximum(along, _CALM * self.calm(points) * away), away

    def beyond(self, points: Float[np.ndarray, "P 3"]) -> Bool[np.ndarray, "P"]:
        """Whether no photo reaches points."""
        return np.logical_and.reduce([view.beyond(points) for view in self.views])

    def shows(self, points: Float[np.ndarray, "P 3"], limbs: Float[np.ndarray, "P L"]) -> Bool[np.ndarray, "P"]:
        """Whether any photo shows the person where the surface's vertices are, with no other limb in front
        (:meth:`PhotoView.covered`)."""
        return np.logical_or.reduce([view.shows(points) & ~view.covered(points, limbs) for view in self.views])


def _distances(inside: Bool[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    """Pixels from each pixel to the nearest one that is not ``inside``."""
    return np.asarray(scipy.ndimage.distance_transform_edt(inside), dtype=np.float32)


def normalize(vectors: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P 3"]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _smoothstep(x: Float[np.ndarray, "P"], low: float, high: float) -> Float[np.ndarray, "P"]:
    t = np.clip((x - low) / (high - low), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)
