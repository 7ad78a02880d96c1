"""A scan becomes training data: photographs of it, detections in them, and the truth in their frames."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int8, UInt8

from humanlrm.body.landmarks import COUNT, INDEX
from humanlrm.camera import Cameras
from humanlrm.data.render.camera_sampling import sample_camera
from humanlrm.data.render.environment import Environment, Surroundings, random_surroundings
from humanlrm.data.render.layers import render_layers
from humanlrm.data.render.occluders import place_held, place_in_front
from humanlrm.data.render.points import sample_points
from humanlrm.data.render.renderer import RenderedPhoto, SceneRenderer, Solid
from humanlrm.data.scan import Scan
from humanlrm.data.settings import RenderSettings
from humanlrm.data.subject import Layers, Subject, ViewRecord, crop_arrays
from humanlrm.frame import (
    CAMERA_DISTANCE,
    SquareCrop,
    canonical_camera,
    crop_camera,
    crop_frame,
    frame_axes,
    square_around,
)
from humanlrm.mesh.raycast import RayScene, pixel_rays
from humanlrm.photo.blazepose import DetectedPose, PoseDetector
from humanlrm.photo.crop import SubjectCrop, assemble_crop
from humanlrm.photo.matte import keep_main_part, refine_mask

#: The detector's mask counts if it overlaps the true one this much: a mask of the background would teach nonsense.
_LEAST_IOU = 0.6
#: Detections this far from the true landmarks, in sizes of the person, are of somebody else.
_OTHER_PERSON = 0.15


def render_subject(
    scan: Scan,
    detector: PoseDetector,
    settings: RenderSettings,
    seed: int,
    environments: tuple[Environment, ...] = (),
    bystander: Scan | None = None,
) -> Subject:
    """Render photographs from all around and sample 3D points of one scan; deterministic in its arguments.

    Args:
        environments: maps that light some subjects; without any all are lit by lamps.
        bystander: a person who may stand in front.
    """
    rng = np.random.default_rng([seed, 7])
    renderer = SceneRenderer(scan)
    photographer = Photographer(renderer, detector, random_surroundings(rng, environments), settings, rng)
    first = rng.uniform(0, 2 * np.pi)
    yaws = [first + 2 * np.pi * k / settings.views + rng.normal(0, 0.15) for k in range(settings.views)]
    views = []
    for yaw in yaws:
        cropped, own_mask = rng.random() < settings.cropped, rng.random() < settings.own_mask
        camera = sample_camera(scan, yaw, cropped, rng, settings.fov_deg)
        occluders: list[Solid] = []
        if rng.random() < settings.occluded:
            occluders += place_in_front(renderer, camera, rng, bystander)
        if rng.random() < settings.holding:
            occluders += place_held(renderer, camera, rng)
        views.append(photographer.record(photographer.shoot(camera, occluders, own_mask)))
    return Subject(scan, views, sample_points(renderer, settings.points, rng))


def sample_frame(
    scene: RayScene, camera: Cameras, crop: SquareCrop, visible: Float[np.ndarray, "N 3"]
) -> Float[np.ndarray, "4 4"]:
    """World (metres) to the sample's frame (box units) of a crop of a photograph.

    The frame looks along the ray through the crop's centre. Its origin lies on that ray at the middle of the person:
    the average of (front + back depth)/2 over the mask, given visible surface points.
    """
    eye, forward = camera.c2w.numpy()[:3, 3], -frame_axes(camera, crop)[2]
    hits = scene.last_hit(eye.astype(np.float32), (visible - eye).astype(np.float32))
    visible, last = visible[hits.hit], hits.distance[hits.hit][:, None]
    if len(visible) == 0:
        raise ValueError("sample_frame: no ray through the mask meets the person")
    front, back = (visible - eye) @ forward, (last * (visible - eye)) @ forward
    return crop_frame(camera, crop, float(np.mean((front + back) / 2)))


@dataclass(frozen=True)
class RenderedView:
    """One photograph: its camera, the rendered picture, the network's crop of it, and the crop's frame."""

    camera: Cameras
    photo: RenderedPhoto
    crop: SubjectCrop
    to_frame: Float[np.ndarray, "4 4"]


@dataclass(frozen=True)
class Photographer:
    """Photographs one scan in its surroundings. Every call draws from ``rng``."""

    renderer: SceneRenderer
    detector: PoseDetector
    surroundings: Surroundings
    settings: RenderSettings
    rng: np.random.Generator

    def shoot(self, camera: Cameras, occluders: Sequence[Solid] = (), own_mask: bool = True) -> RenderedView:
        """Photograph the person and crop the picture as for the network.

        Args:
            own_mask: crop with the exact mask, as of a cut-out; otherwise with the detector's.
        """
        photo = self.renderer.photograph(camera, self.surroundings, self.rng, occluders)
        alpha = photo.visible.astype(np.float32)
        # A remainder far from the main part would not be taken for the person in a photo either.
        alpha = keep_main_part(alpha) if occluders else alpha
        pose = self._detect(camera, photo, occluders)
        mask = alpha
        if pose is not None and not own_mask:
            detected = keep_main_part(refine_mask(photo.rgb, pose.mask))
            mask = detected if _iou(detected > 0.5, alpha > 0.5) > _LEAST_IOU else alpha
        crop = assemble_crop(photo.rgb, mask, pose, self.settings.image_px)
        visible = photo.where[(alpha > 0.5) & photo.visible][::7]
        return RenderedView(camera, photo, crop, sample_frame(self.renderer.scene, camera, crop.crop, visible))

    def _detect(self, camera: Cameras, photo: RenderedPhoto, occluders: Sequence[Solid]) -> DetectedPose | None:
        """The detector's main person; beside a bystander the one whose landmarks are nearest to the true ones."""
        landmarks = self.renderer.scan.landmarks
        alone = not any(isinstance(other, SceneRenderer) for other in occluders)
        if alone or landmarks is None or not np.isfinite(landmarks).any():
            return self.detector.best(photo.rgb)
        c2w = np.linalg.inv(camera.w2c.numpy())
        K, eye = camera.K.numpy(), (landmarks - c2w[:3, 3]) @ c2w[:3, :3]
        true_px = (eye @ K.T)[:, :2] / eye[:, 2:]
        span_px = (np.nanmax(true_px, axis=0) - np.nanmin(true_px, axis=0)).max()
        poses = self.detector(photo.rgb)
        gaps = [float(np.nanmedian(np.linalg.norm(p.landmarks[:, :2] - true_px, axis=1))) for p in poses]
        best = int(np.argmin(gaps)) if gaps else 0
        # A user would choose again, or go on without landmarks.
        return poses[best] if gaps and gaps[best] < _OTHER_PERSON * span_px else None

    def record(self, view: RenderedView) -> ViewRecord:
        """The crop of a photograph with all maps of its truth."""
        crop = view.crop
        depth, normal, target = self._canonical_maps(view.to_frame)
        landmarks = self.renderer.scan.moved(view.to_frame).landmarks
        if landmarks is None:
            landmarks = np.full((COUNT, 3), np.nan)
        layers, head_layers = self._layers(view, landmarks)
        return ViewRecord(
            **crop_arrays(crop),
            depth=depth.astype(np.float16),
            landmarks=landmarks.astype(np.float32),
            to_frame=view.to_frame.astype(np.float32),
            light=self.surroundings.light,
            normal=normal,
            target=target,
            layers=layers,
            head_layers=head_layers,
        )

    def _canonical_maps(
        self, to_frame: Float[np.ndarray, "4 4"]
    ) -> tuple[Float[np.ndarray, "2 D D"], Int8[np.ndarray, "3 D D"], UInt8[np.ndarray, "D D 3"]]:
        """Depth, normals and target of the canonical camera: its first hits are cast once for all three.

        The rays go to the scene, not the scene to the rays: distances along rays of camera z 1 stay the same under the
        similarity, and building a ray scene costs more than casting into it.
        """
        size_px, to_subject = self.settings.depth_px, np.linalg.inv(to_frame)
        origin, directions = pixel_rays(canonical_camera(size_px))
        origin = (origin @ to_subject[:3, :3].T + to_subject[:3, 3]).astype(np.float32)
        directions = (directions @ to_subject[:3, :3].T).astype(np.float32)
        surface = self.renderer.trace(origin, directions)
        hit = np.isfinite(surface.distance)
        last = np.full(hit.shape, np.inf, dtype=np.float32)
        last[hit] = self.renderer.scene.last_hit(origin, directions[hit]).distance
        depth = np.stack([np.where(np.isfinite(last), CAMERA_DISTANCE - t, np.nan) for t in (surface.distance, last)])
        normal, target = np.zeros((2, size_px, size_px, 3), np.float32)
        normal[hit] = surface.normals @ (to_frame[:3, :3] / np.linalg.norm(to_frame[0, :3])).T
        target[hit] = self.surroundings.light.render(surface.albedo, surface.normals)
        return depth, (normal * 127).round().astype(np.int8).transpose(2, 0, 1), (target * 255 + 0.5).astype(np.uint8)

    def _layers(self, view: RenderedView, landmarks: Float[np.ndarray, "J 3"]) -> tuple[Layers, Layers | None]:
        """Layers of the crop, and of the square around the head where the head's landmark (box units) is known."""
        size_px, crop, rng = self.settings.image_px, view.crop.crop, self.rng.spawn(1)[0]
        squares = [crop]
        head = landmarks[INDEX["head"]]
        if np.isfinite(head).all():
            squares.append(square_around(crop, head))
        light = self.surroundings.light
        layers = [render_layers(self.renderer, crop_camera(view.camera, s, size_px), light, rng) for s in squares]
        return layers[0], layers[1] if len(layers) > 1 else None


def _iou(a: Bool[np.ndarray, "H W"], b: Bool[np.ndarray, "H W"]) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))
