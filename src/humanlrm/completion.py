"""The front door for what one photo leaves open: several people who could be the one in it, and how sure each part is.

A photo does not tell everything: legs below its border, an arm behind the back, which of two knees is in front. Poses
are sampled by diffusion around the model's estimate (``diffusion.pose_prior``), and a person is built on each.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from humanlrm.diffusion.pose_prior import k_medoids, pose_condition, sample_poses
from humanlrm.diffusion.sample import MOST_SAMPLES, check_sampling
from humanlrm.diffusion.uncertainty import SampledPoses, Sdf, measure_uncertainty
from humanlrm.model.lrm import HumanLRM
from humanlrm.model.pose_denoiser import PoseDenoiser
from humanlrm.model.pretrained import SHIPPED, pose_denoiser_from_pretrained
from humanlrm.model.triplane import Triplane
from humanlrm.photo.crop import SubjectCrop, find_subject
from humanlrm.photo.load import PhotoSource, load_photo
from humanlrm.photo.visibility import Visibility, measure_visibility, share_below_photo
from humanlrm.reconstruct import (
    Reconstruction,
    Reconstructor,
    Settings,
    StageTimer,
    distance_of,
    encode_reframed,
    expand_frame,
    mesh_from_triplane,
)

When = Literal["auto", "always", "never"]
#: Folder of the denoiser of landmarks within a weights folder.
POSES = "poses"
#: Samples that uncertainty is made of, if fewer are asked for; and for which the frame has room, however many are.
_SURE, _ROOMY = 6, 16
#: Share of the body below the photo from which on a sample is nearer to the truth than the estimate (our choice, by
#: docs/completion.md: half of somebody's height is 0.22 to 0.46, three tenths of it less than 0.2).
_TOO_MUCH = 0.25


@dataclass(frozen=True)
class Completion:
    """How what a photo leaves open is decided.

    Attributes:
        when: a single person is sampled "always", "never" (the estimate is used), or "auto": if more than a quarter of
            the body lies below the photo, where the mean of what may be there is no pair of legs. Behind things in
            front and beyond other borders the estimate is the nearest guess (docs/completion.md).
        samples: people; several are always sampled. They stand for 64 samples: the first for most of them, each further
            one for those that are far from the ones before (``diffusion.pose_prior.k_medoids``).
        seed: person k of a seed is always the same.
        guidance: 1 samples what the photo allows; more exaggerates what is told by the photo.
        uncertainty: also say how sure the surface is.
    """

    when: When = "auto"
    samples: int = 1
    seed: int = 0
    guidance: float = 1.0
    uncertainty: bool = False

    def __post_init__(self) -> None:
        if self.when not in ("auto", "always", "never"):
            raise ValueError(f"complete must be auto, always or never, got {self.when!r}")
        check_sampling(self.samples, self.seed, self.guidance)


@dataclass(frozen=True)
class ReconstructionSamples:
    """Who could be in a photo.

    Attributes:
        people: one, or the samples.
        hidden: how much of the person the photo hides.
        sampled: whether they are samples; otherwise the one is the estimate.
    """

    people: tuple[Reconstruction, ...]
    hidden: Visibility
    sampled: bool


class Completer(Reconstructor):
    """From a photo to the people who could be in it. Weights without a denoiser give estimates only.

    Args:
        weights: folder of a model; its folder ``poses`` holds the denoiser of landmarks.

    Raises:
        CheckpointError: the weights are incomplete, damaged or do not fit.
    """

    def __init__(self, weights: Path = SHIPPED, device: str | torch.device = "cpu", threads: int = 0) -> None:
        super().__init__(weights, device, threads)
        there = (weights / POSES).is_dir()
        self.poses = pose_denoiser_from_pretrained(weights / POSES, device) if there else None

    @torch.no_grad()
    def people(
        self, photo: PhotoSource, settings: Settings | None = None, completion: Completion | None = None
    ) -> ReconstructionSamples:
        """The main person of a photo.

        Raises:
            PhotoError: the photo cannot be read or shows nobody.
            ValueError: nothing solid was reconstructed, or samples are asked of weights without a denoiser.
        """
        completion, clock = completion or Completion(), StageTimer()
        with clock("photo"):
            loaded = load_photo(photo)
        with clock("person"):
            subject = find_subject(loaded, self.detector, self.model.config.image_px)
        hidden = measure_visibility(subject)
        asked = completion.samples > 1 or completion.when == "always"
        with clock("network"):
            subject, estimate = encode_reframed(self.model, subject)
            sampled = asked or (
                completion.when == "auto" and self.poses is not None and _below(subject, estimate) > _TOO_MUCH
            )
            planes, fields, pool = [estimate], [], torch.empty(0)
            if sampled or completion.uncertainty:
                before = subject
                subject, people, pool = _posed(*self._sampling(), subject, completion)
                if sampled:
                    planes = self._planes_on(subject, people)
                elif subject is not before:
                    planes = [self.model.encode(subject.inputs.to(people.device))]
                if completion.uncertainty:
                    others = self._planes_on(subject, pool[: max(completion.samples, _SURE)])
                    fields = [distance_of(self.model, one) for one in others]
        found = tuple(mesh_from_triplane(self.model, subject, one, settings, _copy(clock)) for one in planes)
        if completion.uncertainty:
            found = tuple(_with_uncertainty(person, fields, pool.cpu()) for person in found)
        return ReconstructionSamples(found, hidden, sampled)

    def _sampling(self) -> tuple[HumanLRM, PoseDenoiser]:
        if self.poses is None or not isinstance(self.model, HumanLRM):
            raise ValueError("these weights have no denoiser to sample with (`humanlrm train-poses` makes one)")
        return self.model, self.poses

    def _planes_on(self, subject: SubjectCrop, poses: Float[Tensor, "K J 3"]) -> list[Triplane]:
        model, inputs = self._sampling()[0], subject.inputs.to(poses.device)
        return [model.encode(inputs, landmarks_override=pose[None], estimate=False) for pose in poses]


def _with_uncertainty(person: Reconstruction, fields: Sequence[Sdf], pool: Float[Tensor, "K J 3"]) -> Reconstruction:
    vertices, normals = torch.from_numpy(person.mesh.vertices), torch.from_numpy(person.mesh.normals)
    poses = SampledPoses(torch.from_numpy(person.landmarks).to(pool), pool)
    return replace(person, uncertainty=measure_uncertainty(vertices, normals, fields, poses))


def _below(subject: SubjectCrop, estimate: Triplane) -> float:
    """Share of the body below the photo, by the estimate: the detector squeezes half a person's legs into the photo."""
    points = estimate.inputs.estimated
    if points is None:
        return 0.0
    return float(share_below_photo(subject.inputs, points.cpu()))


def _copy(clock: StageTimer) -> StageTimer:
    """Each person has seconds of its own beside those that all share."""
    other = StageTimer()
    other.seconds |= clock.seconds
    return other


def _posed(
    model: HumanLRM, denoiser: PoseDenoiser, subject: SubjectCrop, completion: Completion
) -> tuple[SubjectCrop, Float[Tensor, "N J 3"], Float[Tensor, "K J 3"]]:
    """Landmarks of the people to build and all samples, whose first ones uncertainty is made of, in a frame with room
    for them."""

    def drawn(of: SubjectCrop) -> Float[Tensor, "1 K J 3"]:
        inputs = of.inputs.to(next(model.parameters()).device)
        found = sample_poses(
            denoiser, pose_condition(model, inputs), MOST_SAMPLES, completion.seed, completion.guidance
        )
        return model.correct_posture(found, inputs.image)

    found = drawn(subject)
    roomy = expand_frame(subject, found[0, :_ROOMY].flatten(0, 1))
    found = found if roomy is subject else drawn(roomy)
    return roomy, k_medoids(found, completion.samples)[0], found[0]
