"""From one photo to its files, as the service and the batch write them: meshes, a picture, a report."""

import json
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from humanlrm.everyone import reconstruct_everyone
from humanlrm.files import atomic_write, write_text
from humanlrm.mesh.export import FORMATS
from humanlrm.output_settings import OutputSettings, missing_extra
from humanlrm.photo.load import PhotoSource
from humanlrm.reconstruct import Reconstruction, Reconstructor
from humanlrm.settings import PhotoOptions

#: Formats by name.
FORMAT_NAMES = tuple(suffix.removeprefix(".") for suffix in FORMATS)


def writable_formats() -> tuple[str, ...]:
    """Formats that can be written here: all, but USDZ only with the extra ``usd``."""
    return tuple(name for name in FORMAT_NAMES if missing_extra(f".{name}") is None)


def check_formats(options: PhotoOptions) -> None:
    """Refuse formats that cannot be written here, before anything is reconstructed.

    Raises:
        ValueError: an unknown name, or one whose extra is not installed.
    """
    if unknown := [name for name in options.formats if name not in FORMAT_NAMES]:
        raise ValueError(f"formats must be some of {', '.join(FORMAT_NAMES)}; got {', '.join(unknown)}")
    for reason in filter(None, (missing_extra(f".{name}") for name in options.formats)):
        raise ValueError(f"formats: {reason}")


def reconstruct_photo(
    reconstructor: Reconstructor, photo: PhotoSource, options: PhotoOptions
) -> tuple[Reconstruction, ...]:
    """All people of a photo: each person, and each sample of the same person, in this order.

    Raises:
        PhotoError: the photo cannot be read or shows nobody.
        ValueError: nothing solid was reconstructed, or samples are asked of weights without a denoiser.
    """
    if options.everyone:
        main = reconstruct_everyone(reconstructor, photo, options.settings, options.completion)
    else:
        main = [reconstructor(photo, None, options.settings, options.completion)]
    return tuple(sample for person in main for sample in person.samples)


def write_results(people: Sequence[Reconstruction], folder: Path, stem: str, options: PhotoOptions) -> list[Path]:
    """Write the files of a photo. The first person's are ``<stem>.glb``..., the next one's ``<stem>.1.glb``...

    OBJ and glTF with their other files are one archive, ``<stem>.obj.zip``. The report is ``<stem>.json``.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    written = []
    for number, person in enumerate(people):
        name = stem if number == 0 else f"{stem}.{number}"
        written += [_write_mesh(person, folder / f"{name}.{kind}") for kind in options.formats]
        written += _write_motion(person, folder / name, options)
        written += [
            _write_picture(pixels, folder / f"{name}.{kind}.png") for kind, pixels in _pictures(person, options)
        ]
    report = {"options": options.to_plain(), "people": [person.report() for person in people]}
    written.append(write_text(folder / f"{stem}.json", json.dumps(report, indent=1) + "\n"))
    return written


def _pictures(person: Reconstruction, options: PhotoOptions) -> Iterator[tuple[str, np.ndarray]]:
    if options.preview:
        yield "preview", person.preview()
    if person.uncertainty is not None:
        yield "uncertainty", person.heat_map(options.settings.texture_px)


def _write_motion(person: Reconstruction, stem: Path, options: PhotoOptions) -> list[Path]:
    """The walking person, and the film of the turning one, if they are asked for."""
    written = []
    if options.walk:
        path = stem.with_name(f"{stem.name}.walk.glb")
        written.append(person.save(path, OutputSettings(animate=("walk",))))
    if options.turntable:
        suffix = "webp" if missing_extra(".mp4") else "mp4"
        film = stem.with_name(f"{stem.name}.turntable.{suffix}")
        with TemporaryDirectory() as folder:
            person.write(Path(folder) / "person.glb", OutputSettings(turntable=film))
        written.append(film)
    return written


def _write_mesh(person: Reconstruction, path: Path) -> Path:
    """A format of one file as it is, one of several as an archive."""
    with TemporaryDirectory() as folder:
        person.save(Path(folder) / path.name)
        files = sorted(Path(folder).iterdir())
        target = path if len(files) == 1 else path.with_name(f"{path.name}.zip")
        with atomic_write(target) as partial:
            if len(files) == 1:
                shutil.copyfile(files[0], partial)
            else:
                with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
                    for file in files:
                        archive.write(file, file.name)
    return target


def _write_picture(pixels: np.ndarray, path: Path) -> Path:
    with atomic_write(path) as partial:
        Image.fromarray(pixels).save(partial, "PNG")
    return path
