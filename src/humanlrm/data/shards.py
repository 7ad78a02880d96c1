"""Rendered subjects on disk: webdataset tar shards, written atomically and read at random through an index."""

import io
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image

from humanlrm.data.capture import INPUTS, load_input, load_input_arrays, load_input_targets
from humanlrm.data.records import (
    CAPTURE,
    DAMAGED,
    SUBJECT,
    Entry,
    ShardError,
    check_finite,
    encode_image,
    encode_npy,
    encode_npz,
    list_entries,
    name_damage,
    read_detector_features,
    read_files,
    write_records,
)
from humanlrm.data.render.light import Light
from humanlrm.data.subject import Layers, PointSamples, Subject, ViewRecord
from humanlrm.data.targets import TargetView

_VIEW_ARRAYS = ("depth", "detected", "landmarks", "to_frame")
_SAMPLE_ARRAYS = ("points", "sdf", "surface", "normals", "albedo")
#: Arrays of a light: names in a shard to fields of :class:`Light`. Lights of older shards lack the last two.
_LIGHT_ARRAYS = {
    "ambient": "ambient",
    "directions": "directions",
    "colours": "colors",
    "environment": "environment",
    "shadow_rad": "shadow_rad",
}
#: Maps of a view and their files; older shards have none.
_MAPS = {"normal": "normal.png", "target": "target.webp"}
#: Layers of a view and their files: front and back side by side, and alpha.
_LAYERS = {"layers": ("layers.webp", "layers.png"), "head_layers": ("head.webp", "head.png")}
#: Detected landmarks, the detector's features at them and true landmarks of N views.
LandmarkTable = tuple[Float[np.ndarray, "N J 4"], Float[np.ndarray, "N J 2 C"], Float[np.ndarray, "N J 3"]]


def encode_subject(subject: Subject, key: str) -> dict[str, str | bytes]:
    """Encode a subject as the files of one webdataset sample. ``key`` must not contain a dot."""
    scan, views = subject.scan, subject.views
    record: dict[str, str | bytes] = {"__key__": key}
    about = {"id": scan.id, "source": scan.source, "licence": scan.licence, "tags": scan.tags, "views": len(views)}
    record["json"] = json.dumps(about).encode()
    for k, view in enumerate(views):
        record |= {f"{k}.{name}": content for name, content in _encode_view(view).items()}
    arrays = {name: np.stack([getattr(v, name) for v in views]) for name in _VIEW_ARRAYS}
    arrays |= {"environment": np.stack([v.light.environment for v in views])}
    arrays |= {"shadow_rad": np.stack([v.light.shadows for v in views])}
    for name in ("ambient", "directions", "colours"):
        arrays[name] = np.stack([getattr(v.light, _LIGHT_ARRAYS[name]) for v in views])
    record["views.npz"] = encode_npz(**arrays)
    record["points.npz"] = encode_npz(**{name: getattr(subject.samples, name) for name in _SAMPLE_ARRAYS})
    return record


def _encode_view(view: ViewRecord) -> dict[str, bytes]:
    """Pictures and detector features of a view. Normals become bytes around 128, which PNG packs to a fifth."""
    files = {
        "webp": encode_image(view.rgb, "WEBP", quality=90, method=2),
        "mask.png": encode_image(np.stack([view.alpha, view.known], axis=-1), "PNG", compress_level=3),
    }
    if view.normal is not None:
        shifted = (view.normal.astype(np.int16) + 128).astype(np.uint8).transpose(1, 2, 0)
        files[_MAPS["normal"]] = encode_image(np.ascontiguousarray(shifted), "PNG", compress_level=3)
    if view.target is not None:
        files[_MAPS["target"]] = encode_image(view.target, "WEBP", quality=90, method=2)
    for name, (colors, outline) in _LAYERS.items():
        layers: Layers | None = getattr(view, name)
        if layers is not None:
            sides = np.concatenate([layers.front, layers.back], axis=1)
            files[colors] = encode_image(sides, "WEBP", quality=90, method=2)
            files[outline] = encode_image(layers.alpha, "PNG", compress_level=3)
    if view.detector_features is not None:
        files["clues.npy"] = encode_npy(view.detector_features.astype(np.float16))
    return files


def write_shard(path: Path, subjects: Iterable[tuple[str, Subject]]) -> int:
    """Write (key, subject) pairs to ``path``, all or none; return their number."""
    return write_records(path, (encode_subject(subject, key) for key, subject in subjects))


class ShardFolder:
    """Random access to all subjects of the ``*.tar`` files below a folder: rendered scans and multi-view captures.

    Attributes:
        folder: root of the shards.
        entries: every readable subject, in the order of file names.
        problems: one line for each shard that was skipped, and for its records that are not ready for training. Callers
            print them.

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
                entries = list_entries(shard)
            except ShardError as error:
                self.problems.append(str(error))
                continue
            self.entries += [entry for entry in entries if _is_ready(entry)]
            others = Counter(entry.kind for entry in entries if not _is_ready(entry))
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

    @property
    def parts(self) -> tuple[tuple["ShardFolder", float], ...]:
        """This folder with its whole share, as a :class:`Mixture` lists its folders."""
        return ((self, 1.0),)

    def about(self, index: int) -> dict:
        """Id, source, licence and tags of a subject."""
        return json.loads(read_files(self.entries[index], "json")[0].getvalue())

    def landmarks(self) -> LandmarkTable:
        """Landmarks of all views; features are float16 and 0 where the shard has none.

        Unknown true landmarks are NaN. Damaged views are left out (loading them reports them), and views without any
        true landmark.
        """
        tables = []
        for entry in self.entries:
            try:
                table = detected, features, truth = _load_landmarks(entry)
                whole = np.isfinite(detected).all((1, 2)) & np.isfinite(features).all((1, 2, 3))
                whole &= ~np.isinf(truth).any((1, 2)) & ~np.isnan(truth).all((1, 2))
            except DAMAGED:
                continue
            tables.append([part[whole] for part in table])
        return _join(tables)

    def load(self, index: int, view: int, maps: tuple[str, ...] = ()) -> tuple[ViewRecord, PointSamples]:
        """Load one view of one subject; depth and samples of a capture are unknown (NaN).

        Args:
            maps: optional maps of the view to read; those that the shard lacks are ``None``.

        Raises:
            ShardError: a file of the subject is missing or damaged; names shard and subject.
        """
        entry = self.entries[index]
        if entry.kind == CAPTURE:
            return load_input(entry, view)
        record = self.load_view(index, view, maps)
        (points,) = read_files(entry, "points.npz")
        with name_damage(entry, f"view {view}"):
            samples = np.load(points, allow_pickle=False)
            return record, PointSamples(*(samples[name] for name in _SAMPLE_ARRAYS))

    def load_view(self, index: int, view: int, maps: tuple[str, ...] = ()) -> ViewRecord:
        """Load one view of one subject without the points in space; as :meth:`load`."""
        entry = self.entries[index]
        if entry.kind == CAPTURE:
            return load_input(entry, view)[0]
        picture, mask, views = read_files(entry, f"{view}.webp", f"{view}.mask.png", "views.npz")
        extras = {name: f"{view}.{_MAPS[name]}" for name in maps if f"{view}.{_MAPS[name]}" in entry.files}
        files = dict(zip(extras, read_files(entry, *extras.values()), strict=True))
        with name_damage(entry, f"view {view}"):
            rgb, masks = np.asarray(Image.open(picture)), np.asarray(Image.open(mask))
            arrays = np.load(views, allow_pickle=False)
            light = {field: arrays[name][view] for name, field in _LIGHT_ARRAYS.items() if name in arrays}
            truth: dict[str, Any] = {name: arrays[name][view] for name in _VIEW_ARRAYS}
            drawn: dict[str, Any] = {name: _decode_map(name, file) for name, file in files.items()}
            check_finite(truth, "detected", "to_frame")
            return ViewRecord(
                rgb,
                masks[..., 0],
                masks[..., 1],
                **truth,
                light=Light(**light),
                detector_features=read_detector_features(entry, view),
                **drawn,
            )

    def layers(self, index: int, view: int) -> tuple[Layers | None, Layers | None]:
        """Load the layers of one view: of the crop, and of the square around the head. ``None``: the shard lacks them.

        Raises:
            ShardError: a file of the subject is damaged; names shard and subject.
        """
        entry, loaded = self.entries[index], []
        for colors, outline in _LAYERS.values():
            names = (f"{view}.{colors}", f"{view}.{outline}")
            if any(name not in entry.files for name in names):
                loaded.append(None)
                continue
            sides, alpha = read_files(entry, *names)
            with name_damage(entry, f"view {view}"):
                front, back = np.split(np.asarray(Image.open(sides)), 2, axis=1)
                loaded.append(Layers(front, back, np.asarray(Image.open(alpha))))
        return loaded[0], loaded[1]

    def targets(self, index: int, views: list[int]) -> list[TargetView]:
        """Load some views of a subject as their canonical cameras see them.

        Raises:
            ShardError: a file of the subject is missing or damaged; names shard and subject.
        """
        entry = self.entries[index]
        if entry.kind == CAPTURE:
            return load_input_targets(entry, views)
        names = [(v, n, f"{v}.{_MAPS[n]}") for v in views for n in ("target", "normal")]
        names = [name for name in names if name[2] in entry.files]
        arrays, *files = read_files(entry, "views.npz", *(name for _, _, name in names))
        with name_damage(entry, f"views {views}"):
            maps = {(v, n): _decode_map(n, file) for (v, n, _), file in zip(names, files, strict=True)}
            truth = np.load(arrays, allow_pickle=False)
            depth, to_frame = truth["depth"], truth["to_frame"]
            check_finite({"to_frame": to_frame}, "to_frame")
            return [
                TargetView(to_frame[v], depth[v, 0], maps.get((v, "target")), maps.get((v, "normal"))) for v in views
            ]


def _is_ready(entry: Entry) -> bool:
    """True for records that can be trained on."""
    return entry.kind == SUBJECT or (entry.kind == CAPTURE and INPUTS in entry.files)


def _load_landmarks(entry: Entry) -> LandmarkTable:
    if entry.kind == CAPTURE:
        arrays = load_input_arrays(entry)
    else:
        arrays = np.load(read_files(entry, "views.npz")[0], allow_pickle=False)
    features = np.stack([read_detector_features(entry, view) for view in range(entry.views)])
    return arrays["detected"], features, arrays["landmarks"]


def _join(tables: Iterable[Sequence[np.ndarray]]) -> LandmarkTable:
    detected, features, truth = (np.concatenate(parts) for parts in zip(*tables, strict=True))
    return detected, features, truth


def _decode_map(name: str, file: io.BytesIO) -> np.ndarray:
    pixels = np.asarray(Image.open(file))
    return (pixels.astype(np.int16) - 128).astype(np.int8).transpose(2, 0, 1) if name == "normal" else pixels


class Mixture:
    """Several folders that a training run draws from in given proportions, whatever their sizes.

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

    def landmarks(self) -> LandmarkTable:
        """Landmarks of all views of all folders, see :meth:`ShardFolder.landmarks`."""
        return _join(folder.landmarks() for folder, _ in self.parts)
