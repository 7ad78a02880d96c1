"""How well does the plausibility gate tell people from things?

    python -m benchmarks.not_people [--count 60] [--assets DIR] [--fit]

Drawn and rendered things, and people of the engine who are seen whole, cut, small, dark, blurred or from odd sides.
Prints, for each threshold of the certainty, how many things pass (false alarms) and how many people whom
the detector sees do not (misses).
With ``--fit`` it measures other things and other people, and prints the gate's weights.
"""

from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
import tyro
from jaxtyping import Bool, Float
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.optimize import minimize

from humanlrm.commands.terminal import asset_pack
from humanlrm.data.render.environment import random_surroundings
from humanlrm.data.render.group import photograph_group, stand_in_row
from humanlrm.data.render.odd_pictures import odd_pictures
from humanlrm.people.generate import VALIDATION_SEED, PersonSampler
from humanlrm.photo.blazepose import PoseDetector
from humanlrm.photo.plausibility import REFUSED_BELOW, Signs, measure_signs

_KINDS = ("whole", "upper half", "head", "legs", "left half", "small", "dark", "blurred")


@dataclass(frozen=True)
class Options:
    """Attributes:
    count: pictures of things, and as many of people.
    assets: asset pack; without one all people are procedural.
    fit: fit the gate's weights, on pictures that are not used otherwise.
    """

    count: int = 60
    assets: Path | None = None
    fit: bool = False


def odd_people(numbers: Iterable[int], sampler: PersonSampler) -> Iterator[tuple[str, np.ndarray]]:
    """Name and pixels of photos of people who are hard to see."""
    for number in numbers:
        rng = np.random.default_rng([number, 7])
        scan = stand_in_row([sampler(VALIDATION_SEED + 500 + number)], [float(rng.uniform(-np.pi, np.pi))], 0, 0)
        photo = photograph_group(scan, random_surroundings(rng), rng, (480, 480))
        rows, columns = np.flatnonzero((photo.owner >= 0).any(1)), np.flatnonzero((photo.owner >= 0).any(0))
        top, high, left, wide = rows[0], np.ptp(rows), columns[0], np.ptp(columns)
        kind, rgb = _KINDS[number % len(_KINDS)], photo.rgb
        if kind == "upper half":
            rgb = rgb[: top + high // 2]
        elif kind == "head":
            rgb = rgb[: top + high // 5]
        elif kind == "legs":
            rgb = rgb[top + high // 2 :]
        elif kind == "left half":
            rgb = rgb[:, : left + wide // 2]
        elif kind == "small":
            rgb = np.asarray(Image.fromarray(rgb).resize((110, 110)).resize((480, 480)))
        elif kind == "dark":
            rgb = (rgb * 0.15 + rng.normal(0, 3, rgb.shape)).clip(0, 255).astype(np.uint8)
        elif kind == "blurred":
            rgb = gaussian_filter(rgb, (5, 5, 0))
        yield f"{kind}-{number}", np.ascontiguousarray(rgb)


def measure(options: Options) -> Float[np.ndarray, "N D"]:
    """Measure all pictures: whether it is a person, whether the detector sees one, the certainty, and each sign."""
    assets = asset_pack(options.assets)
    sampler = PersonSampler(assets, "procedural" if assets is None else "avatar")
    detector, rows = PoseDetector(threads=1), []
    first, seed = (10_000, 1) if options.fit else (0, 0)
    people = odd_people(range(first, first + options.count), sampler)
    for is_person, pictures in ((0, odd_pictures(options.count, seed)), (1, people)):
        for name, rgb in pictures:
            poses = detector.survey(rgb)
            signs = measure_signs(rgb, poses[0], detector) if poses else Signs(0, 0)
            confidence = signs.confidence if poses else 0.0
            rows.append([is_person, float(bool(poses)), confidence, *astuple(signs)])
            if poses and is_person != (confidence >= REFUSED_BELOW) and not options.fit:
                print(f"{name}: {confidence:.2f}  {signs}", flush=True)
    return np.array(rows)


def fit(signs: Float[np.ndarray, "N S"], person: Bool[np.ndarray, "N"]) -> Float[np.ndarray, "S+1"]:
    """Weights of a logistic regression and its offset; people and things count the same, weights cost a little."""
    scale = signs.std(0)
    share = np.where(person, 1 / person.sum(), 1 / (~person).sum())
    sign = np.where(person, 1.0, -1.0)

    def loss(x: np.ndarray) -> float:
        odds = signs / scale @ x[:-1] - x[-1]
        return float(share @ np.logaddexp(0, -sign * odds) + 0.02 * x[:-1] @ x[:-1])

    found = minimize(loss, np.zeros(signs.shape[1] + 1)).x
    return np.append(found[:-1] / scale, found[-1])


def main(options: Options) -> None:
    table = measure(options)
    if options.fit:
        seen = table[table[:, 1] > 0]
        weights = fit(seen[:, 3:], seen[:, 0] > 0)
        print(f"{len(seen)} pictures in which the detector sees somebody, {int(seen[:, 0].sum())} of them of people")
        print("weights", weights[:-1].round(2).tolist(), "offset", round(float(weights[-1]), 2))
        return
    person, confidence = table[:, 0] > 0, table[:, 2]
    print(f"{(~person).sum()} things, of which the detector takes {int(table[~person, 1].sum())} for people;")
    print(f"{person.sum()} people, of whom the detector sees {int(table[person, 1].sum())}")
    print("threshold   things that pass   people who are seen and do not")
    for threshold in (0.01, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95):
        alarms, misses = (
            (confidence[~person] >= threshold).sum(),
            (confidence[person & (table[:, 1] > 0)] < threshold).sum(),
        )
        print(f"{threshold:9.2f} {alarms:18d} {misses:19d}")
    for index, field in enumerate(fields(Signs), start=3):
        seen = table[table[:, 1] > 0]
        things, people = (seen[seen[:, 0] == kind, index] for kind in (0, 1))
        if len(things) and len(people):
            print(
                f"{field.name:10s} things {np.median(things):.2f} (most {things.max():.2f})  "
                f"people {np.median(people):.2f} (least {people.min():.2f})"
            )


if __name__ == "__main__":
    main(tyro.cli(Options))
