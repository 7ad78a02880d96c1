"""The photographs of a capture's record, read back: the package keeps them, but trains on its inputs only."""

import json

import numpy as np
import torch
from PIL import Image

from humanlrm.camera import Cameras
from humanlrm.data.capture import Capture
from humanlrm.data.records import Entry, read_files
from humanlrm.photo.calibrated import CaptureView


def read_capture(entry: Entry) -> Capture:
    names = [f"{k}.{part}" for k in range(entry.views) for part in ("webp", "mask.png")]
    about, views, *pictures = read_files(entry, "json", "views.npz", *names)
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
