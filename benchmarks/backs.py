"""Colours of the side that a photo does not show: the field's, and those that the texture makes of them.

    python -m benchmarks.backs --data data/held-out [--weights DIR] [--count 100]

Over the clothes of people that are seen whole, with true landmarks and at true surface points, under the photo's light:
error of the colours of what turns its back on the camera, as PSNR, and mean brightness and saturation there and on the
front. Heads are left out, as the texture leaves them.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table

from humanlrm.data.loader import SampleSettings, Samplings
from humanlrm.data.shards import ShardFolder
from humanlrm.frame import CAMERA_DISTANCE
from humanlrm.landmarks import INDEX
from humanlrm.mesh.texture import alike, toned
from humanlrm.model.lrm import HumanLRM
from humanlrm.model.pretrained import SHIPPED, from_pretrained
from humanlrm.reconstruct import parts_of
from humanlrm.views import collate

_POINTS = 3_000
#: Cosines of normal and view direction from which on a place is on the front, and below which it is on the back.
_FRONT, _BACK = 0.4, -0.2
#: Fewer points than this have no mean; photographs that show less than this of the crop are cut off.
_ENOUGH, _WHOLE = 20, 0.9


@dataclass(frozen=True)
class Options:
    """
    Attributes:
        data: folder of shards of people that the weights have not seen.
        weights: folder of other weights than the shipped ones.
        count: photos, spread over the people.
    """

    data: Path
    weights: Path = SHIPPED
    count: int = 100


@torch.no_grad()
def main(options: Options) -> None:
    torch.set_num_threads(1)
    model = from_pretrained(options.weights)
    assert isinstance(model, HumanLRM)
    settings = SampleSettings(augment=False, image_px=model.config.image_px, surface=_POINTS)
    views = Samplings(ShardFolder(options.data), settings, seed=5)
    errors: dict[str, list[float]] = {}
    looks: dict[str, list[np.ndarray]] = {}
    for k in range(0, len(views), max(1, len(views) // options.count)):
        batch = collate([views[k]])
        marks = batch.wanted.landmarks[0]
        if not bool(marks.isfinite().all()) or float(batch.given.image[0, 4].mean()) < _WHOLE:
            continue
        points, normals, rgb = batch.wanted.surface[0], batch.wanted.normals[0], batch.wanted.rgb[0]
        inside = points.isfinite().all(-1) & (points.abs().amax(-1) < 1)
        points, normals, rgb = points[inside], normals[inside], rgb[inside].numpy()
        planes = model.planes_of(batch.given, told=marks[None], estimate=False)
        field = model.field.colour(planes, points[None], normals[None])[0].numpy()
        toward = torch.nn.functional.normalize(torch.tensor([0, 0, CAMERA_DISTANCE]) - points, dim=-1)
        cosine = (toward * normals).sum(-1).numpy()
        clothes = parts_of(marks.numpy()).clothes
        pieces = clothes(points.numpy())
        head = clothes(marks[[INDEX["head"]]].numpy())[0]
        for piece in np.unique(pieces[pieces != head]):
            front, back = (pieces == piece) & (cosine > _FRONT), (pieces == piece) & (cosine < _BACK)
            if min(front.sum(), back.sum()) < _ENOUGH:
                continue
            tone = alike(rgb[front].mean(0), field[back].mean(0))
            found = {"the field": field[back], "as textured": toned(field[back], tone[None])}
            found["the front's mean"] = np.broadcast_to(rgb[front].mean(0), field[back].shape)
            for name, colours in found.items():
                errors.setdefault(name, []).append(float(np.square(colours - rgb[back]).mean()))
            seen = {"front": rgb[front], "back": rgb[back]} | {f"back, {name}": c for name, c in found.items()}
            for name, colours in seen.items():
                looks.setdefault(name, []).append(colours.mean(0))
    table = Table("", "brightness", "saturation", "PSNR dB", title=f"{len(errors['the field'])} pieces of clothes")
    for name, means in looks.items():
        colours, off = np.array(means), errors.get(name.removeprefix("back, "))
        psnr = "" if off is None else f"{-10 * np.log10(np.mean(off)):.2f}"
        table.add_row(name, f"{colours.mean():.3f}", f"{np.ptp(colours, axis=1).mean():.3f}", psnr)
    Console().print(table)


if __name__ == "__main__":
    main(tyro.cli(Options))
