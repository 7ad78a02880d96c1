"""Latents of views, and the condition of the latent denoiser."""

from dataclasses import replace

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from humanlrm.camera import Cameras
from humanlrm.diffusion.latent.denoiser import Denoiser, DenoiserConfig, TriplaneCondition
from humanlrm.model.lrm import HumanLRM
from humanlrm.model.triplane import InputView
from humanlrm.photo.visibility import find_hidden_pixels
from humanlrm.views import Inputs

#: Least share of visible pixels of a token that counts.
_VISIBLE_SHARE = 0.25
_NO_LATENT = "this model has no latent triplane; give weights of the paper's family"


@torch.no_grad()
def latent_condition(model: HumanLRM, denoiser: Denoiser, inputs: Inputs) -> tuple[TriplaneCondition, InputView]:
    """The single-view model's tokens and latent of photos, and the maps of the views that points sample.

    Tokens that show something in front of the person or lie outside of the photo do not count.

    Args:
        inputs: photos with detected landmarks.

    Raises:
        ValueError: the model has no latent triplane.
    """
    memory, latent, view, grid = _encode(model, inputs.image, None, inputs.landmarks, inputs.detector_features)
    counts = token_mask(find_hidden_pixels(inputs), grid)
    others = memory.shape[1] - counts.shape[1]  # landmarks and class tokens belong to the whole picture
    counts = torch.nn.functional.pad(counts, (others, 0), value=True)
    present = torch.ones(len(counts), dtype=torch.bool, device=counts.device)
    return TriplaneCondition(present, memory, counts, denoiser.normalised(latent)), view


def encode_latent(
    model: HumanLRM,
    image: Float[Tensor, "B *V 5 H W"],
    cameras: Cameras | None,
    landmarks: Float[Tensor, "B J 4"],
    detector_features: Float[Tensor, "B J 2 F"],
) -> tuple[Float[Tensor, "B 3 C s s"], InputView]:
    """The latent triplane of views, and the maps of the first view that points sample.

    Args:
        cameras: (B, V) cameras of the views in the box frame; ``None``: one view by the canonical camera.
        landmarks, detector_features: of the first view.

    Raises:
        ValueError: the model has no latent triplane, or does not take these views.
    """
    return _encode(model, image, cameras, landmarks, detector_features)[1:3]


def _encode(
    model: HumanLRM,
    image: Float[Tensor, "B *V 5 H W"],
    cameras: Cameras | None,
    landmarks: Float[Tensor, "B J 4"],
    detector_features: Float[Tensor, "B J 2 F"],
) -> tuple[Float[Tensor, "B M E"], Float[Tensor, "B 3 C s s"], InputView, tuple[int, int]]:
    if not model.has_latent:
        raise ValueError(_NO_LATENT)
    features, estimate = model.encoder(image, cameras), None
    if model.landmark_head is not None:
        estimate = model.landmark_head(features, landmarks, detector_features)
    memory = model.decoder.memory(features, estimate)
    view = model.decoder.view(features, None if estimate is None else estimate.points, estimate)
    return memory, model.decoder.to_latent(memory), view, features.first.grid


def token_mask(hidden: Bool[Tensor, "B H W"], grid: tuple[int, int]) -> Bool[Tensor, "B M"]:
    """True for patches, row by row, enough of which is visible."""
    share: Float[Tensor, "B h w"] = torch.nn.functional.adaptive_avg_pool2d((~hidden).float()[:, None], grid)[:, 0]
    return rearrange(share, "B h w -> B (h w)") >= _VISIBLE_SHARE


def fit_config(config: DenoiserConfig, model: HumanLRM) -> DenoiserConfig:
    """The denoiser's config with the latent and token sizes of a reconstruction model.

    Raises:
        ValueError: the model has no latent, its planes do not divide into the config's patches, or its field starts
            from the silhouette, which would cut off whatever the photo hides.
    """
    if not model.has_latent:
        raise ValueError(_NO_LATENT)
    if model.decoder.predicts_depth:
        raise ValueError(
            "this reconstruction model starts from the photo's silhouette (depth_prior), which cuts off what the photo "
            "hides: completion needs a model with depth_prior=False"
        )
    _, channels, side, _ = model.decoder.latent_shape
    return replace(config, channels=channels, side=side, memory=model.encoder.width)
