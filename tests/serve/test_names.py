"""Names of a result's files in addresses."""

import re
from typing import Any

import pytest

from humanlrm.serve.names import file_of, public_name, why_missing
from humanlrm.serve.store import Job

PAIRS = [
    ("model.glb", "model.glb"),
    ("model.1.glb", "model.1.glb"),
    ("model.obj.zip", "model.obj.zip"),
    ("model.walk.glb", "model.walk.glb"),
    ("model.json", "report.json"),
    ("model.preview.png", "preview.png"),
    ("model.12.uncertainty.png", "uncertainty.12.png"),
    ("model.turntable.mp4", "turntable.mp4"),
    ("model.3.turntable.webp", "turntable.3.webp"),
]


@pytest.mark.parametrize(("file", "name"), PAIRS)
def test_a_files_public_name_leads_back_to_it(file, name):
    assert public_name(file) == name
    assert file_of(name) == file


def done(*files: str) -> Job:
    values: dict[str, Any] = dict.fromkeys(Job.__dataclass_fields__)
    return Job(**values | {"state": "done", "result": {"files": list(files)}})


@pytest.mark.parametrize(
    ("files", "name", "words"),
    [
        (("model.turntable.webp",), "turntable.mp4", r"humanlrm\[video\]; the film is turntable\.webp"),
        (("model.1.turntable.webp",), "turntable.1.mp4", r"the film is turntable\.1\.webp"),
        (("model.glb",), "turntable.mp4", "turntable=true"),
        (("model.glb",), "model.stl", "no such file"),
    ],
)
def test_a_missing_file_is_explained(files, name, words):
    assert re.search(words, why_missing(done(*files), name))
