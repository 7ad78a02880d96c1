"""Completion of what one photo hides: samples of the person, and how far they are apart.

A photo leaves much open: legs below its border, an arm behind the back, which of two knees is in front. Poses are
sampled by diffusion around the model's estimate (``diffusion.pose_prior``), and a person is built on each. Models of
the paper's family sample whole triplanes instead, if their weights have a denoiser for it (``diffusion.latent``).
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from humanlrm.diffusion.pose_prior import k_medoids, pose_condition, sample_poses
from humanlrm.diffusion.uncertainty import SampledPoses, Sdf, measure_uncertainty
from humanlrm.diffusion.view_prior import GeneratedViews, completed_picture, generate_views, hidden_share
from humanlrm.encoding import correct_estimate, encode, encode_poses, expand_frame
from humanlrm.extraction import distance_of
from humanlrm.model.lrm import HumanLRM
from humanlrm.model.pose_denoiser import PoseDenoiser
from humanlrm.model.pretrained import SHIPPED, pose_denoiser_from_pretrained, view_denoiser_from_pretrained
from humanlrm.model.triplane import Triplane
from humanlrm.model.view_denoiser import ViewDenoiser
from humanlrm.photo.crop import SubjectCrop
from humanlrm.photo.visibility import share_below_photo
from humanlrm.reconstruction import Reconstruction
from humanlrm.settings import MOST_SAMPLES, Completion

#: Folder of the denoiser of landmarks within a weights folder.
POSES = "poses"
#: Folder of the denoiser of layered views within a weights folder.
VIEWS = "views"
#: Folder of the denoiser of latent triplanes within a weights folder.
LATENTS = "latents"
#: Samples that uncertainty is measured on, at least; and samples that the frame has room for.
_UNCERTAINTY_SAMPLES, _FRAME_SAMPLES = 6, 16
#: Share of the body below the photo from which on a sample is nearer to the truth than the estimate
#: (docs/completion.md: half of a body's height is 0.22 to 0.46 of it, three tenths less than 0.2).
_BELOW_SHARE = 0.25
#: Share of the person that a photo hides from which on the person is built on a completed picture: less is the error of
#: masks.
_HIDDEN_SHARE = 0.03


@dataclass(frozen=True)
class CompletedSubject:
    """Triplanes to build people on.

    Attributes:
        subject: the crop, in a frame with room for all samples.
        triplanes: of the estimate, or one per sample.
        sampled: True if they are samples.
        whole: True if nothing is missing in them, so that no view needs to be generated.
        fields: signed distances of the samples that uncertainty is measured on; empty if it was not asked for.
        poses: landmarks of all samples; ``None``: they were not sampled.
    """

    subject: SubjectCrop
    triplanes: tuple[Triplane, ...]
    sampled: bool = False
    whole: bool = False
    fields: tuple[Sdf, ...] = ()
    poses: Float[Tensor, "K J 3"] | None = None

    def with_uncertainty(self, person: Reconstruction) -> Reconstruction:
        """The person with the spread of its surface, if that was asked for."""
        if not self.fields:
            return person
        vertices, normals = torch.from_numpy(person.mesh.vertices), torch.from_numpy(person.mesh.normals)
        poses = None
        if self.poses is not None:
            pool = self.poses.cpu()
            poses = SampledPoses(torch.from_numpy(person.landmarks).to(pool), pool)
        return replace(person, uncertainty=measure_uncertainty(vertices, normals, self.fields, poses))


@dataclass(frozen=True)
class Priors:
    """The denoisers that complete people.

    Attributes:
        poses: of landmarks; ``None``: these weights have none.
        views: of layered views; ``None``: nothing is generated.
        latents: of latent triplanes (``diffusion.latent.denoiser.Denoiser``); ``None``: these weights have none.
    """

    poses: PoseDenoiser | None = None
    views: ViewDenoiser | None = None
    latents: Any = None


def open_priors(weights: Path, device: str | torch.device = "cpu") -> Priors:
    """The denoisers that belong to a weights folder.

    Raises:
        CheckpointError: one is damaged or of another kind.
    """
    latents = None
    if (weights / LATENTS).is_dir():
        from humanlrm.diffusion.latent.denoiser import denoiser_from_pretrained  # the shipped weights have none

        latents = denoiser_from_pretrained(weights / LATENTS, device)
    return Priors(open_pose_prior(weights, device), open_view_prior(weights, device), latents)


def open_pose_prior(weights: Path, device: str | torch.device = "cpu") -> PoseDenoiser | None:
    """The denoiser of landmarks that belongs to a weights folder; ``None``: the folder has none.

    Raises:
        CheckpointError: it is damaged or of another kind.
    """
    return pose_denoiser_from_pretrained(weights / POSES, device) if (weights / POSES).is_dir() else None


def open_view_prior(weights: Path, device: str | torch.device = "cpu") -> ViewDenoiser:
    """The denoiser of layered views that belongs to a weights folder, else the shipped one: it sees photo and skeleton
    alone, so that it serves any weights.

    Raises:
        CheckpointError: it is damaged or of another kind.
    """
    own = weights / VIEWS
    return view_denoiser_from_pretrained(own if own.is_dir() else SHIPPED / VIEWS, device)


@torch.no_grad()
def complete_views(
    model: HumanLRM, prior: ViewDenoiser | None, subject: SubjectCrop, triplane: Triplane, seed: int = 0, steps: int = 1
) -> tuple[Triplane, GeneratedViews | None]:
    """Generate what the photo does not show of a person, and build a person of whom it hides much anew.

    The network then sees the completed front as its photo: a skirt that was generated is a skirt of the surface, too.

    Args:
        prior: ``None``: nothing is generated.
        triplane: of the photo; its landmarks stay.
        seed, steps: of the sample (:func:`humanlrm.diffusion.view_prior.generate_views`). Of people whom the photo
            shows whole the mean is taken.
    """
    landmarks = triplane.inputs.landmarks
    if prior is None or landmarks is None:
        return triplane, None
    views = generate_views(prior, subject, landmarks[0], seed)
    inputs = subject.inputs.to(views.body.layers.device)
    if hidden_share(inputs.image, views.body) < _HIDDEN_SHARE:
        return triplane, views
    if steps > 1:
        views = generate_views(prior, subject, landmarks[0], seed, steps)
    whole = replace(inputs, image=completed_picture(inputs.image, views.body)).to(landmarks.device)
    return encode(model, whole, landmarks, estimate=False), views


@torch.no_grad()
def complete(
    model: HumanLRM, priors: Priors, subject: SubjectCrop, estimate: Triplane, completion: Completion
) -> CompletedSubject:
    """Decide whether the person is sampled, and make a triplane of each sample.

    Raises:
        ValueError: samples are asked of weights without a denoiser.
    """
    latent = completion.prior == "latent"
    prior = priors.latents if latent else priors.poses
    automatic = completion.complete == "auto" and prior is not None and _below(subject, estimate) > _BELOW_SHARE
    sampled = completion.requested or automatic
    if not sampled and not completion.uncertainty:
        return CompletedSubject(subject, (estimate,))
    if prior is None:
        command, folder = ("train-diffusion", LATENTS) if latent else ("train-poses", POSES)
        raise ValueError(
            f"these weights have no denoiser to sample with, --prior {completion.prior} needs their folder {folder} "
            f"(`humanlrm {command}` makes it)"
        )
    sample = _complete_latents if latent else _complete_poses
    return sample(model, prior, subject, estimate, completion, sampled)


def _complete_latents(
    model: HumanLRM, prior: Any, subject: SubjectCrop, estimate: Triplane, completion: Completion, sampled: bool
) -> CompletedSubject:
    """Triplanes that are sampled around what the photo shows. Each is a whole person."""
    from humanlrm.diffusion.latent.complete import LatentSampling
    from humanlrm.diffusion.latent.complete import complete as sample_latents

    count = max(completion.samples, _UNCERTAINTY_SAMPLES if completion.uncertainty else 1)
    plan = LatentSampling(count, seed=completion.seed, guidance=completion.guidance)
    drawn = sample_latents(model, prior, subject.inputs.to(next(model.parameters()).device), plan).planes
    fields = tuple(distance_of(model, planes) for planes in drawn) if completion.uncertainty else ()
    triplanes = drawn[: completion.samples] if sampled else (estimate,)
    return CompletedSubject(subject, triplanes, sampled, whole=sampled, fields=fields)


def _complete_poses(
    model: HumanLRM,
    prior: PoseDenoiser,
    subject: SubjectCrop,
    estimate: Triplane,
    completion: Completion,
    sampled: bool,
) -> CompletedSubject:
    """Triplanes on poses that are sampled around the estimate."""
    expanded, people, pool = _sample(model, prior, subject, completion)
    inputs = expanded.inputs.to(people.device)
    if sampled:
        triplanes = encode_poses(model, inputs, people)
    else:
        triplanes = (estimate if expanded is subject else encode(model, inputs),)
    fields: tuple[Sdf, ...] = ()
    if completion.uncertainty:
        count = max(completion.samples, _UNCERTAINTY_SAMPLES)
        fields = tuple(distance_of(model, triplane) for triplane in encode_poses(model, inputs, pool[:count]))
    return CompletedSubject(expanded, triplanes, sampled, fields=fields, poses=pool)


def _below(subject: SubjectCrop, estimate: Triplane) -> float:
    """Share of the body below the photo by the estimate, if there is one: the detector squeezes legs into the photo."""
    points = estimate.inputs.estimated
    return float(share_below_photo(subject.inputs, None if points is None else points.cpu()))


def _sample(
    model: HumanLRM, prior: PoseDenoiser, subject: SubjectCrop, completion: Completion
) -> tuple[SubjectCrop, Float[Tensor, "N J 3"], Float[Tensor, "K J 3"]]:
    """A frame with room for the samples, the landmarks to build people on, and those of all samples."""

    def sample(crop: SubjectCrop) -> Float[Tensor, "1 K J 3"]:
        inputs = crop.inputs.to(next(model.parameters()).device)
        poses = sample_poses(prior, pose_condition(model, inputs), MOST_SAMPLES, completion.seed, completion.guidance)
        return correct_estimate(model, poses, inputs.image)

    poses = sample(subject)
    expanded = expand_frame(subject, poses[0, :_FRAME_SAMPLES].flatten(0, 1))
    if expanded is not subject:
        poses = sample(expanded)
    return expanded, k_medoids(poses, completion.samples)[0], poses[0]
