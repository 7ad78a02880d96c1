"""The loss terms, each a function of tensors; what a sample lacks does not count.

A point (or surface sample) whose place is NaN is unknown. Means are over all points of the batch, known or not, so
that a sample pulls equally hard whatever else is in its batch, and gradients of batches may be averaged.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.body.landmarks import BONES, INDEX
from humanlrm.frame import project_ndc
from humanlrm.model.heatmap_head import squared_distances

#: Signed distances beyond this are only asked to be this far (box units). Only the target is clamped: clamping the
#: prediction would take its gradient away.
_FAR = 0.15
_NEAR = 0.03
#: Neighbouring depths that differ by more are of two surfaces.
_STEP = 0.04
#: Points outside the box, and landmarks this far from their target, do not pull harder.
_BOX = 1.05
_LANDMARK_FAR = 0.3
#: First and second ends of the ways between landmarks that are compared, and what they are multiplied by.
_ENDS = torch.from_numpy(np.concatenate([BONES, [[INDEX["head"], INDEX["nose"]]]]).T)
_SHORT = torch.tensor([1.0] * len(BONES) + [3.0])
#: Deviation of a landmark's bell in its heat map, cells.
_BELL = 1.2
#: Box units in which a distance becomes a log-odds of being inside, and below which inside and outside are not told.
_SOFT = 0.02
_UNSURE = 0.01


def sdf_loss(
    predicted: Float[Tensor, "B P"], target: Float[Tensor, "B P"], points: Float[Tensor, "B P 3"]
) -> Float[Tensor, ""]:
    """L1, three times as heavy within 0.03 of the surface, only inside the box (our choice)."""
    inside, target = inside_box(points), _where_known(target, points)
    weight = (1 + 2 * (target.abs() < _NEAR)) * inside
    return (weight * (predicted - target.clamp(-_FAR, _FAR)).abs()).mean()


def occupancy_loss(
    predicted: Float[Tensor, "B P"], target: Float[Tensor, "B P"], points: Float[Tensor, "B P 3"]
) -> Float[Tensor, ""]:
    """Cross entropy of inside and outside, as told by the predicted distance over ``_SOFT`` (our choice).

    Without it the field collapses: L1 near the surface is small for a field that is nearly zero everywhere, whose sign
    then is noise. Points closer to the surface than ``_UNSURE`` count less: there the label is.
    """
    target = _where_known(target, points)
    weight = (target.abs() / _UNSURE).clamp(max=1) * inside_box(points)
    inside = (target < 0).to(predicted)
    return (
        weight * nn.functional.binary_cross_entropy_with_logits(-predicted / _SOFT, inside, reduction="none")
    ).mean()


def _where_known(target: Float[Tensor, "B P"], points: Float[Tensor, "B P 3"]) -> Float[Tensor, "B P"]:
    """0 at unknown points, whose weight is 0; a NaN at a known point stays, for the loop to notice."""
    return torch.where(points.isnan().any(-1), torch.zeros_like(target), target)


def masked_l1(predicted: Float[Tensor, "B *S"], target: Float[Tensor, "B *S"]) -> Float[Tensor, ""]:
    """L1 where the target is known (not NaN): the mean over what a sample knows, then over samples."""
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
    """L1 of the differences of neighbouring pixels of depth maps, where both are known (not NaN) and on one surface.

    The eye sees slopes, and L1 of depth cares little for them (our choice). The mean over a sample's pixels, then over
    samples.
    """
    total, count = predicted.new_zeros(len(predicted)), predicted.new_zeros(len(predicted))
    for axis in (-2, -1):
        wanted, found = target.diff(dim=axis), predicted.diff(dim=axis)
        smooth = wanted.abs() < _STEP  # false for NaN
        apart = torch.where(smooth, found - wanted.nan_to_num(), torch.zeros_like(found)).abs()
        total, count = total + apart.sum((1, 2, 3)), count + smooth.sum((1, 2, 3))
    return (total / count.clamp(min=1)).mean()


def normal_loss(
    predicted: Float[Tensor, "B S 3"], target: Float[Tensor, "B S 3"], inside: Float[Tensor, "B S"]
) -> Float[Tensor, ""]:
    """Squared difference of unit vectors, where ``inside`` is not 0."""
    target = torch.where(inside[..., None] > 0, target, torch.zeros_like(target))
    return (((predicted - target) ** 2).sum(-1) * inside).mean()


def heat_loss(logits: Float[Tensor, "B J S S"], target: Float[Tensor, "B J 3"]) -> Float[Tensor, ""]:
    """Cross entropy of each landmark's map with a bell around the cell where it is, less the bell's own entropy; mean
    over the landmarks that are known and in the picture."""
    ndc = project_ndc(target.nan_to_num())
    known = ~target.isnan().any(-1) & (ndc.abs().amax(-1) < 1)
    side = logits.shape[-1]
    squared = squared_distances(target.nan_to_num(), side)
    bell = (-squared.flatten(2) / (2 * (_BELL * 2 / side) ** 2)).log_softmax(-1)
    gap = (bell.exp() * (bell - logits.flatten(2).log_softmax(-1))).sum(-1)
    return (gap * known).sum() / known.sum().clamp(min=1)


def rgb_loss(
    predicted: Float[Tensor, "B S 3"], target: Float[Tensor, "B S 3"], inside: Float[Tensor, "B S"]
) -> Float[Tensor, ""]:
    """L1 where the colour is known (not NaN: a scan may have none) and ``inside`` is not 0."""
    known = ~target.isnan().any(-1)
    difference = torch.where(known[..., None], predicted - target.nan_to_num(), torch.zeros_like(predicted))
    return (difference.abs().mean(-1) * inside).mean()


def eikonal_loss(gradient: Float[Tensor, "B S 3"], inside: Float[Tensor, "B S"]) -> Float[Tensor, ""]:
    """A signed distance has a gradient of length 1 (Gropp et al. 2020)."""
    return ((gradient.norm(dim=-1) - 1) ** 2 * inside).mean()


def landmark_loss(predicted: Float[Tensor, "B J 3"], target: Float[Tensor, "B J 3"]) -> Float[Tensor, ""]:
    """Distance, saturating: a limb that the picture does not show must not outvote the ones it does.

    Mean over the known targets; unknown ones are NaN.
    """
    known = ~target.isnan().any(-1)
    # Unknown targets are replaced before the root: NaN times zero would still be a NaN gradient.
    difference = torch.where(known[..., None], predicted - target.nan_to_num(), torch.zeros_like(predicted))
    distance = (difference**2).sum(-1).add(1e-8).sqrt()
    far = _LANDMARK_FAR + 0.1 * (distance - _LANDMARK_FAR)
    return (torch.where(distance < _LANDMARK_FAR, distance, far) * known).sum() / known.sum().clamp(min=1)


def bone_loss(predicted: Float[Tensor, "B J 3"], target: Float[Tensor, "B J 3"]) -> Float[Tensor, ""]:
    """:func:`landmark_loss` of the ways from landmark to landmark along the bones, and from skull to nose, three times
    as heavy: it is short, and where a face looks hangs on it.

    Depths of neighbours err together; what is built on landmarks cares more for how they lie to each other (our choice,
    as Sun et al. 2017, compositional pose regression).
    """
    ways = [(p[:, _ENDS[1]] - p[:, _ENDS[0]]) * _SHORT.to(p)[:, None] for p in (predicted, target)]
    return landmark_loss(ways[0], ways[1])


def inside_box(points: Float[Tensor, "B P 3"]) -> Float[Tensor, "B P"]:
    """1 for points in the box that the model is responsible for, 0 for others and for unknown ones (NaN)."""
    return (points.abs().amax(-1) < _BOX).to(points)
