"""Held-out people whose photo ends at the hips, the thighs or the chest, completed: a sheet to look at.

    python -m benchmarks.cut_people --assets ASSETS --picture docs/cut-people.webp [--weights DIR] [--count 10]

A row per person (composed and avatars in turn, photographed from the front): the whole photo, the part that is given,
and four samples from the front and from behind. Prints how far apart the samples are: the median over the people of the
deviation of their height, and of the color below the cut (CIEDE2000 to the first sample, seen from the front).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from jaxtyping import UInt8
from PIL import Image
from rich.console import Console
from skimage.color import deltaE_ciede2000, rgb2lab

from humanlrm.data.contact_sheet import check_picture, grid, save_picture
from humanlrm.data.scan import Scan
from humanlrm.evaluate.renderer import EvalRenderer, Viewpoint, camera_at, random_lamps
from humanlrm.mesh.preview import render_views
from humanlrm.model.pretrained import SHIPPED
from humanlrm.people.avatars.person import AvatarLibrary, make_avatar
from humanlrm.people.facts import with_facts
from humanlrm.people.generate import VALIDATION_SEED
from humanlrm.people.makehuman.person import make_composed
from humanlrm.reconstruct import Completion, Reconstruction, Reconstructor, Settings

#: Cuts, as shares of the person's height from the top: chest, hips, thighs.
_CUTS = (0.35, 0.52, 0.65)
_SAMPLES, _TILE_PX, _STANDS = 4, 160, ("casual", "relaxed_wide", "one_pocket")


@dataclass(frozen=True)
class Options:
    """
    Attributes:
        assets: the asset pack.
        picture: contact sheet to write (.png, .jpg or .webp).
        weights: folder of other weights than the shipped ones.
        count: people.
    """

    assets: Path
    picture: Path
    weights: Path = SHIPPED
    count: int = 10


def main(options: Options) -> None:
    check_picture(options.picture)
    torch.set_num_threads(1)
    reconstruct, library = Reconstructor(options.weights, threads=1), AvatarLibrary(options.assets, "val")
    tiles, heights, colors = [], [], []
    for number in range(options.count):
        seed = VALIDATION_SEED + 500 + 100 * number
        scan = (
            _standing(options.assets, seed) if number % 2 else make_avatar(library, seed, everyday=_STANDS[number % 3])
        )
        whole = _cut_out(scan, seed)
        part = _above(whole, _CUTS[number % len(_CUTS)])
        settings, completion = Settings(resolution=128, texture_px=512), Completion(samples=_SAMPLES)
        people = reconstruct(part, settings=settings, completion=completion).samples
        fronts, backs = zip(*(render_views(p.mesh, ("front", "back"), _TILE_PX) for p in people), strict=True)
        tiles += [_tile(whole), _tile(part), *fronts, *backs]
        heights.append(float(np.std([_height_m(person) for person in people])))
        colors += [_difference(fronts[0], other) for other in fronts[1:]]
    save_picture(grid(tiles, 2 + 2 * _SAMPLES), options.picture)
    apart = f"heights differ by {100 * np.median(heights):.1f} cm, colors of the lower half by {np.median(colors):.1f}"
    Console().print(f"{options.count} people, {_SAMPLES} samples each: {apart} (CIEDE2000); medians")


def _standing(assets: Path, seed: int) -> Scan:
    """The first composed person from a seed on who stands."""
    while (scan := with_facts(make_composed(assets, seed, split="val"), "composed")).tags["posture"] != "standing":
        seed += 1
    return scan


def _cut_out(scan: Scan, seed: int) -> Image.Image:
    """The person photographed from the front, as a cut-out."""
    renderer, rng = EvalRenderer(scan), np.random.default_rng([seed, 13])
    photo = renderer.photograph(camera_at(renderer, Viewpoint(0.0)), random_lamps(rng), rng)
    return Image.fromarray(np.dstack([photo.rgb, (photo.alpha * 255).astype(np.uint8)]))


def _above(photo: Image.Image, share: float) -> Image.Image:
    """The photo down to a share of the person's height."""
    _, top, _, bottom = photo.getchannel("A").getbbox() or (0, 0, 0, photo.height)
    return photo.crop((0, 0, photo.width, round(top + share * (bottom - top))))


def _tile(photo: Image.Image) -> UInt8[np.ndarray, "S S 3"]:
    """The photo before white, at the top of a square."""
    side = max(photo.size)
    square = Image.new("RGB", (side, side), "white")
    square.paste(photo, ((side - photo.width) // 2, 0), photo)
    return np.asarray(square.resize((_TILE_PX, _TILE_PX)))


def _height_m(person: Reconstruction) -> float:
    return person.metres_per_unit * float(np.ptp(person.mesh.vertices[:, 1]))


def _difference(first: UInt8[np.ndarray, "S S 3"], other: UInt8[np.ndarray, "S S 3"]) -> float:
    """Mean color difference of the lower halves where both show the person."""
    halves = [picture[_TILE_PX // 2 :] for picture in (first, other)]
    both = (halves[0].min(-1) < 250) & (halves[1].min(-1) < 250)
    return float(deltaE_ciede2000(*(rgb2lab(half)[both] for half in halves)).mean()) if both.any() else 0.0


if __name__ == "__main__":
    main(tyro.cli(Options))
