"""The view prior on people that it has not seen: what it generates against the truth, beside the photo copied through.

    python -m benchmarks.view_prior --data data/held-out [--weights DIR] [--count 200] [--picture FILE]

For each photo that shows the whole person: color error (CIEDE2000, mean over the person's pixels) of the back, of the
whole person and of the square around the head, and how bright and how saturated it is, of the truth's. ``copy`` is the
photo from its other side, ``mean`` one step, ``sample`` several steps; ``used``: the same with the photo where they
resemble it, samples truncated. Own parts: where the copy is wrong (CIEDE2000 above 20). Then for the same photos, cut
off at the hips: the error of front and back below the cut, where the generated silhouette is, in the colors that are
used, and of the silhouette. The deviations of the copy's errors scale the network's outputs.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from jaxtyping import Float
from PIL import Image
from rich.console import Console
from rich.table import Table
from skimage.color import deltaE_ciede2000, rgb2lab
from torch import Tensor

from humanlrm.completion import VIEWS
from humanlrm.data.layered import LayeredSample, build_layered_sample, is_usable
from humanlrm.data.shards import ShardFolder
from humanlrm.diffusion.view_prior import SIDES, TRUNCATION, sample_layers, straight_colors, with_photo
from humanlrm.model.pretrained import SHIPPED, view_denoiser_from_pretrained
from humanlrm.train.views import condition_of

#: Height of the person, from the top, below which the cut photos end.
_CUT = 0.5
#: Parts of a person with fewer pixels are not measured.
_LEAST_PIXELS = 50
_ROWS = ("back, whole", "back, head", "front below the cut", "back below the cut")
#: Parts of the back that are not the front's, by the copy's CIEDE2000 from here on: arms, prints, faces.
_OWN_ROWS, _DIFFERENT = ("back, own parts", "head, own parts"), 20.0
_SILHOUETTE = "IoU of the silhouette"
_METHODS = ("copy", "mean", "used", "sample", "used sample")
#: Linear luminance, and the widest difference between channels, of colors (3, N).
_VIVID = {
    "brightness": lambda rgb: (rgb**2.2 * rgb.new_tensor([0.2126, 0.7152, 0.0722])[:, None]).sum(0),
    "saturation": lambda rgb: rgb.amax(0) - rgb.amin(0),
}


@dataclass(frozen=True)
class Options:
    """
    Attributes:
        data: folder of shards with layers, of people that the weights have not seen.
        weights: folder that holds the folder "views".
        count: photos, spread over the people.
        steps: of the samples.
        picture: contact sheet to write.
    """

    data: Path
    weights: Path = SHIPPED
    count: int = 200
    steps: int = 8
    picture: Path | None = None


@torch.no_grad()
def main(options: Options) -> None:
    torch.set_num_threads(1)
    denoiser, folder = view_denoiser_from_pretrained(options.weights / VIEWS), ShardFolder(options.data)
    errors: dict[tuple[str, str], list[float]] = {}
    vivid: dict[tuple[str, str], list[tuple[float, float]]] = {}
    copied, rows = [], []
    for sample in samples_of(folder, options.count, denoiser.config.image_px):
        condition = condition_of(sample)
        zoomed, cut = float(sample.zoom[0]) > 1, bool((sample.photo[:, 4] == 0).any())
        person = sample.layers[0, 3] > 0.5
        below = person & (sample.photo[0, 4] == 0) if cut else person
        if int(below.sum()) < _LEAST_PIXELS:
            continue
        copied.append(((sample.layers - condition.copy) * person)[0].square().sum((1, 2)) / person.sum())
        mean, drawn = (sample_layers(denoiser, condition, steps=steps, truncation=1) for steps in (1, options.steps))
        nearer = mean + TRUNCATION * (drawn - mean)
        used, sample_used = (with_photo(x, condition, condition.photo) for x in (mean, nearer))
        true = sample.layers[0, 4:]
        own = person & (difference_map(condition.copy[0, 4:], true) > _DIFFERENT)
        for name, layers in zip(_METHODS, (condition.copy, mean, used, drawn, sample_used), strict=True):
            if cut:
                where = below & ((layers[0, 3] > 0.5) | (name == "copy"))
                for row, side in zip(_ROWS[2:], SIDES, strict=True):
                    ours, theirs = (straight_colors(x[0, side], x[0, 3:4]) for x in (layers, sample.layers))
                    errors.setdefault((name, row), []).append(difference(ours, theirs, where))
                errors.setdefault((name, _SILHOUETTE), []).append(_iou(layers[0, 3] > 0.5, person))
                continue
            back = layers[0, 4:]
            errors.setdefault((name, _ROWS[zoomed]), []).append(difference(back, true, person))
            for row, measure in _VIVID.items():
                pair = float(measure(back[:, person]).mean()), float(measure(true[:, person]).mean())
                vivid.setdefault((name, f"{row} of {_ROWS[zoomed]}"), []).append(pair)
            if int(own.sum()) >= _LEAST_PIXELS:
                errors.setdefault((name, _OWN_ROWS[zoomed]), []).append(difference(back, true, own))
        shown = [sample.photo[:, :3], *(x[:, side] for x in (sample.layers, used, sample_used) for side in SIDES)]
        rows.append(torch.cat(shown, dim=3)[0])
    table = Table("CIEDE2000", *_METHODS, title=f"{len(copied)} pictures of {len(folder)} people")
    for row in (*_ROWS, *_OWN_ROWS):
        table.add_row(row, *(f"{np.mean(errors[name, row]):.2f}" for name in _METHODS))
    table.add_row(_SILHOUETTE, *(f"{np.mean(errors[name, _SILHOUETTE]):.3f}" for name in _METHODS))
    for row in dict.fromkeys(row for _, row in vivid):
        totals = [np.sum(vivid[name, row], axis=0) for name in _METHODS]
        table.add_row(f"{row}, of the truth's", *(f"{ours / true:.2f}" for ours, true in totals))
    Console().print(table)
    deviations = torch.stack(copied).mean(0).sqrt().tolist()
    Console().print("deviations of the copy's errors:", " ".join(f"{value:.2f}" for value in deviations))
    if options.picture is not None:
        chosen = torch.cat(rows[:: max(1, len(rows) // 24)][:24], dim=1)
        Image.fromarray((chosen.permute(1, 2, 0).numpy() * 255).astype(np.uint8)).save(options.picture)


def samples_of(folder: ShardFolder, count: int, image_px: int):
    """Whole photos, squares around heads, and photos cut off at the hips, one after the other."""
    kinds, made = 0, 0
    for subject in range(len(folder)):
        if made >= count:
            return
        for view in range(0, folder.entries[subject].views, 2):
            record = folder.load_view(subject, view)
            layers, head_layers = folder.layers(subject, view)
            if layers is None or head_layers is None or not is_usable(record, layers):
                continue
            rng = np.random.default_rng([subject, view])
            zoomed = kinds % 3 == 1
            sample = build_layered_sample(record, layers, head_layers if zoomed else None, image_px, rng, plain=True)
            if kinds % 3 == 2:
                sample = _cut_off(sample)
            kinds, made = kinds + 1, made + 1
            yield LayeredSample(*(part[None] for part in sample))


def _cut_off(sample: LayeredSample) -> LayeredSample:
    """The sample as if the photo ended at the person's hips."""
    rows = torch.nonzero((sample.layers[3] > 0.5).any(1))[:, 0]
    photo = sample.photo.clone()
    photo[:, int(rows[0] + _CUT * (rows[-1] - rows[0])) :] = 0
    return sample._replace(photo=photo)


def difference_map(ours: Float[Tensor, "3 H W"], truth: Float[Tensor, "3 H W"]) -> Float[Tensor, "H W"]:
    """CIEDE2000 of every pixel."""
    colors = [rgb2lab(image.permute(1, 2, 0).numpy()) for image in (ours, truth)]
    return torch.from_numpy(deltaE_ciede2000(*colors)).float()


def difference(ours: Float[Tensor, "3 H W"], truth: Float[Tensor, "3 H W"], where: Tensor) -> float:
    """Mean CIEDE2000 of some pixels."""
    return float(difference_map(ours, truth)[where].mean())


def _iou(ours: Tensor, truth: Tensor) -> float:
    return float((ours & truth).sum() / (ours | truth).sum().clamp(min=1))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
