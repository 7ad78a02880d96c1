"""From a photo to what the denoiser is told of it."""

from dataclasses import replace

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from humanlrm.model.denoiser import Denoiser, TriplaneCondition
from humanlrm.model.denoiser_config import DenoiserConfig
from humanlrm.model.paper import PaperLRM
from humanlrm.model.triplane import InputView
from humanlrm.photo.visibility import find_hidden_pixels
from humanlrm.views import Inputs

#: A token counts if at least this share of its pixels does (our choice).
_ENOUGH = 0.25


@torch.no_grad()
def condition_of(student: PaperLRM, denoiser: Denoiser, inputs: Inputs) -> tuple[TriplaneCondition, InputView]:
    """What the single-view model sees in a photo: its encoder's tokens, without those that show something in front of
    the person or lie outside of the photo, and its own guess of the latent. Also what points read off the view.

    Args:
        student: with one view; it is not changed.
        inputs: photos, and the landmarks that were found in them.
    """
    features = student.extract_features(inputs.image)
    estimate = student.estimate_landmarks(inputs, features)
    memory = features.memory if estimate is None else torch.cat([estimate.tokens, features.memory], dim=1)
    latent, seen = student.decode_to_latent(features, None if estimate is None else estimate.points, estimate)
    counts = token_mask(find_hidden_pixels(inputs), features.first.grid)
    others = memory.shape[1] - counts.shape[1]  # landmarks, class tokens: they speak of the whole picture
    counts = torch.nn.functional.pad(counts, (others, 0), value=True)
    latent = denoiser.normalised(latent)
    everyone = torch.ones(len(counts), dtype=torch.bool, device=counts.device)
    return TriplaneCondition(everyone, memory, counts, latent), seen


def token_mask(hidden: Bool[Tensor, "B H W"], grid: tuple[int, int]) -> Bool[Tensor, "B M"]:
    """Which of the patches, row by row, show enough that is not hidden."""
    share: Float[Tensor, "B h w"] = torch.nn.functional.adaptive_avg_pool2d((~hidden).float()[:, None], grid)[:, 0]
    return rearrange(share, "B h w -> B (h w)") >= _ENOUGH


def fitted(config: DenoiserConfig, student: PaperLRM) -> DenoiserConfig:
    """The denoiser's config with the latent and token sizes of a reconstruction model.

    Raises:
        ValueError: its planes do not divide into the config's patches, or its field starts from the silhouette, which
            would cut off whatever the photo hides.
    """
    theirs = student.config
    if theirs.depth_prior:
        raise ValueError(
            "this reconstruction model starts from the photo's silhouette (depth_prior), which cuts off what the photo "
            "hides: completion needs a model with depth_prior=False"
        )
    sizes = {"channels": theirs.bottleneck, "side": theirs.plane_side, "memory": student.encoder.width}
    return replace(config, **sizes)
