"""Losses of direct 3D supervision: distances in space, the surface, depth maps and landmarks.

To add a loss, write its function, its line in :func:`supervision_losses` and its weight in
:class:`humanlrm.train.config.LossWeights`.

A point (or surface sample) whose place is NaN is unknown. Means are over all points of the batch, known or not, so
that a sample pulls equally hard whatever else is in its batch, and gradients of batches may be averaged.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.body.landmarks import BONES, INDEX
from humanlrm.encoding import encode
from humanlrm.frame import project_ndc
from humanlrm.model.heatmap_head import LandmarkHeatmaps, squared_distances
from humanlrm.model.lrm import HumanLRM
from humanlrm.model.triplane import Triplane
from humanlrm.views import Batch, Supervision

#: Signed distances beyond this are only asked to be this far (box units). Only the target is clamped: clamping the
#: prediction would take its gradient away.
_FAR_DISTANCE = 0.15
#: Distance (box units) within which an error weighs three times as much.
_NEAR_DISTANCE = 0.03
#: Difference of neighboring depths (box units) from which on they are of two surfaces.
_DEPTH_STEP = 0.04
#: Half side of the cube outside of which points do not count.
_COUNTED_BOX = 1.05
#: Distance (box units) from which on an error of a landmark pulls a tenth as hard.
_LANDMARK_FAR = 0.3
#: First and second ends of the vectors between landmarks that are compared, and their factors.
_BONE_ENDS = torch.from_numpy(np.concatenate([BONES, [[INDEX["head"], INDEX["nose"]]]]).T)
_BONE_FACTORS = torch.tensor([1.0] * len(BONES) + [3.0])
#: Deviation of a landmark's bell in its heatmap, cells.
_BELL_CELLS = 1.2
#: Distance (box units) that is one log-odds of being inside, and distance below which the label counts less.
_LOGIT_DISTANCE, _UNSURE_DISTANCE = 0.02, 0.01

Losses = dict[str, Tensor]


def weighted_sum(losses: Losses, weights: object) -> Float[Tensor, ""]:
    """Sum the losses, each times the field of its name in ``weights``."""
    return torch.stack([getattr(weights, name) * loss for name, loss in losses.items()]).sum()


def compute_losses(model: HumanLRM, batch: Batch) -> Losses:
    """Encode a batch and compute :func:`supervision_losses`."""
    return supervision_losses(model, encode(model, batch.inputs), batch.supervision)


def supervision_losses(model: HumanLRM, planes: Triplane, supervision: Supervision) -> Losses:
    """Compute all losses, unweighted, as named in :class:`LossWeights`.

    Every sample uses what it has. One without a surface (a multi-view capture) has NaN as places of its points and
    surface samples; depth, colors and landmarks may be NaN in part. Losses of what a model does not predict are 0.
    """
    depth, estimated, heatmaps = planes.inputs.depth, planes.inputs.estimated, planes.inputs.heatmaps
    # Unknown places are asked at the origin and do not count: a question at NaN would spoil all gradients.
    sdf = model.field.distance(planes, supervision.points.nan_to_num())
    surface = model.field(planes, supervision.surface.nan_to_num())
    inside, zero = inside_box(supervision.surface), sdf.new_zeros(())
    return {
        "sdf": sdf_loss(sdf, supervision.sdf, supervision.points),
        "occupancy": occupancy_loss(sdf, supervision.sdf, supervision.points),
        "surface": (surface.sdf.abs() * inside).mean(),
        "normal": normal_loss(surface.normal, supervision.normals, inside),
        "eikonal": eikonal_loss(surface.gradient, inside),
        "rgb": rgb_loss(surface.rgb, supervision.rgb, inside),
        "depth": zero if depth is None else masked_l1(depth, supervision.depth),
        "slope": zero if depth is None else slope_loss(depth, supervision.depth),
        **dict.fromkeys(("landmarks", "bones", "heat", "heatmaps", "coarse_depth"), zero),
        **landmark_losses(estimated, heatmaps, supervision),
    }


def landmark_losses(
    estimated: Float[Tensor, "B J 3"] | None, heatmaps: LandmarkHeatmaps | None, supervision: Supervision
) -> Losses:
    """Compute the losses of the landmark estimate, as far as the model has one."""
    losses = {}
    if estimated is not None:
        losses["landmarks"] = landmark_loss(estimated, supervision.landmarks)
        losses["bones"] = bone_loss(estimated, supervision.landmarks)
    if heatmaps is not None:
        losses["heat"] = heat_loss(heatmaps.logits, supervision.landmarks)
        losses["heatmaps"] = landmark_loss(heatmaps.points, supervision.landmarks)
        losses["coarse_depth"] = coarse_depth_loss(heatmaps.coarse_depth, supervision.depth)
    return losses


def sdf_loss(
    predicted: Float[Tensor, "B P"], target: Float[Tensor, "B P"], points: Float[Tensor, "B P 3"]
) -> Float[Tensor, ""]:
    """L1, three times as heavy near the surface, only inside the box."""
    inside, target = inside_box(points), _where_known(target, points)
    weight = (1 + 2 * (target.abs() < _NEAR_DISTANCE)) * inside
    return (weight * (predicted - target.clamp(-_FAR_DISTANCE, _FAR_DISTANCE)).abs()).mean()


def occupancy_loss(
    predicted: Float[Tensor, "B P"], target: Float[Tensor, "B P"], points: Float[Tensor, "B P 3"]
) -> Float[Tensor, ""]:
    """Cross entropy of inside and outside, with the predicted distance as log-odds.

    Without it the field collapses: L1 near the surface is small for a field that is nearly zero everywhere, and its
    sign then is noise. Points that nearly lie on the surface count less, because their label is uncertain.
    """
    target = _where_known(target, points)
    weight = (target.abs() / _UNSURE_DISTANCE).clamp(max=1) * inside_box(points)
    inside = (target < 0).to(predicted)
    entropy = nn.functional.binary_cross_entropy_with_logits(-predicted / _LOGIT_DISTANCE, inside, reduction="none")
    return (weight * entropy).mean()


def _where_known(target: Float[Tensor, "B P"], points: Float[Tensor, "B P 3"]) -> Float[Tensor, "B P"]:
    """Set the target of unknown points, whose weight is 0, to 0; NaN at a known point stays for the loop to notice."""
    return torch.where(points.isnan().any(-1), torch.zeros_like(target), target)


def masked_l1(predicted: Float[Tensor, "B *S"], target: Float[Tensor, "B *S"]) -> Float[Tensor, ""]:
    """L1 where the target is known (not NaN): the mean over the known part of a sample, then over samples."""
    known = ~target.isnan()
    difference = torch.where(known, predicted - target.nan_to_num(), torch.zeros_like(predicted)).abs()
    return (difference.flatten(1).sum(1) / known.flatten(1).sum(1).clamp(min=1)).mean()


def coarse_depth_loss(predicted: Float[Tensor, "B K S S"], target: Float[Tensor, "B K H W"]) -> Float[Tensor, ""]:
    """:func:`masked_l1` of coarse depth maps; a cell is known where most of its pixels are."""
    factor = target.shape[-1] // predicted.shape[-1]
    mean = lambda x: nn.functional.avg_pool2d(x, factor)  # noqa: E731
    share = mean((~target.isnan()).to(predicted))
    depth = mean(target.nan_to_num()) / share.clamp(min=0.5)
    return masked_l1(predicted, torch.where(share > 0.5, depth, torch.full_like(depth, torch.nan)))


def slope_loss(predicted: Float[Tensor, "B K H W"], target: Float[Tensor, "B K H W"]) -> Float[Tensor, ""]:
    """L1 of the differences of neighboring pixels of depth maps, where both are known (not NaN) and on one surface.

    Shading shows slopes, and L1 of depth hardly depends on them. The mean over a sample's pixels, then over samples.
    """
    total, count = predicted.new_zeros(len(predicted)), predicted.new_zeros(len(predicted))
    for axis in (-2, -1):
        true_slope, slope = target.diff(dim=axis), predicted.diff(dim=axis)
        smooth = true_slope.abs() < _DEPTH_STEP  # false for NaN
        error = torch.where(smooth, slope - true_slope.nan_to_num(), torch.zeros_like(slope)).abs()
        total, count = total + error.sum((1, 2, 3)), count + smooth.sum((1, 2, 3))
    return (total / count.clamp(min=1)).mean()


def normal_loss(
    predicted: Float[Tensor, "B S 3"], target: Float[Tensor, "B S 3"], inside: Float[Tensor, "B S"]
) -> Float[Tensor, ""]:
    """Squared difference of unit vectors, where ``inside`` is not 0."""
    target = torch.where(inside[..., None] > 0, target, torch.zeros_like(target))
    return (((predicted - target) ** 2).sum(-1) * inside).mean()


def heat_loss(logits: Float[Tensor, "B J S S"], target: Float[Tensor, "B J 3"]) -> Float[Tensor, ""]:
    """Cross entropy of each landmark's map with a bell around its cell, less the bell's own entropy.

    The mean over the landmarks that are known and in the picture.
    """
    ndc = project_ndc(target.nan_to_num())
    known = ~target.isnan().any(-1) & (ndc.abs().amax(-1) < 1)
    side = logits.shape[-1]
    squared = squared_distances(target.nan_to_num(), side)
    bell = (-squared.flatten(2) / (2 * (_BELL_CELLS * 2 / side) ** 2)).log_softmax(-1)
    gap = (bell.exp() * (bell - logits.flatten(2).log_softmax(-1))).sum(-1)
    return (gap * known).sum() / known.sum().clamp(min=1)


def rgb_loss(
    predicted: Float[Tensor, "B S 3"], target: Float[Tensor, "B S 3"], inside: Float[Tensor, "B S"]
) -> Float[Tensor, ""]:
    """L1 where the color is known (not NaN: a scan may have none) and ``inside`` is not 0."""
    known = ~target.isnan().any(-1)
    difference = torch.where(known[..., None], predicted - target.nan_to_num(), torch.zeros_like(predicted))
    return (difference.abs().mean(-1) * inside).mean()


def eikonal_loss(gradient: Float[Tensor, "B S 3"], inside: Float[Tensor, "B S"]) -> Float[Tensor, ""]:
    """Squared deviation of the gradient's length from 1, that of a signed distance (Gropp et al. 2020)."""
    return ((gradient.norm(dim=-1) - 1) ** 2 * inside).mean()


def landmark_loss(predicted: Float[Tensor, "B J 3"], target: Float[Tensor, "B J 3"]) -> Float[Tensor, ""]:
    """Saturating distance: a limb that the picture does not show must not outvote the visible ones.

    The mean over the known targets; unknown ones are NaN.
    """
    known = ~target.isnan().any(-1)
    # Unknown targets are replaced before the root: NaN times zero would still be a NaN gradient.
    difference = torch.where(known[..., None], predicted - target.nan_to_num(), torch.zeros_like(predicted))
    distance = (difference**2).sum(-1).add(1e-8).sqrt()
    far = _LANDMARK_FAR + 0.1 * (distance - _LANDMARK_FAR)
    return (torch.where(distance < _LANDMARK_FAR, distance, far) * known).sum() / known.sum().clamp(min=1)


def bone_loss(predicted: Float[Tensor, "B J 3"], target: Float[Tensor, "B J 3"]) -> Float[Tensor, ""]:
    """:func:`landmark_loss` of the vectors along the bones, as in Sun et al. 2017 (compositional pose regression).

    Depths of neighbors err together; a person that is built on landmarks depends more on their relative places. The
    vector from skull to nose weighs three times as much: it is short, and it gives the direction of the face.
    """
    bones = [(p[:, _BONE_ENDS[1]] - p[:, _BONE_ENDS[0]]) * _BONE_FACTORS.to(p)[:, None] for p in (predicted, target)]
    return landmark_loss(bones[0], bones[1])


def inside_box(points: Float[Tensor, "B P 3"]) -> Float[Tensor, "B P"]:
    """Mark points in the box that the model is responsible for with 1, others and unknown ones (NaN) with 0."""
    return (points.abs().amax(-1) < _COUNTED_BOX).to(points)
