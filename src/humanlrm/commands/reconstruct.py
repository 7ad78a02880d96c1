"""``humanlrm reconstruct``."""

import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from PIL import Image

from humanlrm.commands.terminal import check_device, console


@dataclass(frozen=True)
class Reconstruct:
    """Reconstruct the person in a photo as a textured mesh.

    Attributes:
        photo: JPEG, PNG, WebP, TIFF...; an alpha channel is used as the person's outline.
        output: .glb, .obj or .ply.
        height_m: standing height of the person in metres.
        resolution: lattice cells per side: 64, 128, 256 or 512.
        texture_px: side of the texture.
        faces: about how many triangles.
        preview: also write a picture: input, front, left, back, right, normals.
        weights: folder of other weights than the shipped ones.
        device: cpu, cuda or mps.
    """

    photo: tyro.conf.Positional[Path]
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("person.glb")
    height_m: float = 1.70
    resolution: int = 256
    texture_px: int = 1024
    faces: int = 24_000
    preview: Path | None = None
    weights: Path | None = None
    device: str = "cpu"

    def run(self) -> int:
        from humanlrm.model.pretrained import SHIPPED
        from humanlrm.reconstruct import Reconstructor, Settings

        settings = Settings(self.height_m, self.resolution, self.texture_px, self.faces)
        _check_output(self.output)
        if self.preview is not None and self.preview.suffix.lower() not in Image.registered_extensions():
            raise ValueError(f"preview must be a picture such as .png or .jpg, got {self.preview}")
        check_device(self.device)
        with console.status(f"Reconstructing {self.photo.name}"):
            found = Reconstructor(self.weights or SHIPPED, self.device)(self.photo, settings)
            path = found.save(self.output)
            if self.preview is not None:
                _save_picture(found.preview(), self.preview)
        times = "  ".join(f"{stage} {seconds:.2f}" for stage, seconds in found.seconds.items())
        console.print(f"{path}  ({len(found.mesh.faces):,} triangles)", highlight=False)
        if self.preview is not None:
            console.print(f"{self.preview}", highlight=False)
        if found.subject.truncated:
            borders = ", ".join(found.subject.truncated)
            console.print(f"The photo cuts the person off ({borders}): what it does not show is a guess.")
        console.print(f"seconds: {times}  all {sum(found.seconds.values()):.2f}", highlight=False)
        console.print(f"peak memory: {_peak_mib():,.0f} MiB", highlight=False)
        return 0


def _check_output(path: Path) -> None:
    """Before any work is done."""
    if path.suffix.lower() not in (".glb", ".obj", ".ply"):
        raise ValueError(f"output must end in .glb, .obj or .ply, got {path}")


def _save_picture(pixels, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    Image.fromarray(pixels).save(partial)
    partial.replace(path)


def _peak_mib() -> float:
    """Largest memory that this process has held (kilobytes on Linux, bytes on macOS)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
