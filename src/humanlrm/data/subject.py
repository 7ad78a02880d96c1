"""A rendered person: photographs with their ground truth, and points in space. A shard record holds one."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int8, UInt8

from humanlrm.data.render.light import Light
from humanlrm.data.scan import Scan
from humanlrm.photo.crop import SubjectCrop


@dataclass(frozen=True)
class Layers:
    """The whole person along the rays of a square of a photograph: no border cuts it off, nothing stands in front.

    Attributes:
        front: sRGB where rays enter the person, in the photograph's light with cast shadows, over black.
        back: sRGB where rays leave the person, as seen from behind, lit as if lamps stood there as they stand in front,
            without cast shadows, over black.
        alpha: 255 where rays meet the person.
    """

    front: UInt8[np.ndarray, "H W 3"]
    back: UInt8[np.ndarray, "H W 3"]
    alpha: UInt8[np.ndarray, "H W"]


@dataclass(frozen=True)
class ViewRecord:
    """One photograph as the network gets it, and the truth in its frame (box units).

    The canonical camera of the frame sees depth, normals and target; the photograph's camera sees crop and layers.
    A map that the shard lacks is ``None``.

    Attributes:
        rgb, alpha, known: the square crop.
        depth: z where each pixel's ray enters and leaves the whole person; NaN where it misses.
        detected: landmarks of the detector and their visibility.
        landmarks: true landmarks; NaN where unknown.
        to_frame: similarity transform from the subject's coordinates (metres) to this frame.
        light: in subject coordinates; the same for all views.
        normal: unit normals of the surface that ``depth[0]`` shows, times 127; 0 where the ray misses.
        target: the whole person over black under ``light`` without cast shadows.
        layers: of the crop.
        head_layers: of the square around the head landmark, at ``1 / HEAD_SQUARE_SHARE`` times the resolution.
        detector_features: the detector's features at its landmarks (:class:`humanlrm.photo.blazepose.DetectedPose`).
    """

    rgb: UInt8[np.ndarray, "H W 3"]
    alpha: UInt8[np.ndarray, "H W"]
    known: UInt8[np.ndarray, "H W"]
    depth: Float[np.ndarray, "2 D D"]
    detected: Float[np.ndarray, "J 4"]
    landmarks: Float[np.ndarray, "J 3"]
    to_frame: Float[np.ndarray, "4 4"]
    light: Light
    normal: Int8[np.ndarray, "3 D D"] | None = None
    target: UInt8[np.ndarray, "D D 3"] | None = None
    layers: Layers | None = None
    head_layers: Layers | None = None
    detector_features: Float[np.ndarray, "J 2 C"] | None = None


@dataclass(frozen=True)
class PointSamples:
    """3D supervision of a subject, in its own coordinates (metres).

    The first two thirds of ``points`` are near the surface (deviation 1 or 4 cm), the rest fills the space around.
    """

    points: Float[np.ndarray, "P 3"]
    sdf: Float[np.ndarray, "P"]
    surface: Float[np.ndarray, "S 3"]
    normals: Int8[np.ndarray, "S 3"]
    albedo: UInt8[np.ndarray, "S 3"]


@dataclass(frozen=True)
class Subject:
    """A rendered scan."""

    scan: Scan
    views: list[ViewRecord]
    samples: PointSamples


def crop_arrays(crop: SubjectCrop) -> dict[str, Any]:
    """Pixels and detections of a crop as a :class:`ViewRecord` holds them."""
    rgb, alpha, known = (
        (pixels.numpy() * 255 + 0.5).astype(np.uint8)
        for pixels in (crop.rgb.permute(1, 2, 0), crop.alpha[0], crop.known[0])
    )
    detected, features = crop.landmarks.numpy(), crop.detector_features.numpy()
    return {
        "rgb": rgb,
        "alpha": alpha,
        "known": known,
        "detected": detected.astype(np.float32),
        "detector_features": features.astype(np.float16),
    }
