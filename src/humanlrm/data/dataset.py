"""Shards to batches: which view comes when, augmentation, and the choice of points. Deterministic in (seed, index)."""

import signal
import sys
import warnings
from typing import NamedTuple

import numpy as np
import torch
from einops import reduce
from torch.utils.data import DataLoader, Dataset

from humanlrm.body.landmarks import COUNT, DETECTOR_FEATURE_CHANNELS, INDEX, MIRROR
from humanlrm.data import augment
from humanlrm.data.records import ShardError
from humanlrm.data.settings import SampleSettings
from humanlrm.data.shards import Mixture, ShardFolder
from humanlrm.data.subject import PointSamples, ViewRecord
from humanlrm.data.targets import TargetView, build_targets
from humanlrm.views import Batch, Inputs, Supervision, collate

#: Radius of the head around the middle of the skull, and of the face around the nose, metres.
_HEAD_M, _FACE_M = 0.24, 0.07
#: Damaged views in a row that are skipped before the data counts as unusable.
_MOST_DAMAGED = 20
#: Length of the schedule by which a mixture's folders take turns.
_ROUND = 1000


class TrainingDataset(Dataset[Batch]):
    """Index -> one augmented sample. The index is the running number of the sample, which seeds its randomness.

    Every pass over a folder visits each view of each subject once, in an order that depends on seed and pass. The
    folders of a mixture take turns by a fixed schedule of their weights, each with its own passes.
    """

    def __init__(self, shards: ShardFolder | Mixture, settings: SampleSettings, seed: int) -> None:
        self.shards, self.settings, self.seed = shards, settings, seed
        parts = shards.parts
        self.folders = [_Views(folder, [seed] if k == 0 else [seed, k]) for k, (folder, _) in enumerate(parts)]
        self.turns = _schedule([weight for _, weight in parts], seed)

    def __len__(self) -> int:
        return sum(len(folder) for folder in self.folders)

    def __getitem__(self, index: int) -> Batch:
        rounds, place = divmod(index, len(self.turns))
        turn = self.turns[place]
        before = rounds * int((self.turns == turn).sum()) + int((self.turns[:place] == turn).sum())
        rng = np.random.default_rng([self.seed, index])
        record, samples, others = self.folders[turn].read(before, self.settings.target_views)
        return build_sample(record, samples, self.settings, rng, others)


def _schedule(weights: list[float], seed: int) -> np.ndarray:
    """Schedule of folders: each as often as its weight demands (at least once), in an order that the seed decides."""
    if len(weights) == 1:
        return np.zeros(1, dtype=int)
    ends = np.round(np.cumsum(weights) * _ROUND).astype(int)
    counts = np.maximum(np.diff(ends, prepend=0), 1)
    return np.random.default_rng([seed, 0, 0]).permutation(np.repeat(np.arange(len(weights)), counts))


class _Views:
    """The views of one folder, pass after pass."""

    def __init__(self, folder: ShardFolder, seed: list[int]) -> None:
        self.folder, self.seed = folder, seed
        self.views = np.array([(i, v) for i, entry in enumerate(folder.entries) for v in range(entry.views)])
        self._order: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.views)

    def read(self, index: int, target_views: int) -> tuple[ViewRecord, PointSamples, list[TargetView]]:
        """Load the view at ``index``; a damaged one is reported and the next in the order takes its place."""
        passes, position = divmod(index, len(self.views))
        if self._order is None or self._order[0] != passes:
            self._order = passes, np.random.default_rng([*self.seed, passes]).permutation(len(self.views))
        order = self._order[1]
        for place in range(position, position + _MOST_DAMAGED):
            subject, view = map(int, self.views[order[place % len(order)]])
            try:
                record, samples = self.folder.load(subject, view)
                return record, samples, self._others(subject, view, index, target_views)
            except ShardError as error:
                warnings.warn(f"skipped: {error}", stacklevel=2)
        raise ShardError(
            f"{_MOST_DAMAGED} damaged views in a row; the last warnings name them: write these shards again"
        )

    def _others(self, subject: int, view: int, index: int, count: int) -> list[TargetView]:
        """Other views in random order, repeated if there are fewer than ``count``; of a single view the view itself."""
        if count == 0:
            return []
        rest = [v for v in range(self.folder.entries[subject].views) if v != view] or [view]
        order = np.random.default_rng([*self.seed, index, 1]).permutation(rest)
        return self.folder.targets(subject, [int(order[k % len(order)]) for k in range(count)])


def batches(data: TrainingDataset, batch: int, start: int = 0, stride: int = 1, workers: int = 1) -> DataLoader:
    """Endless batches from sample number ``start``; ``stride`` processes share the data.

    Resuming at sample n continues exactly after sample n - ``stride``.
    """
    options = {"prefetch_factor": 4, "persistent_workers": True} if workers else {}
    return DataLoader(
        data,
        batch,
        sampler=range(start, sys.maxsize, stride),
        collate_fn=collate,
        num_workers=workers,
        worker_init_fn=ignore_signals,
        **options,
    )


def ignore_signals(worker: int) -> None:
    """Leave SIGTERM and Ctrl-C to the training loop, which saves its state before it ends the workers."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def build_sample(
    record: ViewRecord,
    samples: PointSamples,
    settings: SampleSettings,
    rng: np.random.Generator,
    others: list[TargetView] | None = None,
) -> Batch:
    """Build an augmented sample of one view, without a batch axis. ``others`` become ``Supervision.targets``."""
    image, depth = _reduce_maps(record, settings.image_px)
    points, sdf, surface, normals, rgb = _draw_samples(record, samples, settings, rng)
    detected, truth = record.detected.copy(), record.landmarks.copy()
    if record.detector_features is None:
        features = np.zeros((COUNT, 2, DETECTOR_FEATURE_CHANNELS), np.float16)
    else:
        features = record.detector_features.copy()
    mirrored, tone = False, None
    if settings.augment:
        image, rgb, tone = augment.augment_picture(image, rgb, rng)
        detected, features = augment.augment_detections(detected, features, truth, rng)
        mirrored = rng.random() < 0.5
        if mirrored:
            image, depth = image[:, ::-1], depth[..., ::-1]
            for array in (points, surface, normals, detected, truth):
                array[:, 0] *= -1
            detected, features, truth = detected[MIRROR], features[MIRROR][:, ::-1], truth[MIRROR]
        image[..., :3] *= image[..., 4:] > 0.5
    targets = build_targets(record.to_frame, others, mirrored, tone) if others else None
    teacher = augment.add_teacher_noise(truth, rng, settings.teacher_noise) if settings.augment else truth
    tensor = lambda a: torch.from_numpy(np.ascontiguousarray(a, dtype=np.float32))  # noqa: E731
    return Batch(
        Inputs(tensor(image.transpose(2, 0, 1)), tensor(detected), tensor(features)),
        Supervision(
            *map(tensor, (points, sdf, surface, normals, rgb, depth, truth)),
            targets=targets,
            teacher_landmarks=tensor(teacher),
        ),
    )


def _reduce_maps(record: ViewRecord, image_px: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Image (H W 5) and depth (2 D D) of a view, both reduced by the factor from the stored to the requested side."""
    image = np.concatenate([record.rgb, record.alpha[..., None], record.known[..., None]], axis=-1) / np.float32(255)
    factor, rest = divmod(len(image), image_px or len(image))
    if rest or factor == 0:
        raise ValueError(
            f"the shards hold images of {len(image)} px, the model asks for {image_px} px; render people at a multiple"
        )
    image = reduce(image, "(h p) (w q) c -> h w c", "mean", p=factor, q=factor) if factor > 1 else image
    # A block that the ray misses in part stays unknown: the mean of NaN is NaN.
    return image, reduce(record.depth.astype(np.float32), "k (h p) (w q) -> k h w", "mean", p=factor, q=factor)


def _draw_samples(
    record: ViewRecord, samples: PointSamples, settings: SampleSettings, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """Points, their distances, surface points, their normals and colors under the view's light, in the view's frame."""
    linear, offset = record.to_frame[:3, :3], record.to_frame[:3, 3]
    unit = np.linalg.norm(linear[0])
    regions = _regions(np.linalg.solve(linear, (record.landmarks - offset).T).T, settings)
    near, first = len(samples.points) * 2 // 3, settings.points * 5 // 8
    chosen_near = _draw_indices(samples.points[:near], first, regions, rng)
    chosen = np.concatenate([chosen_near, rng.integers(near, len(samples.points), settings.points - first)])
    on = _draw_indices(samples.surface, settings.surface, regions, rng)
    normals = samples.normals[on].astype(np.float32) / 127
    return (
        samples.points[chosen].astype(np.float32) @ linear.T + offset,
        samples.sdf[chosen].astype(np.float32) * unit,
        samples.surface[on].astype(np.float32) @ linear.T + offset,
        normals @ linear.T / unit,
        record.light.render(samples.albedo[on].astype(np.float32) / 255, normals),
    )


class _Region(NamedTuple):
    """A ball (metres) that gets a share of the drawn points."""

    center: np.ndarray
    radius_m: float
    share: float


def _regions(landmarks: np.ndarray, settings: SampleSettings) -> list[_Region]:
    """Head and face, given the landmarks in the subject's coordinates."""
    face = settings.head * settings.face
    return [
        _Region(landmarks[INDEX["head"]], _HEAD_M, settings.head - face),
        _Region(landmarks[INDEX["nose"]], _FACE_M, face),
    ]


def _draw_indices(points: np.ndarray, count: int, regions: list[_Region], rng: np.random.Generator) -> np.ndarray:
    """Draw ``count`` indices; each known region that holds points gets its share."""
    chosen, start = rng.integers(0, len(points), count), 0
    for region in regions:
        if not (wanted := round(region.share * count)):
            continue
        inside = ((points.astype(np.float32) - region.center) ** 2).sum(1) < region.radius_m**2  # false beside NaN
        candidates = np.flatnonzero(inside)
        if len(candidates):
            chosen[start : start + wanted] = candidates[rng.integers(0, len(candidates), wanted)]
            start += wanted
    return chosen
