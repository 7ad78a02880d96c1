"""What is hidden: regression, a discriminator, or diffusion? Backs of held-out people by each, against the truth.

    python -m benchmarks.hidden_side --data data/people --held-out data/held-out [--photos 2400] [--run DIR]

Rows: the photo copied through; the shipped view prior in one step, which is the conditional mean (regression), and in
several steps (a sample); and two networks that are trained on from the shipped weights on as many photos each, for one
step alone: by the prior's own loss, and by that and a patch discriminator (hinge loss, spectral norm; Isola et al.
2017, Miyato et al. 2018). Columns: CIEDE2000 and the feature distance of backs of people who are seen whole, and
sharpness: the gradients' size over that of the true back. A mean is near in color and blurred; what is sharp may be
wrong.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro
from benchmarks.view_prior import difference, samples_of
from jaxtyping import Float
from scipy.ndimage import binary_erosion
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from humanlrm.completion import VIEWS
from humanlrm.data.shards import ShardFolder
from humanlrm.diffusion.view_prior import sample_layers
from humanlrm.evaluate.images import FeatureDistance
from humanlrm.evaluate.renderer import BACKGROUND, Picture
from humanlrm.evaluate.report.rows import bootstrap
from humanlrm.evaluate.report.tables import Table, markdown_table
from humanlrm.model.pretrained import SHIPPED, view_denoiser_from_pretrained
from humanlrm.model.view_denoiser import ViewDenoiser, ViewDenoiserConfig
from humanlrm.train.perceptual import PerceptualLoss
from humanlrm.train.views import TrueCondition, ViewLoss, condition_of, train_views, view_recipe

COLUMNS = ("CIEDE2000", "feature distance", "sharpness")
#: Weight of the discriminator's verdict in the loss; its learning rate; its channels.
_VERDICT, _RATE, _CHANNELS = 0.05, 2e-4, 48
#: Smaller people are not measured.
_LEAST_PX = 50


@dataclass(frozen=True)
class Options:
    """
    Attributes:
        data: shards with layers to train on.
        held_out: shards with layers of people whom the weights have not seen.
        run: folder of the two short trainings.
        photos: that each of them sees.
        weights: folder that holds the folder "views".
        count: held-out photos.
        steps: of the sample.
    """

    data: Path
    held_out: Path
    run: Path = Path("runs/hidden-side")
    photos: int = 2400
    weights: Path = SHIPPED
    count: int = 60
    steps: int = 8


class Discriminator(nn.Sequential):
    """Logits of patches: photo, alpha and back in, stride 8 out."""

    def __init__(self) -> None:
        counts, layers = (8, _CHANNELS, 2 * _CHANNELS, 4 * _CHANNELS), []
        for given, made in itertools.pairwise(counts):
            layers += [spectral_norm(nn.Conv2d(given, made, 4, 2, 1)), nn.LeakyReLU(0.2)]
        super().__init__(*layers, spectral_norm(nn.Conv2d(counts[-1], 1, 3, 1, 1)))


class AdversarialLoss(ViewLoss):
    """The prior's loss, and the verdict of a discriminator that learns beside it."""

    def __init__(self, model: ViewDenoiser, features: PerceptualLoss) -> None:
        super().__init__(model, features)
        self.discriminator = Discriminator()
        self.optimizer = torch.optim.Adam(self.discriminator.parameters(), _RATE, betas=(0.5, 0.9))

    def of(self, guess: Tensor, clean: Tensor, sigma: Tensor, condition: TrueCondition) -> Float[Tensor, "B"]:
        made = self._pictures(self.model.restored(guess, condition), condition)
        true = self._pictures(condition.layers, condition)
        fooled = self.discriminator(true), self.discriminator(made.detach())
        loss = torch.relu(1 - fooled[0]).mean() + torch.relu(1 + fooled[1]).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        verdict = -self.discriminator(made).mean((1, 2, 3))
        return super().of(guess, clean, sigma, condition) + _VERDICT * verdict

    @staticmethod
    def _pictures(layers: Float[Tensor, "B 7 H W"], condition: TrueCondition) -> Float[Tensor, "B 8 H W"]:
        return torch.cat([condition.photo[:, :4], layers[:, 3:]], dim=1)


def train_on(
    options: Options, name: str, make_loss: Callable[[ViewDenoiser, PerceptualLoss], ViewLoss]
) -> ViewDenoiser:
    """The shipped network after so many photos more, all of pure noise: one step is all that it learns."""
    plan = view_recipe(options.photos)
    plan = replace(
        plan,
        learning_rate=2e-4,
        steps=replace(plan.steps, warmup=200, ema=0.99),
        noise=replace(plan.noise, pure=1.0),
        initial=options.weights / VIEWS,
    )
    return train_views(ViewDenoiserConfig(), plan, options.data, options.run / name, make_loss=make_loss)


@torch.no_grad()
def measure(options: Options, rows: dict[str, tuple[ViewDenoiser, int]]) -> dict[str, dict[str, list]]:
    """Values of each row and column: one for each photo that shows the whole person; 0 steps: the copy."""
    folder, distance = ShardFolder(options.held_out), FeatureDistance()
    values = {name: {column: [] for column in COLUMNS} for name in rows}
    size_px = next(iter(rows.values()))[0].config.image_px
    for number, sample in enumerate(samples_of(folder, 3 * options.count, size_px)):
        is_cut, is_head = bool((sample.photo[:, 4] == 0).any()), float(sample.zoom[0]) > 1
        person = sample.layers[0, 3] > 0.5
        if is_cut or is_head or int(person.sum()) < _LEAST_PX:
            continue
        condition, truth = condition_of(sample), _picture(sample.layers, person)
        true_features, true_gradient = distance.features([truth]), max(_gradient(truth), 1e-6)
        for name, (denoiser, steps) in rows.items():
            layers = condition.copy if steps == 0 else sample_layers(denoiser, condition, number, steps, truncation=1)
            made = _picture(layers, person)
            features = distance.features([made])
            found = (
                difference(layers[0, 4:], sample.layers[0, 4:], person),
                float(distance.between(features, true_features, [truth.mask])[0]),
                _gradient(made) / true_gradient,
            )
            for column, value in zip(COLUMNS, found, strict=True):
                values[name][column].append((str(number), value))
    return values


def _picture(layers: Float[Tensor, "1 7 H W"], person: Tensor) -> Picture:
    """The back, in front of the usual background."""
    mask = person.numpy()
    rgb = layers[0, 4:].permute(1, 2, 0).numpy()
    return Picture(np.where(mask[..., None], rgb, np.float32(BACKGROUND)), mask)


def _gradient(picture: Picture) -> float:
    """Mean size of the gradients of luminance inside of the person."""
    luminance = picture.rgb.mean(-1)
    down, right = np.gradient(luminance)
    inside = binary_erosion(picture.mask, iterations=2)
    return float(np.hypot(down, right)[inside].mean()) if inside.any() else 0.0


def table(options: Options) -> Table:
    """The table of all rows."""
    shipped = view_denoiser_from_pretrained(options.weights / VIEWS)
    rows = {
        "copy of the photo": (shipped, 0),
        "regression: the prior's mean": (shipped, 1),
        f"diffusion: a sample in {options.steps} steps": (shipped, options.steps),
        f"regression, {options.photos:,} photos more": (train_on(options, "regression", ViewLoss), 1),
        "the same with a discriminator": (train_on(options, "discriminator", AdversarialLoss), 1),
    }
    lines = [[name, *(_shown(values[column]) for column in COLUMNS)] for name, values in measure(options, rows).items()]
    return Table("", ["backs", *COLUMNS], lines, 1)


def _shown(values: list[tuple[str, float]]) -> str:
    interval = bootstrap(values)
    return "" if interval is None else interval.text(2)


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    torch.set_num_threads(1)
    found = table(options)
    print("\n".join(markdown_table(found)))


if __name__ == "__main__":
    main()
