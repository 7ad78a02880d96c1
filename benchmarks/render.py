"""Rays per second of the volume renderer on a reconstructed person: plain path and fewer samples.

python benchmarks/render.py [--photo examples/avatar.jpg] [--size-px 96] [--threads 1]

All paths render the same two views (front and side) in one run, in turn, so that the ratio to the plain path can be
compared between machines. Speed is that of the shipped network on the photo's person. Differences to the plain path
are those of a body of capsules through the person's landmarks, whose distances are exact: a network's distances are
not, so that a volume and its zero level differ by more than the renderers do.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from humanlrm.body.skeleton import SkeletonCapsules
from humanlrm.camera import rotation_about_y
from humanlrm.encoding import encode
from humanlrm.frame import canonical_camera
from humanlrm.photo.load import load_photo
from humanlrm.photo.segment import find_subject
from humanlrm.rays import Rays, image_rays
from humanlrm.reconstruct import Reconstructor
from humanlrm.render.density import LaplaceDensity, RadianceField
from humanlrm.render.settings import PLAIN, Sampling
from humanlrm.render.volume import Rendering, render_rays
from humanlrm.train.render_losses import radiance_field


@dataclass(frozen=True)
class Capsules:
    """A body of capsules, coloured by place, as the renderer asks for it."""

    sdf: Tensor
    gradient: Tensor
    normal: Tensor
    rgb: Tensor


def person(photo: Path, beta: float) -> tuple[RadianceField, RadianceField]:
    """The shipped model's field of a photo's person, and capsules through the person's landmarks."""
    reconstructor = Reconstructor(threads=1)
    model = reconstructor.model
    subject = find_subject(load_photo(photo), reconstructor.detector, model.config.image_px)
    planes = encode(model, subject.inputs)
    density = LaplaceDensity(beta, beta / 2)
    bones, landmarks = model.field.bones, planes.inputs.landmarks
    assert isinstance(bones, SkeletonCapsules)
    assert landmarks is not None

    def distance(points: Tensor) -> Tensor:
        return bones.distances(points, landmarks)[0].amin(-1)

    def samples(points: Tensor) -> Capsules:
        steps = torch.eye(3) * 1e-3
        gradient = torch.stack([(distance(points + s) - distance(points - s)) / 2e-3 for s in steps], dim=-1)
        return Capsules(distance(points), gradient, torch.nn.functional.normalize(gradient, dim=-1), points / 2 + 0.5)

    return radiance_field(model, planes, density), RadianceField(distance, samples, density)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", type=Path, default=Path(__file__).parent.parent / "examples" / "avatar.jpg")
    parser.add_argument("--size-px", type=int, default=96)
    parser.add_argument("--beta", type=float, default=0.005, help="width of the surface, box units")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with torch.no_grad():
        compare(*person(options.photo, options.beta), options.size_px, options.runs)


def compare(network: RadianceField, capsules: RadianceField, size_px: int, runs: int) -> None:
    """Renders by every path and prints a line for each."""
    front = image_rays(canonical_camera(size_px))
    side = torch.eye(4)
    side[:3, :3] = torch.from_numpy(rotation_about_y(np.pi / 2))
    views = [front, front.moved(side[None])]
    rays = Rays(*(torch.cat(values, 1) for values in zip(*(vars(v).values() for v in views), strict=True)))
    default = Sampling()

    everywhere = replace(default, shaded=None)
    paths: dict[str, Callable[[RadianceField], Rendering]] = {
        f"plain, {PLAIN.fine} even samples": lambda field: render_rays(field, rays, PLAIN, chunk=512),
        "16 coarse + 12 fine, all shaded": lambda field: render_rays(field, rays, everywhere, chunk=4096),
        "16 coarse + 12 fine, 3 shaded": lambda field: render_rays(field, rays, default, chunk=4096),
    }
    found = {name: path(capsules) for name, path in paths.items()}
    seconds: dict[str, list[float]] = {name: [] for name in paths}
    for _ in range(runs):
        for name, path in paths.items():
            start = time.perf_counter()
            path(network)
            seconds[name].append(time.perf_counter() - start)
    plain = next(iter(paths))
    truth, slowest = found[plain], statistics.median(seconds[plain])
    solid = truth.alpha > 0.95
    print(f"{rays.near.numel()} rays, {float((truth.alpha > 0.5).float().mean()):.0%} meet the capsules")
    print("path                                     rays/s   ratio   |alpha|   |depth|     |rgb|  differences, mean")
    for name, times in seconds.items():
        took, seen = statistics.median(times), found[name]
        both = solid & (seen.alpha > 0.95)
        differences = (
            (seen.alpha - truth.alpha).abs().mean(),
            (seen.depth - truth.depth)[both].abs().mean(),
            (seen.rgb - truth.rgb)[both].abs().mean(),
        )
        shown = "".join(f"{float(value):10.5f}" for value in differences)
        print(f"{name:38s} {rays.near.numel() / took:8.0f} {slowest / took:7.1f}{shown}")


if __name__ == "__main__":
    main()
