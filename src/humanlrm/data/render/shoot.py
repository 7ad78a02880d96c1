"""A scan becomes training data: photographs of it, what the detector says of them, and the truth in their frames."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int8, UInt8
from scipy.spatial import KDTree

from humanlrm.body.landmarks import COUNT
from humanlrm.camera import Cameras
from humanlrm.data.render.camera_sampling import photo_camera
from humanlrm.data.render.environment import Environment, Surroundings, random_surroundings
from humanlrm.data.render.light import Light, random_light
from humanlrm.data.render.occluders import held, in_front
from humanlrm.data.render.renderer import RenderedPhoto, SceneRenderer, Solid
from humanlrm.data.render.solid import SolidScan
from humanlrm.data.scan import Scan
from humanlrm.data.settings import RenderSettings
from humanlrm.frame import CAMERA_DISTANCE, SquareCrop, canonical_camera, crop_camera, crop_frame, frame_axes
from humanlrm.mesh.raycast import RayScene, pixel_rays
from humanlrm.mesh.surface import face_normals
from humanlrm.photo.blazepose import DetectedPose, PoseDetector
from humanlrm.photo.crop import SubjectCrop, assemble_crop
from humanlrm.photo.matte import keep_main_part, refine_mask

__all__ = [
    "PointSamples",
    "RenderSettings",
    "SceneRenderer",
    "Subject",
    "ViewRecord",
    "depth_maps",
    "render_subject",
    "sample_frame",
    "shoot",
]

#: A photograph that shows less than this of the person comes with the picture of all of it.
_WHOLE = 0.985
#: Field of view of a plain photograph (:func:`shoot`): about that of the canonical camera.
_PLAIN_FOV_DEG = (26.0, 34.0)
#: Points that are asked on which side of the surface they are, and how clearly they must say "inside" (our choice).
_ASKED, _INWARD = 8, 0.3


@dataclass(frozen=True)
class ViewRecord:
    """One photograph as the network gets it, and the truth in its frame (box units).

    Depth, normals and target are seen by the canonical camera of the frame, the others by the photograph's camera.
    What shards of older versions lack is ``None``.

    Attributes:
        rgb, alpha, known: the square crop.
        depth: z where each pixel's ray enters and leaves the whole person; NaN where it misses.
        detected: landmarks of the detector and their visibility.
        detector_features: the detector's features at them (``matting.DetectedPose.detector_features``).
        landmarks: true landmarks; NaN where unknown.
        to_frame: similarity transform from the subject's coordinates (metres) to this frame.
        light: in subject coordinates; the same for all views.
        normal: unit normals of what ``depth[0]`` sees, times 127; 0 where it misses.
        target: the whole person over black under ``light`` without cast shadows.
        amodal: 255 where the crop would show the person if nothing hid it and the photograph had no border.
        clean: the crop as it would look then, over black; only if the photograph hides some of the person.
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
    amodal: UInt8[np.ndarray, "D D"] | None = None
    clean: UInt8[np.ndarray, "H W 3"] | None = None
    detector_features: Float[np.ndarray, "J 2 C"] | None = None


@dataclass(frozen=True)
class PointSamples:
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
    samples: PointSamples


@dataclass(frozen=True)
class _RenderedView:
    """One photograph: camera, what it shows, what the network is shown of it, and its frame."""

    camera: Cameras
    photo: RenderedPhoto
    crop: SubjectCrop
    to_frame: Float[np.ndarray, "4 4"]


def sample(renderer: SceneRenderer, count: int, rng: np.random.Generator) -> PointSamples:
    """Samples of the outer surface, and signed distances to it (``solid.py``)."""
    scan, surface_count = renderer.scan, count // 3
    solid = SolidScan(scan, renderer.scene)
    corner = scan.vertices[scan.faces]
    area = solid.outer * np.linalg.norm(face_normals(scan.surface), axis=1)
    face = rng.choice(len(scan.faces), count // 3 * 2, p=area / area.sum())
    barycentric = rng.dirichlet([1, 1, 1], len(face)).astype(np.float32)
    on = np.einsum("pk,pkc->pc", barycentric, corner[face])
    points = np.concatenate([_near(on, rng), _around(scan.vertices, count - len(on), rng)]).astype(np.float16)
    sdf = solid.signed_distance(points)
    keep = slice(0, surface_count)
    normals = np.einsum("pk,pkc->pc", barycentric[keep], renderer.normals[scan.faces[face[keep]]])
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True) + 1e-9
    normals *= _facing(on[keep], normals, points[: len(on)], sdf[: len(on)])[:, None]
    albedo = scan.albedo(face[keep], barycentric[keep])
    return PointSamples(
        points,
        sdf,
        on[keep].astype(np.float16),
        (normals * 127).astype(np.int8),
        (albedo * 255 + 0.5).astype(np.uint8),
    )


def _facing(
    places: Float[np.ndarray, "S 3"],
    normals: Float[np.ndarray, "S 3"],
    points: Float[np.ndarray, "P 3"],
    sdf: Float[np.ndarray, "P"],
) -> Float[np.ndarray, "S"]:
    """-1 where a normal points into the body, as told by the signed distances of the points around it, else 1.

    Hair is made of cards whose faces turn either way: a tenth of the composed heads' normals pointed inward.
    """
    _, near = KDTree(points).query(places, k=_ASKED)
    offsets = points[near].astype(np.float32) - places[:, None]
    along = sdf[near] * np.einsum("sd,skd->sk", normals, offsets)
    certain = np.abs(sdf[near] * np.linalg.norm(offsets, axis=-1)).sum(1)
    return np.where(along.sum(1) < -_INWARD * certain, -1.0, 1.0)


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


def sample_frame(
    scene: RayScene, camera: Cameras, crop: SquareCrop, seen: Float[np.ndarray, "N 3"]
) -> Float[np.ndarray, "4 4"]:
    """World (metres) to the sample's frame (box units) of a crop of a photograph.

    The frame looks along the ray through the crop's centre; its origin lies on that ray where the middle of the person
    is: the average of (front + back depth)/2 over the mask, given the visible surface points ``seen``.
    """
    eye, forward = camera.c2w.numpy()[:3, 3], -frame_axes(camera, crop)[2]
    hits = scene.last_hit(eye.astype(np.float32), (seen - eye).astype(np.float32))
    seen, last = seen[hits.hit], hits.distance[hits.hit][:, None]
    if len(seen) == 0:
        raise ValueError("sample_frame: no ray through the mask meets the person")
    front, back = (seen - eye) @ forward, (last * (seen - eye)) @ forward
    return crop_frame(camera, crop, float(np.mean((front + back) / 2)))


def shoot(
    renderer: SceneRenderer,
    detector: PoseDetector,
    yaw_rad: float,
    rng: np.random.Generator,
    cropped: bool = False,
    own_mask: bool = True,
    image_px: int = 256,
) -> tuple[SubjectCrop, Float[np.ndarray, "4 4"], Light]:
    """One plain photograph: what the network is shown of it, the transform from metres to its frame, its light.

    Lamps, nothing in front of the person, a camera about as far away as the canonical one.

    Args:
        cropped: the photo's border cuts the person off.
        own_mask: the exact mask, as of a cut-out; otherwise the detector's.
    """
    camera = photo_camera(renderer.scan, yaw_rad, cropped, rng, _PLAIN_FOV_DEG)
    light = random_light(rng)
    shot = _shot(renderer, detector, camera, Surroundings(light), (), rng, own_mask, image_px)
    return shot.crop, shot.to_frame, light


def _shot(
    renderer: SceneRenderer,
    detector: PoseDetector,
    camera: Cameras,
    surroundings: Surroundings,
    others: Sequence[Solid],
    rng: np.random.Generator,
    own_mask: bool,
    image_px: int,
) -> _RenderedView:
    photo = renderer.photograph(camera, surroundings, rng, others)
    alpha = photo.visible.astype(np.float32)
    # A remainder far from the main part would not be taken for the person in a photo either.
    alpha = keep_main_part(alpha) if others else alpha
    pose = _pose_of(renderer.scan.landmarks, detector, camera, photo, others)
    mask = alpha
    if pose is not None and not own_mask:
        found = keep_main_part(refine_mask(photo.rgb, pose.mask))
        # A mask of something else (the detector was wrong about the background) would teach nonsense.
        mask = found if _iou(found > 0.5, alpha > 0.5) > 0.6 else alpha
    crop = assemble_crop(photo.rgb, mask, pose, image_px)
    seen = photo.where[(alpha > 0.5) & photo.visible][::7]
    return _RenderedView(camera, photo, crop, sample_frame(renderer.scene, camera, crop.crop, seen))


def _pose_of(
    landmarks: Float[np.ndarray, "J 3"] | None,
    detector: PoseDetector,
    camera: Cameras,
    photo: RenderedPhoto,
    others: Sequence[Solid],
) -> DetectedPose | None:
    """The detector's main person; where people stand in front the one whose landmarks are nearest to the true ones."""
    nobody_else = not any(isinstance(other, SceneRenderer) for other in others)
    if nobody_else or landmarks is None or not np.isfinite(landmarks).any():
        return detector.best(photo.rgb)
    c2w = np.linalg.inv(camera.w2c.numpy())
    K, eye = camera.K.numpy(), (landmarks - c2w[:3, 3]) @ c2w[:3, :3]
    true_px = (eye @ K.T)[:, :2] / eye[:, 2:]
    span_px = (np.nanmax(true_px, axis=0) - np.nanmin(true_px, axis=0)).max()
    poses = detector(photo.rgb)
    gaps = [float(np.nanmedian(np.linalg.norm(p.landmarks[:, :2] - true_px, axis=1))) for p in poses]
    best = int(np.argmin(gaps)) if gaps else 0
    # Of somebody else: a user would choose again, or go on without landmarks.
    return poses[best] if gaps and gaps[best] < 0.15 * span_px else None


def _iou(a: Bool[np.ndarray, "H W"], b: Bool[np.ndarray, "H W"]) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def depth_maps(
    scene: RayScene, to_frame: Float[np.ndarray, "4 4"], size_px: int
) -> Float[np.ndarray, "2 size_px size_px"]:
    """z in box units where the rays of the canonical camera enter and leave the person; NaN where they miss."""
    origin, directions = _canonical_rays(to_frame, size_px)
    found = [sampler(origin, directions).distance for sampler in (scene.first_hit, scene.last_hit)]
    return np.stack([np.where(np.isinf(t), np.nan, CAMERA_DISTANCE - t) for t in found])


def _canonical_rays(
    to_frame: Float[np.ndarray, "4 4"], size_px: int
) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "size_px size_px 3"]]:
    """Rays of the canonical camera in subject coordinates.

    The rays go to the scene, not the scene to the rays: distances along rays of camera z 1 stay the same under the
    similarity, and building a ray scene costs more than casting into it.
    """
    origin, directions = pixel_rays(canonical_camera(size_px))
    back = np.linalg.inv(to_frame)
    return (origin @ back[:3, :3].T + back[:3, 3]).astype(np.float32), (directions @ back[:3, :3].T).astype(np.float32)


def _maps(
    renderer: SceneRenderer, to_frame: Float[np.ndarray, "4 4"], light: Light, size_px: int
) -> tuple[Float[np.ndarray, "2 D D"], Int8[np.ndarray, "3 D D"], UInt8[np.ndarray, "D D 3"]]:
    """Depth, normals and target of the canonical camera: its first hits are cast once for all three."""
    origin, directions = _canonical_rays(to_frame, size_px)
    own = renderer.surface(origin, directions)
    hit = np.isfinite(own.distance)
    last = np.full(hit.shape, np.inf, dtype=np.float32)
    last[hit] = renderer.scene.last_hit(origin, directions[hit]).distance
    depth = np.stack([np.where(np.isfinite(last), CAMERA_DISTANCE - t, np.nan) for t in (own.distance, last)])
    normal, target = np.zeros((2, size_px, size_px, 3), np.float32)
    turn = to_frame[:3, :3] / np.linalg.norm(to_frame[0, :3])
    normal[hit] = own.normals @ turn.T
    target[hit] = light.on(own.albedo, own.normals)
    return depth, (normal * 127).round().astype(np.int8).transpose(2, 0, 1), (target * 255 + 0.5).astype(np.uint8)


def _record(
    renderer: SceneRenderer,
    shot: _RenderedView,
    surroundings: Surroundings,
    settings: RenderSettings,
    rng: np.random.Generator,
) -> ViewRecord:
    depth, normal, target = _maps(renderer, shot.to_frame, surroundings.light, settings.depth_px)
    landmarks = renderer.scan.moved(shot.to_frame).landmarks
    to_u8 = lambda x: (x.numpy() * 255 + 0.5).astype(np.uint8)  # noqa: E731
    if landmarks is None:
        landmarks = np.full((COUNT, 3), np.nan)
    crop = shot.crop
    rays = pixel_rays(crop_camera(shot.camera, crop.crop, settings.depth_px))
    amodal = renderer.scene.first_hit(*rays).hit
    return ViewRecord(
        rgb=to_u8(crop.rgb.permute(1, 2, 0)),
        alpha=to_u8(crop.alpha[0]),
        known=to_u8(crop.known[0]),
        depth=depth.astype(np.float16),
        detected=crop.landmarks.numpy().astype(np.float32),
        landmarks=landmarks.astype(np.float32),
        to_frame=shot.to_frame.astype(np.float32),
        light=surroundings.light,
        normal=normal,
        target=target,
        amodal=amodal.astype(np.uint8) * 255,
        detector_features=crop.detector_features.numpy().astype(np.float16),
        clean=None if _shows_all(shot, amodal) else _clean(renderer, shot, surroundings, settings.image_px, rng),
    )


def _shows_all(shot: _RenderedView, amodal: Bool[np.ndarray, "D D"]) -> bool:
    """Whether nothing (and no border) hides a part of the person."""
    person_px = (shot.crop.crop.side_px / len(amodal)) ** 2 * float(amodal.sum())
    return bool(shot.photo.visible.sum() > _WHOLE * shot.photo.whole.sum() > _WHOLE * 0.97 * person_px)


def _clean(
    renderer: SceneRenderer, shot: _RenderedView, surroundings: Surroundings, size_px: int, rng: np.random.Generator
) -> UInt8[np.ndarray, "H W 3"]:
    """The crop with its own shadows, without border, background and things in front."""
    camera = crop_camera(shot.camera, shot.crop.crop, size_px)
    photo = renderer.photograph(camera, surroundings, rng)
    return np.where(photo.whole[..., None], photo.rgb, 0).astype(np.uint8)


def render_subject(
    scan: Scan,
    detector: PoseDetector,
    settings: RenderSettings,
    seed: int,
    environments: tuple[Environment, ...] = (),
    bystander: Scan | None = None,
) -> Subject:
    """Photographs from all around and 3D samples of one scan; deterministic in ``seed`` and what is given.

    Args:
        environments: maps to light some subjects with; without any all are lit by lamps.
        bystander: somebody who may stand in front.
    """
    rng = np.random.default_rng([seed, 7])
    renderer = SceneRenderer(scan)
    surroundings = random_surroundings(rng, environments)
    first = rng.uniform(0, 2 * np.pi)
    yaws = [first + 2 * np.pi * k / settings.views + rng.normal(0, 0.15) for k in range(settings.views)]
    views = []
    for yaw in yaws:
        cropped, own_mask = rng.random() < settings.cropped, rng.random() < settings.own_mask
        camera = photo_camera(scan, yaw, cropped, rng, settings.fov_deg)
        others: list[Solid] = []
        if rng.random() < settings.occluded:
            others += in_front(renderer, camera, rng, bystander)
        if rng.random() < settings.holding:
            others += held(renderer, camera, rng)
        shot = _shot(renderer, detector, camera, surroundings, others, rng, own_mask, settings.image_px)
        views.append(_record(renderer, shot, surroundings, settings, rng))
    return Subject(scan, views, sample(renderer, settings.points, rng))
