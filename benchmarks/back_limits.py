"""What limits the pictures from behind: the silhouette, the light, or the colors?

    python -m benchmarks.back_limits [--set valid-val] [--count 100] [--side back]

Reconstructs held-out people from one photo of their front and compares the picture from another side with the truth, as
``humanlrm evaluate people --methods humanlrm-textured`` does; then the same after one thing was replaced by the truth.
Prints means and 95% intervals over people.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import tyro
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt

from humanlrm.commands.terminal import asset_pack
from humanlrm.evaluate.case import SIDES, ColoredSurface
from humanlrm.evaluate.case_builder import CaseBuilder
from humanlrm.evaluate.images import FeatureDistance, person_box, psnr_db
from humanlrm.evaluate.methods import open_method
from humanlrm.evaluate.plan import Corruption, Shooting, Sources
from humanlrm.evaluate.renderer import BACKGROUND, Picture, Viewpoint
from humanlrm.evaluate.report.rows import bootstrap
from humanlrm.evaluate.scores import Scorer
from humanlrm.evaluate.sources import find_units, open_scan
from humanlrm.photo.blazepose import PoseDetector

_METHOD = "humanlrm-textured"


@dataclass(frozen=True)
class Options:
    """Attributes:
    set: of held-out people.
    count: people of a set of seeds.
    poses: per avatar of valid-val.
    side: front, left, right or back.
    resolution: lattice cells per side.
    """

    set: str = "valid-val"
    count: int = 100
    poses: int = 1
    side: str = "back"
    resolution: int = 128


def in_mask(rgb: Float[np.ndarray, "S S 3"], known: Bool[np.ndarray, "S S"], mask: Bool[np.ndarray, "S S"]) -> Picture:
    """Pixels of ``mask`` in the color of the nearest known pixel, the rest as background."""
    row, column = np.asarray(distance_transform_edt(~known, return_distances=False, return_indices=True))
    return Picture(np.where(mask[..., None], rgb[row, column], np.float32(BACKGROUND)), mask)


def best_gain(picture: Picture, truth: Picture) -> Float[np.ndarray, "3"]:
    """Factor per channel that brings the person's colors nearest to the truth, where both pictures show the person."""
    both = picture.mask & truth.mask
    mine, true = picture.rgb[both], truth.rgb[both]
    return (mine * true).sum(0) / (mine * mine).sum(0).clip(1e-6)


def with_best_gain(picture: Picture, truth: Picture) -> Picture:
    """The person's colors times the best factors."""
    colors = (picture.rgb * best_gain(picture, truth)).clip(0, 1)
    return Picture(np.where(picture.mask[..., None], colors, picture.rgb), picture.mask)


def variants(picture: Picture, truth: Picture) -> dict[str, Picture]:
    """Pictures by what was replaced."""
    in_true_outline = in_mask(picture.rgb, picture.mask, truth.mask)
    mean = np.broadcast_to(truth.rgb[truth.mask].mean(0), truth.rgb.shape)
    return {
        "ours": picture,
        "ours, best light (one factor per channel)": with_best_gain(picture, truth),
        "ours in the true silhouette": in_true_outline,
        "ours in the true silhouette, best light": with_best_gain(in_true_outline, truth),
        "true colors in our silhouette": in_mask(truth.rgb, truth.mask, picture.mask),
        "the true mean color in our silhouette": in_mask(mean, truth.mask, picture.mask),
    }


def pictures(options: Options) -> Iterator[tuple[str, Picture, Picture]]:
    """Name of the person, our picture (aligned), and the truth."""
    method, detector = open_method(_METHOD, None, options.resolution, None), PoseDetector(careful=True)
    sources = Sources((options.set,), count=options.count, poses=options.poses, assets=asset_pack(None))
    score, side = Scorer("scale+translation", Shooting().points), SIDES.index(options.side)
    for unit in find_units(sources):
        builder = CaseBuilder(unit, open_scan(sources, unit), detector, Shooting())
        case = builder.level(Viewpoint(0.0), Corruption("plain"))
        made = method(case)
        assert isinstance(made, ColoredSurface)
        yield case.person, score(case, made).pictures[side], case.truth.pictures[side]


def shown(values: list[tuple[str, float]]) -> str:
    """Mean and interval."""
    interval = bootstrap(values)
    assert interval is not None
    return interval.text(3)


def main() -> None:
    options = tyro.cli(Options)
    distance = FeatureDistance()
    rows: dict[str, list[tuple[str, float, float]]] = {}
    gains = []
    for person, ours, truth in pictures(options):
        box, true_features = person_box(truth.mask), distance.features([truth])
        gains.append(best_gain(ours, truth).mean())
        for name, picture in variants(ours, truth).items():
            feature = distance.between(distance.features([picture]), true_features, [picture.mask | truth.mask])[0]
            rows.setdefault(name, []).append((person, psnr_db(picture.rgb[box], truth.rgb[box]), float(feature)))
    print(f"{len(rows['ours'])} photos, {options.side}: PSNR dB, feature distance")
    for name, values in rows.items():
        psnr, feature = ([(person, numbers[k]) for person, *numbers in values] for k in (0, 1))
        print(f"{name:42s} {shown(psnr)}   {shown(feature)}")
    print(f"best factors: {np.mean(gains):.2f}, standard deviation over photos {np.std(gains):.2f}")


if __name__ == "__main__":
    main()
