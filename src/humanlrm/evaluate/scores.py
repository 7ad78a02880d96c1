"""What is measured of a case: names, units, which way is better, and the measuring itself."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse.csgraph import connected_components

from humanlrm.evaluate.case import IMAGE_PX, SIDES, Case, ColoredSurface
from humanlrm.evaluate.geometry import (
    Alignment,
    Nearest,
    Similarity,
    align,
    f_score,
    nearest,
    ordered_samples,
)
from humanlrm.evaluate.images import FeatureDistance, iou, person_box, psnr_db, render, ssim
from humanlrm.evaluate.renderer import Picture
from humanlrm.mesh.clean import adjacency
from humanlrm.mesh.preview import YAW_DEG, orbit_camera
from humanlrm.mesh.surface import is_closed

#: Points that take part in an alignment.
_ALIGN_POINTS = 5000


@dataclass(frozen=True)
class Metric:
    """One column.

    Attributes:
        name: in reports.
        title: in tables.
        digits: after the point.
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
    """Values by metric name (a metric that does not apply is left out), and what was compared in the pictures."""

    values: dict[str, float]
    predicted: list[Picture]
    normals: Picture


class Scorer:
    """Measures predictions.

    Args:
        alignment: geometry and pictures are compared after it; ``mask_iou`` is not aligned.
        points: samples of each surface.
    """

    def __init__(self, alignment: Alignment, points: int) -> None:
        self.alignment: Alignment = alignment
        self.points = points
        self.cameras = [orbit_camera(YAW_DEG[side], IMAGE_PX) for side in SIDES]
        self.feature_distance = FeatureDistance()
        self._known: tuple[Case | None, list] = (None, [])

    def __call__(self, case: Case, predicted: ColoredSurface) -> Scored:
        """All metrics of one prediction but ``cpu_s``."""
        samples = ordered_samples(predicted.surface, self.points, seed=1)
        thin, true = (s.thinned(_ALIGN_POINTS) for s in (samples, case.truth.samples))
        moved = align(thin, true, self.alignment, workers=1)
        found = nearest(moved.samples(samples), case.truth.samples, workers=1)
        pictures, values = self._pictures(case, predicted, moved)
        values = self._geometry(case, found) | values | soundness(predicted)
        front = pictures[0] if self.alignment == "none" else render(predicted, self.cameras[:1])[0]
        shown = case.shown
        values["mask_iou"] = mask_agreement(front, shown.alpha[0].numpy() > 0.5, shown.known[0].numpy() > 0.5)
        aligned = ColoredSurface(moved.surface(predicted.surface), predicted.colors)
        return Scored(values, pictures, render(aligned, self.cameras[:1], normals=True)[0])

    def _geometry(self, case: Case, found: Nearest) -> dict[str, float]:
        cm, visible = case.truth.cm_per_unit, case.truth.visible
        p2s, s2p = float(found.to_truth.mean()) * cm, float(found.to_prediction.mean()) * cm
        values = {
            "chamfer_cm": (p2s + s2p) / 2,
            "p2s_cm": p2s,
            "s2p_cm": s2p,
            "normals_abs": float((np.abs(found.cosine).mean() + np.abs(found.cosine_back).mean()) / 2),
            "normals_signed": float((found.cosine.mean() + found.cosine_back.mean()) / 2),
            "f1": f_score(found, 1 / cm),
            "f2": f_score(found, 2 / cm),
        }
        for name, part in (("visible", visible), ("hidden", ~visible)):
            ahead = part[found.true_index]
            if part.any() and ahead.any():
                values[f"{name}_cm"] = float(found.to_truth[ahead].mean() + found.to_prediction[part].mean()) * cm / 2
                cosine = np.abs(found.cosine[ahead]).mean() + np.abs(found.cosine_back[part]).mean()
                values[f"normals_{name}"] = float(cosine / 2)
        if case.truth.limb.any():
            values["limb_cm"] = float(found.to_prediction[case.truth.limb].mean()) * cm
            values["limb_bound_cm"] = case.truth.limb_bound_cm
        return values

    def _pictures(
        self, case: Case, predicted: ColoredSurface, moved: Similarity
    ) -> tuple[list[Picture], dict[str, float]]:
        aligned = ColoredSurface(moved.surface(predicted.surface), predicted.colors)
        pictures, truth = render(aligned, self.cameras), list(case.truth.pictures)
        if self._known[0] is not case:
            self._known = case, self.feature_distance.features(truth)
        masks = [a.mask | b.mask for a, b in zip(pictures, truth, strict=True)]
        apart = self.feature_distance.between(self.feature_distance.features(pictures), self._known[1], masks)
        per_side: dict[str, dict[str, float]] = {name: {} for name in ("psnr", "ssim", "feature", "iou")}
        for index, side in enumerate(SIDES):
            a, b, box = pictures[index], truth[index], person_box(truth[index].mask)
            per_side["psnr"][side] = psnr_db(a.rgb[box], b.rgb[box])
            per_side["ssim"][side] = ssim(a.rgb[box], b.rgb[box])
            per_side["feature"][side] = float(apart[index])
            per_side["iou"][side] = iou(a.mask, b.mask)
        values = {}
        for name, of in per_side.items():
            values |= {f"{name}_front": of["front"], f"{name}_side": (of["left"] + of["right"]) / 2}
            if name != "iou":
                values[f"{name}_back"] = of["back"]
        return pictures, values


def mask_agreement(front: Picture, given: np.ndarray, known: np.ndarray) -> float:
    """IoU of the mesh's silhouette in the input view with the mask, where the square shows the photo."""
    at = (np.arange(len(front.mask)) + 0.5) / len(front.mask) * len(given)
    pick = np.ix_(at.astype(int), at.astype(int))
    return iou(front.mask & known[pick], given[pick] & known[pick])


def soundness(mesh: ColoredSurface) -> dict[str, float]:
    """Watertight with one component, 1 or 0."""
    surface = mesh.surface
    closed = is_closed(surface.faces)
    return {"sound": float(closed and component_count(mesh) == 1)}


def component_count(mesh: ColoredSurface) -> int:
    """Connected parts of the surface."""
    labels = connected_components(adjacency(mesh.surface), directed=False)[1]
    return len(np.unique(labels[mesh.surface.faces[:, 0]]))
