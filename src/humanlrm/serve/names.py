"""Names of a result's files in addresses: ``preview.1.png`` for ``model.1.preview.png``."""

import re

from humanlrm.serve.folder import STEM
from humanlrm.serve.store import Job

#: Pictures and films of a result by their public names; the number is that of a further person or sample.
_PICTURE = r"(?P<kind>preview|uncertainty|turntable)\.((?P<number>\d+)\.)?(?P<end>png|mp4|webp)"
_PICTURE_FILE = rf"{STEM}\.((?P<number>\d+)\.)?(?P<kind>preview|uncertainty|turntable)\.(?P<end>png|mp4|webp)"


def public_name(file: str) -> str:
    """Name of a result's file in addresses: ``preview.png`` for ``model.preview.png``."""
    if file == f"{STEM}.json":
        return "report.json"
    picture = re.fullmatch(_PICTURE_FILE, file)
    return file if picture is None else _joined(picture["kind"], picture["number"], picture["end"])


def file_of(name: str) -> str:
    """Inverse of :func:`public_name`."""
    if name == "report.json":
        return f"{STEM}.json"
    picture = re.fullmatch(_PICTURE, name)
    return name if picture is None else _joined(STEM, picture["number"], picture["kind"], picture["end"])


def _joined(*parts: str | None) -> str:
    return ".".join(filter(None, parts))


def why_missing(job: Job, name: str) -> str:
    """One sentence about a file that a job does not have."""
    if not re.fullmatch(r"turntable\.(\d+\.)?mp4", name):
        return "the job has no such file; its files are listed in its state"
    if file_of(name.replace("mp4", "webp")) in job.result.get("files", ()):
        return f"this service writes no mp4: it lacks humanlrm[video]; the film is {name.replace('mp4', 'webp')}"
    return "the job has no film; send turntable=true with the photo"
