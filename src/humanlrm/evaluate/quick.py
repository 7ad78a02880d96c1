"""The quick measure: 64 held-out procedural people, one photo each, geometry only; the numbers of model cards.

It is kept as it was when the first weights were measured: a hand-held camera at a random side, exact mask, landmarks
as detected on that photo, 100,000 samples, centimetres at a height of 1.70 m.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from rich.console import Console
from rich.progress import track

from humanlrm.camera import Cameras, look_at
from humanlrm.data.scan import Scan
from humanlrm.evaluate.baselines import inflated_silhouette
from humanlrm.evaluate.geometry import Alignment, SurfaceDistance, check_alignment, compare
from humanlrm.evaluate.methods import lrm_surface
from humanlrm.evaluate.renderer import PHOTO_PX, EvalRenderer, random_lamps
from humanlrm.files import write_text
from humanlrm.frame import CAMERA_DISTANCE, SUBJECT_SPAN
from humanlrm.mesh.surface import TriangleSurface
from humanlrm.model.pretrained import SHIPPED, from_pretrained
from humanlrm.people.generate import VALIDATION_SEED
from humanlrm.people.procedural.person import make_person
from humanlrm.photo.blazepose import PoseDetector
from humanlrm.photo.crop import SubjectCrop, assemble_crop

#: All distances are scaled to a person of this height.
HEIGHT_M = 1.70

#: From what the network is shown to a surface in box units.
GeometryMethod = Callable[[SubjectCrop], TriangleSurface]


@dataclass(frozen=True)
class QuickCase:
    """One photograph of one held-out person: what is shown, and the true outer surface and landmarks in its frame (box
    units)."""

    name: str
    shown: SubjectCrop
    truth: TriangleSurface
    landmarks: Float[np.ndarray, "J 3"] | None
    cm_per_unit: float


@dataclass(frozen=True)
class QuickRow:
    """One case measured; distances in cm at 1.70 m."""

    name: str
    distance: SurfaceDistance


def procedural_cases(count: int, detector: PoseDetector) -> Iterator[QuickCase]:
    """Held-out procedural people, one photo each from a random side."""
    for seed in range(VALIDATION_SEED, VALIDATION_SEED + count):
        rng = np.random.default_rng([seed, 11])
        yield quick_case(make_person(seed), rng.uniform(0, 2 * np.pi), detector, rng)


def quick_case(scan: Scan, yaw_rad: float, detector: PoseDetector, rng: np.random.Generator) -> QuickCase:
    """A photograph of a scan from ``yaw_rad`` (0 = from the front) and the scan in its frame."""
    stage = EvalRenderer(scan)
    photo = stage.photograph(_hand_held(stage, yaw_rad, rng), random_lamps(rng), rng)
    shown = assemble_crop(photo.rgb, photo.alpha, detector.best(photo.rgb), 256)
    to_frame = stage.frame(photo, shown.crop)
    placed = scan.moved(to_frame)
    height_m = float(scan.tags.get("height_m", HEIGHT_M))
    return QuickCase(
        f"{scan.id}@{np.degrees(yaw_rad):.0f}",
        shown,
        TriangleSurface(placed.vertices, placed.faces[stage.outer]),
        placed.landmarks,
        float(100 / np.linalg.norm(to_frame[0, :3]) * HEIGHT_M / height_m),
    )


def _hand_held(stage: EvalRenderer, yaw_rad: float, rng: np.random.Generator) -> Cameras:
    """A camera at about the canonical distance, the person a little off the centre."""
    pitch = float(np.clip(rng.normal(0.03, 0.12), -0.35, 0.5))
    toward = np.array([np.sin(yaw_rad) * np.cos(pitch), np.sin(pitch), np.cos(yaw_rad) * np.cos(pitch)])
    right, up = np.array([np.cos(yaw_rad), 0, -np.sin(yaw_rad)]), np.array([0.0, 1.0, 0.0])
    relative = stage.scan.vertices - stage.center
    extent = max(np.ptp(relative @ right), np.ptp(relative @ up))
    distance = CAMERA_DISTANCE * extent / SUBJECT_SPAN * np.exp(rng.normal(0, 0.1))
    share = rng.uniform(0.62, 0.92)
    target = stage.center + right * rng.normal(0, 0.04) * extent + up * rng.normal(0, 0.03) * extent
    focal_px = share * PHOTO_PX * distance / extent
    K = torch.tensor([[focal_px, 0, PHOTO_PX / 2], [0, focal_px, PHOTO_PX / 2], [0, 0, 1.0]], dtype=torch.float64)
    tilted = tuple(up + right * np.sin(rng.normal(0, 0.03)))
    w2c = look_at(torch.from_numpy(target + toward * distance), torch.from_numpy(target), tilted)
    return Cameras(K, w2c, (PHOTO_PX, PHOTO_PX))


def measure(method: GeometryMethod, case: QuickCase, alignment: Alignment = "translation") -> QuickRow:
    """One case through one method."""
    found = compare(method(case.shown), case.truth, alignment)
    return QuickRow(
        case.name,
        SurfaceDistance(found.p2s * case.cm_per_unit, found.s2p * case.cm_per_unit, found.normal_consistency),
    )


def mean(rows: list[QuickRow]) -> SurfaceDistance:
    """Average over cases.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError("nothing was measured: no cases")
    parts = np.array([(r.distance.p2s, r.distance.s2p, r.distance.normal_consistency) for r in rows]).mean(0)
    return SurfaceDistance(*map(float, parts))


@dataclass(frozen=True)
class QuickReport:
    """Measured rows and how they were measured."""

    method: str
    alignment: Alignment
    rows: list[QuickRow]
    failures: list[str]

    @property
    def mean(self) -> SurfaceDistance:
        return mean(self.rows)

    @property
    def title(self) -> str:
        return f"{self.method}: {len(self.rows)} held-out people, cm at 1.70 m, alignment: {self.alignment}"

    columns = ("", "Chamfer cm", "P2S cm", "S2P cm", "NC |cos|")

    @property
    def lines(self) -> list[tuple[str, ...]]:
        """The three worst cases, then the mean."""
        worst = sorted(self.rows, key=lambda row: -row.distance.chamfer)[:3]
        named = [(row.name, row.distance) for row in worst] + [("mean of all", self.mean)]
        lines = [
            (name, f"{d.chamfer:.2f}", f"{d.p2s:.2f}", f"{d.s2p:.2f}", f"{d.normal_consistency:.3f}")
            for name, d in named
        ]
        return lines + [(f"failed: {failure}", "", "", "", "") for failure in self.failures]

    def write(self, path: Path) -> None:
        """All rows as JSON."""
        content = {**asdict(self), "mean": {**asdict(self.mean), "chamfer": self.mean.chamfer}}
        write_text(path, json.dumps(content, indent=1))


def evaluate_quick(
    count: int, alignment: str, resolution: int, weights: Path | None, method: str, console: Console
) -> QuickReport:
    """Measures the model ("humanlrm") or the floor "inflated" on ``count`` held-out procedural people.

    Raises:
        ValueError: an unknown alignment or method, or no people.
    """
    checked = check_alignment(alignment)
    if method not in ("humanlrm", "inflated"):
        raise ValueError(
            f"the quick measure knows the methods humanlrm and inflated, not {method!r}; leave out --quick"
        )
    if method == "inflated":
        run: GeometryMethod = inflated_silhouette
    else:
        run = lrm_surface(from_pretrained(weights or SHIPPED), resolution)
    rows, failures = [], []
    for case in track(procedural_cases(count, PoseDetector(careful=True)), "evaluate", total=count, console=console):
        try:
            rows.append(measure(run, case, checked))
        except ValueError as error:
            failures.append(f"{case.name}: {error}")
    return QuickReport(method, checked, rows, failures)
