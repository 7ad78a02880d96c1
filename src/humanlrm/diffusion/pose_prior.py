"""Several poses that a photo allows: landmarks sampled around the reconstruction model's estimate."""

import torch
from jaxtyping import Float
from torch import Tensor

from humanlrm.body.landmarks import COUNT, LIMBS
from humanlrm.diffusion.sample import draw_noise, guided, noise_levels, sample_heun
from humanlrm.frame import project_ndc, sample_plane, unproject_ndc
from humanlrm.model.lrm import HumanLRM
from humanlrm.model.pose_denoiser import PoseCondition, PoseDenoiser
from humanlrm.views import Inputs

#: Of Heun's method: as near to the truth as fifty (``benchmarks/uncertainty.py``).
STEPS = 12
#: Noise to start from, in deviations of the data.
_MOST_NOISE = 80.0
#: A landmark that is seen is at most so many deviations of its heat map's place away from the estimate (our choice);
#: one that is not seen may be anywhere.
_DEVIATIONS, _ANYWHERE = 0.5, 100.0
#: Size of the noise that samples start from, of that which is trained for: samples stay nearer to what is likely (our
#: choice, by looking).
_VARIETY = 0.7
#: Share of the samples that a person who stands for some is the middle of (our choice).
_ALIKE = 0.125


@torch.no_grad()
def pose_condition(model: HumanLRM, inputs: Inputs) -> PoseCondition:
    """What the model finds out about the landmarks of photos: its own tokens and estimate, where the picture shows
    them, what the detector said.

    Raises:
        ValueError: the model has no heat maps.
    """
    found = model.estimate_landmarks(inputs)
    if found.heatmaps is None:
        raise ValueError("poses are sampled around a model with heat maps (spotter)")
    detected, seen = inputs.landmarks[..., :3], (inputs.landmarks[..., 3:] > 0).to(found.points)
    under = _under(inputs, found.points)
    confidence = torch.cat(
        [
            found.tokens,
            found.points,
            found.heatmaps.points - found.points,
            found.heatmaps.confidence,
            (detected - found.points) * seen,
            inputs.landmarks[..., 3:],
            seen,
            under,
        ],
        dim=-1,
    )
    shown = (under[..., :2] > 0.5).all(-1) & (seen[..., 0] > 0)
    reach = torch.where(shown, _DEVIATIONS * found.heatmaps.confidence[..., 1], _ANYWHERE)
    return PoseCondition(
        torch.ones(len(confidence), dtype=torch.bool, device=confidence.device), confidence, found.points, reach
    )


def _under(inputs: Inputs, points: Float[Tensor, "B J 3"]) -> Float[Tensor, "B J 3"]:
    """Mask and known part under each landmark, and the share of the crop that the photo covers."""
    under = sample_plane(inputs.image[:, 3:], project_ndc(points))
    whole = inputs.image[:, 4].mean((1, 2))[:, None, None].expand(-1, COUNT, 1)
    return torch.cat([under, whole], dim=-1)


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
    """Landmarks of ``samples`` people who could be the one in each photo; sample k of a seed is always the same.

    Landmarks that the photo shows stay where they are seen; their depth is sampled.

    Args:
        guidance: 1 takes the condition as it is; more exaggerates it.
        variety: 1 samples what is allowed, less stays nearer to what is likely.
        steps: of Heun's method.
    """
    people = len(condition.present)
    noise = variety * draw_noise(seed, samples, (COUNT, 3)).to(condition.estimate).repeat(people, 1, 1)
    denoise = guided(denoiser, condition.repeated(samples), guidance)
    found = sample_heun(denoise, noise, noise_levels(steps, _MOST_NOISE))
    estimate, reach = (x.repeat_interleave(samples, dim=0) for x in (condition.estimate, condition.reach))
    return _seen_there(denoiser.restored(found, estimate), estimate, reach).unflatten(0, (people, samples))


def _seen_there(
    points: Float[Tensor, "B J 3"], estimate: Float[Tensor, "B J 3"], reach: Float[Tensor, "B J"]
) -> Float[Tensor, "B J 3"]:
    """The points, moved along the picture plane until the photo shows them within ``reach`` of the estimate."""
    at, wanted = project_ndc(points), project_ndc(estimate)
    apart = at - wanted
    share = (reach[..., None] / apart.norm(dim=-1, keepdim=True).clamp(min=1e-6)).clamp(max=1)
    return unproject_ndc(wanted + share * apart, points[..., 2])


@torch.no_grad()
def k_medoids(poses: Float[Tensor, "B K J 3"], count: int = 1) -> Float[Tensor, "B N J 3"]:
    """``count`` people who stand for all samples of each person, the most typical first.

    Each is a sample moved to the middle of those that are most like it; it is the one that brings all samples nearest
    to one that is chosen (greedy k-medoids; our choice): the first is like most, the next are other ways to be, not
    more of the same. The middle of a few is nearer to the truth than one of them, and its limbs are as long as theirs.
    More are chosen after fewer, so that number k does not depend on ``count``.

    Raises:
        ValueError: more are asked for than there are samples.
    """
    if not 1 <= count <= poses.shape[1]:
        raise ValueError(f"typical: {count} of {poses.shape[1]} samples")
    row = torch.arange(len(poses), device=poses.device)
    people = _middles(poses, max(1, round(_ALIKE * poses.shape[1])))
    apart = _apart(people, poses)
    nearest, chosen = torch.full_like(apart[:, 0], torch.inf), []
    for _ in range(count):
        # [b, k, l]: how far sample l is from the nearest chosen person if person k is chosen next.
        after = torch.minimum(apart, nearest[:, None])
        gain = after.mean(-1)
        for earlier in chosen:
            gain[row, earlier] = torch.inf
        chosen.append(gain.argmin(1))
        nearest = after[row, chosen[-1]]
    return people[row[:, None], torch.stack(chosen, dim=1)]


def _apart(a: Float[Tensor, "B K J 3"], b: Float[Tensor, "B L J 3"]) -> Float[Tensor, "B K L"]:
    """How far landmarks are from each other, on average."""
    return (a[:, :, None] - b[:, None]).norm(dim=-1).mean(-1)


def _middles(poses: Float[Tensor, "B K J 3"], size: int) -> Float[Tensor, "B K J 3"]:
    """Of each sample the mean of the ``size`` that are nearest to it, with limbs as long as theirs are on average: the
    mean's are shorter where they point differently, and would be built as stumps."""
    near = _apart(poses, poses).topk(size, largest=False).indices
    groups = poses[torch.arange(len(poses), device=poses.device)[:, None, None], near]
    middle = groups.mean(2)
    found, lengths = middle.clone(), _limbs(groups).norm(dim=-1, keepdim=True).mean(2)
    limbs = _limbs(middle)
    limbs = limbs * lengths / limbs.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    for limb, (inner, outer) in enumerate(LIMBS):
        found[..., outer, :] = found[..., inner, :] + limbs[..., limb, :]
    return found


def _limbs(poses: Float[Tensor, "*B J 3"]) -> Float[Tensor, "*B E 3"]:
    """From the inner to the outer end of arms' and legs' bones."""
    return poses[..., LIMBS[:, 1], :] - poses[..., LIMBS[:, 0], :]
