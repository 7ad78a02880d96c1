"""Photographs of several people at once, with the pixels of each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from humanlrm.camera import Cameras, look_at
from humanlrm.data.render.environment import Surroundings
from humanlrm.data.render.renderer import SceneRenderer
from humanlrm.data.scan import Scan
from humanlrm.mesh.raycast import pixel_rays


@dataclass(frozen=True)
class GroupPhoto:
    """A photograph of a group.

    Attributes:
        rgb: sRGB.
        owner: person whom each pixel shows, by number from 0; -1 for the backdrop.
    """

    rgb: UInt8[np.ndarray, "H W 3"]
    owner: Int[np.ndarray, "H W"]


def stand_in_row(scans: Sequence[Scan], yaws_rad: Sequence[float], overlap: float, step_back_m: float) -> list[Scan]:
    """Put people on one floor, side by side from left to right; their silhouettes overlap as seen from +Z.

    Args:
        yaws_rad: turn of each person about the vertical.
        overlap: shared width of two neighbours, as a share of the mean of their widths.
        step_back_m: how much farther from +Z every second person stands.
    """
    placed, edge_m, last_m = [], 0.0, 0.0
    for number, (scan, yaw) in enumerate(zip(scans, yaws_rad, strict=True)):
        turn = np.eye(4)
        turn[:3, :3] = [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]
        turned = scan.moved(turn)
        low, high = turned.vertices.min(0), turned.vertices.max(0)
        width_m = float(high[0] - low[0])
        start_m = edge_m - overlap * (width_m + last_m) / 2 if placed else 0.0
        place = np.eye(4)
        place[:3, 3] = [start_m - low[0], -low[1], -(low[2] + high[2]) / 2 - step_back_m * (number % 2)]
        placed.append(turned.moved(place))
        edge_m, last_m = start_m + width_m, width_m
    return placed


def photograph_group(
    people: Sequence[Scan],
    surroundings: Surroundings,
    rng: np.random.Generator,
    size_px: tuple[int, int] = (768, 768),
    share: float = 0.85,
) -> GroupPhoto:
    """Photograph people, given in one common world, from +Z at breast height.

    Args:
        size_px: height and width.
        share: share of the photo that the group takes at most, in each direction.
    """
    vertices = np.concatenate([scan.vertices for scan in people])
    low, high = vertices.min(0).astype(np.float64), vertices.max(0).astype(np.float64)
    middle, (height_px, width_px) = (low + high) / 2, size_px
    distance_m = 3.0 * max(high[0] - low[0], high[1] - low[1])
    focal_px = share * distance_m * min(width_px / (high[0] - low[0]), height_px / (high[1] - low[1]))
    K = torch.tensor([[focal_px, 0, width_px / 2], [0, focal_px, height_px / 2], [0, 0, 1.0]], dtype=torch.float64)
    eye = middle + np.array([0, 0.1, distance_m])
    camera = Cameras(K, look_at(torch.from_numpy(eye), torch.from_numpy(middle)), size_px)
    renderers = [SceneRenderer(scan) for scan in people]
    photo = renderers[0].photograph(camera, surroundings, rng, renderers[1:])
    return GroupPhoto(photo.rgb, owners(renderers, camera))


def owners(renderers: Sequence[SceneRenderer], camera: Cameras) -> Int[np.ndarray, "H W"]:
    """The nearest person in each pixel, by number; -1 where there is none."""
    origin, directions = pixel_rays(camera)
    depths: Float[np.ndarray, "N H W"] = np.stack(
        [renderer.scene.first_hit(origin, directions).distance for renderer in renderers]
    )
    return np.where(np.isfinite(depths).any(0), depths.argmin(0), -1)
