"""A multi-view capture: calibrated photographs and masks of one person at one moment, and no mesh.

On disk it is a webdataset record beside rendered subjects (``shards.py``), with ``"kind": "capture"`` in its json.
"""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from humanlrm.camera import Cameras
from humanlrm.data.records import CAPTURE, DAMAGED, ShardError, entries_of, image_bytes, npz_bytes, read_files
from humanlrm.photo.calibrated import Capture, CaptureView


def encode_capture(capture: Capture, key: str) -> dict[str, str | bytes]:
    """A capture as the files of one webdataset sample. ``key`` must not contain a dot."""
    about = {name: getattr(capture, name) for name in ("id", "source", "licence", "tags")}
    record: dict[str, str | bytes] = {"__key__": key}
    record["json"] = json.dumps(about | {"kind": CAPTURE, "views": len(capture.views)}).encode()
    for k, view in enumerate(capture.views):
        record[f"{k}.webp"] = image_bytes(view.rgb, "WEBP", quality=90, method=2)
        record[f"{k}.mask.png"] = image_bytes(view.alpha, "PNG", compress_level=3)
    arrays = {name: np.stack([getattr(v.camera, name).numpy() for v in capture.views]) for name in ("K", "w2c")}
    if capture.landmarks is not None:
        arrays["landmarks"] = capture.landmarks
    record["views.npz"] = npz_bytes(**arrays)
    return record


class CaptureFolder:
    """Random access to all captures of the ``*.tar`` files below a folder; records of other kinds are passed over.

    Attributes:
        entries: every capture, in the order of file names.
        problems: one line for each shard that was skipped, and for each shard's records of other kinds.

    Raises:
        ShardError: there is no capture.
    """

    def __init__(self, folder: Path) -> None:
        self.entries, self.problems = [], []
        for shard in sorted(Path(folder).rglob("*.tar")):
            try:
                found = entries_of(shard)
            except ShardError as error:
                self.problems.append(str(error))
                continue
            self.entries += [entry for entry in found if entry.kind == CAPTURE]
            others = Counter(entry.kind for entry in found if entry.kind != CAPTURE)
            self.problems += [f"{shard}: {n} records of kind {kind!r} are no captures" for kind, n in others.items()]
        if not self.entries:
            raise ShardError(f"{folder}: no capture in it; make some: `humanlrm prepare NAME --source DIR --out DIR`")

    def __len__(self) -> int:
        return len(self.entries)

    def load(self, index: int) -> Capture:
        """One capture with all its views.

        Raises:
            ShardError: a file is missing or damaged; names shard and capture.
        """
        entry = self.entries[index]
        names = [f"{k}.{part}" for k in range(entry.views) for part in ("webp", "mask.png")]
        about, views, *pictures = read_files(entry, "json", "views.npz", *names)
        try:
            facts, arrays = json.loads(about.getvalue()), np.load(views, allow_pickle=False)
            pixels = [np.asarray(Image.open(picture)) for picture in pictures]
            cameras = [
                Cameras(torch.from_numpy(K), torch.from_numpy(w2c), (mask.shape[0], mask.shape[1]))
                for K, w2c, mask in zip(arrays["K"], arrays["w2c"], pixels[1::2], strict=True)
            ]
            return Capture(
                views=tuple(map(CaptureView, pixels[::2], pixels[1::2], cameras)),
                landmarks=arrays.get("landmarks"),
                **{name: facts[name] for name in ("id", "source", "licence", "tags")},
            )
        except DAMAGED as error:
            raise ShardError(f"{entry.shard}: capture {entry.key} is damaged ({error})") from error
