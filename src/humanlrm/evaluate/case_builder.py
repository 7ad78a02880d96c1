"""Cases of one held-out subject: photographs by the yardstick's renderer, and a real photo with its scan."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float

from humanlrm.camera import Cameras
from humanlrm.data.scan import Scan
from humanlrm.evaluate.case import Case, Truth, place_in_mask
from humanlrm.evaluate.corruptions import (
    corrupt_landmarks,
    corrupt_mask,
    corrupt_photo,
    corrupt_viewpoint,
    exact_landmarks,
)
from humanlrm.evaluate.plan import Corruption, Shooting
from humanlrm.evaluate.renderer import (
    UNLIT,
    EvalRenderer,
    Lamps,
    Viewpoint,
    camera_at,
    hand_held_camera,
    random_lamps,
)
from humanlrm.evaluate.sources import Unit
from humanlrm.frame import canonical_camera
from humanlrm.photo.blazepose import DetectedPose, PoseDetector
from humanlrm.photo.crop import SubjectCrop, assemble_crop
from humanlrm.photo.load import PhotoError, load_photo
from humanlrm.photo.matte import keep_main_part, refine_mask
from humanlrm.photo.segment import detect_in_cutout, find_subject

_CROP_PX = 256
#: Below this IoU with the exact mask a detected pose is of the person in front. Then the person behind is detected
#: alone, as a cut-out is.
_SAME_PERSON_IOU = 0.5
#: Height of a person in the quick measure, unless the scan states another.
_QUICK_HEIGHT_M = 1.70


class CaseBuilder:
    """Photographs a subject and puts the truth into the frame of each photograph.

    Args:
        unit: names and seed; the seed decides the light, the backdrop and the corruptions.
        scan: the person.
    """

    def __init__(self, unit: Unit, scan: Scan, detector: PoseDetector, shooting: Shooting) -> None:
        self.unit, self.detector, self.shooting = unit, detector, shooting
        self.names = unit.set, unit.subject, unit.person
        self.renderer = EvalRenderer(scan)
        self.lamps = random_lamps(np.random.default_rng([unit.seed, 13]))

    def level(self, view: Viewpoint, condition: Corruption) -> Case:
        """A photograph by a level camera, corrupted by the condition.

        Raises:
            PhotoError: the mask is to be detected and nobody was found.
        """
        seed, yaw = self.unit.seed, round(view.yaw_deg)
        # The backdrop is the same under every condition: curves show the corruption and nothing else.
        rng = np.random.default_rng([seed, yaw, *map(ord, condition.name)])
        camera = camera_at(self.renderer, corrupt_viewpoint(condition, view))
        photo = self.renderer.photograph(camera, self.lamps, np.random.default_rng([seed, yaw]))
        photo = corrupt_photo(condition, photo, rng)
        shown = self._crop(photo.rgb, corrupt_mask(condition, photo.alpha))
        truth = self._truth(self.renderer.frame(photo, shown.crop), photo.alpha, photo.camera, photo.lamps)
        if self.shooting.landmarks == "exact" and truth.landmarks is not None:
            shown = replace(shown, landmarks=exact_landmarks(truth.landmarks))
        if condition.protocol == "landmarks":
            change = corrupt_landmarks(condition, shown.landmarks, truth.landmarks, truth.cm_per_unit, rng, seed)
            shown, truth = replace(shown, landmarks=change.landmarks), replace(truth, change=change)
        return Case(*self.names, view.yaw_deg, condition, shown, truth)

    def hand_held(self) -> Case:
        """The photograph of the quick measure: a hand-held camera at a random side, the exact mask, the main pose.

        Lengths are scaled to a person of 1.70 m.
        """
        rng = np.random.default_rng([self.unit.seed, 11])
        yaw_rad = rng.uniform(0, 2 * np.pi)
        camera, lamps = hand_held_camera(self.renderer, yaw_rad, rng), random_lamps(rng)
        photo = self.renderer.photograph(camera, lamps, rng)
        shown = assemble_crop(photo.rgb, photo.alpha, self.detector.best(photo.rgb), _CROP_PX)
        height_m = float(self.renderer.scan.tags.get("height_m", _QUICK_HEIGHT_M))
        truth = self._truth(self.renderer.frame(photo, shown.crop), photo.alpha, photo.camera, photo.lamps)
        truth = replace(truth, cm_per_unit=truth.cm_per_unit * _QUICK_HEIGHT_M / height_m)
        return Case(*self.names, float(np.degrees(yaw_rad)), Corruption(), shown, truth)

    def pair(self) -> Case:
        """A real photograph and a scan (upright, +Z toward the camera) of the same person in the same pose.

        The scan is put where the mask is (``place_in_mask``); state which alignment follows. Its pictures are unlit.

        Raises:
            PhotoError: the photo cannot be read or shows nobody.
        """
        assert self.unit.photo is not None
        shown = find_subject(load_photo(self.unit.photo), self.detector)
        before = self.renderer.scan.surface
        after = place_in_mask(before, shown.alpha[0].numpy() > 0.5).vertices.astype(np.float64)
        to_frame = np.eye(4)
        to_frame[:3, :3] *= np.ptp(after[:, 1]) / np.ptp(before.vertices[:, 1])
        to_frame[:3, 3] = after.mean(0) - to_frame[0, 0] * before.vertices.astype(np.float64).mean(0)
        canonical = canonical_camera(shown.alpha.shape[-1])
        w2c = canonical.w2c.double() @ torch.from_numpy(to_frame)
        w2c[:3] /= to_frame[0, 0]  # in the scan's unit
        camera = Cameras(canonical.K.double(), w2c, canonical.size_px)
        return Case(*self.names, 0.0, Corruption(), shown, self._truth(to_frame, shown.alpha[0].numpy(), camera, UNLIT))

    def _truth(
        self, to_frame: Float[np.ndarray, "4 4"], alpha: Float[np.ndarray, "H W"], camera: Cameras, lamps: Lamps
    ) -> Truth:
        cm_per_unit = float(100 / np.linalg.norm(to_frame[0, :3]))
        return Truth(self.renderer, to_frame, alpha, camera, lamps, self.shooting.points, cm_per_unit)

    def _crop(self, rgb: np.ndarray, alpha: np.ndarray) -> SubjectCrop:
        poses = self.detector(rgb)
        if self.shooting.mask == "exact":
            pose = max(poses, key=lambda pose: _overlap(pose, alpha), default=None)
            if pose is None or _overlap(pose, alpha) < _SAME_PERSON_IOU:
                pose = detect_in_cutout(rgb, alpha, self.detector)
            return assemble_crop(rgb, alpha, pose, _CROP_PX)
        if not poses:
            raise PhotoError("no person found in the photograph")
        mask = keep_main_part(refine_mask(rgb, poses[0].mask))
        if not mask.any():
            raise PhotoError("the detector found a person without a mask")
        return assemble_crop(rgb, mask, poses[0], _CROP_PX)


def _overlap(pose: DetectedPose, alpha: np.ndarray) -> float:
    """IoU of a pose's mask with the exact one."""
    detected, exact = pose.mask > 0.5, alpha > 0.5
    return float((detected & exact).sum() / max(1, (detected | exact).sum()))
