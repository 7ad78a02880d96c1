"""Shards to batches: which view comes when, augmentation, and the choice of points. Deterministic in (seed, index)."""

import signal
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from einops import reduce
from scipy.ndimage import gaussian_filter
from torch.utils.data import DataLoader, Dataset, Sampler

from humanlrm.data.render import Samples, ViewRecord
from humanlrm.data.shards import ShardError, ShardFolder
from humanlrm.landmarks import MIRROR
from humanlrm.views import Batch, Given, Wanted, collate


@dataclass(frozen=True)
class SampleSettings:
    """What is drawn from a subject per sample.

    Attributes:
        points: signed distance samples; five eighths of them near the surface.
        surface: surface samples with normal and colour.
        augment: mirror, colour, blur, noise, mask and landmark errors; off for validation.
        image_px: side of the image; shards hold a whole multiple of it. ``None``: as the shards hold it.
    """

    points: int = 1024
    surface: int = 256
    augment: bool = True
    image_px: int | None = None


#: Damaged views in a row that are skipped before the data counts as unusable.
_MOST_DAMAGED = 20


class Samplings(Dataset[Batch]):
    """Index -> one augmented sample. The index is the running number of the sample, which seeds its randomness.

    Every pass over the data visits each view of each subject once, in an order that depends on seed and pass.
    """

    def __init__(self, shards: ShardFolder, settings: SampleSettings, seed: int) -> None:
        self.shards, self.settings, self.seed = shards, settings, seed
        self.views = np.array([(i, v) for i, entry in enumerate(shards.entries) for v in range(entry.views)])
        self._order: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.views)

    def __getitem__(self, index: int) -> Batch:
        passes, position = divmod(index, len(self.views))
        if self._order is None or self._order[0] != passes:
            self._order = passes, np.random.default_rng([self.seed, passes]).permutation(len(self.views))
        record, samples = self._readable(self._order[1], position)
        return make_sample(record, samples, self.settings, np.random.default_rng([self.seed, index]))

    def _readable(self, order: np.ndarray, position: int) -> tuple[ViewRecord, Samples]:
        """The view at a position; a damaged one is reported and the next in the order takes its place."""
        for place in range(position, position + _MOST_DAMAGED):
            subject, view = self.views[order[place % len(order)]]
            try:
                return self.shards.load(int(subject), int(view))
            except ShardError as error:
                warnings.warn(f"skipped: {error}", stacklevel=2)
        raise ShardError(
            f"{_MOST_DAMAGED} damaged views in a row; the last warnings name them: write these shards again"
        )


class _Running(Sampler[int]):
    """start, start + stride, ... without end: resuming at sample n continues exactly where sample n - 1 left off."""

    def __init__(self, start: int, stride: int) -> None:
        self.start, self.stride = start, stride

    def __iter__(self) -> Iterator[int]:
        index = self.start
        while True:
            yield index
            index += self.stride


def batches(data: Samplings, batch: int, start: int = 0, stride: int = 1, workers: int = 1) -> DataLoader:
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
    """Workers leave SIGTERM to the training loop, which saves its state before it ends them."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def make_sample(record: ViewRecord, samples: Samples, settings: SampleSettings, rng: np.random.Generator) -> Batch:
    """One view and its truth, augmented; no batch axis yet."""
    image = np.concatenate([record.rgb, record.alpha[..., None], record.known[..., None]], axis=-1) / np.float32(255)
    factor = _reduction(len(image), settings.image_px)
    image = reduce(image, "(h p) (w q) c -> h w c", "mean", p=factor, q=factor)
    near = len(samples.points) * 2 // 3
    first = settings.points * 5 // 8
    chosen = np.concatenate(
        [rng.integers(0, near, first), rng.integers(near, len(samples.points), settings.points - first)]
    )
    on = rng.integers(0, len(samples.surface), settings.surface)
    linear, offset = record.to_frame[:3, :3], record.to_frame[:3, 3]
    unit = np.linalg.norm(linear[0])
    own_normals = samples.normals[on].astype(np.float32) / 127
    rgb = record.light.on(samples.albedo[on].astype(np.float32) / 255, own_normals)
    detected, truth = record.detected.copy(), record.landmarks.copy()
    points = samples.points[chosen].astype(np.float32) @ linear.T + offset
    surface = samples.surface[on].astype(np.float32) @ linear.T + offset
    normals = own_normals @ linear.T / unit
    sdf = samples.sdf[chosen].astype(np.float32) * unit
    # A block that the ray misses in part stays unknown: the mean of NaN is NaN.
    depth = reduce(record.depth.astype(np.float32), "k (h p) (w q) -> k h w", "mean", p=factor, q=factor)
    if settings.augment:
        gain = _colour_gain(rng)
        image[..., :3], rgb = np.clip(image[..., :3] * gain, 0, 1), np.clip(rgb * gain, 0, 1)
        image = _camera_errors(_mask_errors(image, rng), rng)
        detected = _landmark_errors(detected, truth, rng)
        if rng.random() < 0.5:
            image, depth = image[:, ::-1], depth[..., ::-1]
            for array in (points, surface, normals, detected, truth):
                array[:, 0] *= -1
            detected, truth = detected[MIRROR], truth[MIRROR]
    tensor = lambda a: torch.from_numpy(np.ascontiguousarray(a, dtype=np.float32))  # noqa: E731
    return Batch(
        Given(tensor(image.transpose(2, 0, 1)), tensor(detected)),
        Wanted(*map(tensor, (points, sdf, surface, normals, rgb, depth, truth))),
    )


def _reduction(stored_px: int, wanted_px: int | None) -> int:
    """By how much image and depth maps shrink."""
    factor, rest = divmod(stored_px, wanted_px or stored_px)
    if rest or factor == 0:
        raise ValueError(
            f"the shards hold images of {stored_px} px, the model asks for {wanted_px} px; render people at a multiple"
        )
    return factor


def _colour_gain(rng: np.random.Generator) -> np.ndarray:
    """Exposure and white balance; applied to the picture and to the colours that are asked for."""
    return (np.exp(rng.normal(0, 0.1)) * np.exp(rng.normal(0, 0.04, size=3))).astype(np.float32)


def _mask_errors(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every third mask is eroded or dilated by a pixel or two, softly."""
    if rng.random() < 0.33:
        blurred = gaussian_filter(image[..., 3], rng.uniform(0.7, 2.5))
        image[..., 3] = np.clip((blurred - rng.uniform(0.25, 0.75)) * rng.uniform(2, 6) + 0.5, 0, 1)
    return image


def _camera_errors(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur for every fifth picture, noise for every third."""
    if rng.random() < 0.2:
        image[..., :3] = gaussian_filter(image[..., :3], (*[rng.uniform(0.4, 1.6)] * 2, 0))
    if rng.random() < 0.33:
        noise = rng.standard_normal((*image.shape[:2], 3), dtype=np.float32)
        image[..., :3] = np.clip(image[..., :3] + noise * np.float32(rng.uniform(0.005, 0.04)), 0, 1)
    return image


def _landmark_errors(detected: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mostly the detector's own output; sometimes exact points, other errors, missing points or none (our choice)."""
    kind = rng.random()
    if kind < 0.05:
        detected[:] = 0
    elif kind < 0.15:
        detected[:, :3] = truth + rng.normal(0, 1, truth.shape) * np.array([0.012, 0.012, 0.04])
        detected[:, 3] = rng.uniform(0.6, 1, len(truth))
    elif kind < 0.25:
        present = detected[:, 3:] > 0
        detected[:, 2:3] += present * rng.normal(0, 0.08, (len(truth), 1))
        detected[:, :2] += present * rng.normal(0, 0.015, (len(truth), 2))
    missing = rng.random(len(truth)) < (0.03 if rng.random() < 0.7 else 0.2)
    detected[missing] = 0
    return detected
