"""How much of a person a photo hides, and where: what the landmarks promise and the mask does not show."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from humanlrm.body.landmarks import BONE_RADII, BONES, LANDMARKS
from humanlrm.body.skeleton import SkeletonCapsules
from humanlrm.frame import project_ndc, sample_plane
from humanlrm.photo.crop import SubjectCrop
from humanlrm.views import Inputs

#: A limb is covered where the core of its capsule, this share of its radius, is not on the mask (our choice: the
#: detector's points are off by 0.04 units and limbs are 0.04 to 0.12 thick).
_CORE = 0.5
#: Length of a limb of which an end was not found, box units.
_USUAL_LENGTH = 0.25
#: What a border counts for at least that cuts the whole width of a person, whatever the landmarks say: the detector
#: likes to squeeze the legs of half a person into the photo (our choice).
_PER_BORDER = 0.25
#: Shares of the body below this are not worth a reason.
_LITTLE = 0.03
#: Share of the body that has to be hidden to be worth a remark.
_MUCH = 0.1
#: Landmarks named in one reason.
_NAMED = 4


@dataclass(frozen=True)
class Visibility:
    """How much of a person is hidden.

    Attributes:
        hidden: share of the body, by area of its limbs and trunk, that the photo does not show, in [0, 1].
        reasons: one line each; empty where nothing is hidden.
    """

    hidden: float
    reasons: tuple[str, ...]

    @property
    def much(self) -> bool:
        """Whether more is hidden than the detector's errors hide of 19 in 20 people who are seen whole
        (``python -m benchmarks.visibility``)."""
        return self.hidden > _MUCH


def find_hidden_pixels(inputs: Inputs) -> Bool[Tensor, "B H W"]:
    """Pixels that say nothing about the person: outside of the photo, or where a limb must be and something else is
    seen. All others show the person, or that nobody is there."""
    outside, covered = _unseen(inputs)
    ends = (inputs.landmarks[..., 3] > 0)[:, BONES]
    return outside | (covered[:, None] & _cores(inputs) & ends.all(-1)[..., None, None]).any(1)


def measure_visibility(subject: SubjectCrop) -> Visibility:
    """How much of the person a crop hides: what lies outside of the photo, what something stands in front of, and
    limbs that were not found. Borders count at least for the width at which they cut the person; without any landmark
    they are all that counts.
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
    gone, behind = ((share * (cores & unseen).sum((1, 2)) / size)[ends].sum() for unseen in (outside, covered))
    lost = share[~ends].sum()
    reasons = [*cut]
    at = project_ndc(subject.landmarks[None, :, :3])
    known = sample_plane(inputs.image[:, 4:], at)[0, :, 0] > 0.5
    if bool((found & ~known).any()):
        reasons.append(f"outside the photo: {_names(found & ~known)}")
    if behind > _LITTLE:
        reasons.append(f"covered, or not where it is thought to be: {float(behind):.0%} of the body")
    if bool((~found).any()):
        reasons.append(f"not found: {_names(~found)}")
    return Visibility(min(1.0, float(gone.clamp(min=_cut_off(inputs)) + behind + lost)), tuple(reasons))


def share_below_photo(inputs: Inputs, landmarks: Float[Tensor, "B J 3"] | None = None) -> Float[Tensor, "B"]:
    """Share of the body, by area of its limbs and trunk, that its landmarks, as detected or as told, put below the
    photo's lower border."""
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
    """Of the bones; none is shorter than a fifth of the usual length."""
    ends = landmarks[..., BONES, :]
    return (ends[..., 0, :] - ends[..., 1, :]).norm(dim=-1).clamp(min=_USUAL_LENGTH / 5)


def _unseen(inputs: Inputs) -> tuple[Bool[Tensor, "B H W"], Bool[Tensor, "B H W"]]:
    """Pixels outside of the photo, and those inside that do not show the person."""
    outside = inputs.image[:, 4] <= 0.5
    return outside, ~outside & (inputs.image[:, 3] <= 0.5)


def _cut_off(inputs: Inputs) -> float:
    """What the borders hide at least: by the width at which they cut the mask, over its greatest width."""
    mask, unknown = inputs.image[0, 3] > 0.5, inputs.image[0, 4] <= 0.5
    total = 0.0
    for axis in (0, 1):  # top and bottom, then left and right
        for step in (1, -1):
            beyond = unknown.roll(step, axis)
            beyond.select(axis, 0 if step == 1 else -1).fill_(False)
            cut = (mask & beyond).sum()
            total += _PER_BORDER * float(cut / mask.sum(1 - axis).max().clamp(min=1))
    return min(1.0, total)


def _cores(inputs: Inputs) -> Bool[Tensor, "B E H W"]:
    """Where the middle of each bone's capsule lies in the picture; at least two pixels thick."""
    height, width = inputs.image.shape[-2:]
    bones = SkeletonCapsules().to(inputs.image.device)
    rows, columns = ((torch.arange(n, device=inputs.image.device) + 0.5) / n * 2 - 1 for n in (height, width))
    grid = torch.stack(torch.meshgrid(-rows, columns, indexing="ij")[::-1], dim=-1).reshape(1, -1, 2)
    distance, _ = bones.distances(grid.expand(len(inputs.image), -1, -1), project_ndc(inputs.landmarks[..., :3]))
    inside = distance + bones.radius < (bones.radius * _CORE).clamp(min=2 / width)
    return inside.transpose(1, 2).unflatten(-1, (height, width))


def _names(which: Iterable[Tensor]) -> str:
    names = [name for name, named in zip(LANDMARKS, which, strict=True) if named]
    rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(name.replace("_", " ") for name in names[:_NAMED]) + rest
