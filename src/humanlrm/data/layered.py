"""Layered views as training samples of the view prior: what a photo shows, and the whole person's layers."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from einops import reduce
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from humanlrm.body.landmarks import INDEX, MIRROR
from humanlrm.data import augment
from humanlrm.data.augment import hide
from humanlrm.data.records import ShardError
from humanlrm.data.shards import ShardFolder
from humanlrm.data.subject import Layers, ViewRecord
from humanlrm.frame import HEAD_SQUARE_SHARE, project_ndc

#: Share of the samples that are squares around heads.
_HEADS = 0.35
#: Share of the photos that are hidden in part beside those that the shard hides.
_HIDDEN = 0.45
#: Share of the photos whose crop comes from the shard, with a real matte; the others are the front layer.
_FROM_SHARD = 0.5
#: Least side of a head's square in photo pixels: heads of real photos are small.
_LEAST_HEAD_PX = 40
#: Views that are drawn for one sample, at most.
_DRAWS = 500


class LayeredSample(NamedTuple):
    """One training sample (or a batch) of the view prior.

    Attributes:
        photo: premultiplied sRGB, alpha and known.
        landmarks: that the condition is drawn from, box units.
        middle: middle of the square, ndc of the crop; 0 for the whole crop.
        zoom: sides of the crop per side of the square.
        layers: premultiplied front, alpha, premultiplied back.
    """

    photo: Float[Tensor, "*B 5 H W"]
    landmarks: Float[Tensor, "*B J 3"]
    middle: Float[Tensor, "*B 2"]
    zoom: Float[Tensor, "*B"]
    layers: Float[Tensor, "*B 7 H W"]


def is_usable(record: ViewRecord, layers: Layers | None) -> bool:
    """True if the frame holds the whole person, as the network's frame does once it has grown, and all is known."""
    if layers is None or not np.isfinite(record.landmarks).all():
        return False
    return float(np.abs(project_ndc(torch.from_numpy(record.landmarks)).numpy()).max()) < 1


@dataclass(frozen=True)
class LayeredDataset(Dataset[LayeredSample]):
    """Index -> one augmented sample. All randomness follows from the seed and the index.

    Attributes:
        folder: of shards with layers.
        seed: of order and augmentation.
        image_px: side of the views.
    """

    folder: ShardFolder
    seed: int
    image_px: int = 128

    def __getitem__(self, index: int) -> LayeredSample:
        rng = np.random.default_rng([self.seed, index])
        for _ in range(_DRAWS):
            subject = int(rng.integers(len(self.folder)))
            view = int(rng.integers(self.folder.entries[subject].views))
            layers, head_layers = self.folder.layers(subject, view)
            if layers is None or not is_usable(record := self.folder.load_view(subject, view), layers):
                continue
            return build_layered_sample(record, layers, head_layers, self.image_px, rng)
        raise ShardError(
            f"{self.folder.folder}: none of {_DRAWS} views has layers of a whole person; render or prepare people again"
        )


def build_layered_sample(
    record: ViewRecord,
    layers: Layers,
    head_layers: Layers | None,
    image_px: int,
    rng: np.random.Generator,
    plain: bool = False,
) -> LayeredSample:
    """Build an augmented sample of one view: of the whole crop, or of the square around the head.

    Args:
        head_layers: ``None``: the sample is of the whole crop.
        plain: the photo shows the whole front layer, without errors; of the head if ``head_layers`` are given.
    """
    landmarks = record.landmarks if plain else augment.add_teacher_noise(record.landmarks, rng)
    middle, zoom = np.zeros(2, np.float32), 1.0
    if head_layers is not None and (plain or rng.random() < _HEADS):
        middle = project_ndc(torch.from_numpy(record.landmarks[INDEX["head"]])).numpy()
        zoom, layers = 1 / HEAD_SQUARE_SHARE, head_layers
        photo = _as_photo(layers)
        side_px = np.exp(rng.uniform(np.log(_LEAST_HEAD_PX), np.log(1.2 * len(photo))))
        photo = photo if plain else _coarser(photo, int(side_px))
    elif not plain and rng.random() < _FROM_SHARD:
        photo = np.dstack([record.rgb, record.alpha, record.known]).astype(np.float32) / 255
    else:
        photo = _as_photo(layers)
    photo = _reduced(photo, image_px)
    target = _reduced(np.dstack([layers.front, layers.alpha, layers.back]).astype(np.float32) / 255, image_px)
    if plain:
        return _packed(photo, target, landmarks, middle, zoom)
    tone = augment.random_tone(rng)
    inside = target[..., 3:4]
    target[..., :3], target[..., 4:] = tone(target[..., :3]) * inside, tone(target[..., 4:]) * inside
    photo[..., :3] = tone(photo[..., :3])
    if rng.random() < _HIDDEN:
        photo = hide.hidden(photo, rng)
    photo = augment.camera_errors(augment.mask_errors(photo, rng), rng)
    if rng.random() < 0.5:
        photo, target = photo[:, ::-1], target[:, ::-1]
        landmarks, middle = landmarks[MIRROR] * [-1, 1, 1], middle * [-1, 1]
    return _packed(photo, target, landmarks, middle, zoom)


def _packed(
    photo: Float[np.ndarray, "H W 5"],
    target: Float[np.ndarray, "H W 7"],
    landmarks: Float[np.ndarray, "J 3"],
    middle: Float[np.ndarray, "2"],
    zoom: float,
) -> LayeredSample:
    """Tensors, channels first; the photo premultiplied."""
    photo = photo.copy()
    photo[..., 3:4] *= photo[..., 4:]
    photo[..., :3] *= photo[..., 3:4]
    tensor = lambda a: torch.from_numpy(np.ascontiguousarray(a, dtype=np.float32))  # noqa: E731
    planes = [tensor(image.transpose(2, 0, 1)) for image in (photo, target)]
    return LayeredSample(planes[0], tensor(landmarks), tensor(middle), torch.tensor(zoom), planes[1])


def _as_photo(layers: Layers) -> Float[np.ndarray, "H W 5"]:
    """The front layer as a photo that shows all of the person."""
    known = np.full_like(layers.alpha, 255)
    return np.dstack([layers.front, layers.alpha, known]).astype(np.float32) / 255


def _coarser(photo: Float[np.ndarray, "H W 5"], side_px: int) -> Float[np.ndarray, "H W 5"]:
    """The photo as if its square had ``side_px`` pixels."""
    if side_px >= len(photo):
        return photo
    planes = [Image.fromarray(photo[..., c]) for c in range(4)]
    planes = [
        plane.resize((side_px,) * 2, Image.Resampling.BOX).resize(plane.size, Image.Resampling.BILINEAR)
        for plane in planes
    ]
    return np.dstack([*(np.asarray(plane) for plane in planes), photo[..., 4]])


def _reduced(image: Float[np.ndarray, "H W C"], size_px: int) -> Float[np.ndarray, "S S C"]:
    """Averaged to a size that divides the image's."""
    factor = len(image) // size_px
    return reduce(image, "(h p) (w q) c -> h w c", "mean", p=factor, q=factor) if factor > 1 else image
