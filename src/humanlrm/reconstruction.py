"""The result of a reconstruction: a textured mesh with its scale, and files and pictures of it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from humanlrm.mesh.surface import TexturedMesh, Uncertainty
from humanlrm.photo.crop import SubjectCrop
from humanlrm.photo.visibility import Visibility

#: Spread that a heat map shows as red, metres.
_HOT_M = 0.1


class StageTimer:
    """Seconds per stage, in order.

    Attributes:
        seconds: of the stages that have ended.
    """

    def __init__(self, seconds: dict[str, float] | None = None) -> None:
        self.seconds = dict(seconds or {})

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
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
        hidden: share of the person that the photo hides; ``None`` for several photos.
        sampled: True if the pose is a sample, False if it is the estimate.
        alternatives: further samples of the same photo, if they were asked for.
        other_views: crops of further calibrated photos.
        uncertainty: spread of the surface at each vertex, if it was asked for.
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

    def __repr__(self) -> str:
        """Without the arrays."""
        height_m = self.metres_per_unit * float(np.ptp(self.mesh.vertices[:, 1]))
        faces, side_px = len(self.mesh.faces), len(self.mesh.texture)
        return f"Reconstruction({faces:,} faces, {height_m:.2f} m high, texture {side_px} px)"

    @property
    def samples(self) -> tuple["Reconstruction", ...]:
        """All people of the photo: this one, then the alternatives."""
        return (self, *self.alternatives)

    def save(self, path: str | Path) -> Path:
        """Write .glb, .obj or .ply: metres, upright, facing +Z, feet at y = 0. Never leave a half-written file.

        Uncertainty goes with .glb and .ply as vertex attributes: ``_SPREAD_M`` and ``_ABSENCE``.

        Raises:
            ValueError: an unknown suffix.
        """
        from humanlrm.mesh.export import save

        attributes: dict[str, Float[np.ndarray, "U"]] = {}
        if self.uncertainty is not None:
            spread_m = self.uncertainty.spread.numpy() * self.metres_per_unit
            attributes = {"_SPREAD_M": spread_m, "_ABSENCE": self.uncertainty.absence.numpy()}
        return save(path, self.mesh, metres_per_unit=self.metres_per_unit, attributes=attributes)

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
