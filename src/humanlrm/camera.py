"""Pinhole cameras, OpenCV convention: +X right, +Y down, +Z forward; ``K`` in pixels; pixel centres at +0.5."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

#: Turns OpenCV camera axes (x right, y down, z forward) into OpenGL's (x right, y up, z backward), and back.
_FLIP_YZ = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))

#: Rotation to +Y up of a world whose up axis is the key. +Z up turns about X, as all tools do it.
TO_Y_UP: dict[str, Float[np.ndarray, "3 3"]] = {
    "+y": np.eye(3),
    "-y": np.diag([1.0, -1.0, -1.0]),
    "+z": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "-z": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "+x": np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]),
    "-x": np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]]),
}


def rotation_about_y(angle_rad: float) -> Float[np.ndarray, "3 3"]:
    """Rotation that turns +Z toward +X."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


@dataclass(frozen=True)
class Cameras:
    """A batch of pinhole cameras.

    Attributes:
        K: intrinsics in pixels.
        w2c: rigid world-to-camera matrices.
        size_px: (height, width) of the images.
    """

    K: Float[Tensor, "*B 3 3"]
    w2c: Float[Tensor, "*B 4 4"]
    size_px: tuple[int, int]

    @property
    def c2w(self) -> Float[Tensor, "*B 4 4"]:
        rotation = self.w2c[..., :3, :3].transpose(-1, -2)
        out = torch.zeros_like(self.w2c)
        out[..., :3, :3] = rotation
        out[..., :3, 3:] = -rotation @ self.w2c[..., :3, 3:]
        out[..., 3, 3] = 1.0
        return out

    def project(self, points: Float[Tensor, "*B P 3"]) -> Float[Tensor, "*B P 3"]:
        """World points to (x px, y px, camera z). Points behind the camera keep their negative z."""
        camera = points @ self.w2c[..., :3, :3].transpose(-1, -2) + self.w2c[..., None, :3, 3]
        image = camera @ self.K.transpose(-1, -2)
        return torch.cat([image[..., :2] / image[..., 2:], camera[..., 2:]], dim=-1)


def to_opengl(w2c: Float[Tensor, "*B 4 4"]) -> Float[Tensor, "*B 4 4"]:
    """World-to-camera of the OpenCV convention to OpenGL's (camera looks along -Z, +Y up)."""
    return _FLIP_YZ.to(w2c) @ w2c


def from_opengl(w2c: Float[Tensor, "*B 4 4"]) -> Float[Tensor, "*B 4 4"]:
    """Inverse of :func:`to_opengl` (the flip is its own inverse)."""
    return to_opengl(w2c)


def look_at(
    eye: Float[Tensor, "*B 3"], target: Float[Tensor, "*B 3"], up: tuple[float, float, float] = (0.0, 1.0, 0.0)
) -> Float[Tensor, "*B 4 4"]:
    """World-to-camera matrix of a camera at ``eye`` that looks at ``target`` with ``up`` towards the image's top.

    Raises:
        ValueError: the viewing direction is parallel to ``up``.
    """
    forward = torch.nn.functional.normalize(target - eye, dim=-1)
    right = torch.linalg.cross(forward, torch.tensor(up, dtype=eye.dtype).expand_as(forward))
    if bool((right.norm(dim=-1) < 1e-6).any()):
        raise ValueError(f"look_at: the viewing direction is parallel to up={up}; give another up vector")
    right = torch.nn.functional.normalize(right, dim=-1)
    down = torch.linalg.cross(forward, right)
    rotation = torch.stack([right, down, forward], dim=-2)
    out = torch.zeros(*eye.shape[:-1], 4, 4, dtype=eye.dtype)
    out[..., :3, :3] = rotation
    out[..., :3, 3] = -(rotation @ eye[..., None])[..., 0]
    out[..., 3, 3] = 1.0
    return out
