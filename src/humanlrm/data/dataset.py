"""Shards to batches: which view comes when, augmentation, and the choice of points. Deterministic in (seed, index)."""

import signal
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from einops import reduce
from torch.utils.data import DataLoader, Dataset, Sampler

from humanlrm.body.landmarks import COUNT, DETECTOR_FEATURE_CHANNELS, INDEX, MIRROR
from humanlrm.data import augment
from humanlrm.data.records import ShardError
from humanlrm.data.render.shoot import PointSamples, ViewRecord
from humanlrm.data.settings import SampleSettings
from humanlrm.data.shards import Mixture, ShardFolder, folders_of
from humanlrm.data.targets import TargetView, as_targets
from humanlrm.views import Batch, Inputs, Supervision, collate

#: How far from the middle of the skull a point is still around the head, and from the nose around the face, metres.
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
        parts = folders_of(shards)
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
    """Whose turn it is: every folder as often as its weight says (at least once), in an order that the seed decides."""
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
        """The view that comes at ``index``; a damaged one is reported and the next in the order takes its place."""
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
        """Other views in random order, again from the first if there are fewer; of a single view the view itself."""
        if count == 0:
            return []
        rest = [v for v in range(self.folder.entries[subject].views) if v != view] or [view]
        order = np.random.default_rng([*self.seed, index, 1]).permutation(rest)
        return self.folder.targets(subject, [int(order[k % len(order)]) for k in range(count)])


class _Running(Sampler[int]):
    """start, start + stride, ... without end: resuming at sample n continues exactly where sample n - 1 left off."""

    def __init__(self, start: int, stride: int) -> None:
        self.start, self.stride = start, stride

    def __iter__(self) -> Iterator[int]:
        index = self.start
        while True:
            yield index
            index += self.stride


def batches(data: TrainingDataset, batch: int, start: int = 0, stride: int = 1, workers: int = 1) -> DataLoader:
    """Endless batches from running sample number ``start``; ``stride`` processes share the data."""
    options = {"prefetch_factor": 4, "persistent_workers": True} if workers else {}
    return DataLoader(
        data,
        batch,
        sampler=_Running(start, stride),
        collate_fn=collate,
        num_workers=workers,
        worker_init_fn=_outlive,
        **options,
    )


def _outlive(worker: int) -> None:
    """Workers leave SIGTERM and Ctrl-C to the training loop, which saves its state before it ends them."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def build_sample(
    record: ViewRecord,
    samples: PointSamples,
    settings: SampleSettings,
    rng: np.random.Generator,
    others: list[TargetView] | None = None,
) -> Batch:
    """One view and its truth, augmented; no batch axis yet. ``others`` become ``Supervision.targets``."""
    image = np.concatenate([record.rgb, record.alpha[..., None], record.known[..., None]], axis=-1) / np.float32(255)
    factor = _reduction(len(image), settings.image_px)
    image = reduce(image, "(h p) (w q) c -> h w c", "mean", p=factor, q=factor) if factor > 1 else image
    linear, offset = record.to_frame[:3, :3], record.to_frame[:3, 3]
    heatmaps = _heatmaps(np.linalg.solve(linear, (record.landmarks - offset).T).T, settings)
    near = len(samples.points) * 2 // 3
    first = settings.points * 5 // 8
    chosen = np.concatenate(
        [
            _drawn(samples.points[:near], first, heatmaps, rng),
            rng.integers(near, len(samples.points), settings.points - first),
        ]
    )
    on = _drawn(samples.surface, settings.surface, heatmaps, rng)
    unit = np.linalg.norm(linear[0])
    own_normals = samples.normals[on].astype(np.float32) / 127
    rgb = record.light.on(samples.albedo[on].astype(np.float32) / 255, own_normals)
    detected, truth = record.detected.copy(), record.landmarks.copy()
    detector_features = (
        np.zeros((COUNT, 2, DETECTOR_FEATURE_CHANNELS), np.float16)
        if record.detector_features is None
        else record.detector_features.copy()
    )
    points = samples.points[chosen].astype(np.float32) @ linear.T + offset
    surface = samples.surface[on].astype(np.float32) @ linear.T + offset
    normals = own_normals @ linear.T / unit
    sdf = samples.sdf[chosen].astype(np.float32) * unit
    # A block that the ray misses in part stays unknown: the mean of NaN is NaN.
    depth = reduce(record.depth.astype(np.float32), "k (h p) (w q) -> k h w", "mean", p=factor, q=factor)
    mirrored, tone = False, None
    if settings.augment:
        image, rgb, tone = augment.augment_picture(image, rgb, rng)
        detected, detector_features = augment.augment_detections(detected, detector_features, truth, rng)
        mirrored = rng.random() < 0.5
        if mirrored:
            image, depth = image[:, ::-1], depth[..., ::-1]
            for array in (points, surface, normals, detected, truth):
                array[:, 0] *= -1
            detected, detector_features, truth = detected[MIRROR], detector_features[MIRROR][:, ::-1], truth[MIRROR]
        image[..., :3] *= image[..., 4:] > 0.5
    targets = as_targets(record.to_frame, others, mirrored, tone) if others else None
    tensor = lambda a: torch.from_numpy(np.ascontiguousarray(a, dtype=np.float32))  # noqa: E731
    return Batch(
        Inputs(tensor(image.transpose(2, 0, 1)), tensor(detected), tensor(detector_features)),
        Supervision(
            *map(tensor, (points, sdf, surface, normals, rgb, depth, truth)),
            targets=targets,
            teacher_landmarks=tensor(
                augment.add_teacher_noise(truth, rng, settings.teacher_noise) if settings.augment else truth
            ),
        ),
    )


@dataclass(frozen=True)
class _Spot:
    """A ball (metres) of which a share of what is drawn comes."""

    middle: np.ndarray
    radius_m: float
    share: float


def _heatmaps(landmarks: np.ndarray, settings: SampleSettings) -> list[_Spot]:
    """Head and face, given the landmarks in the subject's coordinates."""
    face = settings.head * settings.face
    return [
        _Spot(landmarks[INDEX["head"]], _HEAD_M, settings.head - face),
        _Spot(landmarks[INDEX["nose"]], _FACE_M, face),
    ]


def _drawn(places: np.ndarray, count: int, heatmaps: list[_Spot], rng: np.random.Generator) -> np.ndarray:
    """Indices of ``count`` places; as many as is wanted in each spot that is known and where some are."""
    chosen, start = rng.integers(0, len(places), count), 0
    for spot in heatmaps:
        if not (some := round(spot.share * count)):
            continue
        within = ((places.astype(np.float32) - spot.middle) ** 2).sum(1) < spot.radius_m**2  # false beside NaN
        around = np.flatnonzero(within)
        if len(around):
            chosen[start : start + some] = around[rng.integers(0, len(around), some)]
            start += some
    return chosen


def _reduction(stored_px: int, target_px: int | None) -> int:
    """By how much image and depth maps shrink."""
    factor, rest = divmod(stored_px, target_px or stored_px)
    if rest or factor == 0:
        raise ValueError(
            f"the shards hold images of {stored_px} px, the model asks for {target_px} px; render people at a multiple"
        )
    return factor
