"""One photograph of one held-out person, the truth in its frame, and the result of a method."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float

from humanlrm.body.landmarks import INDEX
from humanlrm.camera import Cameras
from humanlrm.data.scan import Scan
from humanlrm.evaluate.corruptions import LandmarkChange, limb_samples
from humanlrm.evaluate.geometry import SurfaceSamples, ordered_samples
from humanlrm.evaluate.plan import Corruption
from humanlrm.evaluate.renderer import EvalRenderer, Lamps, Picture
from humanlrm.frame import VIEW_SPAN, project_ndc
from humanlrm.mesh.preview import YAW_DEG, orbit_camera
from humanlrm.mesh.surface import TriangleSurface
from humanlrm.photo.crop import SubjectCrop

#: Side of every picture that is compared.
IMAGE_PX = 256
SIDES = tuple(YAW_DEG)
#: Somebody stands in front if the trunk is within 26 degrees of vertical, thighs and shanks within 37, and the trunk is
#: turned by less than 32 (cosines).
_UPRIGHT_COS, _LEG_COS, _FRONTAL_COS = 0.9, 0.8, 0.85
#: Points next to the surface are not hidden by the face they lie on, metres.
_LIFT_M = 0.004
_PLACING_ROUNDS = 6


@dataclass(frozen=True)
class ColoredSurface:
    """A surface in box units and the sRGB color of each vertex in [0, 1], as lit in the photograph."""

    surface: TriangleSurface
    colors: Float[np.ndarray, "V 3"]


@dataclass(frozen=True)
class Truth:
    """The person in the frame of a photograph. Samples and pictures are made when they are first used.

    Attributes:
        renderer: of the scan.
        to_frame: the scan's coordinates to box units.
        alpha, camera, lamps: the photograph's exact mask, its camera in the scan's coordinates, and its light.
        points: number of samples.
        cm_per_unit: centimetres per box unit.
        change: of the landmarks, in the landmark protocol.
    """

    renderer: EvalRenderer
    to_frame: Float[np.ndarray, "4 4"]
    alpha: Float[np.ndarray, "H W"]
    camera: Cameras
    lamps: Lamps
    points: int
    cm_per_unit: float
    change: LandmarkChange | None = None

    @cached_property
    def _placed(self) -> Scan:
        return self.renderer.scan.moved(self.to_frame)

    @property
    def landmarks(self) -> Float[np.ndarray, "J 3"] | None:
        """Box units, where they are known."""
        return self._placed.landmarks

    @cached_property
    def surface(self) -> TriangleSurface:
        """The outer faces; the surface may be open."""
        return TriangleSurface(self._placed.vertices, self._placed.faces[self.renderer.outer])

    @cached_property
    def samples(self) -> SurfaceSamples:
        return ordered_samples(self.surface, self.points, seed=0)

    @cached_property
    def pictures(self) -> tuple[Picture, ...]:
        """The person from ``SIDES`` by the canonical camera, in the photograph's light."""
        cameras = [orbit_camera(YAW_DEG[side], IMAGE_PX) for side in SIDES]
        return tuple(self.renderer.picture(self.to_frame, self.lamps, camera) for camera in cameras)

    @cached_property
    def visible(self) -> Bool[np.ndarray, "Q"]:
        """Samples that the photograph shows: they face the camera, nothing hides them, and they are in the mask."""
        back = np.linalg.inv(self.to_frame)
        points = self.samples.points @ back[:3, :3].T + back[:3, 3]
        normals = self.samples.normals @ self.to_frame[:3, :3]
        normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
        height, width = self.alpha.shape
        column, row = self.camera.project(torch.from_numpy(points))[:, :2].floor().long().numpy().T
        inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
        in_mask = self.alpha[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)] > 0.5
        eye = self.camera.c2w[:3, 3].numpy()
        facing = ((eye - points) * normals).sum(1) > 0
        lifted = (points + _LIFT_M * normals).astype(np.float32)
        occluded = self.renderer.scene.occluded(lifted, eye.astype(np.float32))
        return facing & inside & in_mask & ~occluded

    @cached_property
    def _limb(self) -> tuple[Bool[np.ndarray, "Q"], float]:
        if self.change is None or self.landmarks is None:
            return np.zeros(self.points, bool), float("nan")
        return limb_samples(self.change, self.landmarks, self.samples.points, self.cm_per_unit)

    @property
    def limb(self) -> Bool[np.ndarray, "Q"]:
        """Samples of the limb whose landmarks are moved; none outside of the landmark protocol."""
        return self._limb[0]

    @property
    def limb_bound_cm(self) -> float:
        """Distance of that limb from the truth if its surface followed its landmarks; NaN without one."""
        return self._limb[1]


@dataclass(frozen=True)
class Case:
    """Input of a method, and the truth it is compared with.

    Attributes:
        set: name of the set.
        subject: unique within its set.
        person: subjects of one person share it; intervals are over persons.
        yaw_deg: the camera's.
        condition: the corruption of the photograph.
        shown: the photograph. A method may look at nothing else, but oracles look at the truth.
    """

    set: str
    subject: str
    person: str
    yaw_deg: float
    condition: Corruption
    shown: SubjectCrop
    truth: Truth

    @property
    def mask(self) -> Bool[np.ndarray, "S S"]:
        """The person's mask in the square that is shown."""
        return self.shown.alpha[0].numpy() > 0.5

    @property
    def frontal_standing(self) -> bool:
        """An upright person who faces the camera; False for real photographs."""
        return stands_in_front(self.truth.landmarks)


#: A method; of several people who could be the one in a photograph the mean of their scores counts.
Method = Callable[[Case], ColoredSurface]
SeveralMethod = Callable[[Case], tuple[ColoredSurface, ...]]


def stands_in_front(landmarks: Float[np.ndarray, "J 3"] | None) -> bool:
    """Test true landmarks (box units) for an upright person on two straight legs who faces the camera.

    False where they are unknown.
    """
    if landmarks is None or not np.isfinite(landmarks).all():
        return False

    def direction(start: str, end: str) -> Float[np.ndarray, "3"]:
        step = landmarks[INDEX[end]] - landmarks[INDEX[start]]
        return step / max(float(np.linalg.norm(step)), 1e-9)

    trunk = landmarks[INDEX["neck"]] - (landmarks[INDEX["left_hip"]] + landmarks[INDEX["right_hip"]]) / 2
    trunk = trunk / max(float(np.linalg.norm(trunk)), 1e-9)
    across = direction("right_shoulder", "left_shoulder") + direction("right_hip", "left_hip")
    ahead = np.cross(across, trunk)
    legs = [
        direction(f"{side}_{start}", f"{side}_{end}")[1]
        for side in ("left", "right")
        for start, end in (("hip", "knee"), ("knee", "ankle"))
    ]
    facing = ahead[2] / max(float(np.linalg.norm(ahead)), 1e-9)
    return bool(trunk[1] > _UPRIGHT_COS and max(legs) < -_LEG_COS and facing > _FRONTAL_COS)


def place_in_mask(surface: TriangleSurface, mask: Bool[np.ndarray, "S S"]) -> TriangleSurface:
    """Move and scale an upright mesh of any unit to the mask.

    Its box in the input view gets the height and the middle of the mask's box. Its middle in z goes to 0.

    Raises:
        ValueError: an empty mask or a mesh without height.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows) == 0 or np.ptp(surface.vertices[:, 1]) < 1e-9:
        raise ValueError("place_in_mask: the mask is empty or the mesh is flat; there is nothing to fit")
    half = len(mask) / 2
    low = np.array([columns[0] / half - 1, 1 - (rows[-1] + 1) / half])
    high = np.array([(columns[-1] + 1) / half - 1, 1 - rows[0] / half])
    start, end = surface.vertices.min(0), surface.vertices.max(0)
    placed = (surface.vertices - (start + end) / 2) * (high - low)[1] * (VIEW_SPAN / 2) / (end - start)[1]
    for _ in range(_PLACING_ROUNDS):  # perspective: the box in the picture is not that of the plane z = 0
        start, end = _view_box(placed)
        placed *= (high - low)[1] / (end - start)[1]
        start, end = _view_box(placed)
        placed[:, :2] += ((low + high) / 2 - (start + end) / 2) * (VIEW_SPAN / 2)
    return TriangleSurface(placed.astype(np.float32), surface.faces)


def _view_box(points: Float[np.ndarray, "P 3"]) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"]]:
    """Lower and upper corner in the input view's [-1, 1]^2."""
    projected = project_ndc(torch.from_numpy(points.astype(np.float32))).numpy()
    return projected.min(0), projected.max(0)
