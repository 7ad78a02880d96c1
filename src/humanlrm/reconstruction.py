"""The result of a reconstruction: a textured mesh with its scale, and files and pictures of it."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from humanlrm.body.landmarks import LANDMARKS
from humanlrm.mesh.surface import TexturedMesh, Uncertainty
from humanlrm.output_settings import OutputSettings
from humanlrm.photo.crop import SubjectCrop
from humanlrm.photo.load import Remark
from humanlrm.photo.visibility import Visibility

if TYPE_CHECKING:
    from humanlrm.output import Deliverable
    from humanlrm.rig.skin import RiggedPerson

#: Spread that a heat map shows as red, metres.
_HOT_M = 0.1
#: Called with the name of each stage that begins.
_stage_listener: ContextVar[Callable[[str], None] | None] = ContextVar("stage_listener", default=None)


@contextmanager
def listen_to_stages(listener: Callable[[str], None]) -> Iterator[None]:
    """Call ``listener`` with the name of each stage that begins inside the block."""
    token = _stage_listener.set(listener)
    try:
        yield
    finally:
        _stage_listener.reset(token)


class StageTimer:
    """Seconds per stage, in order.

    Attributes:
        seconds: of the stages that have ended.
    """

    def __init__(self, seconds: dict[str, float] | None = None) -> None:
        self.seconds = dict(seconds or {})

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        if (listener := _stage_listener.get()) is not None:
            listener(stage)
        start = time.perf_counter()
        yield
        self.seconds[stage] = time.perf_counter() - start


@dataclass(frozen=True, repr=False)
class Reconstruction:
    """A reconstructed person.

    Attributes:
        mesh: textured mesh in box units (``frame.py``); times ``metres_per_unit`` it is in metres.
        subject: the crop that the network saw.
        landmarks: landmarks that the person is built on, box units.
        metres_per_unit: metric scale.
        seconds: time per stage.
        hidden: share of the person that the photo cuts off or hides, and why; ``None`` for several photos.
        sampled: True if the pose is a sample, False if it is the estimate.
        alternatives: further samples of the same photo, if they were asked for.
        other_views: crops of further calibrated photos.
        uncertainty: spread of the surface at each vertex, if it was asked for.
        warnings: what the user should know; empty if nothing is doubtful (docs/photos.md lists the codes).
        confidence: certainty that the photo shows a person, in [0, 1]; ``None`` for several photos.
        people_seen: people that the detector sees in the photo; ``None`` for several photos.
        provenance: weights and settings that made the person; written into every file that can hold it.
    """

    mesh: TexturedMesh
    subject: SubjectCrop
    landmarks: Float[np.ndarray, "J 3"]
    metres_per_unit: float
    seconds: dict[str, float]
    hidden: Visibility | None = None
    sampled: bool = False
    alternatives: tuple["Reconstruction", ...] = ()
    other_views: tuple[SubjectCrop, ...] = ()
    uncertainty: Uncertainty | None = None
    warnings: tuple[Remark, ...] = ()
    confidence: float | None = None
    people_seen: int | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Without the arrays."""
        height_m, faces, side_px = self.extent_m, len(self.mesh.faces), len(self.mesh.texture)
        return f"Reconstruction({faces:,} faces, {height_m:.2f} m high, texture {side_px} px)"

    @property
    def samples(self) -> tuple["Reconstruction", ...]:
        """All people of the photo: this one, then the alternatives."""
        return (self, *self.alternatives)

    @property
    def extent_m(self) -> float:
        """Height of the mesh in its pose, metres."""
        return self.metres_per_unit * float(np.ptp(self.mesh.vertices[:, 1]))

    def to_bytes(self, kind: str = "glb") -> bytes:
        """Contents of the file that :meth:`save` would write.

        Args:
            kind: suffix of a format that is one file, without the dot.

        Raises:
            ValueError: an unknown suffix, or a format of several files.
        """
        with TemporaryDirectory() as folder:
            path = self.save(Path(folder) / f"person.{kind.removeprefix('.')}")
            if len(list(path.parent.iterdir())) > 1:
                raise ValueError(f"to_bytes: {kind} is several files; save it, or choose another kind such as glb")
            return path.read_bytes()

    def report(self) -> dict[str, Any]:
        """Facts about the result, as plain values for JSON. Landmarks are in metres, as in :meth:`save`."""
        hidden = None if self.hidden is None else {"share": self.hidden.hidden, "reasons": list(self.hidden.reasons)}
        low, high = self.mesh.vertices.min(axis=0), self.mesh.vertices.max(axis=0)
        ground = np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2])
        landmarks = (self.landmarks - ground) * self.metres_per_unit
        return {
            "warnings": [{"code": remark.code, "sentence": remark.sentence} for remark in self.warnings],
            "confidence": self.confidence,
            "people_seen": self.people_seen,
            "hidden": hidden,
            "cut_by": list(self.subject.truncated),
            "sampled": self.sampled,
            "height_m": self.extent_m,
            "metres_per_unit": self.metres_per_unit,
            "landmarks_m": {name: point.tolist() for name, point in zip(LANDMARKS, landmarks, strict=True)},
            "seconds": dict(self.seconds),
        }

    def rigged(self) -> "RiggedPerson":
        """The person with a skeleton and skin weights (docs/rig.md), built at the first call.

        Raises:
            ValueError: landmarks are missing.
        """
        return self._deliverable.rigged

    @cached_property
    def _deliverable(self) -> "Deliverable":
        from humanlrm.output import Deliverable

        attributes: dict[str, Float[np.ndarray, "U"]] = {}
        if self.uncertainty is not None:
            spread_m = self.uncertainty.spread.numpy() * self.metres_per_unit
            attributes = {"_SPREAD_M": spread_m, "_ABSENCE": self.uncertainty.absence.numpy()}
        # Without a landmark head a landmark that was not detected stays where the crop has it.
        missing = (self.subject.landmarks[:, 3] <= 0).cpu().numpy()
        missing &= (self.subject.landmarks[:, :3].cpu().numpy() == self.landmarks).all(axis=1)
        landmarks = np.where(missing[:, None], np.nan, self.landmarks).astype(np.float32)
        return Deliverable(self.mesh, landmarks, self.metres_per_unit, attributes, self.provenance)

    def save(self, path: str | Path, output: OutputSettings | None = None) -> Path:
        """Write the person to a file whose suffix says the format: metres, upright, facing +Z, feet at y = 0.

        Never leave a half-written file. Uncertainty goes with .glb and .ply as vertex attributes: ``_SPREAD_M`` and
        ``_ABSENCE``.

        Raises:
            ValueError: an unknown suffix, or a format that cannot hold what ``output`` asks for.
        """
        return self.write(path, output)[0]

    def write(self, path: str | Path, output: OutputSettings | None = None) -> list[Path]:
        """:meth:`save`, but return all files that were written."""
        from humanlrm.output import write

        return write(Path(path), self._deliverable, (output or OutputSettings()).completed())

    def heat_map(self, size_px: int = 1024) -> UInt8[np.ndarray, "{size_px} {size_px} 3"]:
        """Uncertainty as a texture: blue where the surface is sure, red where samples are 10 cm apart or more.

        Raises:
            ValueError: uncertainty was not asked for.
        """
        from humanlrm.texture.bake import heat_map

        if self.uncertainty is None:
            raise ValueError("no uncertainty was asked for (Completion(uncertainty=True))")
        spread_m = self.uncertainty.spread.numpy() * self.metres_per_unit
        return heat_map(self.mesh, spread_m / _HOT_M, size_px)

    def preview(self, size_px: int = 384) -> UInt8[np.ndarray, "H W 3"]:
        """One picture: the inputs, front, left, back, right, normals."""
        from humanlrm.mesh.preview import contact_sheet, render_views

        inputs = [_on_white(subject, size_px) for subject in (self.subject, *self.other_views)]
        sides = render_views(self.mesh, size_px=size_px)
        normals = render_views(self.mesh, ("front",), size_px, shading="normals")
        return contact_sheet([*inputs, *sides, *normals])


def _on_white(subject: SubjectCrop, size_px: int) -> UInt8[np.ndarray, "{size_px} {size_px} 3"]:
    """The cut-out person before white."""
    rgb = (subject.rgb * subject.alpha + (1 - subject.alpha)).permute(1, 2, 0).numpy()
    return np.asarray(Image.fromarray((rgb * 255).round().astype(np.uint8)).resize((size_px, size_px)))
