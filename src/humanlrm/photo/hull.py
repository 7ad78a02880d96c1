"""Visual hull of calibrated photographs: the region that no mask excludes (Laurentini 1994), on a coarse lattice."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from humanlrm.camera import Cameras
from humanlrm.frame import SquareCrop, frame_axes
from humanlrm.photo.calibrated import CaptureView

#: Points of the lattice along a side, and the side in sizes of the person.
_LATTICE, _LATTICE_SIDE = 48, 1.4
#: Weight of "the person has one size in all views" against "all rays meet".
_SIZE_WEIGHT = 0.1
#: Half of a person's thickness where all cameras look along one line, in sizes of the person, and its growth with the
#: angle between the cameras.
_THICKNESS, _THICKNESS_GROWTH = 0.2, 1.6


def visual_hull(views: Sequence[CaptureView], name: str) -> Float[np.ndarray, "N 3"]:
    """Lattice points that no mask excludes (world units).

    Points beyond a photograph's border are excluded, too, unless the border cuts the mask there.

    Raises:
        ValueError: there are none, or fewer than two views; the message begins with ``name``.
    """
    if len(views) < 2:
        raise ValueError(f"{name}: {len(views)} views with a person in them; at least 2 are needed")
    eyes, rays, angles = (np.stack(part) for part in zip(*map(_mask_ray, views), strict=True))
    middle, depths = _meeting_point(eyes, rays, angles)
    size = (depths * angles).max()
    steps = (np.arange(_LATTICE) + 0.5) / _LATTICE - 0.5
    lattice = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    points = middle + size * _LATTICE_SIDE * lattice
    # Cameras that face each other see a hull that reaches from one to the other, most of it near the nearer camera.
    spread, axes = np.linalg.eigh(np.eye(3) - rays.T @ rays / len(rays))
    points = points[np.abs((points - middle) @ axes[:, 0]) < size * (_THICKNESS + _THICKNESS_GROWTH * spread[0])]
    for view in views:
        pixel, z = project_points(view.camera, points)
        # One pixel all around the photograph repeats the border: the person goes on beyond it, or does not.
        padded = np.pad(view.alpha > 127, 1, mode="edge")
        column, row = (np.floor(pixel).astype(int) + 1).T.clip(0, np.array(padded.shape)[::-1, None] - 1)
        points = points[padded[row, column] & (z > 0)]
    if len(points) == 0:
        raise ValueError(f"{name}: no place lies in all masks; are cameras and masks of the same views?")
    return points


def _meeting_point(
    eyes: Float[np.ndarray, "V 3"], rays: Float[np.ndarray, "V 3"], angles: Float[np.ndarray, "V"]
) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "V"]]:
    """The point nearest to all rays, and its depth along each.

    Rays of two cameras that face each other meet everywhere. There the constant size of the person decides: at half the
    angle it is twice as far away.
    """
    count = len(eyes)
    # Unknown: the point, the depth along each ray, and the size.
    meet, alike = np.zeros((3 * count, 4 + count)), np.zeros((count, 4 + count))
    for k in range(count):
        meet[3 * k : 3 * k + 3, :3] = -np.eye(3)
        meet[3 * k : 3 * k + 3, 3 + k] = rays[k]
        alike[k, 3 + k], alike[k, -1] = _SIZE_WEIGHT, -_SIZE_WEIGHT / angles[k]
    right = np.concatenate([-eyes.ravel(), np.zeros(count)])
    solution = np.linalg.lstsq(np.concatenate([meet, alike]), right, rcond=None)[0]
    return solution[:3], solution[3:-1]


def _mask_ray(view: CaptureView) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"], np.floating]:
    """The camera's position, the direction of the mask's middle, and the angle of the mask's longer side."""
    rows, columns = np.nonzero(view.alpha > 127)
    c2w, K = view.camera.c2w.numpy(), view.camera.K.numpy()
    ray = np.linalg.inv(K) @ np.array([columns.mean() + 0.5, rows.mean() + 0.5, 1.0])
    ray = c2w[:3, :3] @ ray
    side_px = max(np.ptp(rows), np.ptp(columns)) + 1
    return c2w[:3, 3], ray / np.linalg.norm(ray), side_px / K[0, 0]


def project_points(
    camera: Cameras, points: Float[np.ndarray, "N 3"]
) -> tuple[Float[np.ndarray, "N 2"], Float[np.ndarray, "N"]]:
    """Pixels and depths of world points; the pixels of points behind the camera mean nothing."""
    w2c = camera.w2c.numpy()
    image = (points @ w2c[:3, :3].T + w2c[:3, 3]) @ camera.K.numpy().T
    return image[:, :2] / np.where(image[:, 2:] > 0, image[:, 2:], 1), image[:, 2]


def middle_depth(camera: Cameras, crop: SquareCrop, hull: Float[np.ndarray, "N 3"]) -> float:
    """Depth along the crop's middle ray of the hull: (front + back) / 2, averaged over the pixels it covers."""
    pixel, _ = project_points(camera, hull)
    forward = -frame_axes(camera, crop)[2]
    depth = (hull - camera.c2w.numpy()[:3, 3]) @ forward
    # Cells of a few lattice steps: each holds points of all depths.
    cell: np.ndarray = np.floor(crop.to_ndc(pixel) * _LATTICE / 4).astype(int)
    _, cells = np.unique(cell, axis=0, return_inverse=True)
    cells = cells.ravel()
    front, back = np.full(cells.max() + 1, np.inf), np.full(cells.max() + 1, -np.inf)
    np.minimum.at(front, cells, depth)
    np.maximum.at(back, cells, depth)
    return float(((front + back) / 2).mean())
