"""Visibility: the share of a person that a photo hides, from limbs that should be on the mask and are not."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from humanlrm.body.landmarks import BONE_RADII, BONES, LANDMARKS
from humanlrm.body.skeleton import SkeletonCapsules
from humanlrm.frame import project_ndc, sample_plane
from humanlrm.photo.crop import SubjectCrop
from humanlrm.photo.load import Remark
from humanlrm.views import Inputs

#: Radius of a limb's core, in radii of its capsule. A limb is covered where its core is not on the mask: the detector's
#: points are off by 0.04 units and limbs are 0.04 to 0.12 thick.
_CORE_RADIUS = 0.5
#: Length of a limb with an end that was not found, box units.
_USUAL_LENGTH = 0.25
#: Least hidden share at a border that cuts the whole width of a person, whatever the landmarks say: the detector
#: squeezes the legs of half a person into the photo.
_SHARE_PER_BORDER = 0.25
#: Hidden shares of the body from which on they are named as a reason, and reported at all.
_LEAST_REASON, _LEAST_SUBSTANTIAL = 0.03, 0.1
#: Most landmarks in one reason.
_MOST_NAMES = 4


@dataclass(frozen=True)
class Visibility:
    """Hidden share of a person.

    Attributes:
        hidden: share of the body that the photo does not show, by area of its limbs and trunk, in [0, 1].
        reasons: one line each; empty if nothing is hidden.
    """

    hidden: float
    reasons: tuple[str, ...]

    @property
    def substantial(self) -> bool:
        """True if more is hidden than detector errors hide of 19 in 20 whole people (``benchmarks.visibility``)."""
        return self.hidden > _LEAST_SUBSTANTIAL


def find_hidden_pixels(inputs: Inputs) -> Bool[Tensor, "B H W"]:
    """Pixels that say nothing about the person: outside of the photo, or in front of a limb.

    All others show the person, or that nobody is there.
    """
    outside, covered = _unseen(inputs)
    ends = (inputs.landmarks[..., 3] > 0)[:, BONES]
    return outside | (covered[:, None] & _cores(inputs) & ends.all(-1)[..., None, None]).any(1)


def measure_visibility(subject: SubjectCrop) -> Visibility:
    """Measure the share outside of the photo, the covered share, and the limbs that were not found.

    Borders count at least for the width at which they cut the person; without any landmark only they count.
    """
    borders = f"the photo's border cuts the person: {', '.join(subject.truncated)}"
    cut = (borders,) if subject.truncated else ()
    inputs, found = subject.inputs, subject.landmarks[:, 3] > 0
    if not found.any():
        return Visibility(_cut_off(inputs), cut)
    outside, covered = (unseen[0] for unseen in _unseen(inputs))
    cores, ends = _cores(inputs)[0], found[BONES].all(-1)
    length = torch.where(ends, _lengths(subject.landmarks[:, :3]), _USUAL_LENGTH)
    area = torch.from_numpy(BONE_RADII) * length
    share = area / area.sum()
    size = cores.sum((1, 2)).clamp(min=1)
    beyond, behind = ((share * (cores & unseen).sum((1, 2)) / size)[ends].sum() for unseen in (outside, covered))
    missing = share[~ends].sum()
    reasons = [*cut]
    known = sample_plane(inputs.image[:, 4:], project_ndc(subject.landmarks[None, :, :3]))[0, :, 0] > 0.5
    if bool((found & ~known).any()):
        reasons.append(f"outside the photo: {_names(found & ~known)}")
    if behind > _LEAST_REASON:
        reasons.append(f"covered, or not where it is thought to be: {float(behind):.0%} of the body")
    if bool((~found).any()):
        reasons.append(f"not found: {_names(~found)}")
    return Visibility(min(1.0, float(beyond.clamp(min=_cut_off(inputs)) + behind + missing)), tuple(reasons))


def visibility_remarks(hidden: Visibility, truncated: tuple[str, ...], sampled: bool) -> tuple[Remark, ...]:
    """A remark about what the photo hides. A little that is hidden may be the landmarks' error."""
    if not hidden.reasons or not (truncated or sampled or hidden.substantial):
        return ()
    how = "sampled" if sampled else "estimated"
    return (Remark("hidden", f"The photo does not show everything ({'; '.join(hidden.reasons)}): the rest is {how}."),)


def share_below_photo(inputs: Inputs, landmarks: Float[Tensor, "B J 3"] | None = None) -> Float[Tensor, "B"]:
    """Share of the body below the photo's lower border, by area of its limbs and trunk.

    Args:
        landmarks: box units; ``None``: the detected ones.
    """
    if landmarks is not None:
        inputs = replace(inputs, landmarks=torch.cat([landmarks, torch.ones_like(landmarks[..., :1])], dim=-1))
    cores = _cores(inputs)
    known = (inputs.image[:, 4] > 0.5).any(-1)
    last = torch.where(known, torch.arange(known.shape[1], device=known.device), -1).amax(-1)
    under = torch.arange(known.shape[1], device=known.device) > last[:, None]
    area = SkeletonCapsules().to(inputs.image.device).radius * _lengths(inputs.landmarks[..., :3])
    share = (cores & under[:, None, :, None]).sum((2, 3)) / cores.sum((2, 3)).clamp(min=1)
    return (area * share).sum(-1) / area.sum(-1)


def _lengths(landmarks: Float[Tensor, "*B J 3"]) -> Float[Tensor, "*B E"]:
    """Lengths of the bones, at least a fifth of the usual length."""
    ends = landmarks[..., BONES, :]
    return (ends[..., 0, :] - ends[..., 1, :]).norm(dim=-1).clamp(min=_USUAL_LENGTH / 5)


def _unseen(inputs: Inputs) -> tuple[Bool[Tensor, "B H W"], Bool[Tensor, "B H W"]]:
    """Pixels outside of the photo, and those inside that do not show the person."""
    outside = inputs.image[:, 4] <= 0.5
    return outside, ~outside & (inputs.image[:, 3] <= 0.5)


def _cut_off(inputs: Inputs) -> float:
    """Least share that the borders hide: by the width at which they cut the mask, over its greatest width."""
    mask, unknown = inputs.image[0, 3] > 0.5, inputs.image[0, 4] <= 0.5
    total = 0.0
    for axis in (0, 1):  # top and bottom, then left and right
        for step in (1, -1):
            beyond = unknown.roll(step, axis)
            beyond.select(axis, 0 if step == 1 else -1).fill_(False)
            cut = (mask & beyond).sum()
            total += _SHARE_PER_BORDER * float(cut / mask.sum(1 - axis).max().clamp(min=1))
    return min(1.0, total)


def _cores(inputs: Inputs) -> Bool[Tensor, "B E H W"]:
    """Pixels in the core of each bone's capsule, at least two pixels thick."""
    height, width = inputs.image.shape[-2:]
    bones = SkeletonCapsules().to(inputs.image.device)
    rows, columns = ((torch.arange(n, device=inputs.image.device) + 0.5) / n * 2 - 1 for n in (height, width))
    grid = torch.stack(torch.meshgrid(-rows, columns, indexing="ij")[::-1], dim=-1).reshape(1, -1, 2)
    distance, _ = bones.distances(grid.expand(len(inputs.image), -1, -1), project_ndc(inputs.landmarks[..., :3]))
    inside = distance + bones.radius < (bones.radius * _CORE_RADIUS).clamp(min=2 / width)
    return inside.transpose(1, 2).unflatten(-1, (height, width))


def _names(which: Iterable[Tensor]) -> str:
    names = [name for name, named in zip(LANDMARKS, which, strict=True) if named]
    rest = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(name.replace("_", " ") for name in names[:_MOST_NAMES]) + rest
