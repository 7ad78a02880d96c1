"""Metrics of a case: names, units, direction, and their computation."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse.csgraph import connected_components

from humanlrm.evaluate.case import IMAGE_PX, SIDES, Case, ColoredSurface
from humanlrm.evaluate.geometry import Nearest, align, compare, f_score, nearest, ordered_samples
from humanlrm.evaluate.images import FeatureDistance, iou, person_box, psnr_db, render, ssim
from humanlrm.evaluate.renderer import Picture
from humanlrm.mesh.clean import adjacency
from humanlrm.mesh.preview import YAW_DEG, orbit_camera
from humanlrm.mesh.surface import TriangleSurface, is_closed
from humanlrm.photo.crop import SubjectCrop

#: Points that take part in an alignment.
_ALIGN_POINTS = 5000


@dataclass(frozen=True)
class Metric:
    """One column of a report.

    Attributes:
        name: key in reports.
        title: heading in tables.
        digits: decimals.
        better: "low" or "high".
        meaning: one line.
    """

    name: str
    title: str
    digits: int
    better: str
    meaning: str


METRICS = (
    Metric("chamfer_cm", "Chamfer cm", 2, "low", "mean of P2S and S2P, at the person's true height"),
    Metric("p2s_cm", "P2S cm", 2, "low", "mean distance from the prediction to the nearest true sample"),
    Metric("s2p_cm", "S2P cm", 2, "low", "mean distance from the truth to the nearest predicted sample"),
    Metric("visible_cm", "visible cm", 2, "low", "Chamfer over the surface that the photo shows"),
    Metric("hidden_cm", "hidden cm", 2, "low", "Chamfer over the surface that the photo does not show"),
    Metric("normals_abs", "NC abs cos", 3, "high", "mean |cos| between normals of nearest samples, both ways"),
    Metric("normals_signed", "NC cos", 3, "high", "the same with its sign"),
    Metric("normals_visible", "NC visible", 3, "high", "|cos|, surface that the photo shows"),
    Metric("normals_hidden", "NC hidden", 3, "high", "|cos|, surface that the photo does not show"),
    Metric("f1", "F 1 cm", 3, "high", "F-score at 1 cm"),
    Metric("f2", "F 2 cm", 3, "high", "F-score at 2 cm"),
    Metric("psnr_front", "PSNR front dB", 2, "high", "input view, over the true silhouette's box"),
    Metric("psnr_side", "PSNR side dB", 2, "high", "mean of left and right"),
    Metric("psnr_back", "PSNR back dB", 2, "high", "from behind"),
    Metric("ssim_front", "SSIM front", 3, "high", "input view, same box"),
    Metric("ssim_side", "SSIM side", 3, "high", "mean of left and right"),
    Metric("ssim_back", "SSIM back", 3, "high", "from behind"),
    Metric("feature_front", "feature front", 3, "low", "1 - cosine of EfficientNet-Lite0 features on the person"),
    Metric("feature_side", "feature side", 3, "low", "mean of left and right"),
    Metric("feature_back", "feature back", 3, "low", "from behind"),
    Metric("iou_front", "IoU front", 3, "high", "silhouettes of prediction and truth in the input view"),
    Metric("iou_side", "IoU side", 3, "high", "mean of left and right"),
    Metric("mask_iou", "IoU mask", 3, "high", "unaligned silhouette in the input view and the mask that was given"),
    Metric("sound", "sound", 3, "high", "share of watertight meshes with one component; a failure counts as 0"),
    Metric("limb_cm", "limb cm", 2, "low", "landmark protocol: S2P of the limb whose landmarks are moved"),
    Metric("limb_bound_cm", "if followed cm", 2, "low", "landmark protocol: the same if it followed its landmarks"),
    Metric("cpu_s", "CPU s", 2, "low", "process time of the method"),
)  # fmt: skip
METRIC = {metric.name: metric for metric in METRICS}


@dataclass(frozen=True)
class Scored:
    """The scores of one prediction.

    Attributes:
        values: by metric name; a metric that does not apply is left out.
        pictures: the aligned prediction from ``SIDES``, and its normals; none in the quick measure.
    """

    values: dict[str, float]
    pictures: tuple[Picture, ...] = ()


class Scorer:
    """All metrics but ``cpu_s``.

    Args:
        alignment: done before geometry and pictures are compared; ``mask_iou`` is never aligned.
        points: samples of each surface.
    """

    def __init__(self, alignment: str, points: int) -> None:
        self.alignment = alignment
        self.points = points
        self.cameras = [orbit_camera(YAW_DEG[side], IMAGE_PX) for side in SIDES]
        self.feature_distance = FeatureDistance()
        # Several methods are scored on one case.
        self._true_features: tuple[Case | None, list] = (None, [])

    def __call__(self, case: Case, predicted: ColoredSurface) -> Scored:
        """Score a prediction."""
        samples = ordered_samples(predicted.surface, self.points, seed=1)
        thin, true = (s.thinned(_ALIGN_POINTS) for s in (samples, case.truth.samples))
        moved = align(thin, true, self.alignment, workers=1)
        pairs = nearest(moved.samples(samples), case.truth.samples, workers=1)
        aligned = ColoredSurface(moved.surface(predicted.surface), predicted.colors)
        pictures = render(aligned, self.cameras)
        unaligned = pictures[0] if self.alignment == "none" else render(predicted, self.cameras[:1])[0]
        values = self._geometry(case, pairs) | self._image_values(case, pictures)
        values["sound"] = float(is_sound(predicted.surface))
        values["mask_iou"] = mask_agreement(unaligned, case.shown)
        return Scored(values, (*pictures, *render(aligned, self.cameras[:1], normals=True)))

    def _geometry(self, case: Case, pairs: Nearest) -> dict[str, float]:
        cm, visible = case.truth.cm_per_unit, case.truth.visible
        values = distance_values(pairs, cm) | {
            "normals_signed": float((pairs.cosine.mean() + pairs.cosine_back.mean()) / 2),
            "f1": f_score(pairs, 1 / cm),
            "f2": f_score(pairs, 2 / cm),
        }
        for name, part in (("visible", visible), ("hidden", ~visible)):
            ahead = part[pairs.true_index]
            if part.any() and ahead.any():
                values[f"{name}_cm"] = float(pairs.to_truth[ahead].mean() + pairs.to_prediction[part].mean()) * cm / 2
                cosine = np.abs(pairs.cosine[ahead]).mean() + np.abs(pairs.cosine_back[part]).mean()
                values[f"normals_{name}"] = float(cosine / 2)
        if case.truth.limb.any():
            values["limb_cm"] = float(pairs.to_prediction[case.truth.limb].mean()) * cm
            values["limb_bound_cm"] = case.truth.limb_bound_cm
        return values

    def _image_values(self, case: Case, pictures: list[Picture]) -> dict[str, float]:
        truth = list(case.truth.pictures)
        if self._true_features[0] is not case:
            self._true_features = case, self.feature_distance.features(truth)
        masks = [a.mask | b.mask for a, b in zip(pictures, truth, strict=True)]
        features = self.feature_distance.features(pictures)
        distances = self.feature_distance.between(features, self._true_features[1], masks)
        boxes = [person_box(picture.mask) for picture in truth]
        compared = [(a.rgb[box], b.rgb[box]) for a, b, box in zip(pictures, truth, boxes, strict=True)]
        per_side = {
            "psnr": [psnr_db(a, b) for a, b in compared],
            "ssim": [ssim(a, b) for a, b in compared],
            "feature": [float(distance) for distance in distances],
            "iou": [iou(a.mask, b.mask) for a, b in zip(pictures, truth, strict=True)],
        }
        values = {}
        for name, numbers in per_side.items():
            sides = dict(zip(SIDES, numbers, strict=True))
            values |= {f"{name}_front": sides["front"], f"{name}_side": (sides["left"] + sides["right"]) / 2}
            if name != "iou":
                values[f"{name}_back"] = sides["back"]
        return values


class QuickScorer:
    """The quick measure: distances and normals of 100,000 samples per surface, no pictures.

    Args:
        workers: threads, -1 for all cores.
    """

    def __init__(self, alignment: str, workers: int) -> None:
        self.alignment = alignment
        self.workers = workers

    def __call__(self, case: Case, predicted: ColoredSurface) -> Scored:
        """Score a prediction."""
        pairs = compare(predicted.surface, case.truth.surface, self.alignment, workers=self.workers)
        return Scored(distance_values(pairs, case.truth.cm_per_unit))


def distance_values(pairs: Nearest, cm_per_unit: float) -> dict[str, float]:
    """Chamfer, P2S, S2P and normal consistency."""
    p2s, s2p = pairs.p2s * cm_per_unit, pairs.s2p * cm_per_unit
    return {"chamfer_cm": (p2s + s2p) / 2, "p2s_cm": p2s, "s2p_cm": s2p, "normals_abs": pairs.normal_consistency}


def mask_agreement(front: Picture, shown: SubjectCrop) -> float:
    """IoU of a mesh's silhouette in the input view with the mask, where the square shows the photo."""
    mask, known = (plane[0].numpy() > 0.5 for plane in (shown.alpha, shown.known))
    at = ((np.arange(len(front.mask)) + 0.5) / len(front.mask) * len(mask)).astype(int)
    pick = np.ix_(at, at)
    return iou(front.mask & known[pick], mask[pick] & known[pick])


def is_sound(surface: TriangleSurface) -> bool:
    """Test for a watertight surface with one component."""
    return is_closed(surface.faces) and component_count(surface) == 1


def component_count(surface: TriangleSurface) -> int:
    """Connected parts of a surface."""
    labels = connected_components(adjacency(surface), directed=False)[1]
    return len(np.unique(labels[surface.faces[:, 0]]))
