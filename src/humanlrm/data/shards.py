"""Rendered subjects on disk: webdataset tar shards, written atomically and read at random through an index."""

import io
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from humanlrm.body.landmarks import COUNT, DETECTOR_FEATURE_CHANNELS
from humanlrm.data.capture_inputs import INPUTS, input_landmarks, input_targets, load_input
from humanlrm.data.records import (
    CAPTURE,
    DAMAGED,
    SUBJECT,
    Entry,
    ShardError,
    entries_of,
    image_bytes,
    npy_bytes,
    npz_bytes,
    read_files,
    write_records,
)
from humanlrm.data.render.light import Light
from humanlrm.data.render.shoot import PointSamples, Subject, ViewRecord
from humanlrm.data.targets import TargetView

_VIEW_ARRAYS = ("depth", "detected", "landmarks", "to_frame")
_FINITE = ("detected", "to_frame")
#: Arrays of a light: their names in a shard and in :class:`Light`.
_LIGHT_ARRAYS = {"ambient": "ambient", "directions": "directions", "colours": "colors"}
#: What lights of older shards lack.
_LIGHT_EXTRAS = {"environment": "environment", "shadow_rad": "shadow_rad"}
#: Pictures that views may have; the shards of older versions have none.
_MAPS = {"normal": "normal.png", "target": "target.webp", "amodal": "amodal.png", "clean": "clean.webp"}
#: Clues of a view; the shards of older versions have none.
_DETECTOR_FEATURES = "clues.npy"
_SAMPLE_ARRAYS = ("points", "sdf", "surface", "normals", "albedo")


def encode(subject: Subject, key: str) -> dict[str, str | bytes]:
    """A subject as the files of one webdataset sample. ``key`` must not contain a dot."""
    views = subject.views
    record: dict[str, str | bytes] = {"__key__": key}
    scan = subject.scan
    about = {"id": scan.id, "source": scan.source, "licence": scan.licence, "tags": scan.tags, "views": len(views)}
    record["json"] = json.dumps(about).encode()
    for k, view in enumerate(views):
        record[f"{k}.webp"] = image_bytes(view.rgb, "WEBP", quality=90, method=2)
        record[f"{k}.mask.png"] = image_bytes(np.stack([view.alpha, view.known], axis=-1), "PNG", compress_level=3)
        record |= {f"{k}.{extension}": data for extension, data in _encoded_maps(view).items()}
        if view.detector_features is not None:
            record[f"{k}.{_DETECTOR_FEATURES}"] = npy_bytes(view.detector_features.astype(np.float16))
    arrays = {name: np.stack([getattr(v, name) for v in views]) for name in _VIEW_ARRAYS}
    arrays |= {"environment": np.stack([v.light.environment for v in views])}
    arrays |= {"shadow_rad": np.stack([v.light.shadows for v in views])}
    arrays |= {name: np.stack([getattr(v.light, field) for v in views]) for name, field in _LIGHT_ARRAYS.items()}
    record["views.npz"] = npz_bytes(**arrays)
    record["points.npz"] = npz_bytes(**{name: getattr(subject.samples, name) for name in _SAMPLE_ARRAYS})
    return record


def _encoded_maps(view: ViewRecord) -> dict[str, bytes]:
    """Files of the maps that a view has. Normals go as bytes around 128, which PNG packs to a fifth."""
    files: dict[str, bytes] = {}
    if view.normal is not None:
        shifted = (view.normal.astype(np.int16) + 128).astype(np.uint8).transpose(1, 2, 0)
        files[_MAPS["normal"]] = image_bytes(np.ascontiguousarray(shifted), "PNG", compress_level=3)
    if view.amodal is not None:
        files[_MAPS["amodal"]] = image_bytes(view.amodal, "PNG", compress_level=3)
    for name in ("target", "clean"):
        pixels = getattr(view, name)
        if pixels is not None:
            files[_MAPS[name]] = image_bytes(pixels, "WEBP", quality=90, method=2)
    return files


def write_shard(path: Path, subjects: Iterable[tuple[str, Subject]]) -> int:
    """Writes (key, subject) pairs to ``path`` by way of a temporary name; returns how many there were."""
    return write_records(path, (encode(subject, key) for key, subject in subjects))


class ShardFolder:
    """Random access to all subjects of the ``*.tar`` files below a folder: rendered scans and multi-view captures.

    Attributes:
        folder: where they are.
        entries: every readable subject, in the order of file names.
        problems: one line for each shard that was skipped, and for its records that cannot be trained on. Never silent:
            callers print them.

    Raises:
        ShardError: there is no readable subject.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.entries: list[Entry] = []
        self.problems: list[str] = []
        shards = sorted(Path(folder).rglob("*.tar"))
        for shard in shards:
            try:
                found = entries_of(shard)
            except ShardError as error:
                self.problems.append(str(error))
                continue
            self.entries += [entry for entry in found if _can_be_trained_on(entry)]
            others = Counter(entry.kind for entry in found if not _can_be_trained_on(entry))
            self.problems += [
                f"{shard}: {n} records of kind {kind!r} cannot be trained on; prepare them again"
                for kind, n in others.items()
            ]
        if not self.entries:
            raise ShardError(
                f"{folder}: no subject in {len(shards)} shards; make some: "
                f"`humanlrm prepare NAME --source DIR --out {folder}` or `humanlrm people --count N --out {folder}`"
            )

    def __len__(self) -> int:
        return len(self.entries)

    def about(self, index: int) -> dict:
        """Id, source, licence and tags of a subject."""
        return json.loads(read_files(self.entries[index], "json")[0].getvalue())

    def landmarks(
        self,
    ) -> tuple[Float[np.ndarray, "N J 4"], Float[np.ndarray, "N J 2 C"], Float[np.ndarray, "N J 3"]]:
        """Detected landmarks, their clues (float16; 0 where the shard has none) and true landmarks of all views.

        True ones that nobody knows are NaN. Damaged views are left out (loading them reports them), and views of which
        no true landmark is known.
        """
        detected, detector_features, truth = [], [], []
        for entry in self.entries:
            try:
                detected_landmarks, features, true = self._landmarks(entry)
                whole = np.isfinite(detected_landmarks).all((1, 2)) & np.isfinite(features).all((1, 2, 3))
                whole &= ~np.isinf(true).any((1, 2)) & ~np.isnan(true).all((1, 2))
            except DAMAGED:
                continue
            detected.append(detected_landmarks[whole])
            detector_features.append(features[whole])
            truth.append(true[whole])
        return np.concatenate(detected), np.concatenate(detector_features), np.concatenate(truth)

    def _landmarks(self, entry: Entry) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Detected landmarks, clues and true landmarks of all views of a record."""
        if entry.kind == CAPTURE:
            return input_landmarks(entry)
        arrays = np.load(read_files(entry, "views.npz")[0], allow_pickle=False)
        detector_features = np.stack([self._detector_features(entry, view) for view in range(entry.views)])
        return arrays["detected"], detector_features, arrays["landmarks"]

    def _detector_features(self, entry: Entry, view: int) -> Float[np.ndarray, "J 2 C"]:
        name, shape = f"{view}.{_DETECTOR_FEATURES}", (COUNT, 2, DETECTOR_FEATURE_CHANNELS)
        if name not in entry.files:
            return np.zeros(shape, np.float16)
        found = np.load(read_files(entry, name)[0], allow_pickle=False)
        if found.shape != shape:
            raise ValueError(f"its clues have the shape {found.shape} instead of {shape}")
        return found

    def load(self, index: int, view: int, maps: tuple[str, ...] = ()) -> tuple[ViewRecord, PointSamples]:
        """One view of one subject; of a capture, nobody knows depth and samples (NaN).

        Args:
            maps: which of the view's optional maps to read; those that the shard lacks are ``None``.

        Raises:
            ShardError: a file of the subject is missing or damaged; names shard and subject.
        """
        entry = self.entries[index]
        if entry.kind == CAPTURE:
            return load_input(entry, view)
        picture, mask, views, points = read_files(entry, f"{view}.webp", f"{view}.mask.png", "views.npz", "points.npz")
        extras = {name: f"{view}.{_MAPS[name]}" for name in maps if f"{view}.{_MAPS[name]}" in entry.files}
        files = dict(zip(extras, read_files(entry, *extras.values()), strict=True))
        try:
            rgb, masks = np.asarray(Image.open(picture)), np.asarray(Image.open(mask))
            arrays, samples = np.load(views, allow_pickle=False), np.load(points, allow_pickle=False)
            stored = _LIGHT_ARRAYS | _LIGHT_EXTRAS
            light = {field: arrays[name][view] for name, field in stored.items() if name in arrays}
            truth = {name: arrays[name][view] for name in _VIEW_ARRAYS}
            if not all(np.isfinite(truth[name]).all() for name in _FINITE):
                raise ValueError("its frame or landmarks are not finite")
            if np.isinf(truth["landmarks"]).any():
                raise ValueError("its true landmarks are infinite; unknown ones are NaN")
            shown = {name: _decoded_map(name, file) for name, file in files.items()}
            shown["detector_features"] = self._detector_features(entry, view)
            record = ViewRecord(rgb, masks[..., 0], masks[..., 1], **truth, light=Light(**light), **shown)
            return record, PointSamples(*(samples[name] for name in _SAMPLE_ARRAYS))
        except DAMAGED as error:
            raise ShardError(f"{entry.shard}: subject {entry.key}, view {view} is damaged ({error})") from error

    def targets(self, index: int, views: list[int]) -> list[TargetView]:
        """Some views of a subject as their canonical cameras see them.

        Raises:
            ShardError: a file of the subject is missing or damaged; names shard and subject.
        """
        entry = self.entries[index]
        if entry.kind == CAPTURE:
            return input_targets(entry, views)
        names = [(v, n, f"{v}.{_MAPS[n]}") for v in views for n in ("target", "normal")]
        names = [name for name in names if name[2] in entry.files]
        arrays, *files = read_files(entry, "views.npz", *(name for _, _, name in names))
        try:
            maps = {(v, n): _decoded_map(n, file) for (v, n, _), file in zip(names, files, strict=True)}
            truth = np.load(arrays, allow_pickle=False)
            depth, to_frame = truth["depth"], truth["to_frame"]
            if not np.isfinite(to_frame).all():
                raise ValueError("its frames are not finite")
            return [
                TargetView(to_frame[v], depth[v, 0], maps.get((v, "target")), maps.get((v, "normal"))) for v in views
            ]
        except DAMAGED as error:
            raise ShardError(f"{entry.shard}: subject {entry.key}, views {views} are damaged ({error})") from error


def _can_be_trained_on(entry: Entry) -> bool:
    return entry.kind == SUBJECT or (entry.kind == CAPTURE and INPUTS in entry.files)


def folders_of(shards: "ShardFolder | Mixture") -> tuple[tuple[ShardFolder, float], ...]:
    """Folders and their shares, which sum to 1."""
    return shards.parts if isinstance(shards, Mixture) else ((shards, 1.0),)


class Mixture:
    """Several folders of which a training run draws in given proportions; one folder may have any share of it.

    Attributes:
        parts: folders and their shares, which sum to 1.
        problems: of all folders.

    Raises:
        ValueError: no folder, or a weight that is not positive.
    """

    def __init__(self, parts: Sequence[tuple[ShardFolder, float]]) -> None:
        weights = [float(weight) for _, weight in parts]
        if not parts or min(weights) <= 0 or not np.isfinite(weights).all():
            raise ValueError(f"Mixture: weights {weights}; give at least one folder, and positive weights")
        self.parts = tuple((folder, weight / sum(weights)) for (folder, _), weight in zip(parts, weights, strict=True))
        self.problems = [line for folder, _ in parts for line in folder.problems]

    def __len__(self) -> int:
        return sum(len(folder) for folder, _ in self.parts)

    def about(self, index: int) -> dict:
        """Id, source, licence and tags of a subject; folders follow each other."""
        for folder, _ in self.parts:
            if index < len(folder):
                return folder.about(index)
            index -= len(folder)
        raise IndexError(f"Mixture: it has {len(self)} subjects")

    def landmarks(
        self,
    ) -> tuple[Float[np.ndarray, "N J 4"], Float[np.ndarray, "N J 2 C"], Float[np.ndarray, "N J 3"]]:
        """Detected landmarks, clues and true landmarks of all views of all folders."""
        detected, detector_features, truth = zip(*(folder.landmarks() for folder, _ in self.parts), strict=True)
        return np.concatenate(detected), np.concatenate(detector_features), np.concatenate(truth)


def _decoded_map(name: str, file: io.BytesIO) -> np.ndarray:
    pixels = np.asarray(Image.open(file))
    if name != "normal":
        return pixels
    return (pixels.astype(np.int16) - 128).astype(np.int8).transpose(2, 0, 1)
