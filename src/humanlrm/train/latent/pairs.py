"""Training pairs: a photo that hides something, and the latent that the teacher found for the whole person."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset

from humanlrm.data.augment.hide import hidden
from humanlrm.data.augment.image_errors import camera_errors, mask_errors
from humanlrm.data.dataset import SampleSettings, build_sample
from humanlrm.data.shards import ShardFolder
from humanlrm.frame import project_ndc, sample_plane
from humanlrm.train.latent.targets import LatentError, LatentFolder, place_of
from humanlrm.views import Inputs

#: ``build_sample`` also draws points, which nobody needs here.
_NO_POINTS = 8


@dataclass(frozen=True)
class Pair:
    """Attributes:
    inputs: a photo; single pairs have no batch axis.
    latent: the teacher's, not normalised.
    """

    inputs: Inputs
    latent: Float[Tensor, "*B 3 C s s"]

    def to(self, device: torch.device | str) -> "Pair":
        return Pair(self.inputs.to(device), self.latent.to(device))


def collate_pairs(pairs: list[Pair]) -> Pair:
    """Single pairs to a batch."""
    names = vars(pairs[0].inputs)
    inputs = Inputs(**{name: torch.stack([getattr(pair.inputs, name) for pair in pairs]) for name in names})
    return Pair(inputs, torch.stack([pair.latent for pair in pairs]))


class Pairs(Dataset[Pair]):
    """Index -> pair. The index is the running number of the sample, which seeds its randomness: every pass visits each
    photo that has a latent once. Photos of people are neither mirrored nor recoloured, for their latents are not.

    Args:
        data: folder of shards.
        latents: of the same folder.
        image_px: side of the image; shards hold a whole multiple of it.
        hidden_share: share of the photos of which something more is hidden (``augment.hide``).

    Raises:
        ShardError: no readable data.
        LatentError: no photo of the shards has a latent.
    """

    def __init__(
        self, data: Path, latents: LatentFolder, image_px: int, seed: int = 0, hidden_share: float = 0.6
    ) -> None:
        self.shards, self.latents, self.seed, self.hidden_share = ShardFolder(data), latents, seed, hidden_share
        self.settings = SampleSettings(_NO_POINTS, _NO_POINTS, augment=False, image_px=image_px)
        self.photos = [
            (index, view, place)
            for index, entry in enumerate(self.shards.entries)
            for view in range(entry.views)
            if (place := (place_of(entry.shard, data), entry.key, view)) in latents
        ]
        if not self.photos:
            raise LatentError("no photo of these shards has a latent: were they written for other shards?")

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> Pair:
        passes, position = divmod(index, len(self.photos))
        order = np.random.default_rng([self.seed, passes, 0]).permutation(len(self.photos))
        subject, view, place = self.photos[order[position]]
        rng = np.random.default_rng([self.seed, index])
        inputs = build_sample(*self.shards.load(subject, view), self.settings, rng).inputs
        return Pair(degraded(inputs, rng, self.hidden_share), self.latents[place])


def degraded(inputs: Inputs, rng: np.random.Generator, share: float) -> Inputs:
    """A rendered photo with the errors of real ones and, with probability ``share``, something more hidden.

    The frame stays, as it does on a real photo whose hidden landmarks are predicted.
    """
    image = np.ascontiguousarray(inputs.image.numpy().transpose(1, 2, 0))
    image, landmarks = camera_errors(mask_errors(image, rng), rng), inputs.landmarks
    if rng.random() < share:
        image = hidden(image, rng)
    image[..., :3] *= image[..., 4:] > 0.5
    image = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    return replace(inputs, image=image, landmarks=less_sure(landmarks, image, rng))


def less_sure(
    landmarks: Float[Tensor, "J 4"], image: Float[Tensor, "5 H W"], rng: np.random.Generator
) -> Float[Tensor, "J 4"]:
    """Landmarks where the photo does not show the person are off by 0.08 units and barely visible, every fifth is
    missing (our choice: the detector guesses them)."""
    at = project_ndc(landmarks[None, :, :3])
    seen = sample_plane(torch.nn.functional.max_pool2d(image[None, 3:4], 5, 1, 2), at)[0, :, 0] > 0.5
    noise = torch.from_numpy(rng.normal(0, 0.08, (len(landmarks), 3)).astype(np.float32))
    visible = torch.from_numpy(rng.uniform(0.02, 0.3, len(landmarks)).astype(np.float32))
    found = torch.from_numpy(rng.random(len(landmarks)) > 0.2) & (landmarks[:, 3] > 0)
    guess = torch.cat([landmarks[:, :3] + noise, torch.minimum(visible, landmarks[:, 3])[:, None]], dim=1)
    return torch.where(seen[:, None], landmarks, guess * found[:, None])
