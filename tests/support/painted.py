"""People who are painted from their landmarks: photos and shards of them take no time to make."""

from functools import cache

import numpy as np

from humanlrm.body.landmarks import BONE_RADII, BONES, COUNT, DETECTOR_FEATURE_CHANNELS, INDEX
from humanlrm.data.render.light import Light
from humanlrm.data.scan import Scan
from humanlrm.data.subject import PointSamples, Subject, ViewRecord
from humanlrm.photo.blazepose import DetectedPose
from humanlrm.photo.crop import SubjectCrop, assemble_crop

_SIDE = {
    "shoulder": (0.19, 0.62),
    "elbow": (0.36, 0.36),
    "wrist": (0.46, 0.12),
    "hand": (0.5, 0.04),
    "hip": (0.1, 0.05),
    "knee": (0.12, -0.4),
    "ankle": (0.13, -0.8),
    "toe": (0.17, -0.86),
}


def standing() -> np.ndarray:
    """(J, 2): x, y up, in units of a person who is 1.8 high."""
    points = np.zeros((COUNT, 2))
    for name, (x, y) in _SIDE.items():
        points[INDEX[f"left_{name}"]], points[INDEX[f"right_{name}"]] = (x, y), (-x, y)
    points[INDEX["neck"]], points[INDEX["head"]], points[INDEX["nose"]] = (0, 0.68), (0, 0.82), (0, 0.8)
    return points


@cache
def painted(size_px: int = 260) -> tuple[np.ndarray, np.ndarray, DetectedPose]:
    """A photo of somebody who stands in its middle, the mask, and the landmarks."""
    scale = size_px / 2.4
    points = standing() * [scale, -scale] + size_px / 2
    y, x = np.mgrid[:size_px, :size_px] + 0.5
    at = np.stack([x, y], axis=-1)
    mask = np.zeros((size_px, size_px), bool)
    for (a, b), radius in zip(points[BONES], BONE_RADII, strict=True):
        along = np.clip(((at - a) @ (b - a)) / max((b - a) @ (b - a), 1e-6), 0, 1)
        mask |= np.linalg.norm(at - a - along[..., None] * (b - a), axis=-1) < 1.1 * radius * scale
    rgb = np.where(mask[..., None], np.uint8([200, 120, 60]), np.uint8([40, 60, 200]))
    landmarks = np.column_stack([points, np.zeros(COUNT), np.full(COUNT, 0.9)])
    alpha = mask.astype(np.float32)
    return rgb, alpha, DetectedPose(landmarks, alpha, 1.0, np.zeros((COUNT, 2, DETECTOR_FEATURE_CHANNELS), np.float32))


def whole(size_px: int = 64) -> SubjectCrop:
    return assemble_crop(*painted(), size_px)


def cut_at(share: float, size_px: int = 64) -> SubjectCrop:
    """The photo ends at ``share`` of its height; the landmarks beyond are still guessed."""
    rgb, alpha, pose = painted()
    rows = int(share * len(rgb))
    return assemble_crop(rgb[:rows], alpha[:rows], pose, size_px)


def behind_a_box(size_px: int = 64) -> SubjectCrop:
    """Something stands in front of chest and belly."""
    rgb, alpha, pose = painted()
    rgb, alpha = rgb.copy(), alpha.copy()
    alpha[70:135, 90:170] = 0
    rgb[70:135, 90:170] = 255
    return assemble_crop(rgb, alpha, pose, size_px)


def subject(seed: int, views: int = 3, side: int = 64) -> Subject:
    """A subject as a shard holds it; its photos differ, its 3D samples mean nothing."""
    rng = np.random.default_rng(seed)
    crop = whole(side)
    alpha = (crop.alpha[0].numpy() * 255).astype(np.uint8)
    light = Light(np.ones(3, np.float32), np.zeros((1, 3), np.float32), np.zeros((1, 3), np.float32))
    records = []
    for view in range(views):
        depth = np.where(alpha > 127, np.float32(0.1), np.float32(np.nan))
        records.append(
            ViewRecord(
                rgb=_spotted(rng, side),
                alpha=alpha,
                known=np.full((side, side), 255, np.uint8),
                depth=np.stack([depth, -depth]),
                detected=crop.landmarks.numpy(),
                landmarks=crop.landmarks[:, :3].numpy(),
                to_frame=_turned(2.1 * view, 0.9 + 0.1 * view),
                light=light,
                target=_spotted(rng, side),
            )
        )
    points = rng.uniform(-1, 1, (30, 3)).astype(np.float32)
    normals, albedo = np.zeros((30, 3), np.int8), np.zeros((30, 3), np.uint8)
    samples = PointSamples(points, np.linalg.norm(points, axis=1), points, normals, albedo)
    triangle = np.eye(3, dtype=np.float32), np.array([[0, 1, 2]])
    uv = np.zeros((3, 2), np.float32), np.array([[0, 1, 2]])
    scan = Scan(f"painted-{seed}", "test", "CC0-1.0", *triangle, *uv, np.zeros((2, 2, 3), np.uint8))
    return Subject(scan, records, samples)


def _turned(yaw_rad: float, scale: float) -> np.ndarray:
    matrix = np.eye(4, dtype=np.float32)
    sine, cosine = np.sin(yaw_rad), np.cos(yaw_rad)
    matrix[:3, :3] = scale * np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    matrix[:3, 3] = 0.05 * yaw_rad
    return matrix


def _spotted(rng: np.random.Generator, side: int) -> np.ndarray:
    coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((side // 4, side // 4, 1), np.uint8))
