"""Is the right person cut out of a group whose people touch?

    python -m benchmarks.touching [--count 6] [--assets DIR] [--sheet FILE]

Rendered pairs and groups of four: side by side, overlapping by 0 to 40% of their widths, facing each other in an
embrace. Prints the IoU of the chosen person's mask with the pixels that truly show this person, for the mask of the
detector alone (as before people competed for pixels) and for today's; the share of photos in which the same person is
chosen in the mirrored photo; and how many of the people are counted.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from PIL import Image

from humanlrm.commands.terminal import asset_pack
from humanlrm.data.render.environment import random_surroundings
from humanlrm.data.render.group import GroupPhoto, photograph_group, stand_in_row
from humanlrm.data.scan import Scan
from humanlrm.people.generate import VALIDATION_SEED, PersonSampler
from humanlrm.photo.blazepose import PoseDetector
from humanlrm.photo.load import Photo, PhotoError
from humanlrm.photo.matte import keep_main_part, refine_mask
from humanlrm.photo.segment import segment

#: Kind of scene: people, overlap of their silhouettes' widths, whether they face each other.
SCENES = {
    "pair, overlap 0%": (2, 0.0, False),
    "pair, overlap 20%": (2, 0.2, False),
    "pair, overlap 40%": (2, 0.4, False),
    "pair, embrace": (2, 0.45, True),
    "four, overlap 10%": (4, 0.1, False),
    "four, overlap 30%": (4, 0.3, False),
}


@dataclass(frozen=True)
class Options:
    """Attributes:
    count: photos of each kind.
    assets: asset pack; without one all people are procedural.
    sheet: picture of all photos with the chosen masks.
    """

    count: int = 6
    assets: Path | None = None
    sheet: Path | None = None


def standing_people(sampler: PersonSampler, seed: int) -> Iterator[Scan]:
    """Held-out people who stand."""
    while True:
        scan = sampler(VALIDATION_SEED + seed)
        if scan.tags.get("posture") == "standing":
            yield scan
        seed += 1


def scene(kind: str, number: int, sampler: PersonSampler) -> GroupPhoto:
    """The photo of a number."""
    count, overlap, embrace = SCENES[kind]
    rng = np.random.default_rng([number, count, int(100 * overlap)])
    people = standing_people(sampler, 1000 * number + int(100 * overlap))
    scans = [next(people) for _ in range(count)]
    yaws = [np.pi / 2, -np.pi / 2] if embrace else rng.normal(0, 0.5, count)
    return photograph_group(
        stand_in_row(scans, [float(y) for y in yaws], overlap, step_back_m=0.25 if not embrace else 0.05),
        random_surroundings(rng),
        rng,
    )


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of two masks."""
    return float((mask & truth).sum() / max((mask | truth).sum(), 1))


def judge(mask: np.ndarray, photo: GroupPhoto) -> tuple[int, float]:
    """The person whom a mask shows most of, and its IoU with this person's pixels."""
    people = range(photo.owner.max() + 1)
    chosen = max(people, key=lambda k: iou(mask, photo.owner == k))
    return chosen, iou(mask, photo.owner == chosen)


def main(options: Options) -> None:
    detector, sampler = PoseDetector(threads=1), PersonSampler(asset_pack(options.assets), None)
    if sampler.assets is not None:
        sampler = PersonSampler(sampler.assets, "avatar")
    tiles: list[np.ndarray] = []
    every: list[list[float]] = []
    print("scene                 photos  detector alone   today   same in mirror   counted of people")
    for kind in SCENES:
        rows = []
        for number in range(options.count):
            photo = scene(kind, number, sampler)
            poses = detector.survey(photo.rgb)
            if not poses:
                print(f"nobody found in {kind} {number}")
                continue
            before = keep_main_part(refine_mask(photo.rgb, poses[0].mask)) > 0.5
            try:
                found = segment(Photo(photo.rgb, None, kind), detector)
                mirrored = segment(Photo(np.ascontiguousarray(photo.rgb[:, ::-1]), None, kind), detector)
            except PhotoError as error:
                print(f"{kind} {number}: {error}")
                rows.append([judge(before, photo)[1], 0.0, 0.0, len(poses)])
                continue
            chosen, today = judge(found.mask > 0.5, photo)
            same = judge(mirrored.mask[:, ::-1] > 0.5, photo)[0] == chosen
            rows.append([judge(before, photo)[1], today, float(same), found.people_seen])
            tiles.append(_tile(photo.rgb, before, found.mask > 0.5))
        mean = np.mean(rows, axis=0)
        every += rows
        count = SCENES[kind][0]
        shown = f"{mean[0]:15.3f} {mean[1]:7.3f} {mean[2]:16.0%} {mean[3]:11.1f} of {count}"
        print(f"{kind:20s} {len(rows):7d} {shown}", flush=True)
    mean = np.mean(every, axis=0)
    print(f"{'all':20s} {len(every):7d} {mean[0]:15.3f} {mean[1]:7.3f} {mean[2]:16.0%}")
    if options.sheet is not None:
        starts = range(0, len(tiles), options.count)
        rows_of_tiles = [np.concatenate(tiles[i : i + options.count], axis=1) for i in starts]
        width = max(row.shape[1] for row in rows_of_tiles)
        padded = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows_of_tiles]
        Image.fromarray(np.concatenate(padded)).save(options.sheet)


def _tile(rgb: np.ndarray, before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """The photo; what the detector alone takes is red, what is taken today green, both yellow."""
    tint = np.stack([before, now, np.zeros_like(now)], axis=-1) * 255
    both = np.where((before | now)[..., None], rgb * 0.55 + tint * 0.45, rgb).astype(np.uint8)
    return np.concatenate([np.asarray(Image.fromarray(p).resize((192, 192))) for p in (rgb, both)], axis=1)


if __name__ == "__main__":
    main(tyro.cli(Options))
