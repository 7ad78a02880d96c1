"""Latent triplanes that the multi-view teacher makes of training people, on disk: one file per shard.

Every photo of every person has a latent of its own, because its frame is its own. Latents are float32, so that the
person that is decoded from a file is the teacher's bit for bit.
"""

import hashlib
import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from humanlrm.body.landmarks import COUNT, DETECTOR_FEATURE_CHANNELS
from humanlrm.camera import Cameras
from humanlrm.data.records import Entry, ShardError
from humanlrm.data.shards import ShardFolder
from humanlrm.data.targets import TargetView, relative_camera
from humanlrm.diffusion.latent.condition import encode_latent
from humanlrm.files import atomic_write
from humanlrm.frame import canonical_camera
from humanlrm.model.lrm import HumanLRM

_SUFFIX = ".safetensors"


class LatentError(ValueError):
    """Latents that are missing, damaged or another teacher's; the message names the file and the remedy."""


def clean_views(shards: ShardFolder, index: int, first: int, count: int) -> tuple[Float[Tensor, "V 5 H W"], Cameras]:
    """Pictures of the whole person from the place of photo ``first`` and from up to ``count - 1`` other photos'.

    Nothing occludes the person and no border cuts it, whatever the photos show. The frame is that of photo ``first``,
    which depends on what that photo shows: the teacher's latent of these views is the student's target.

    Returns:
        RGB, alpha and known (1), and cameras in the frame of ``first``; the first camera is the canonical one.

    Raises:
        ShardError: the shard is damaged, or too old to hold pictures of the whole person.
    """
    entry = shards.entries[index]
    others = [view for view in range(entry.views) if view != first]
    views = shards.targets(index, [first, *others[: count - 1]])
    if any(view.rgb is None for view in views):
        raise ShardError(f"{entry.shard}: subject {entry.key} has no target pictures; render the people again")
    size_px = views[0].depth.shape[0]
    camera = canonical_camera(size_px)
    w2c = [camera.w2c, *(torch.from_numpy(relative_camera(views[0].to_frame, view.to_frame)) for view in views[1:])]
    cameras = Cameras(camera.K.expand(len(views), 3, 3), torch.stack(w2c), camera.size_px)
    return torch.from_numpy(np.stack([_picture(view) for view in views])), cameras


def _picture(view: TargetView) -> Float[np.ndarray, "5 H W"]:
    assert view.rgb is not None
    alpha = np.isfinite(view.depth).astype(np.float32)
    return np.stack([*(view.rgb / np.float32(255)).transpose(2, 0, 1), alpha, np.ones_like(alpha)])


@torch.no_grad()
def encode_target(
    teacher: HumanLRM, shards: ShardFolder, index: int, first: int, views: int
) -> Float[Tensor, "3 C s s"]:
    """The teacher's latent of one person in the frame of one photo.

    Raises:
        ShardError: the shard is damaged or holds no pictures of the whole person.
    """
    device = next(teacher.parameters()).device
    image, cameras = clean_views(shards, index, first, views)
    record = shards.load(index, first)[0]
    features = record.detector_features
    if features is None:
        features = np.zeros((COUNT, 2, DETECTOR_FEATURE_CHANNELS))
    detections = (torch.from_numpy(array.astype(np.float32))[None].to(device) for array in (record.detected, features))
    batch = Cameras(cameras.K[None].to(device), cameras.w2c[None].to(device), cameras.size_px)
    return encode_latent(teacher, image[None].to(device), batch, *detections)[0][0].cpu()


def write_latents(
    teacher: HumanLRM, data: Path, folder: Path, views: int = 4, report: Callable[[Path, int], None] | None = None
) -> None:
    """Write one file per shard of ``data``, at the same place below ``folder``; existing files are left alone.

    A photo whose subject is damaged is reported as a warning and left out.

    Args:
        views: number of views per person for the teacher, if the shards have as many.
        report: called with each file and the number of its latents.

    Raises:
        ShardError: no readable data.
        LatentError: a file that is there is damaged, or holds latents of another teacher or number of views.
    """
    shards, name = ShardFolder(data), fingerprint(teacher)
    numbered = enumerate(shards.entries)
    for shard, entries in groupby(numbered, key=lambda pair: pair[1].shard):
        path = folder / (place_of(shard, data) + _SUFFIX)
        there = path.exists()
        rows = _rows(path, name, views) if there else _write(teacher, name, shards, list(entries), path, views)
        if report is not None:
            report(path, len(rows))


def _write(
    teacher: HumanLRM,
    name: str,
    shards: ShardFolder,
    entries: list[tuple[int, Entry]],
    path: Path,
    views: int,
) -> list[tuple[str, int]]:
    rows: list[tuple[str, int]] = []
    latents: list[Tensor] = []
    for index, entry in entries:
        for view in range(entry.views):
            try:
                latents.append(encode_target(teacher, shards, index, view, views))
            except ShardError as error:
                warnings.warn(f"no latent: {error}", stacklevel=3)
            else:
                rows.append((entry.key, view))
    stacked = torch.stack(latents) if latents else torch.zeros(0, *teacher.decoder.latent_shape)
    about = json.dumps({"teacher": name, "views": views, "rows": rows})
    with atomic_write(path) as partial:
        # One entry: safetensors writes several in any order.
        save_file({"latent": stacked.contiguous()}, partial, {"about": about})
    return rows


def place_of(path: Path, folder: Path) -> str:
    """Path below its folder without suffix, which a shard and its latents share."""
    return path.relative_to(folder).with_suffix("").as_posix()


def fingerprint(teacher: HumanLRM) -> str:
    """SHA-256 of a model's config and weights: latents mean nothing without the decoder they belong to."""
    digest = hashlib.sha256(json.dumps(asdict(teacher.config), sort_keys=True).encode())
    for name, parameter in sorted(teacher.named_parameters()):
        digest.update(name.encode())
        digest.update(parameter.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _rows(path: Path, teacher: str | None = None, views: int | None = None) -> list[tuple[str, int]]:
    """Subject and photo of each latent in a file."""
    try:
        with safe_open(path, "pt") as file:
            about, count = json.loads(file.metadata()["about"]), file.get_slice("latent").get_shape()[0]
        rows = [(str(key), int(view)) for key, view in about["rows"]]
        if len(rows) != count:
            raise ValueError(f"{count} latents and {len(rows)} names")
        made_by, made_of = str(about["teacher"]), int(about["views"])
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise LatentError(f"{path}: no readable latents ({error}); delete it and write it again") from error
    if teacher is not None and made_by != teacher:
        raise LatentError(f"{path} holds latents of another teacher; give another folder for these")
    if views is not None and made_of != views:
        raise LatentError(f"{path}: the teacher saw {made_of} views, not {views}; give another folder")
    return rows


class LatentFolder:
    """Random access to the latents of a folder.

    Args:
        folder: what :func:`write_latents` wrote.
        teacher: if given, the files must be this one's.

    Raises:
        LatentError: no latents, damaged ones, or another teacher's.
    """

    def __init__(self, folder: Path, teacher: HumanLRM | None = None) -> None:
        name = None if teacher is None else fingerprint(teacher)
        self._places: dict[tuple[str, str, int], tuple[Path, int]] = {}
        for path in sorted(folder.rglob("*" + _SUFFIX)):
            shard = place_of(path, folder)
            for row, (key, view) in enumerate(_rows(path, name)):
                self._places[shard, key, view] = path, row
        if not self._places:
            raise LatentError(f"{folder}: no latents; write some first (train.latent.targets.write_latents)")

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, place: tuple[str, str, int]) -> bool:
        return place in self._places

    def __getitem__(self, place: tuple[str, str, int]) -> Float[Tensor, "3 C s s"]:
        """The latent at (shard without suffix, relative to the folder; subject's key; photo).

        Raises:
            LatentError: there is none.
        """
        if place not in self._places:
            raise LatentError(
                f"no latent of subject {place[1]}, photo {place[2]} of {place[0]}; write the latents again"
            )
        path, row = self._places[place]
        with safe_open(path, "pt") as file:
            return file.get_slice("latent")[row]

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation by plane and channel, over all people and places (``DenoiserConfig``).

        Raises:
            LatentError: a channel that never changes, or latents that are not finite.
        """
        count, total, squares = 0, torch.zeros(()), torch.zeros(())
        for latents in self._files():
            flat = latents.double().movedim(0, 2).flatten(2)  # plane, channel, everything else
            count += flat.shape[-1]
            total, squares = total + flat.sum(-1), squares + flat.square().sum(-1)
        mean = total / count
        scale = (squares / count - mean**2).clamp(min=0).sqrt()
        if not bool((scale > 1e-6).all()):
            raise LatentError("a channel of the latents never changes, or is not finite: is the teacher trained?")
        return tuple(mean.flatten().tolist()), tuple(scale.flatten().tolist())

    def _files(self) -> Iterator[Float[Tensor, "N 3 C s s"]]:
        for path in sorted({path for path, _ in self._places.values()}):
            with safe_open(path, "pt") as file:
                yield file.get_tensor("latent")
