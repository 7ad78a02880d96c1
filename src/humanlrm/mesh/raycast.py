"""Rays against a triangle mesh (Intel Embree), in float32: a million take 0.2 s on one core. Look-ups in images."""

from functools import cached_property
from typing import NamedTuple

import embreex.rtcore_scene
import numpy as np
import torch
from embreex.mesh_construction import TriangleMesh
from jaxtyping import Bool, Float, Int
from scipy.ndimage import map_coordinates

from humanlrm.camera import Cameras


class Hits(NamedTuple):
    """Hits of rays on a mesh; it unpacks as ``face, barycentric, distance``.

    Attributes:
        face: index of the face, -1 where the ray misses.
        barycentric: weights of the face's three vertices (they sum to 1; zeros where the ray misses).
        distance: from the origin in units of the direction's length, inf where the ray misses.
    """

    face: Int[np.ndarray, "*R"]
    barycentric: Float[np.ndarray, "*R 3"]
    distance: Float[np.ndarray, "*R"]

    @property
    def hit(self) -> Bool[np.ndarray, "*R"]:
        return self.face >= 0


class RayScene:
    """A mesh that answers ray queries.

    Args:
        vertices: positions, any unit.
        faces: vertex indices.

    Raises:
        ValueError: the arrays are not "V 3" and "F 3", a mesh without faces, or indices beyond the vertices.
    """

    def __init__(self, vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]):
        vertices = np.ascontiguousarray(vertices, dtype=np.float32)
        faces = np.ascontiguousarray(faces, dtype=np.int32)
        if vertices.ndim != 2 or vertices.shape[1] != 3 or faces.ndim != 2 or faces.shape[1] != 3 or len(faces) == 0:
            raise ValueError(
                f"RayScene: expected vertices (V, 3) and faces (F > 0, 3), got {vertices.shape} and {faces.shape}"
            )
        # Embree reads out of bounds without complaint, so the check belongs here.
        if faces.min() < 0 or faces.max() >= len(vertices):
            raise ValueError(
                f"RayScene: face indices span [{faces.min()}, {faces.max()}] but there are {len(vertices)} vertices"
            )
        self.vertices, self.faces = vertices, faces
        # robust: no ray slips through the edge between two triangles, which would be a hole in depth maps and textures.
        self._scene = embreex.rtcore_scene.EmbreeScene(robust=True)
        TriangleMesh(self._scene, vertices, faces)

    def first_hit(self, origins: Float[np.ndarray, "*#R 3"], directions: Float[np.ndarray, "*R 3"]) -> Hits:
        """First surface along each ray; ``origins`` may be one point for all ``directions``. Back sides count too."""
        shape = np.shape(directions)[:-1]
        hits = self._scene.run(*_flat_rays(origins, directions), query="INTERSECT", output=True)
        face, u, v = hits["primID"], hits["u"], hits["v"]
        miss = face < 0
        barycentric = np.stack([1 - u - v, u, v], axis=-1)
        barycentric[miss] = 0.0
        distance = np.where(miss, np.float32(np.inf), hits["tfar"])
        return Hits(face.reshape(shape), barycentric.reshape(*shape, 3), distance.reshape(shape))

    def last_hit(self, origins: Float[np.ndarray, "*#R 3"], directions: Float[np.ndarray, "*R 3"]) -> Hits:
        """Last surface along each ray: the first one seen by a ray that comes back from beyond the mesh."""
        directions = np.asarray(directions, dtype=np.float32)
        origins = np.broadcast_to(np.asarray(origins, dtype=np.float32), directions.shape)
        center, radius = self._bounding_sphere
        length = np.linalg.norm(directions, axis=-1)
        beyond = (1.01 * (np.linalg.norm(origins - center, axis=-1) + radius) / length).astype(np.float32)
        face, barycentric, back = self.first_hit(origins + beyond[..., None] * directions, -directions)
        distance = beyond - back
        # A surface behind the origin is not along the ray.
        miss = (face < 0) | (distance < 0)
        return Hits(
            np.where(miss, -1, face),
            np.where(miss[..., None], 0, barycentric),
            np.where(miss, np.float32(np.inf), distance),
        )

    @cached_property
    def _bounding_sphere(self) -> tuple[Float[np.ndarray, "3"], float]:
        """Centre and radius."""
        center = (self.vertices.min(0) + self.vertices.max(0)) / 2
        return center, float(np.linalg.norm(self.vertices - center, axis=-1).max())

    def occluded(
        self, points: Float[np.ndarray, "*P 3"], toward: Float[np.ndarray, "*#P 3"], offset: float = 1e-3
    ) -> Bool[np.ndarray, "*P"]:
        """True where the mesh stands between a point and the position ``toward`` (one for all, or one per point).

        Rays start at a distance ``offset`` from the point (the mesh's unit), so that a surface does not hide itself.
        """
        points = np.asarray(points, dtype=np.float32)
        path = np.asarray(toward, dtype=np.float32) - points
        length = np.linalg.norm(path, axis=-1)
        direction = path / np.maximum(length, 1e-12)[..., None]
        origins, directions = _flat_rays(points + offset * direction, direction)
        reach = np.maximum(length - offset, 0).reshape(-1).astype(np.float32)
        blocked = self._scene.run(origins, directions, reach, query="OCCLUDED") >= 0
        return blocked.reshape(points.shape[:-1])

    def escapes(
        self, origins: Float[np.ndarray, "*#R 3"], directions: Float[np.ndarray, "*R 3"]
    ) -> Bool[np.ndarray, "*R"]:
        """True where a ray never meets the mesh, however far it goes."""
        blocked = self._scene.run(*_flat_rays(origins, directions), query="OCCLUDED") >= 0
        return ~blocked.reshape(np.shape(directions)[:-1])

    def image_window(self, camera: Cameras) -> tuple[slice, slice]:
        """Rows and columns of a picture that hold the projection of the mesh's bounding box, and so the mesh."""
        low, high = self.vertices.min(0), self.vertices.max(0)
        corner = np.array(np.meshgrid(*np.stack([low, high], axis=1))).reshape(3, 8).T
        double = Cameras(camera.K.double(), camera.w2c.double(), camera.size_px)
        projected = double.project(torch.from_numpy(corner).double()).numpy()
        height, width = camera.size_px
        if projected[:, 2].min() <= 0:
            # A part of the box is behind the camera.
            return slice(0, height), slice(0, width)
        (left, top), (right, bottom) = np.floor(projected[:, :2].min(0)), np.ceil(projected[:, :2].max(0))
        rows, columns = np.clip([top, bottom], 0, height), np.clip([left, right], 0, width)
        return slice(int(rows[0]), int(rows[1])), slice(int(columns[0]), int(columns[1]))

    def interpolate(self, hits: Hits, per_vertex: Float[np.ndarray, "V C"]) -> Float[np.ndarray, "*R C"]:
        """A quantity given per vertex at the hit points (zeros where a ray misses)."""
        return np.einsum("...k,...kc->...c", hits.barycentric, per_vertex[self.faces[hits.face]])


def pixel_rays(camera: Cameras) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "H W 3"]]:
    """World origin and directions of the rays through one camera's pixel centres.

    Directions have camera z 1 (not unit length), so that a hit's ``distance`` is its depth.

    Raises:
        ValueError: a batch of cameras was given.
    """
    if camera.K.ndim != 2:
        raise ValueError(
            f"pixel_rays: expected one camera with K (3, 3), got K {tuple(camera.K.shape)}; index the batch"
        )
    height, width = camera.size_px
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    pixels = np.stack([x, y, np.ones_like(x)], axis=-1)
    c2w = camera.c2w.double().numpy()
    to_world = c2w[:3, :3] @ np.linalg.inv(camera.K.double().numpy())
    return c2w[:3, 3].astype(np.float32), (pixels @ to_world.T).astype(np.float32)


def bilinear(image: Float[np.ndarray, "H W"], pixels: Float[np.ndarray, "*P 2"]) -> Float[np.ndarray, "*P"]:
    """Values of an image at (row, column); pixel centres are whole numbers; the border's values go on outside."""
    return map_coordinates(image, np.moveaxis(pixels, -1, 0), order=1, mode="nearest", output=np.float32)


def _flat_rays(
    origins: Float[np.ndarray, "*#R 3"], directions: Float[np.ndarray, "*R 3"]
) -> tuple[Float[np.ndarray, "N 3"], Float[np.ndarray, "N 3"]]:
    """Contiguous float32 rows, as embreex wants them."""
    directions = np.asarray(directions, dtype=np.float32)
    origins = np.broadcast_to(np.asarray(origins, dtype=np.float32), directions.shape)
    return np.ascontiguousarray(origins.reshape(-1, 3)), np.ascontiguousarray(directions.reshape(-1, 3))
