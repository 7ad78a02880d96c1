"""Completion of what one photo hides: samples of the person's pose, and how far they are apart.

A photo leaves much open: legs below its border, an arm behind the back, which of two knees is in front. Poses are
sampled by diffusion around the model's estimate (``diffusion.pose_prior``), and a person is built on each.
"""

from dataclasses import dataclass, replace
from pathlib import Path

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
        fields: signed distances of the samples that uncertainty is measured on; empty if it was not asked for.
        poses: landmarks of all samples.
    """

    subject: SubjectCrop
    triplanes: tuple[Triplane, ...]
    sampled: bool = False
    fields: tuple[Sdf, ...] = ()
    poses: Float[Tensor, "K J 3"] | None = None

    def with_uncertainty(self, person: Reconstruction) -> Reconstruction:
        """The person with the spread of its surface, if that was asked for."""
        if self.poses is None or not self.fields:
            return person
        vertices, normals = torch.from_numpy(person.mesh.vertices), torch.from_numpy(person.mesh.normals)
        pool = self.poses.cpu()
        poses = SampledPoses(torch.from_numpy(person.landmarks).to(pool), pool)
        return replace(person, uncertainty=measure_uncertainty(vertices, normals, self.fields, poses))


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
    model: HumanLRM, prior: PoseDenoiser | None, subject: SubjectCrop, estimate: Triplane, completion: Completion
) -> CompletedSubject:
    """Decide whether the pose is sampled, and encode the subject once per sample.

    Raises:
        ValueError: samples are asked of weights without a denoiser.
    """
    if completion.prior == "latent":
        raise ValueError(
            "the latent prior cannot be sampled for a reconstruction, got --prior latent; use --prior pose"
        )
    automatic = completion.complete == "auto" and prior is not None and _below(subject, estimate) > _BELOW_SHARE
    sampled = completion.requested or automatic
    if not sampled and not completion.uncertainty:
        return CompletedSubject(subject, (estimate,))
    if prior is None:
        raise ValueError("these weights have no denoiser to sample with (`humanlrm train-poses` makes one)")
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
    return CompletedSubject(expanded, triplanes, sampled, fields, pool)


def _below(subject: SubjectCrop, estimate: Triplane) -> float:
    """Share of the body below the photo by the estimate, since the detector squeezes legs into the photo."""
    points = estimate.inputs.estimated
    return 0.0 if points is None else float(share_below_photo(subject.inputs, points.cpu()))


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
