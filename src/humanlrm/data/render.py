"""A scan becomes training data: photographs of it, what the detector says of them, and the truth in their frames."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int8, UInt8
from PIL import Image

from humanlrm.camera import Cameras, look_at
from humanlrm.data.light import Light, random_light
from humanlrm.data.scan import Scan
from humanlrm.data.solid import outer_faces, signed_distance
from humanlrm.frame import CAMERA_DISTANCE, SUBJECT_SPAN, VIEW_SPAN, SquareCrop, canonical_camera
from humanlrm.matting import PoseDetector, main_part, refine_mask
from humanlrm.mesh.raycast import RayScene, pixel_rays
from humanlrm.subject import SubjectCrop, assemble_crop

PHOTO_PX = 384


@dataclass(frozen=True)
class RenderSettings:
    """What is rendered per subject.

    Attributes:
        views: photographs, spread over the circle.
        image_px: side of the square input crop.
        depth_px: side of the front and back depth maps.
        points: signed distance samples; a third as many surface samples.
        cropped: share of photographs whose border cuts the person off.
        own_mask: share of photographs that come with an exact mask (a cut-out); the others get the detector's.
    """

    views: int = 4
    image_px: int = 256
    depth_px: int = 128
    points: int = 18000
    cropped: float = 0.2
    own_mask: float = 0.4


@dataclass(frozen=True)
class ViewRecord:
    """One photograph as the network gets it, and the truth in its frame (box units).

    Attributes:
        rgb, alpha, known: the square crop.
        depth: z where each pixel's ray enters and leaves the whole person; NaN where it misses.
        detected: landmarks of the detector and their visibility.
        landmarks: true landmarks.
        to_frame: similarity transform from the subject's coordinates (metres) to this frame.
        light: in subject coordinates.
    """

    rgb: UInt8[np.ndarray, "H W 3"]
    alpha: UInt8[np.ndarray, "H W"]
    known: UInt8[np.ndarray, "H W"]
    depth: Float[np.ndarray, "2 D D"]
    detected: Float[np.ndarray, "J 4"]
    landmarks: Float[np.ndarray, "J 3"]
    to_frame: Float[np.ndarray, "4 4"]
    light: Light


@dataclass(frozen=True)
class Samples:
    """3D supervision of a subject, in its own coordinates (metres).

    The first two thirds of ``points`` are near the surface (1 and 4 cm), the rest fills the space around.
    """

    points: Float[np.ndarray, "P 3"]
    sdf: Float[np.ndarray, "P"]
    surface: Float[np.ndarray, "S 3"]
    normals: Int8[np.ndarray, "S 3"]
    albedo: UInt8[np.ndarray, "S 3"]


@dataclass(frozen=True)
class Subject:
    """A rendered scan: what a shard holds."""

    scan: Scan
    views: list[ViewRecord]
    samples: Samples


class Studio:
    """Renders one scan; keeps its ray scene and normals.

    Raises:
        ValueError: the scan has no landmarks.
    """

    def __init__(self, scan: Scan) -> None:
        if scan.landmarks is None:
            raise ValueError(f"scan {scan.id}: training data needs true landmarks, this scan has none")
        self.scan = scan
        self.scene = RayScene(scan.vertices, scan.faces)
        self.normals = vertex_normals(scan.vertices, scan.faces)
        self.center = (scan.vertices.min(0) + scan.vertices.max(0)) / 2

    def photograph(
        self, camera: Cameras, light: Light, rng: np.random.Generator
    ) -> tuple[UInt8[np.ndarray, "H W 3"], Float[np.ndarray, "H W"], Float[np.ndarray, "H W 3"]]:
        """sRGB before a random background, alpha, and hit points (NaN on the background)."""
        origin, directions = pixel_rays(camera)
        hits = self.scene.first_hit(origin, directions)
        hit = hits.hit
        normals = np.einsum("nk,nkc->nc", hits.barycentric[hit], self.normals[self.scan.faces[hits.face[hit]]])
        normals /= np.linalg.norm(normals, axis=-1, keepdims=True) + 1e-9
        # Clothes and wigs may be single sheets: the side that is seen is the side that is lit.
        normals *= np.where((normals * directions[hit]).sum(-1, keepdims=True) > 0.2, -1, 1)
        colour = self.colour(hits.face[hit], hits.barycentric[hit])
        picture = background(rng, hit.shape)
        picture[hit] = light.on(colour, normals)
        where = np.full((*hit.shape, 3), np.nan, dtype=np.float32)
        where[hit] = origin + directions[hit] * hits.distance[hit][:, None]
        return (picture * 255 + 0.5).astype(np.uint8), hit.astype(np.float32), where

    def colour(self, face: np.ndarray, barycentric: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P 3"]:
        """sRGB albedo at points of faces: the nearest texel."""
        scan = self.scan
        uv = np.einsum("pk,pkc->pc", barycentric, scan.uv[scan.uv_faces[face]])
        height, width = scan.texture.shape[:2]
        column = np.clip((uv[:, 0] * width).astype(int), 0, width - 1)
        row = np.clip(((1 - uv[:, 1]) * height).astype(int), 0, height - 1)
        return scan.texture[row, column].astype(np.float32) / 255

    def sample(self, count: int, rng: np.random.Generator) -> Samples:
        """Samples of the outer surface, and signed distances to it (``solid.py``)."""
        scan, surface_count = self.scan, count // 3
        outer = outer_faces(scan)
        corner = scan.vertices[scan.faces]
        area = np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1)
        face = rng.choice(len(scan.faces), count // 3 * 2, p=outer * area / (outer * area).sum())
        barycentric = rng.dirichlet([1, 1, 1], len(face)).astype(np.float32)
        on = np.einsum("pk,pkc->pc", barycentric, corner[face])
        points = np.concatenate([_near(on, rng), _around(scan.vertices, count - len(on), rng)]).astype(np.float16)
        sdf = signed_distance(points, scan, outer)
        keep = slice(0, surface_count)
        normals = np.einsum("pk,pkc->pc", barycentric[keep], self.normals[scan.faces[face[keep]]])
        normals /= np.linalg.norm(normals, axis=-1, keepdims=True) + 1e-9
        albedo = self.colour(face[keep], barycentric[keep])
        return Samples(
            points,
            sdf,
            on[keep].astype(np.float16),
            (normals * 127).astype(np.int8),
            (albedo * 255 + 0.5).astype(np.uint8),
        )


def _near(surface: Float[np.ndarray, "P 3"], rng: np.random.Generator) -> Float[np.ndarray, "P 3"]:
    spread_m = rng.choice([0.01, 0.04], size=(len(surface), 1))
    return surface + rng.normal(size=surface.shape) * spread_m


def _around(vertices: Float[np.ndarray, "V 3"], count: int, rng: np.random.Generator) -> Float[np.ndarray, "P 3"]:
    """Half uniform in a cube that holds every view's box, half within a few decimetres of the body."""
    low, high = vertices.min(0), vertices.max(0)
    half = (high - low).max() * 0.5 * 1.3
    uniform = (low + high) / 2 + rng.uniform(-half, half, size=(count - count // 2, 3))
    close = vertices[rng.integers(len(vertices), size=count // 2)] + rng.normal(0, 0.15, size=(count // 2, 3))
    return np.concatenate([uniform, close])


def vertex_normals(vertices: Float[np.ndarray, "V 3"], faces: np.ndarray) -> Float[np.ndarray, "V 3"]:
    """Area-weighted unit normals."""
    corner = vertices[faces]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    out = np.stack(
        [sum(np.bincount(faces[:, k], normal[:, c], len(vertices)) for k in range(3)) for c in range(3)], axis=1
    )
    return (out / (np.linalg.norm(out, axis=1, keepdims=True) + 1e-12)).astype(np.float32)


def background(rng: np.random.Generator, shape: tuple[int, int]) -> Float[np.ndarray, "H W 3"]:
    """Soft blobs of random colours with some grain (our choice)."""
    cells = int(rng.integers(2, 9))
    coarse = rng.uniform(0, 1, size=(cells, cells, 3)) * rng.uniform(0.2, 1) + rng.uniform(0, 0.4)
    smooth = np.asarray(
        Image.fromarray((coarse.clip(0, 1) * 255).astype(np.uint8)).resize(
            (shape[1], shape[0]), Image.Resampling.BICUBIC
        )
    ) / np.float32(255)
    grain = rng.standard_normal((*shape, 1), dtype=np.float32) * np.float32(rng.uniform(0, 0.05))
    return np.clip(smooth + grain, 0, 1)


def photo_camera(studio: Studio, yaw_rad: float, cropped: bool, rng: np.random.Generator) -> Cameras:
    """A hand-held camera at about the canonical distance, the person a little off the centre.

    A cropped photograph shows the upper part of the person (a half body) or cuts a side off.
    """
    pitch = float(np.clip(rng.normal(0.03, 0.12), -0.35, 0.5))
    toward = np.array([np.sin(yaw_rad) * np.cos(pitch), np.sin(pitch), np.cos(yaw_rad) * np.cos(pitch)])
    right, up = np.array([np.cos(yaw_rad), 0, -np.sin(yaw_rad)]), np.array([0.0, 1.0, 0.0])
    relative = studio.scan.vertices - studio.center
    wide, tall = np.ptp(relative @ right), np.ptp(relative @ up)
    extent = max(wide, tall)
    distance = CAMERA_DISTANCE * extent / SUBJECT_SPAN * np.exp(rng.normal(0, 0.1))
    share = rng.uniform(0.62, 0.92)
    target = studio.center + right * rng.normal(0, 0.04) * extent + up * rng.normal(0, 0.03) * extent
    if cropped:
        shown = rng.uniform(0.45, 0.88)
        share = 0.9 / shown
        side = rng.choice([0, 0, 0, 0.6, -0.6])
        target = studio.center + up * (1 - shown) * 0.5 * tall * (side == 0) + right * (1 - shown) * 0.5 * wide * side
    eye = torch.from_numpy(target + toward * distance)
    focal_px = share * PHOTO_PX * distance / extent
    K = torch.tensor([[focal_px, 0, PHOTO_PX / 2], [0, focal_px, PHOTO_PX / 2], [0, 0, 1.0]], dtype=torch.float64)
    tilt = rng.normal(0, 0.03)
    return Cameras(K, look_at(eye, torch.from_numpy(target), tuple(up + right * np.sin(tilt))), (PHOTO_PX, PHOTO_PX))


def sample_frame(
    scene: RayScene, camera: Cameras, crop: SquareCrop, seen: Float[np.ndarray, "N 3"]
) -> Float[np.ndarray, "4 4"]:
    """World (metres) to the sample's frame (box units) of a crop of a photograph.

    The frame looks along the ray through the crop's centre; its origin lies on that ray where the middle of the person
    is: the average of (front + back depth)/2 over the mask, given the visible surface points ``seen``.
    """
    c2w = camera.c2w.numpy()
    eye, rotation = c2w[:3, 3], c2w[:3, :3]
    focal_px = float(camera.K[0, 0])
    ray = np.array([*(np.array(crop.center_px) - camera.K[:2, 2].numpy()) / focal_px, 1.0])
    forward = rotation @ (ray / np.linalg.norm(ray))
    up = -rotation[:, 1] - forward * (-rotation[:, 1] @ forward)
    up /= np.linalg.norm(up)
    axes = np.stack([np.cross(forward, up), up, -forward])
    hits = scene.last_hit(eye.astype(np.float32), (seen - eye).astype(np.float32))
    seen, last = seen[hits.hit], hits.distance[hits.hit][:, None]
    if len(seen) == 0:
        raise ValueError("sample_frame: no ray through the mask meets the person")
    front, back = (seen - eye) @ forward, (last * (seen - eye)) @ forward
    depth = float(np.mean((front + back) / 2))
    unit_m = crop.side_px * depth / (focal_px * np.linalg.norm(ray)) / VIEW_SPAN
    out = np.eye(4)
    out[:3, :3] = axes / unit_m
    out[:3, 3] = -out[:3, :3] @ (eye + depth * forward)
    return out


def shoot(
    studio: Studio,
    detector: PoseDetector,
    yaw_rad: float,
    rng: np.random.Generator,
    cropped: bool = False,
    own_mask: bool = True,
    image_px: int = 256,
) -> tuple[SubjectCrop, Float[np.ndarray, "4 4"], Light]:
    """One photograph: what the network is shown of it, the transform from metres to its frame, its light.

    Args:
        cropped: the photo's border cuts the person off.
        own_mask: the exact mask, as of a cut-out; otherwise the detector's.
    """
    camera, light = photo_camera(studio, yaw_rad, cropped, rng), random_light(rng)
    rgb, alpha, where = studio.photograph(camera, light, rng)
    pose = detector.best(rgb)
    mask = alpha
    if pose is not None and not own_mask:
        found = main_part(refine_mask(rgb, pose.mask))
        # A mask of something else (the detector was wrong about the background) would teach nonsense.
        mask = found if _iou(found > 0.5, alpha > 0.5) > 0.6 else alpha
    crop = assemble_crop(rgb, mask, pose, image_px)
    return crop, sample_frame(studio.scene, camera, crop.crop, where[alpha > 0.5][::7]), light


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def depth_maps(
    scene: RayScene, to_frame: Float[np.ndarray, "4 4"], size_px: int
) -> Float[np.ndarray, "2 size_px size_px"]:
    """z in box units where the rays of the canonical camera enter and leave the person; NaN where they miss.

    The rays go to the scene, not the scene to the rays: distances along rays of camera z 1 stay the same under the
    similarity, and building a ray scene costs more than casting into it.
    """
    origin, directions = pixel_rays(canonical_camera(size_px))
    back = np.linalg.inv(to_frame)
    origin, directions = origin @ back[:3, :3].T + back[:3, 3], directions @ back[:3, :3].T
    found = [cast(origin, directions).distance for cast in (scene.first_hit, scene.last_hit)]
    return np.stack([np.where(np.isinf(t), np.nan, CAMERA_DISTANCE - t) for t in found])


def _record(
    studio: Studio, crop: SubjectCrop, to_frame: Float[np.ndarray, "4 4"], light: Light, settings: RenderSettings
) -> ViewRecord:
    depth = depth_maps(studio.scene, to_frame, settings.depth_px)
    landmarks = studio.scan.moved(to_frame).landmarks
    to_u8 = lambda x: (x.numpy() * 255 + 0.5).astype(np.uint8)  # noqa: E731
    assert landmarks is not None
    return ViewRecord(
        rgb=to_u8(crop.rgb.permute(1, 2, 0)),
        alpha=to_u8(crop.alpha[0]),
        known=to_u8(crop.known[0]),
        depth=depth.astype(np.float16),
        detected=crop.landmarks.numpy().astype(np.float32),
        landmarks=landmarks.astype(np.float32),
        to_frame=to_frame.astype(np.float32),
        light=light,
    )


def render_subject(scan: Scan, detector: PoseDetector, settings: RenderSettings, seed: int) -> Subject:
    """Photographs from all around and 3D samples of one scan; deterministic in ``seed``."""
    rng = np.random.default_rng([seed, 7])
    studio = Studio(scan)
    first = rng.uniform(0, 2 * np.pi)
    yaws = [first + 2 * np.pi * k / settings.views + rng.normal(0, 0.15) for k in range(settings.views)]
    views = []
    for yaw in yaws:
        cropped, own_mask = rng.random() < settings.cropped, rng.random() < settings.own_mask
        views.append(
            _record(studio, *shoot(studio, detector, yaw, rng, cropped, own_mask, settings.image_px), settings)
        )
    return Subject(scan, views, studio.sample(settings.points, rng))
