"""Whether the spread of samples ranks the true error, and how samples of landmarks compare with the estimate.

    python -m benchmarks.uncertainty --data data/held-out [--weights DIR] [--count 400]

Surface: rank correlation (Spearman) of the spread of samples at the vertices of the estimate's surface with the true
error there, within each photo (mean), of all vertices together, and of the photos' means; and of the spread without
what landmarks say of it. The error is how far along the vertex's normal the true surface is, as the spread is how far
along it the samples' surfaces are, or the distance to the nearest true surface. The same for an oracle that knows how
far off the landmarks around each vertex are (not in which direction): about what a spread of landmarks could tell at
best.

Landmarks: error of the estimate, of a sample, of the mean of sixteen, of the best of four and of the four most typical
(box units, mean over the points and photos), split into those that the photo shows and those that it does not; and the
spread of the samples. "Ideally": were the truth one more sample (of full variety), so far off would the samples' mean
be, and the best of the four most typical: more than that four samples cannot win.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table
from scipy.spatial import KDTree
from scipy.stats import spearmanr

from humanlrm.completion import POSES
from humanlrm.data.dataset import SampleSettings, TrainingDataset
from humanlrm.data.shards import ShardFolder
from humanlrm.diffusion.pose_prior import k_medoids, pose_condition, sample_poses
from humanlrm.diffusion.uncertainty import (
    SampledPoses,
    Sdf,
    landmark_spread,
    measure_uncertainty,
    pooled_spread,
    surface_offsets,
)
from humanlrm.encoding import correct_estimate, encode, encode_poses
from humanlrm.extraction import distance_of, fitted_surface
from humanlrm.frame import project_ndc, sample_plane
from humanlrm.mesh.surface import vertex_normals
from humanlrm.model.pretrained import SHIPPED, from_pretrained, pose_denoiser_from_pretrained
from humanlrm.settings import MOST_SAMPLES
from humanlrm.views import collate

_SAMPLES, _BEST_OF = 16, 4
#: Of Heun's method, to which the default is compared.
_MANY_STEPS = 50
#: Fields of a photo whose surfaces are compared.
_FIELDS = 6
_POINTS = 6_000
#: Farther away than this a sample is no plane, box units.
_FAR = 0.05


@dataclass(frozen=True)
class Options:
    """
    Attributes:
        data: folder of shards of people that the weights have not seen.
        weights: folder of other weights than the shipped ones.
        count: photos whose landmarks are sampled.
        surfaces: photos whose surface is.
    """

    data: Path
    weights: Path = SHIPPED
    count: int = 400
    surfaces: int = 40


@torch.no_grad()
def main(options: Options) -> None:
    torch.set_num_threads(1)
    model, denoiser = from_pretrained(options.weights), pose_denoiser_from_pretrained(options.weights / POSES)
    settings = SampleSettings(augment=False, image_px=model.config.image_px, surface=_POINTS)
    views = TrainingDataset(ShardFolder(options.data), settings, seed=5)
    errors: dict[str, list[np.ndarray]] = {}
    shown: list[np.ndarray] = []
    ranked: dict[tuple[str, str], list[tuple[np.ndarray, np.ndarray]]] = {}
    for k in range(min(options.count, len(views))):
        batch = collate([views[k]])
        truth = batch.supervision.landmarks[0]
        if not bool(truth.isfinite().all()):
            continue
        condition = pose_condition(model, batch.inputs)
        pool = correct_estimate(model, sample_poses(denoiser, condition, MOST_SAMPLES), batch.inputs.image)
        estimate = correct_estimate(model, condition.estimate, batch.inputs.image)[0]
        poses = pool[0, :_SAMPLES]
        others = sample_poses(denoiser, condition, MOST_SAMPLES, seed=1, variety=1.0)
        ideal = correct_estimate(model, others, batch.inputs.image)[0]
        four = k_medoids(pool, _BEST_OF)[0]
        slow = correct_estimate(
            model, sample_poses(denoiser, condition, MOST_SAMPLES, steps=_MANY_STEPS), batch.inputs.image
        )
        off, chosen = (poses - truth).norm(dim=-1), (four - truth).norm(dim=-1)
        off_estimate = (estimate - truth).norm(dim=-1)
        found = {
            "estimate": off_estimate,
            "a sample": off[0],
            "mean of sixteen samples": (poses.mean(0) - truth).norm(dim=-1),
            "best of four samples": _best(off[:_BEST_OF]),
            "the most typical": chosen[0],
            "best of the four most typical": _best(chosen),
            "a sample in fifty steps": (slow[0, 0] - truth).norm(dim=-1),
            "the most typical in fifty steps": (k_medoids(slow, 1)[0, 0] - truth).norm(dim=-1),
            "from a sample to it in fifty steps": (slow[0] - pool[0]).norm(dim=-1).mean(0),
            "ideally: mean": (ideal[:-_SAMPLES].mean(0) - ideal[-_SAMPLES:]).norm(dim=-1).mean(0),
            "ideally: best of the four most typical": _mean_best(four, ideal[-_SAMPLES:]),
            "spread of the samples": poses.std(0).norm(dim=-1),
        }
        for name, values in found.items():
            errors.setdefault(name, []).append(values.numpy())
        under = sample_plane(batch.inputs.image[:, 3:], project_ndc(truth[None]))[0]
        shown.append((under > 0.5).all(-1).numpy())
        if len(shown) <= options.surfaces:
            planes = encode(model, batch.inputs)
            surface = fitted_surface(model, planes, 64)
            fields = [distance_of(model, triplane) for triplane in encode_poses(model, batch.inputs, poses[:_FIELDS])]
            vertices, normals = torch.from_numpy(surface.vertices), torch.from_numpy(vertex_normals(surface))
            of_fields = measure_uncertainty(vertices, normals, fields).spread
            spread = pooled_spread(of_fields, landmark_spread(vertices, normals, SampledPoses(estimate, pool[0])))
            off_there = _around(vertices, estimate, off_estimate)
            true_distance = _distance_to(batch.supervision.surface[0].numpy(), batch.supervision.normals[0].numpy())
            found_errors = {
                "along the normal": surface_offsets(vertices, normals, [true_distance])[0].abs().numpy(),
                "to the nearest surface": true_distance(vertices).abs().numpy(),
            }
            for error, values in found_errors.items():
                told = {"spread": spread, "spread of fields alone": of_fields, "oracle of landmarks": off_there}
                for name, guess in told.items():
                    ranked.setdefault((name, error), []).append((guess.numpy(), values))
    seen = np.concatenate(shown)
    table = Table("landmarks", "all", "shown", "not shown", title=f"{len(shown)} photos, box units")
    for name, parts in errors.items():
        values = np.concatenate(parts)
        table.add_row(name, *(f"{part.mean():.3f}" for part in (values, values[seen], values[~seen])))
    console = Console()
    console.print(table)
    marks = spearmanr(np.concatenate(errors["spread of the samples"]), np.concatenate(errors["estimate"]))[0]
    console.print(f"landmarks: rank correlation of spread and error {marks:.2f}")
    title = f"surface, rank correlations, {min(options.surfaces, len(shown))} photos"
    table = Table("", "error", "within a photo", "all vertices", "photos' means", title=title)
    for (name, error), pairs in ranked.items():
        within = np.mean([_rank(guess, wrong) for guess, wrong in pairs])
        guesses, wrongs = zip(*pairs, strict=True)
        overall = _rank(np.concatenate(guesses), np.concatenate(wrongs))
        persons = _rank(np.array([g.mean() for g in guesses]), np.array([w.mean() for w in wrongs]))
        table.add_row(name, error, f"{within:.2f}", f"{overall:.2f}", f"{persons:.2f}")
    console.print(table)


def _rank(guess: np.ndarray, wrong: np.ndarray) -> float:
    return float(np.asarray(spearmanr(guess, wrong))[0])


def _best(off: torch.Tensor) -> torch.Tensor:
    """Of (K, J) errors those of the sample with the smallest mean."""
    return off[off.mean(-1).argmin()]


def _mean_best(chosen: torch.Tensor, truths: torch.Tensor) -> torch.Tensor:
    """Errors (J,) of the best of the chosen (N, J, 3), meant over several truths (T, J, 3)."""
    return torch.stack([_best((chosen - truth).norm(dim=-1)) for truth in truths]).mean(0)


def _around(vertices: torch.Tensor, landmarks: torch.Tensor, values: torch.Tensor, width: float = 0.08) -> torch.Tensor:
    """What landmarks (J, 3) say (J,) at the vertices: a mean that is dominated by the nearest."""
    return torch.softmax(-torch.cdist(vertices, landmarks) / width, dim=-1) @ values


def _distance_to(truth: np.ndarray, normals: np.ndarray) -> Sdf:
    """Signed distance to the true surface: to the plane of the nearest of its samples, or to the sample if that is
    far."""
    tree = KDTree(truth)

    def distance(points: torch.Tensor) -> torch.Tensor:
        far, nearest = tree.query(points.numpy())
        plane = ((points.numpy() - truth[nearest]) * normals[nearest]).sum(-1)
        return torch.from_numpy(np.where(far > _FAR, np.copysign(far, plane), plane).astype(np.float32))

    return distance


if __name__ == "__main__":
    main(tyro.cli(Options))
