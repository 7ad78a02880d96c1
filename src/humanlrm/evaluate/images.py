"""Differences of two pictures: PSNR and SSIM over the person's box, a distance of features, silhouette IoU."""

import numpy as np
import torch
from jaxtyping import Bool, Float
from skimage.metrics import structural_similarity
from torch import Tensor

from humanlrm.camera import Cameras
from humanlrm.evaluate.case import ColoredSurface
from humanlrm.evaluate.renderer import BACKGROUND, Picture
from humanlrm.mesh.raycast import Hits, RayScene, pixel_rays
from humanlrm.mesh.surface import vertex_normals
from humanlrm.model.encoder import LiteEncoder

#: Space around the true silhouette's box, share of its longer side.
_MARGIN = 0.05
#: PSNR of equal pictures: no more than this, so that means stay finite.
_BEST_PSNR_DB = 60.0


def render(mesh: ColoredSurface, cameras: list[Cameras], normals: bool = False) -> list[Picture]:
    """Render unlit vertex colors (light is in them already), or normals in the camera's axes."""
    scene = RayScene(mesh.surface.vertices, mesh.surface.faces)
    return [_render(scene, _normal_colors(mesh, camera) if normals else mesh.colors, camera) for camera in cameras]


def _normal_colors(mesh: ColoredSurface, camera: Cameras) -> Float[np.ndarray, "V 3"]:
    axes = camera.w2c[:3, :3].numpy() * np.array([[1], [-1], [-1]], dtype=np.float32)
    return vertex_normals(mesh.surface) @ axes.T / 2 + 0.5


def _render(scene: RayScene, colors: Float[np.ndarray, "V 3"], camera: Cameras) -> Picture:
    hits = scene.first_hit(*pixel_rays(camera))
    hit = hits.hit
    rgb = np.full((*hit.shape, 3), BACKGROUND, np.float32)
    rgb[hit] = scene.interpolate(Hits(hits.face[hit], hits.barycentric[hit], hits.distance[hit]), colors)
    return Picture(rgb.clip(0, 1), hit)


def person_box(mask: Bool[np.ndarray, "S S"]) -> tuple[slice, slice]:
    """The box of the true silhouette and 5% around it; the whole picture if it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows) == 0:
        return slice(None), slice(None)
    grow = int(np.ceil(_MARGIN * max(np.ptp(rows), np.ptp(columns)))) + 1
    return tuple(slice(max(0, r[0] - grow), r[-1] + 1 + grow) for r in (rows, columns))  # pyright: ignore[reportReturnType]


def psnr_db(a: Float[np.ndarray, "H W 3"], b: Float[np.ndarray, "H W 3"]) -> float:
    """Peak signal-to-noise ratio of sRGB in [0, 1], decibels."""
    error = float(((a.astype(np.float64) - b) ** 2).mean())
    return float(min(_BEST_PSNR_DB, -10 * np.log10(max(error, 1e-12))))


def ssim(a: Float[np.ndarray, "H W 3"], b: Float[np.ndarray, "H W 3"]) -> float:
    """Structural similarity (Wang et al. 2004): Gaussian window of 1.5 px, mean over channels."""
    window: dict = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return float(np.asarray(structural_similarity(a, b, channel_axis=2, data_range=1.0, **window)))


def iou(a: Bool[np.ndarray, "S S"], b: Bool[np.ndarray, "S S"]) -> float:
    """Intersection over union; 1 if both are empty."""
    return float((a & b).sum() / (a | b).sum()) if (a | b).any() else 1.0


class FeatureDistance:
    """1 - cosine of the frozen EfficientNet-Lite0's features, mean over the person and over strides 2 to 32.

    It is related to LPIPS, but without learned weights: its numbers compare with nothing else.
    """

    def __init__(self) -> None:
        self.encoder = LiteEncoder().eval()

    @torch.no_grad()
    def features(self, pictures: list[Picture]) -> list[Float[Tensor, "N _ _ _"]]:
        """Unit features of each stride."""
        stacked = torch.from_numpy(np.stack([p.rgb for p in pictures])).permute(0, 3, 1, 2).contiguous()
        pyramid = self.encoder(stacked)
        strides = (pyramid.stride2, pyramid.stride4, pyramid.stride8, pyramid.stride16, pyramid.stride32)
        return [torch.nn.functional.normalize(level.float(), dim=1, eps=1e-6) for level in strides]

    def between(
        self, a: list[Float[Tensor, "N _ _ _"]], b: list[Float[Tensor, "N _ _ _"]], masks: list[Bool[np.ndarray, "S S"]]
    ) -> Float[np.ndarray, "N"]:
        """Distances of N pairs of pictures inside of their masks."""
        inside = torch.from_numpy(np.stack(masks)).float()[:, None]
        distances = []
        for x, y in zip(a, b, strict=True):
            weight = torch.nn.functional.adaptive_avg_pool2d(inside, (x.shape[-2], x.shape[-1]))[:, 0]
            distance = 1 - (x * y).sum(1)
            distances.append((distance * weight).sum((1, 2)) / weight.sum((1, 2)).clamp_min(1e-6))
        return torch.stack(distances).mean(0).numpy()
