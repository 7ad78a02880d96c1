"""The front door for several calibrated photos of one person at one moment: no training, the shipped weights do.

Each photo says where landmarks are in its picture plane and roughly how deep; together they say where they are in space
(:func:`robust_triangulate`). On landmarks that are known so well, the field of each photo is nearly right on its own
side, and :class:`humanlrm.model.fused.FusedField` takes of each what it sees.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from humanlrm.body.height import crown_mask, standing_height
from humanlrm.camera import TO_Y_UP
from humanlrm.extraction import extract_body, photo_of
from humanlrm.frame import SUBJECT_SPAN, crop_frame
from humanlrm.mesh.silhouette import extract_outlines, fit_silhouette
from humanlrm.mesh.surface import TriangleSurface
from humanlrm.model.fused import FusedField
from humanlrm.model.lrm import HumanLRM
from humanlrm.photo.blazepose import PoseDetector
from humanlrm.photo.calibrated import CaptureView, Shot, cut_to_person, level_rotation
from humanlrm.photo.cameras_file import read_transforms
from humanlrm.photo.crop import SubjectCrop
from humanlrm.photo.hull import middle_depth, visual_hull
from humanlrm.photo.load import Photo, PhotoError
from humanlrm.photo.segment import find_subject
from humanlrm.settings import Calibration
from humanlrm.texture.project import PhotoProjection
from humanlrm.views import Inputs

#: Errors of a view's landmarks across and along its line of sight (box units), which weight what the views say; an
#: error of so many of these counts half. Measured by ``benchmarks/correction.py``; the robust weight is our choice.
_ACROSS, _ALONG, _FAR = 0.03, 0.10, 3.0
_ROUNDS = 10
#: Room around the landmarks for the flesh, in their longest side, and the longer side of a photo's part.
_ROOM, _SIDE_PX = 1.16, 1024
_MOST_VIEWS = 32
#: Cosine of the angle between the cameras' mean up and the world's, below which the world's is doubted (our choice).
_UPRIGHT = 0.6


@dataclass(frozen=True)
class PlacedPhoto:
    """One photo of several.

    Attributes:
        subject: what the network is shown.
        to_frame: world to the photo's frame (box units).
    """

    subject: SubjectCrop
    to_frame: Float[np.ndarray, "4 4"]


@dataclass(frozen=True)
class FusedPerson:
    """The person of several photos.

    Attributes:
        field: in the common box: upright, the first photo's camera at +Z.
        landmarks: that the photos agree on, in that box.
        views: the photos.
        from_world: world to the common box.
    """

    field: FusedField
    landmarks: Float[np.ndarray, "J 3"]
    views: tuple[PlacedPhoto, ...]
    from_world: Float[np.ndarray, "4 4"]

    def surface(self, resolution: int, faces: int | None = None) -> TriangleSurface:
        """The zero level as one sound body, in the common box, of about so many faces; it ends where the photos show
        that it ends."""
        field, device = self.field, self.field.to_views.device
        landmarks = torch.from_numpy(self.landmarks.astype(np.float32))
        body = extract_body(lambda points: field.distance(points.to(device)).cpu(), resolution, landmarks, faces)
        outlines = extract_outlines(field.planes.inputs.image, field.to_views)
        return fit_silhouette(body, outlines, crown_mask(body.vertices, self.landmarks))

    def color(self, points: Float[Tensor, "P 3"], normals: Float[Tensor, "P 3"]) -> Float[Tensor, "P 3"]:
        """Colors of surface points by the fused field."""
        device = self.field.to_views.device
        return self.field.color(points.to(device), normals.to(device)).cpu()

    def projections(self) -> list[PhotoProjection]:
        """The photos as projectors into the common box."""
        to_world = np.linalg.inv(self.from_world)
        return [replace(photo_of(view.subject), to_frame=view.to_frame @ to_world) for view in self.views]

    def metres_per_unit(self, metres: float | None, height_m: float) -> float:
        """Metric scale: from the length of the cameras' unit, or, where that is unknown, from the standing height."""
        if metres is None:
            return height_m / standing_height(self.landmarks)
        return metres / float(np.linalg.norm(self.from_world[0, :3]))


def read_views(photos: Sequence[Path], calibration: Calibration, detector: PoseDetector) -> list[CaptureView]:
    """Read photos and cameras, undistorted and cut to the person, in a world with +Y up.

    Photos are found in the cameras file by file name. Masks are those that it names, or the photo's alpha channel, or
    what the detector finds.

    Raises:
        ValueError: a photo that is not in the file or given twice, too few or too many; a damaged file.
        PhotoError: a photo shows nobody.
    """
    cameras = calibration.cameras
    assert cameras is not None
    repeated = [photo for k, photo in enumerate(photos) if photo in photos[:k]]
    if repeated:
        raise ValueError(f"{repeated[0]} is given twice; each view needs a photo of its own")
    if not 2 <= len(photos) <= _MOST_VIEWS:
        raise ValueError(f"--cameras needs 2 to {_MOST_VIEWS} photos of one person, got {len(photos)}")
    listed = read_transforms(cameras)
    shots = [_shot_of(photo, listed, cameras) for photo in photos]
    world = _to_y_up([shot.w2c for shot in shots], calibration.up, cameras)
    return [cut_to_person(_read_person(shot, world, detector), _SIDE_PX) for shot in shots]


def _to_y_up(w2cs: Sequence[Float[np.ndarray, "4 4"]], up: str, cameras: Path) -> Float[np.ndarray, "3 3"]:
    """The turn of the file's world to +Y up."""
    if up == "cameras":
        return level_rotation(w2cs)
    if up not in TO_Y_UP:
        raise ValueError(f"up must be cameras or one of {', '.join(TO_Y_UP)}, got {up!r}")
    cameras_up = -np.mean([w2c[1, :3] for w2c in w2cs], axis=0)
    if (TO_Y_UP[up] @ cameras_up)[1] < _UPRIGHT * np.linalg.norm(cameras_up):
        raise ValueError(f"{cameras}: these cameras are not held upright in a world whose {up} is up; state --up")
    return TO_Y_UP[up]


def _shot_of(photo: Path, listed: Sequence[Shot], cameras: Path) -> Shot:
    """The file's entry of a photo: the same file, or else the only one of its name."""
    if not photo.is_file():
        raise PhotoError(f"{photo} does not exist; give the path of a picture file")
    same_file = [shot for shot in listed if shot.image.exists() and shot.image.samefile(photo)]
    candidates = same_file or [
        shot for shot in listed if shot.image.name == photo.name or shot.image.stem == photo.name
    ]
    if len(candidates) != 1:
        raise ValueError(
            f"{cameras} has {len(candidates)} cameras for {photo.name}; it must have one per photo, by file name"
        )
    return replace(candidates[0], image=photo)


def _read_person(shot: Shot, world: Float[np.ndarray, "3 3"], detector: PoseDetector) -> CaptureView:
    """The photo with the mask that the file names, or else that of the main person in it."""

    def find_mask(rgb: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W"]:
        subject = find_subject(Photo(rgb, None, shot.image.name), detector)
        return (subject.photo_alpha * 255 + 0.5).astype(np.uint8)

    view = shot.read(world, find_mask=find_mask)
    if not (view.alpha > 127).any():
        raise PhotoError(f"the mask of {shot.image.name} is empty; give one that shows the person")
    return view


@torch.no_grad()
def fuse(model: HumanLRM, views: Sequence[CaptureView], detector: PoseDetector) -> FusedPerson:
    """Photos, masks and cameras to one field.

    Raises:
        ValueError: cameras and masks do not belong together, or a model of the paper's family.
    """
    if model.landmark_head is None or model.decoder.reads_estimate or not model.decoder.predicts_depth:
        raise ValueError("several photos are fused by models of the small family; the weights are of another")
    device = next(model.parameters()).device
    hull = visual_hull(views, "the photos")
    placed = [_place_photo(view, hull, detector, model.config.image_px) for view in views]
    inputs = _batch([photo.subject for photo in placed]).to(device)
    features = model.extract_features(inputs.image)
    estimated = model.estimate_landmarks(inputs, features).points.cpu().double().numpy()
    to_frames = np.stack([photo.to_frame for photo in placed])
    landmarks_world = robust_triangulate(estimated, to_frames)
    landmarks_override = _transform_points(to_frames, landmarks_world)
    planes = model.decode(features, torch.from_numpy(landmarks_override.astype(np.float32)).to(device))
    from_world = _common_box(landmarks_world, views[0])
    to_views = torch.from_numpy((to_frames @ np.linalg.inv(from_world)).astype(np.float32)).to(device)
    landmarks = _transform_points(from_world[None], landmarks_world)[0]
    return FusedPerson(FusedField(model.field, planes, to_views), landmarks, tuple(placed), from_world)


def _place_photo(view: CaptureView, hull: np.ndarray, detector: PoseDetector, image_px: int) -> PlacedPhoto:
    alpha = view.alpha / np.float32(255)
    subject = find_subject(Photo(view.rgb, alpha, "a photo"), detector, image_px)
    return PlacedPhoto(subject, crop_frame(view.camera, subject.crop, middle_depth(view.camera, subject.crop, hull)))


def _batch(subjects: Sequence[SubjectCrop]) -> Inputs:
    parts = [vars(subject.inputs) for subject in subjects]
    return Inputs(**{name: torch.cat([part[name] for part in parts]) for name in parts[0]})


def _transform_points(
    matrices: Float[np.ndarray, "V 4 4"], points: Float[np.ndarray, "*#V K 3"]
) -> Float[np.ndarray, "V K 3"]:
    """Points through each similarity: its own, or the same for all."""
    return points @ matrices[:, :3, :3].transpose(0, 2, 1) + matrices[:, None, :3, 3]


def robust_triangulate(
    estimated: Float[np.ndarray, "V J 3"], to_frames: Float[np.ndarray, "V 4 4"]
) -> Float[np.ndarray, "J 3"]:
    """World points that the estimates of V views agree on.

    A view knows a point across its line of sight three times better than along it. The point with the least weighted
    squared error is found by reweighting: views that are far from what the others say (Geman-McClure) count less.

    Args:
        estimated: in the views' frames (box units).
        to_frames: similarities from the world to the frames.
    """
    points = _transform_points(np.linalg.inv(to_frames), estimated)
    scale = np.linalg.norm(to_frames[:, 0, :3], axis=1)
    turn = to_frames[:, :3, :3] / scale[:, None, None]
    frame_precision = np.diag([_ACROSS**-2, _ACROSS**-2, _ALONG**-2])
    precision = np.einsum("vji,jk,vkl->vil", turn, frame_precision, turn) * (scale**2)[:, None, None]
    weights = np.ones(points.shape[:2])
    consensus = points[0]
    for _ in range(_ROUNDS):
        total_precision = np.einsum("vk,vij->kij", weights, precision)
        weighted_points = np.einsum("vk,vij,vkj->ki", weights, precision, points)
        consensus = np.linalg.solve(total_precision, weighted_points[..., None])[..., 0]
        residuals = points - consensus
        squared = np.einsum("vki,vij,vkj->vk", residuals, precision, residuals)
        weights = 1 / (1 + squared / _FAR**2) ** 2
    return consensus


def _common_box(landmarks: Float[np.ndarray, "J 3"], first: CaptureView) -> Float[np.ndarray, "4 4"]:
    """World (+Y up) to an upright box in which the person fits, the first camera on the side of +Z."""
    low, high = landmarks.min(0), landmarks.max(0)
    middle = (low + high) / 2
    toward_camera = first.camera.c2w.numpy()[:3, 3] - middle
    yaw = np.arctan2(toward_camera[0], toward_camera[2])
    turn = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    to_box = np.eye(4)
    to_box[:3, :3] = turn * (SUBJECT_SPAN / (_ROOM * (high - low).max()))
    to_box[:3, 3] = -to_box[:3, :3] @ middle
    return to_box
