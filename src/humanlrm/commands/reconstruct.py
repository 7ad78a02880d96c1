"""``humanlrm reconstruct``."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import tyro
from PIL import Image

from humanlrm.commands.terminal import check_device, check_writable, console, peak_memory_mib
from humanlrm.files import atomic_write
from humanlrm.settings import Calibration, Completion, Settings

if TYPE_CHECKING:
    from humanlrm.reconstruct import Reconstruction

#: What is written beside a mesh.
_BESIDE = {".glb": (".uncertainty.png",), ".obj": (".mtl", ".png", ".uncertainty.png"), ".ply": ()}


@dataclass(frozen=True)
class Reconstruct:
    """Reconstruct the person in a photo, or in several calibrated ones, as a textured mesh.

    Attributes:
        photos: JPEG, PNG, WebP, TIFF...; an alpha channel is used as the person's outline. Several need --cameras.
        output: .glb, .obj (with .mtl and .png beside it) or .ply (with one colour per vertex).
        cameras: where the photos were taken from: a transforms.json as nerfstudio writes it (docs/multiview.md).
        up: axis of the cameras' world that points up: +x -x +y -y +z -z (write --up=-z), or "cameras": their mean up.
            Default: +z.
        unit: of the camera positions: m, cm or mm. Then the size is measured, and --height-m does not count.
        height_m: standing height of the person in metres.
        resolution: lattice cells per side: 64, 128, 256 or 512.
        texture_px: side of the texture.
        faces: about how many triangles.
        preview: also write a picture: input, front, left, back, right, normals.
        complete: whether a single person is sampled by diffusion instead of estimated: always, never, or auto, if more
            than a quarter of the body lies below the photo.
        samples: so many people who could be the one in the photo, as person.0.glb, person.1.glb... and a sheet of them.
        seed: sample k of a seed is always the same.
        guidance: of the samples: 1 is what the photo allows, more exaggerates what it tells.
        uncertainty: also say how sure the surface is: vertex attributes, and a heat map beside a GLB or OBJ.
        weights: folder of other weights than the shipped ones.
        device: cpu, cuda or mps.
    """

    photos: tyro.conf.Positional[tuple[Path, ...]]
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("person.glb")
    cameras: Path | None = None
    up: str | None = None
    unit: str | None = None
    height_m: float = 1.70
    resolution: int = 256
    texture_px: int = 1024
    faces: int = 24_000
    preview: Path | None = None
    complete: Literal["auto", "always", "never"] = "auto"
    samples: int = 1
    seed: int = 0
    guidance: float = 1.0
    uncertainty: bool = False
    weights: Path | None = None
    device: str = "cpu"

    def run(self) -> int:
        settings = Settings(self.height_m, self.resolution, self.texture_px, self.faces)
        completion = Completion(self.complete, self.samples, self.seed, self.guidance, self.uncertainty)
        calibration = None if self.cameras is None else Calibration(self.cameras, self.up or "+z", self.unit)
        self._check()
        from humanlrm.model.pretrained import SHIPPED
        from humanlrm.reconstruct import Reconstructor

        with console.status(f"Reconstructing {', '.join(photo.name for photo in self.photos)}"):
            reconstructor = Reconstructor(self.weights or SHIPPED, self.device)
            people = reconstructor(self.photos, calibration, settings, completion).samples
        written = self._save(people)
        for path in written:
            console.print(f"{path}", highlight=False, soft_wrap=True)
        for remark in _remarks(people):
            console.print(remark, highlight=False, soft_wrap=True)
        for person in people:
            times = "  ".join(f"{stage} {seconds:.2f}" for stage, seconds in person.seconds.items())
            line = f"seconds: {times}  all {sum(person.seconds.values()):.2f}"
            console.print(line, highlight=False, soft_wrap=True)
        if (peak_mib := peak_memory_mib()) is not None:
            console.print(f"peak memory: {peak_mib:,.0f} MiB", highlight=False)
        return 0

    def _save(self, people: "tuple[Reconstruction, ...]") -> list[Path]:
        """Meshes, heat maps and the picture of all."""
        written = []
        for person, path in zip(people, self._meshes(len(people)), strict=True):
            written.append(person.save(path))
            if person.uncertainty is not None and path.suffix.lower() != ".ply":
                written.append(path.with_suffix(".uncertainty.png"))
                _save_picture(person.heat_map(self.texture_px), written[-1])
        if (preview := self._sheet(len(people))) is not None:
            _save_picture(np.concatenate([person.preview() for person in people]), preview)
            written.append(preview)
        return written

    def _meshes(self, people: int) -> list[Path]:
        if people == 1:
            return [self.output]
        return [self.output.with_suffix(f".{number}{self.output.suffix}") for number in range(people)]

    def _sheet(self, people: int) -> Path | None:
        return self.output.with_suffix(".sheet.png") if self.preview is None and people > 1 else self.preview

    def _check_nothing_is_lost(self) -> None:
        """A texture must not replace the photo, nor the preview the texture."""
        files = self._meshes(self.samples)
        files += [path.with_suffix(end) for path in files for end in _BESIDE[self.output.suffix.lower()]]
        sheet = self._sheet(self.samples)
        inputs = {path.resolve() for path in (*self.photos, self.cameras) if path is not None}
        for path in files if sheet is None else [*files, sheet]:
            check_writable(path)
            if path.resolve() in inputs:
                raise ValueError(f"{path} would be overwritten: it is an input; choose another --output")
        if self.preview is not None and self.preview.resolve() in {path.resolve() for path in files}:
            raise ValueError(f"--preview {self.preview} is also a file of --output {self.output}; choose another name")

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
        if self.cameras is not None and (self.samples > 1 or self.uncertainty or self.complete == "always"):
            raise ValueError("--samples, --uncertainty and --complete always are for a single photo, without --cameras")
        if self.cameras is None and self.unit is not None:
            raise ValueError("--unit is the unit of --cameras; one photo has no scale: give --height-m")
        if self.cameras is None and self.up is not None:
            raise ValueError("--up is an axis of --cameras; without them the photo's own up counts")
        self._check_nothing_is_lost()
        check_device(self.device)


def _remarks(people: "tuple[Reconstruction, ...]") -> list[str]:
    """Sentences about what the photo hides and how sure the surface is."""
    remarks = []
    first = people[0]
    truncated = any(person.subject.truncated for person in people)
    # A little may be the landmarks' error.
    if first.hidden is not None and first.hidden.reasons and (truncated or first.sampled or first.hidden.substantial):
        how = "sampled" if first.sampled else "estimated"
        remarks.append(f"The photo does not show everything ({'; '.join(first.hidden.reasons)}): the rest is {how}.")
    for person in people:
        if person.uncertainty is not None:
            spread_cm = 100 * person.metres_per_unit * person.uncertainty.spread
            remarks.append(
                f"surface uncertain by {float(spread_cm.median()):.1f} cm (median), "
                f"{float(spread_cm.quantile(0.9)):.1f} cm where least sure (a tenth of it)"
            )
    return remarks


def _save_picture(pixels, path: Path) -> None:
    with atomic_write(path) as partial:
        Image.fromarray(pixels).save(partial, Image.registered_extensions()[path.suffix.lower()])
