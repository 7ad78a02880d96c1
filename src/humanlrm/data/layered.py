"""Layered views as training samples of the view prior: what a photo shows, and the whole person's layers."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from humanlrm.body.landmarks import INDEX, MIRROR
from humanlrm.data import augment
from humanlrm.data.augment import hide
from humanlrm.data.shards import ShardFolder
from humanlrm.data.subject import HEAD_SQUARE_SHARE, Layers, ViewRecord
from humanlrm.frame import project_ndc

#: Share of the samples that are squares around heads.
_HEADS = 0.35
#: Share of the photos that are hidden in part beside those that the shard hides.
_HIDDEN = 0.45
#: Share of the photos whose crop comes from the shard, with a real matte; the others are the front layer.
_FROM_SHARD = 0.5
#: Least side of a head's square in photo pixels: heads of real photos are small.
_LEAST_HEAD_PX = 40


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
    image_px: int = 256

    def __getitem__(self, index: int) -> LayeredSample:
        rng = np.random.default_rng([self.seed, index])
        while True:
            subject = int(rng.integers(len(self.folder)))
            view = int(rng.integers(self.folder.entries[subject].views))
            record, _ = self.folder.load(subject, view)
            layers, head_layers = self.folder.layers(subject, view)
            if layers is not None and is_usable(record, layers):
                return build_layered_sample(record, layers, head_layers, self.image_px, rng)


def build_layered_sample(
    record: ViewRecord, layers: Layers, head_layers: Layers | None, image_px: int, rng: np.random.Generator
) -> LayeredSample:
    """Build an augmented sample of one view: of the whole crop, or of the square around the head.

    Args:
        head_layers: ``None``: the sample is of the whole crop.
    """
    landmarks = augment.add_teacher_noise(record.landmarks, rng)
    middle, zoom = np.zeros(2, np.float32), 1.0
    if head_layers is not None and rng.random() < _HEADS:
        middle = project_ndc(torch.from_numpy(record.landmarks[INDEX["head"]])).numpy()
        zoom, layers = 1 / HEAD_SQUARE_SHARE, head_layers
        photo = _as_photo(layers)
        photo = _coarser(photo, int(np.exp(rng.uniform(np.log(_LEAST_HEAD_PX), np.log(1.2 * len(photo))))))
    elif rng.random() < _FROM_SHARD:
        photo = np.dstack([record.rgb, record.alpha, record.known]).astype(np.float32) / 255
    else:
        photo = _as_photo(layers)
    target = np.dstack([layers.front, layers.alpha, layers.back]).astype(np.float32) / 255
    tone = augment.random_tone(rng)
    inside = target[..., 3:4]
    target[..., :3], target[..., 4:] = tone(target[..., :3]) * inside, tone(target[..., 4:]) * inside
    photo[..., :3] = tone(photo[..., :3])
    if rng.random() < _HIDDEN:
        photo = hide.hidden(photo, rng)
    photo = augment.camera_errors(augment.mask_errors(photo, rng), rng)
    photo[..., :3] *= photo[..., 3:4] * photo[..., 4:]
    photo[..., 3:4] *= photo[..., 4:]
    if rng.random() < 0.5:
        photo, target = photo[:, ::-1], target[:, ::-1]
        landmarks, middle = landmarks[MIRROR] * [-1, 1, 1], middle * [-1, 1]
    planes = [_at_size(image, image_px) for image in (photo, target)]
    tensor = lambda a: torch.from_numpy(np.ascontiguousarray(a, dtype=np.float32))  # noqa: E731
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


def _at_size(image: Float[np.ndarray, "H W C"], size_px: int) -> Float[Tensor, "C S S"]:
    """Channels first, averaged to a size that divides the image's."""
    planes = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float32))
    return torch.nn.functional.avg_pool2d(planes, planes.shape[-1] // size_px)
