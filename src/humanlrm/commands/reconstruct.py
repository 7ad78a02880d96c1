"""``humanlrm reconstruct``: a photo to a mesh file."""

import sys
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from json import dumps
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from humanlrm import __version__
from humanlrm.commands.terminal import check_device, check_writable, console, peak_memory_mib, say
from humanlrm.files import atomic_write, sha256, write_text
from humanlrm.output_settings import CLIP_NAMES, HEAT_MAP, MESH_FORMATS, PLANS, OutputSettings, Purpose
from humanlrm.settings import Calibration, Completion, Selection, Settings, check_photos

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

    from humanlrm.photo.load import PhotoSource
    from humanlrm.reconstruct import Reconstruction, Reconstructor

_STDIN, _OUTPUT = Path("-"), Path("person.glb")


@dataclass(frozen=True)
class NetworkOptions:
    """Weights and processor of the network; rarely needed.

    Attributes:
        weights: folder of other weights than the shipped ones.
        device: processor of the network: cpu, cuda or mps.
    """

    weights: Path | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class FileOptions(OutputSettings):
    """Files of a person: rig, pose, motion, levels of detail (docs/rig.md)."""

    purpose: Annotated[Purpose | None, tyro.conf.arg(name="for")] = None


@dataclass(frozen=True)
class Reconstruct:
    """Reconstruct the person in a photo, or in several calibrated ones, as a textured mesh.

    Attributes:
        photos: photo of a person: JPEG, PNG, WebP, TIFF..., or - for standard input. An alpha channel is used as the
            person's outline. Several photos of one moment need --cameras.
        output: file of the mesh; its suffix says the format: .glb, .gltf, .vrm, .usdz, .obj, .ply (one color per
            vertex), .stl or .3mf (for printers).
        preview: also write a picture of the result: the photo, front, left, back, right, normals.
        json: also write a report: warnings, confidence, people seen, what is hidden, height, landmarks, seconds per
            stage, settings and the weights' SHA-256.
        quiet: print errors only.
        everyone: reconstruct each person in the photo, from left to right, as person.0.glb, person.1.glb...
    """

    photos: Annotated[
        tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PHOTO [PHOTO ...]", help_behavior_hint="")
    ]
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = _OUTPUT
    preview: Path | None = None
    json: Path | None = None
    quiet: bool = False
    everyone: bool = False
    settings: Annotated[Settings, tyro.conf.arg(name="mesh"), tyro.conf.OmitArgPrefixes] = field(
        default_factory=Settings
    )
    files: tyro.conf.OmitArgPrefixes[FileOptions] = field(default_factory=FileOptions)
    completion: tyro.conf.OmitArgPrefixes[Completion] = field(default_factory=Completion)
    calibration: tyro.conf.OmitArgPrefixes[Calibration] = field(default_factory=Calibration)
    selection: tyro.conf.OmitArgPrefixes[Selection] = field(default_factory=Selection)
    network: tyro.conf.OmitArgPrefixes[NetworkOptions] = field(default_factory=NetworkOptions)

    def run(self) -> int:
        return self._for_purpose()._run()

    def _for_purpose(self) -> "Reconstruct":
        """The command with what ``--for`` sets; what was given stays."""
        if self.files.purpose is None:
            return self
        plan, usual = PLANS[self.files.purpose], Settings()
        by_plan = {name: n for name, n in plan.settings.items() if getattr(self.settings, name) == getattr(usual, name)}
        output = self.output.with_suffix(plan.suffixes[0]) if self.output == _OUTPUT else self.output
        settings: Settings = replace(self.settings, **by_plan)
        return replace(self, output=output, settings=settings, files=self.files.completed())

    def _run(self) -> int:
        self._check()
        from humanlrm.reconstruct import SHIPPED, Reconstructor

        start = time.perf_counter()
        weights, spinner = self.network.weights or SHIPPED, nullcontext() if self.quiet else console.status(self._title)
        with spinner:
            reconstructor = Reconstructor(weights, self.network.device)
            people = self._reconstruct(reconstructor)
            written = self._save(people)
        if self.json is not None:
            written.append(write_text(self.json, dumps(self._report(people, weights, written), indent=2) + "\n"))
        if not self.quiet:
            _print_result(people, written)
            memory = "" if (peak_mib := peak_memory_mib()) is None else f"; peak memory {peak_mib:,.0f} MiB"
            say(f"with loading and files {time.perf_counter() - start:.2f} seconds{memory}")
        return 0

    def _reconstruct(self, reconstructor: "Reconstructor") -> "tuple[Reconstruction, ...]":
        """All people and samples."""
        if not self.everyone:
            options = self.calibration, self.settings, self.completion, self.selection
            return reconstructor(self._sources(), *options).samples
        from humanlrm.everyone import reconstruct_everyone

        people = reconstruct_everyone(reconstructor, self._sources()[0], self.settings, self.completion)
        return tuple(sample for person in people for sample in person.samples)

    @property
    def _title(self) -> str:
        return f"Reconstructing {', '.join(photo.name for photo in self.photos)}"

    def _sources(self) -> "list[PhotoSource]":
        """The photos; standard input is read to its end."""
        return [sys.stdin.buffer.read() if photo == _STDIN else photo for photo in self.photos]

    def _report(self, people: "tuple[Reconstruction, ...]", weights: Path, written: list[Path]) -> dict[str, Any]:
        """The report of ``--json``."""
        return {
            "version": __version__,
            "photos": [str(photo) for photo in self.photos],
            "files": [str(path) for path in written],
            "settings": asdict(self.settings) | asdict(self.completion),
            "weights": {"folder": str(weights), "sha256": sha256(weights / "model.safetensors")},
            "device": self.network.device,
            "people": [person.report() for person in people],
        }

    def _save(self, people: "tuple[Reconstruction, ...]") -> list[Path]:
        """Meshes, heat maps and one picture of all people."""
        import numpy as np

        written = []
        for person, path in zip(people, self._meshes(len(people)), strict=True):
            written += person.write(path, self.files)
            if self.files.needs_rig(path) and not self.quiet:
                for sentence in person.rigged().contacts:
                    say(sentence)
            if person.uncertainty is not None and MESH_FORMATS[path.suffix.lower()].heat_map:
                written.append(path.with_suffix(HEAT_MAP))
                _save_picture(person.heat_map(self.settings.texture_px), written[-1])
        if (preview := self._picture(len(people))) is not None:
            _save_picture(np.concatenate([person.preview() for person in people]), preview)
            written.append(preview)
        return written

    def _meshes(self, people: int) -> list[Path]:
        if people == 1:
            return [self.output]
        return [self.output.with_suffix(f".{number}{self.output.suffix}") for number in range(people)]

    def _picture(self, people: int) -> Path | None:
        return self.output.with_suffix(".sheet.png") if self.preview is None and people > 1 else self.preview

    def _check(self) -> None:
        """Refuse what cannot be done, before any work.

        Raises:
            ValueError: options that do not go together, or files that cannot or must not be written.
        """
        if self.output.suffix.lower() not in MESH_FORMATS:
            raise ValueError(f"output must end in {', '.join(MESH_FORMATS)}, got {self.output}")
        if self.files.turntable is not None and (self.everyone or self.completion.samples > 1):
            raise ValueError("--turntable films one person; leave out --everyone and --samples")
        for file in self.files.files(self.output):
            self.files.check(file)
        for motion in (name for name in self.files.animate if name not in CLIP_NAMES):
            from humanlrm.rig.bvh import read_bvh

            mapping = read_bvh(Path(motion)).mapping
            if not self.quiet:
                say(f"{motion}: {', '.join(f'{theirs} -> {ours}' for ours, theirs in mapping.items())}")
        if self.preview is not None and _format(self.preview) is None:
            raise ValueError(f"preview must be a picture such as .png or .jpg, got {self.preview}")
        check_photos(len(self.photos), self.calibration, self.completion)
        if self.everyone and self.calibration.cameras is not None:
            raise ValueError("--everyone is for one photo, without --cameras")
        if self.everyone and self.selection != Selection():
            raise ValueError("--everyone takes all people of the photo; leave out --person, --mask and --rotate")
        self._check_files()
        check_device(self.network.device)

    def _check_files(self) -> None:
        """Check that no output replaces an input, nor the preview the texture."""
        meshes = self._meshes(self.completion.samples)
        endings = MESH_FORMATS[self.output.suffix.lower()].endings
        files = meshes + [mesh.with_suffix(end) for mesh in meshes for end in endings]
        if self.preview is not None and self.preview.resolve() in {path.resolve() for path in files}:
            raise ValueError(f"--preview {self.preview} is also a file of --output {self.output}; choose another name")
        picture = self._picture(self.completion.samples)
        inputs = [
            path
            for path in (*self.photos, self.calibration.cameras, self.selection.mask)
            if path is not None and path.exists()
        ]
        if self.json is not None and self.json.resolve() in {path.resolve() for path in (*files, picture) if path}:
            raise ValueError(f"--json {self.json} is also another file that is written; choose another name")
        files += [file for mesh in meshes for file in self.files.files(mesh)]
        for path in filter(None, (*files, picture, self.json, self.files.turntable)):
            check_writable(path)
            # Not by name: some file systems do not tell capital letters from small ones.
            if path.exists() and any(path.samefile(photo) for photo in inputs):
                raise ValueError(f"{path} would be overwritten: it is an input; choose another --output")


def _print_result(people: "tuple[Reconstruction, ...]", written: list[Path]) -> None:
    """Files, warnings, how sure the surface is, and the seconds of each stage."""
    for path in written:
        say(path)
    for remark in people[0].warnings:
        say(remark.sentence, style="yellow")
    for person in people:
        if person.uncertainty is not None:
            spread_cm = 100 * person.metres_per_unit * person.uncertainty.spread
            say(
                f"surface uncertain by {float(spread_cm.median()):.1f} cm (median), "
                f"{float(spread_cm.quantile(0.9)):.1f} cm where least sure (a tenth of it)"
            )
    for person in people:
        stages = "  ".join(f"{stage} {seconds:.2f}" for stage, seconds in person.seconds.items())
        line = f"seconds: {stages}  all {sum(person.seconds.values()):.2f}"
        say(fill(line, console.width, subsequent_indent="  "))


def _format(picture: Path) -> str | None:
    """Name of a picture's format by its suffix."""
    from PIL import Image

    return Image.registered_extensions().get(picture.suffix.lower())


def _save_picture(pixels: "UInt8[np.ndarray, 'H W 3']", path: Path) -> None:
    from PIL import Image

    with atomic_write(path) as partial:
        Image.fromarray(pixels).save(partial, _format(path))
