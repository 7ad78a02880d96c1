"""``humanlrm reconstruct``."""

import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from PIL import Image

from humanlrm.commands.terminal import check_device, console

if TYPE_CHECKING:
    from humanlrm.reconstruct import Reconstruction, Settings


@dataclass(frozen=True)
class Reconstruct:
    """Reconstruct the person in a photo, or in several calibrated ones, as a textured mesh.

    Attributes:
        photos: JPEG, PNG, WebP, TIFF...; an alpha channel is used as the person's outline. Several need --cameras.
        output: .glb, .obj or .ply.
        cameras: where the photos were taken from: a transforms.json as nerfstudio writes it (docs/multiview.md).
        up: axis of the cameras' world that points up: +x -x +y -y +z -z (write --up=-z), or "cameras": their mean up.
        unit: of the camera positions: m, cm or mm. Then the size is measured, and --height-m does not count.
        height_m: standing height of the person in metres.
        resolution: lattice cells per side: 64, 128, 256 or 512.
        texture_px: side of the texture.
        faces: about how many triangles.
        preview: also write a picture: input, front, left, back, right, normals.
        weights: folder of other weights than the shipped ones.
        device: cpu, cuda or mps.
    """

    photos: tyro.conf.Positional[tuple[Path, ...]]
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("person.glb")
    cameras: Path | None = None
    up: str = "+z"
    unit: str | None = None
    height_m: float = 1.70
    resolution: int = 256
    texture_px: int = 1024
    faces: int = 24_000
    preview: Path | None = None
    weights: Path | None = None
    device: str = "cpu"

    def run(self) -> int:
        from humanlrm.reconstruct import Settings

        settings = Settings(self.height_m, self.resolution, self.texture_px, self.faces)
        self._check()
        with console.status(f"Reconstructing {', '.join(photo.name for photo in self.photos)}"):
            found = self._one(settings) if self.cameras is None else self._several(self.cameras, settings)
            path = found.save(self.output)
            if self.preview is not None:
                _save_picture(found.preview(), self.preview)
        times = "  ".join(f"{stage} {seconds:.2f}" for stage, seconds in found.seconds.items())
        console.print(f"{path}  ({len(found.mesh.faces):,} triangles)", highlight=False)
        if self.preview is not None:
            console.print(f"{self.preview}", highlight=False)
        if found.subject.truncated and not found.others:
            borders = ", ".join(found.subject.truncated)
            console.print(f"The photo cuts the person off ({borders}): what it does not show is a guess.")
        console.print(f"seconds: {times}  all {sum(found.seconds.values()):.2f}", highlight=False)
        console.print(f"peak memory: {_peak_mib():,.0f} MiB", highlight=False)
        return 0

    def _check(self) -> None:
        """Before any work is done."""
        if self.output.suffix.lower() not in (".glb", ".obj", ".ply"):
            raise ValueError(f"output must end in .glb, .obj or .ply, got {self.output}")
        if self.preview is not None and self.preview.suffix.lower() not in Image.registered_extensions():
            raise ValueError(f"preview must be a picture such as .png or .jpg, got {self.preview}")
        if not self.photos:
            raise ValueError("give a photo; see `humanlrm reconstruct --help`")
        if self.cameras is None and len(self.photos) > 1:
            raise ValueError(
                f"{len(self.photos)} photos need --cameras, which says where each was taken from; "
                "without it give one photo at a time"
            )
        if self.cameras is None and self.unit is not None:
            raise ValueError("--unit is the unit of --cameras; one photo has no scale: give --height-m")
        check_device(self.device)

    def _one(self, settings: "Settings") -> "Reconstruction":
        from humanlrm.model.pretrained import SHIPPED
        from humanlrm.reconstruct import Reconstructor

        return Reconstructor(self.weights or SHIPPED, self.device)(self.photos[0], settings)

    def _several(self, cameras: Path, settings: "Settings") -> "Reconstruction":
        from humanlrm.model.pretrained import SHIPPED
        from humanlrm.multiview import MultiViewReconstructor

        reconstructor = MultiViewReconstructor(self.weights or SHIPPED, self.device)
        return reconstructor(self.photos, cameras, self.unit, settings, self.up)


def _save_picture(pixels, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    Image.fromarray(pixels).save(partial)
    partial.replace(path)


def _peak_mib() -> float:
    """Largest memory that this process has held (kilobytes on Linux, bytes on macOS)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
