"""Several poses that a photo allows: landmarks sampled around the reconstruction model's estimate."""

import torch
from jaxtyping import Float
from torch import Tensor

from humanlrm.diffusion.sample import guided, heun, noise_levels, starting_noise
from humanlrm.frame import project_ndc
from humanlrm.landmarks import COUNT
from humanlrm.model.lrm import HumanLRM
from humanlrm.model.pose_denoiser import PoseCondition, PoseDenoiser
from humanlrm.model.triplane import sample_plane
from humanlrm.views import Given

#: Steps of the solver: the network is small, so there is no reason to hurry.
_STEPS = 16
#: Noise to start from, in deviations of the data.
_MOST_NOISE = 80.0


@torch.no_grad()
def condition_of(model: HumanLRM, given: Given) -> PoseCondition:
    """What the model finds out about the landmarks of photos: its own tokens and estimate, where the picture shows
    them, what the detector said.

    Raises:
        ValueError: the model has no heat maps.
    """
    found = model.landmarks_of(given)
    if found.spots is None:
        raise ValueError("poses are sampled around a model with heat maps (spotter)")
    detected, seen = given.landmarks[..., :3], (given.landmarks[..., 3:] > 0).to(found.points)
    told = torch.cat(
        [
            found.tokens,
            found.points,
            found.spots.points - found.points,
            found.spots.told,
            (detected - found.points) * seen,
            given.landmarks[..., 3:],
            seen,
            _context(given, found.points),
        ],
        dim=-1,
    )
    return PoseCondition(torch.ones(len(told), dtype=torch.bool, device=told.device), told, found.points)


def _context(given: Given, points: Float[Tensor, "B J 3"]) -> Float[Tensor, "B J 3"]:
    """Mask and known part under each landmark, and the share of the crop that the photo covers."""
    under = sample_plane(given.image[:, 3:], project_ndc(points))
    whole = given.image[:, 4].mean((1, 2))[:, None, None].expand(-1, COUNT, 1)
    return torch.cat([under, whole], dim=-1)


@torch.no_grad()
def sample_poses(
    denoiser: PoseDenoiser, condition: PoseCondition, samples: int, seed: int = 0, guidance: float = 1.0
) -> Float[Tensor, "B K J 3"]:
    """Landmarks of ``samples`` people who could be the one in each photo; sample k of a seed is always the same.

    Args:
        guidance: 1 takes the condition as it is; more exaggerates it.
    """
    people = len(condition.given)
    noise = starting_noise(seed, samples, (COUNT, 3)).to(condition.estimate).repeat(people, 1, 1)
    denoise = guided(denoiser, condition.repeated(samples), guidance)
    found = heun(denoise, noise, noise_levels(_STEPS, _MOST_NOISE))
    estimate = condition.estimate.repeat_interleave(samples, dim=0)
    return denoiser.restored(found, estimate).unflatten(0, (people, samples))


def medoid(poses: Float[Tensor, "B K J 3"]) -> Float[Tensor, "B J 3"]:
    """Of the samples of each person the one that is nearest to all others: likely, and a body, as no mean is."""
    apart = (poses[:, :, None] - poses[:, None]).norm(dim=-1).mean(-1).mean(-1)
    chosen = apart.argmin(1)
    return poses[torch.arange(len(poses), device=poses.device), chosen]
