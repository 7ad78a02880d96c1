"""Colours of the side that a photo does not show: the field's, and those that the texture makes of them.

    python -m benchmarks.backs --data data/held-out [--weights DIR] [--count 100]

Over the clothes of people that are seen whole, with true landmarks and at true surface points, under the photo's light:
error of the colours of what turns its back on the camera, as PSNR, and mean brightness and saturation there and on the
front; "in front colours" is what the front makes of it as a palette. Then the same over the backs of heads of people
who face the camera: the field's colours, and what the crown makes of them. Then over arms and legs, or parts of them,
that a photo cuts off or hides, of which it shows the other one: the field's colours, and those of the twin.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table

from humanlrm.body.landmarks import INDEX
from humanlrm.body.parts import hair_region, part_segmenter
from humanlrm.data.dataset import SampleSettings, TrainingDataset
from humanlrm.data.shards import ShardFolder
from humanlrm.encoding import encode
from humanlrm.frame import CAMERA_DISTANCE, project_ndc, sample_plane
from humanlrm.model.pretrained import SHIPPED, from_pretrained
from humanlrm.texture.complete import apply_tone, back_tone, blend_crown, crown_vertices
from humanlrm.texture.palette import pull_to_palette, pull_to_twin
from humanlrm.views import Batch, collate

_POINTS = 3_000
#: Cosines of normal and view direction from which on a place is on the front, and below which it is on the back.
_FRONT, _BACK = 0.4, -0.2
#: Fewer points than this have no mean; photographs that show less than this of the crop are cut off.
_ENOUGH, _WHOLE = 20, 0.9
#: A pixel shows the person from this alpha on, and what lies at most so far behind the first surface (box units).
_SHOWN, _BEHIND = 0.9, 0.04


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
    settings = SampleSettings(augment=False, image_px=model.config.image_px, surface=_POINTS)
    views = TrainingDataset(ShardFolder(options.data), settings, seed=5)
    clothed, heads, limbs = _Colors(), _Colors(), _Colors()
    for k in range(0, len(views), max(1, len(views) // options.count)):
        batch = collate([views[k]])
        marks = batch.supervision.landmarks[0]
        if not bool(marks.isfinite().all()):
            continue
        points, normals, rgb = batch.supervision.surface[0], batch.supervision.normals[0], batch.supervision.rgb[0]
        inside = points.isfinite().all(-1) & (points.abs().amax(-1) < 1)
        points, normals, rgb = points[inside], normals[inside], rgb[inside].numpy()
        planes = encode(model, batch.inputs, landmarks_override=marks[None], estimate=False)
        field = model.field.color(planes, points[None], normals[None])[0].numpy()
        toward = torch.nn.functional.normalize(torch.tensor([0, 0, CAMERA_DISTANCE]) - points, dim=-1)
        cosine = (toward * normals).sum(-1).numpy()
        parts_at = part_segmenter(marks.numpy())
        parts = parts_at(points.numpy())
        pieces, head = parts.clothes, parts_at(marks[[INDEX["head"]]].numpy()).clothes[0]
        fronts, backs, guess = cosine > _FRONT, cosine < _BACK, field.copy()
        pixels = _pixels(batch, points)
        shown = fronts & pixels & _first(batch, points)
        twins = pull_to_twin(field, rgb, shown, parts.limb, parts.height, parts.twin)
        hidden = ~pixels & (twins != field).any(-1)
        if hidden.sum() >= _ENOUGH:
            others = shown & np.isin(parts.limb, parts.twin[np.unique(parts.limb[hidden])])
            limbs.add(rgb[others], rgb[hidden], field[hidden], twins[hidden])
        if float(batch.inputs.image[0, 4].mean()) < _WHOLE:
            continue
        seen_whole = [
            piece
            for piece in np.unique(pieces[pieces != head])
            if min((fronts & (pieces == piece)).sum(), (backs & (pieces == piece)).sum()) >= _ENOUGH
        ]
        for piece in seen_whole:
            back = backs & (pieces == piece)
            tone = back_tone(rgb[fronts & (pieces == piece)].mean(0), field[back].mean(0))
            guess[back] = apply_tone(field[back], tone[None])
        worn = pull_to_palette(guess, rgb, fronts, parts.limb, parts.height)
        for piece in seen_whole:
            front, back = fronts & (pieces == piece), backs & (pieces == piece)
            clothed.add(rgb[front], rgb[back], field[back], guess[back], worn[back])
        hair = hair_region(marks.numpy())
        height, share = hair.height(points.numpy()), hair.back(points.numpy())
        front, back = np.isfinite(height) & fronts, (share > 0.5) & backs
        top = crown_vertices(height, front)
        if min(top.sum(), back.sum()) >= _ENOUGH and marks[INDEX["nose"], 2] > marks[INDEX["head"], 2]:
            crown = np.median(rgb[top], axis=0)
            heads.add(rgb[front], rgb[back], field[back], blend_crown(field[back], crown, share[back]))
    Console().print(clothed.table("pieces of clothes"))
    Console().print(heads.table("backs of heads"))
    Console().print(limbs.table("photos with limbs that only the other side tells of"))


def _pixels(batch: Batch, points: torch.Tensor) -> np.ndarray:
    """Of which points (P 3) the photo has a pixel that shows the person, though perhaps another side."""
    at = project_ndc(points)
    alpha, known = sample_plane(batch.inputs.image[:, 3:], at[None])[0].T
    return ((at.abs().amax(-1) < 1) & (torch.minimum(alpha, known) > _SHOWN)).numpy()


def _first(batch: Batch, points: torch.Tensor) -> np.ndarray:
    """Which points (P 3) lie on the first surface along their rays."""
    enters = sample_plane(batch.supervision.depth[:, :1].nan_to_num(nan=-1.0), project_ndc(points)[None])[0, :, 0]
    return (points[:, 2] > enters - _BEHIND).numpy()


class _Colors:
    """What is found of pieces: their true colours, and guesses of their backs."""

    def __init__(self) -> None:
        self.errors: dict[str, list[float]] = {}
        self.looks: dict[str, list[np.ndarray]] = {}

    def add(
        self,
        front: np.ndarray,
        back: np.ndarray,
        field: np.ndarray,
        textured: np.ndarray,
        worn: np.ndarray | None = None,
    ) -> None:
        found = {"the field": field, "as textured": textured}
        found |= {} if worn is None else {"in front colours": worn}
        found["the front's mean"] = np.broadcast_to(front.mean(0), field.shape)
        for name, colors in found.items():
            self.errors.setdefault(name, []).append(float(np.square(colors - back).mean()))
        for name, colors in ({"front": front, "back": back} | {f"back, {n}": c for n, c in found.items()}).items():
            self.looks.setdefault(name, []).append(colors.mean(0))

    def table(self, what: str) -> Table:
        table = Table("", "brightness", "saturation", "PSNR dB", title=f"{len(self.errors['the field'])} {what}")
        for name, means in self.looks.items():
            colors, off = np.array(means), self.errors.get(name.removeprefix("back, "))
            psnr = "" if off is None else f"{-10 * np.log10(np.mean(off)):.2f}"
            table.add_row(name, f"{colors.mean():.3f}", f"{np.ptp(colors, axis=1).mean():.3f}", psnr)
        return table


if __name__ == "__main__":
    main(tyro.cli(Options))
