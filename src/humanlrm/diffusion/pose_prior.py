"""Landmarks that a photo allows, sampled around the reconstruction model's estimate."""

import torch
from jaxtyping import Float
from torch import Tensor

from humanlrm.body.landmarks import COUNT, LIMBS
from humanlrm.diffusion.process import MOST_NOISE
from humanlrm.diffusion.sample import draw_noise, guided, noise_levels, sample_heun
from humanlrm.frame import project_ndc, sample_plane, unproject_ndc
from humanlrm.model.lrm import HumanLRM
from humanlrm.model.pose_denoiser import PoseCondition, PoseDenoiser
from humanlrm.views import Inputs

#: Steps of Heun's method: as near to the truth as fifty (``benchmarks/uncertainty.py``).
STEPS = 12
#: A visible landmark stays within this many deviations of its heat map around the estimate; a hidden one is free.
_VISIBLE_DEVIATIONS, _HIDDEN_REACH = 0.5, 100.0
#: Initial noise in shares of the noise in training: with less, samples stay nearer to what is likely.
_VARIETY = 0.7
#: Share of the samples that are averaged into one medoid.
_MEDOID_SHARE = 0.125


@torch.no_grad()
def pose_condition(model: HumanLRM, inputs: Inputs) -> PoseCondition:
    """The condition of :class:`PoseDenoiser`: the model's tokens, estimate and heat maps, and the detected landmarks.

    Raises:
        ValueError: the model has no heat maps.
    """
    estimate = model.estimate_landmarks(inputs)
    if estimate.heatmaps is None:
        raise ValueError("this model estimates no heat maps to sample poses around; give weights of the small family")
    points, confidence = estimate.points, estimate.heatmaps.confidence
    detected, visibility = inputs.landmarks[..., :3], inputs.landmarks[..., 3:]
    found = (visibility > 0).to(points)
    under = _image_under(inputs, points)
    parts = [
        estimate.tokens,
        points,
        estimate.heatmaps.points - points,
        confidence,
        (detected - points) * found,
        visibility,
        found,
        under,
    ]
    tokens = torch.cat(parts, dim=-1)
    visible = (under[..., :2] > 0.5).all(-1) & (found[..., 0] > 0)
    reach = torch.where(visible, _VISIBLE_DEVIATIONS * confidence[..., 1], _HIDDEN_REACH)
    present = torch.ones(len(tokens), dtype=torch.bool, device=tokens.device)
    return PoseCondition(present, tokens, points, reach)


def _image_under(inputs: Inputs, points: Float[Tensor, "B J 3"]) -> Float[Tensor, "B J 3"]:
    """Mask and known part under each landmark, and the share of the crop that the photo covers."""
    under = sample_plane(inputs.image[:, 3:], project_ndc(points))
    covered = inputs.image[:, 4].mean((1, 2))[:, None, None].expand(-1, COUNT, 1)
    return torch.cat([under, covered], dim=-1)


@torch.no_grad()
def sample_poses(
    denoiser: PoseDenoiser,
    condition: PoseCondition,
    samples: int,
    seed: int = 0,
    guidance: float = 1.0,
    variety: float = _VARIETY,
    steps: int = STEPS,
) -> Float[Tensor, "B K J 3"]:
    """Draw ``samples`` poses that each photo allows, box units. Sample k of a seed is always the same.

    Visible landmarks stay where the photo shows them; their depth is sampled.

    Args:
        guidance: 1 takes the condition as it is; more exaggerates it.
        variety: 1 samples all that is allowed, less stays nearer to what is likely.
        steps: of Heun's method.
    """
    subjects = len(condition.present)
    noise = variety * draw_noise(seed, samples, (COUNT, 3)).to(condition.estimate).repeat(subjects, 1, 1)
    denoise = guided(denoiser, condition.repeated(samples), guidance)
    latents = sample_heun(denoise, noise, noise_levels(steps, MOST_NOISE))
    estimate, reach = (x.repeat_interleave(samples, dim=0) for x in (condition.estimate, condition.reach))
    points = _hold_visible(denoiser.restored(latents, estimate), estimate, reach)
    return points.unflatten(0, (subjects, samples))


def _hold_visible(
    points: Float[Tensor, "B J 3"], estimate: Float[Tensor, "B J 3"], reach: Float[Tensor, "B J"]
) -> Float[Tensor, "B J 3"]:
    """The points, moved along the picture plane until they project within ``reach`` of the estimate."""
    center = project_ndc(estimate)
    offset = project_ndc(points) - center
    share = (reach[..., None] / offset.norm(dim=-1, keepdim=True).clamp(min=1e-6)).clamp(max=1)
    return unproject_ndc(center + share * offset, points[..., 2])


@torch.no_grad()
def k_medoids(poses: Float[Tensor, "B K J 3"], count: int = 1) -> Float[Tensor, "B N J 3"]:
    """Choose ``count`` poses that stand for all samples of each person, the most typical first (greedy k-medoids).

    Each candidate is a sample, moved to the mean of the samples nearest to it. The next one chosen is the candidate
    that brings all samples nearest to a chosen one: first the typical pose, then other poses. A mean of a few samples
    is nearer to the truth than one of them, and its limbs are as long as theirs. Pose k does not depend on ``count``.

    Raises:
        ValueError: ``count`` exceeds the number of samples.
    """
    if not 1 <= count <= poses.shape[1]:
        raise ValueError(f"k_medoids: {count} of {poses.shape[1]} samples")
    row = torch.arange(len(poses), device=poses.device)
    candidates = _local_means(poses, max(1, round(_MEDOID_SHARE * poses.shape[1])))
    distances = _mean_distances(candidates, poses)
    nearest, chosen = torch.full_like(distances[:, 0], torch.inf), []
    for _ in range(count):
        # [b, k, l]: distance of sample l from the nearest chosen pose if candidate k is chosen next.
        after = torch.minimum(distances, nearest[:, None])
        cost = after.mean(-1)
        for earlier in chosen:
            cost[row, earlier] = torch.inf
        chosen.append(cost.argmin(1))
        nearest = after[row, chosen[-1]]
    return candidates[row[:, None], torch.stack(chosen, dim=1)]


def _mean_distances(a: Float[Tensor, "B K J 3"], b: Float[Tensor, "B L J 3"]) -> Float[Tensor, "B K L"]:
    """Mean distance of the landmarks of each pair of poses."""
    return (a[:, :, None] - b[:, None]).norm(dim=-1).mean(-1)


def _local_means(poses: Float[Tensor, "B K J 3"], size: int) -> Float[Tensor, "B K J 3"]:
    """Mean of the ``size`` samples nearest to each sample, with limbs of their mean length.

    A mean's own limbs are shorter where the samples' point differently, and would be built as stumps.
    """
    near = _mean_distances(poses, poses).topk(size, largest=False).indices
    groups = poses[torch.arange(len(poses), device=poses.device)[:, None, None], near]
    mean = groups.mean(2)
    out, lengths = mean.clone(), _limbs(groups).norm(dim=-1, keepdim=True).mean(2)
    limbs = _limbs(mean)
    limbs = limbs * lengths / limbs.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    for limb, (inner, outer) in enumerate(LIMBS):
        out[..., outer, :] = out[..., inner, :] + limbs[..., limb, :]
    return out


def _limbs(poses: Float[Tensor, "*B J 3"]) -> Float[Tensor, "*B E 3"]:
    """From the inner to the outer end of arms' and legs' bones."""
    return poses[..., LIMBS[:, 1], :] - poses[..., LIMBS[:, 0], :]
