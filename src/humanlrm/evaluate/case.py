"""One photograph of one held-out person, the truth in its frame, and what a method gives back."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float

from humanlrm.body.landmarks import INDEX
from humanlrm.camera import Cameras
from humanlrm.evaluate import corruptions
from humanlrm.evaluate.corruptions import Corruption
from humanlrm.evaluate.geometry import SurfaceSamples, ordered_samples
from humanlrm.evaluate.placing import place_in_mask
from humanlrm.evaluate.renderer import UNLIT, EvalRenderer, Lamps, Picture, Viewpoint, camera_at
from humanlrm.frame import CAMERA_DISTANCE, canonical_camera
from humanlrm.mesh.preview import YAW_DEG, orbit_camera
from humanlrm.mesh.surface import TriangleSurface
from humanlrm.photo.blazepose import DetectedPose, PoseDetector
from humanlrm.photo.crop import SubjectCrop, assemble_crop, detect_in_cutout, find_subject
from humanlrm.photo.load import PhotoError, load_photo
from humanlrm.photo.matte import keep_main_part, refine_mask

#: Side of every picture that is compared.
IMAGE_PX = 256
SIDES = tuple(YAW_DEG)
#: How upright the trunk and how vertical the legs of somebody who stands are, and how frontal the trunk (cosines).
_UPRIGHT, _LEG, _FRONTAL = 0.9, 0.8, 0.85
#: A pose whose mask agrees less with the exact one (IoU) is of the person in front: the one behind is looked at alone,
#: as a cut-out is.
_SOMEBODY_ELSE = 0.5
#: Points next to the surface are not hidden by the face they lie on, metres.
_LIFT_M = 0.004


@dataclass(frozen=True)
class ColoredSurface:
    """A surface in box units and the sRGB colour of each vertex in [0, 1], as lit in the photograph."""

    surface: TriangleSurface
    colors: Float[np.ndarray, "V 3"]


@dataclass(frozen=True)
class Truth:
    """The person in the frame of a photograph.

    Attributes:
        surface: what can be seen from outside; it may be open.
        samples: of it.
        visible: which samples the photograph shows.
        pictures: from ``SIDES`` by the canonical camera, in the photograph's light.
        landmarks: where they are known.
        limb: the samples of the limb whose landmarks are moved in the landmark protocol; none in others.
        limb_bound_cm: how far that limb's surface would be from the truth if it followed its landmarks; NaN elsewhere.
        cm_per_unit: centimetres at the person's true height.
    """

    surface: TriangleSurface
    samples: SurfaceSamples
    visible: Bool[np.ndarray, "Q"]
    pictures: tuple[Picture, ...]
    landmarks: Float[np.ndarray, "J 3"] | None
    limb: Bool[np.ndarray, "Q"]
    limb_bound_cm: float
    cm_per_unit: float


@dataclass(frozen=True)
class Case:
    """What a method is asked and what it is compared with.

    Attributes:
        set: name of the set.
        subject: unique within its set.
        person: subjects of one person share it; intervals are over persons.
        yaw_deg: the camera's.
        condition: what was done to the photograph.
        shown: what a method may look at; only the visual hull, which is an oracle, looks at the truth's silhouettes.
        frontal_standing: an upright person who faces the camera.
    """

    set: str
    subject: str
    person: str
    yaw_deg: float
    condition: Corruption
    shown: SubjectCrop
    truth: Truth
    frontal_standing: bool


#: What is measured; of several people that could be the one in a photograph the mean of their scores is.
Method = Callable[[Case], ColoredSurface]
SeveralMethod = Callable[[Case], tuple[ColoredSurface, ...]]


@dataclass(frozen=True)
class Shooting:
    """How photographs are taken and shown.

    Attributes:
        mask: "exact", or "detected" as on a stranger's photo.
        landmarks: "detected" or "exact".
        points: samples of each surface.
    """

    mask: str = "exact"
    landmarks: str = "detected"
    points: int = 50_000

    def __post_init__(self) -> None:
        if self.mask not in ("exact", "detected") or self.landmarks not in ("exact", "detected") or self.points < 100:
            raise ValueError(
                "mask and landmarks are exact or detected and points at least 100; "
                f"got {self.mask!r}, {self.landmarks!r}, {self.points}"
            )


def make_case(
    stage: EvalRenderer,
    names: tuple[str, str, str],
    view: Viewpoint,
    condition: Corruption,
    lamps: Lamps,
    detector: PoseDetector,
    shooting: Shooting,
    seed: int,
) -> Case:
    """A photograph of a scan, disturbed by the condition, as a method gets it.

    Args:
        names: set, subject, person.

    Raises:
        PhotoError: the mask is to be detected and nobody was found.
    """
    # The backdrop is the same under every condition: curves show the disturbance and nothing else.
    backdrop = np.random.default_rng([seed, round(view.yaw_deg)])
    rng = np.random.default_rng([seed, round(view.yaw_deg), *map(ord, condition.name)])
    photo = stage.photograph(camera_at(stage, corruptions.viewpoint(condition, view)), lamps, backdrop)
    photo = corruptions.photograph(condition, photo, rng)
    shown = _shown(photo.rgb, corruptions.mask(condition, photo.alpha), detector, shooting)
    to_frame = stage.frame(photo, shown.crop)
    eye = photo.camera.c2w[:3, 3].numpy()
    truth = _truth(stage, to_frame, _CasePhoto(photo.alpha, eye, photo.camera.project), lamps, shooting.points)
    if shooting.landmarks == "exact" and truth.landmarks is not None:
        shown = replace(shown, landmarks=corruptions.exact(truth.landmarks))
    if condition.protocol == "landmarks":
        change = corruptions.landmarks(condition, shown.landmarks, truth.landmarks, truth.cm_per_unit, rng, seed)
        shown = replace(shown, landmarks=change.landmarks)
        limb, bound = corruptions.limb_samples(change, truth.landmarks, truth.samples.points, truth.cm_per_unit)
        truth = replace(truth, limb=limb, limb_bound_cm=bound)
    return Case(*names, view.yaw_deg, condition, shown, truth, stands_in_front(truth.landmarks))


def _shown(rgb: np.ndarray, alpha: np.ndarray, detector: PoseDetector, shooting: Shooting) -> SubjectCrop:
    poses = detector(rgb)
    if shooting.mask == "exact":
        pose = max(poses, key=lambda pose: _overlap(pose, alpha), default=None)
        if pose is None or _overlap(pose, alpha) < _SOMEBODY_ELSE:
            pose = detect_in_cutout(rgb, alpha, detector)
        return assemble_crop(rgb, alpha, pose, 256)
    if not poses:
        raise PhotoError("no person found in the photograph")
    found = keep_main_part(refine_mask(rgb, poses[0].mask))
    if not found.any():
        raise PhotoError("the detector found a person without a mask")
    return assemble_crop(rgb, found, poses[0], 256)


def pair_case(
    stage: EvalRenderer, names: tuple[str, str, str], photo: Path, detector: PoseDetector, points: int
) -> Case:
    """A real photograph and a scan (upright, +Z toward the camera) of the same person in the same pose.

    The scan is put where the mask is (``place_in_mask``); say which alignment follows. Pictures of the scan are unlit.

    Raises:
        PhotoError: the photo cannot be read or shows nobody.
    """
    shown = find_subject(load_photo(photo), detector)
    before = stage.scan.surface
    after = place_in_mask(before, shown.alpha[0].numpy() > 0.5).vertices.astype(np.float64)
    to_frame = np.eye(4)
    to_frame[:3, :3] *= np.ptp(after[:, 1]) / np.ptp(before.vertices[:, 1])
    to_frame[:3, 3] = after.mean(0) - to_frame[0, 0] * before.vertices.astype(np.float64).mean(0)
    eye = np.linalg.inv(to_frame) @ [0, 0, CAMERA_DISTANCE, 1]
    camera, move = canonical_camera(shown.alpha.shape[-1]), torch.from_numpy(to_frame)
    camera = Cameras(camera.K.double(), camera.w2c.double(), camera.size_px)
    shot = _CasePhoto(shown.alpha[0].numpy(), eye[:3], lambda p: camera.project(p @ move[:3, :3].T + move[:3, 3]))
    truth = _truth(stage, to_frame, shot, UNLIT, points)
    return Case(*names, 0.0, Corruption(), shown, truth, frontal_standing=False)


def _overlap(pose: DetectedPose, alpha: np.ndarray) -> float:
    a, b = pose.mask > 0.5, alpha > 0.5
    return float((a & b).sum() / max(1, (a | b).sum()))


@dataclass(frozen=True)
class _CasePhoto:
    """What a photograph shows: the exact mask, where it was taken from (the scan's coordinates), and how a point of the
    scan comes to a pixel."""

    alpha: Float[np.ndarray, "H W"]
    eye: Float[np.ndarray, "3"]
    project: Callable[[torch.Tensor], torch.Tensor]


def _truth(
    stage: EvalRenderer, to_frame: Float[np.ndarray, "4 4"], shot: _CasePhoto, lamps: Lamps, points: int
) -> Truth:
    placed = stage.scan.moved(to_frame)
    surface = TriangleSurface(placed.vertices, placed.faces[stage.outer])
    samples = ordered_samples(surface, points, seed=0)
    back = np.linalg.inv(to_frame)
    pictures = tuple(stage.picture(to_frame, lamps, orbit_camera(YAW_DEG[side], IMAGE_PX)) for side in SIDES)
    return Truth(
        surface,
        samples,
        _visible(stage, samples.points @ back[:3, :3].T + back[:3, 3], samples.normals @ to_frame[:3, :3], shot),
        pictures,
        placed.landmarks,
        np.zeros(points, bool),
        float("nan"),
        float(100 / np.linalg.norm(to_frame[0, :3])),
    )


def _visible(
    stage: EvalRenderer, points: Float[np.ndarray, "P 3"], normals: Float[np.ndarray, "P 3"], shot: _CasePhoto
) -> Bool[np.ndarray, "P"]:
    """Whether the photograph shows points of the surface (metres; normals of any length)."""
    normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    height, width = shot.alpha.shape
    column, row = shot.project(torch.from_numpy(points))[:, :2].floor().long().numpy().T
    inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
    shown = inside & (shot.alpha[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)] > 0.5)
    facing = ((shot.eye - points) * normals).sum(1) > 0
    lifted = (points + _LIFT_M * normals).astype(np.float32)
    return facing & shown & ~stage.scene.occluded(lifted, shot.eye.astype(np.float32))


def stands_in_front(landmarks: Float[np.ndarray, "J 3"] | None) -> bool:
    """Whether true landmarks (box units) are those of an upright person on two straight legs who faces the camera.

    False where they are unknown. The limits are our choice: trunk within 26 degrees of vertical, thighs and shanks
    within 37, the trunk turned by less than 32.
    """
    if landmarks is None or not np.isfinite(landmarks).all():
        return False

    def toward(a: str, b: str) -> Float[np.ndarray, "3"]:
        step = landmarks[INDEX[b]] - landmarks[INDEX[a]]
        return step / max(float(np.linalg.norm(step)), 1e-9)

    trunk = landmarks[INDEX["neck"]] - (landmarks[INDEX["left_hip"]] + landmarks[INDEX["right_hip"]]) / 2
    trunk = trunk / max(float(np.linalg.norm(trunk)), 1e-9)
    across = toward("right_shoulder", "left_shoulder") + toward("right_hip", "left_hip")
    ahead = np.cross(across, trunk)
    legs = [
        toward(f"{s}_{a}", f"{s}_{b}")[1] for s in ("left", "right") for a, b in (("hip", "knee"), ("knee", "ankle"))
    ]
    facing = ahead[2] / max(float(np.linalg.norm(ahead)), 1e-9)
    return bool(trunk[1] > _UPRIGHT and max(legs) < -_LEG and facing > _FRONTAL)
