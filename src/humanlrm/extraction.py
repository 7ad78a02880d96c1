"""From a triplane to one sound body in the photo's outline, and the colors of its surface."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from humanlrm.body.height import crown_mask
from humanlrm.body.skeleton import SkeletonCapsules
from humanlrm.mesh.clean import clean, detached_share, simplify
from humanlrm.mesh.extract import Sdf, extract_surface
from humanlrm.mesh.silhouette import extract_outlines, fit_silhouette, smooth_photo_border
from humanlrm.mesh.surface import TriangleSurface
from humanlrm.model.lrm import HumanLRM
from humanlrm.model.triplane import Triplane
from humanlrm.photo.crop import SubjectCrop
from humanlrm.texture.project import PhotoProjection
from humanlrm.texture.spread import FieldColor
from humanlrm.views import premultiplied

#: Farther than this from all bones nobody is, whatever is worn (box units).
_EMPTY_DISTANCE = 0.35
_SMOOTHING_STEPS = 3
#: Longest side of the photo that the field takes colors from.
_COLOR_SIDE_PX = 1024
#: A person of whom more than this share is detached is bridged by the bones.
_DETACHED_SHARE = 0.003


@torch.no_grad()
def fitted_surface(model: HumanLRM, triplane: Triplane, resolution: int, faces: int | None = None) -> TriangleSurface:
    """The surface that is written: :func:`extract`, then :func:`fit_photo`."""
    return fit_photo(extract(model, triplane, resolution, faces), triplane)


@torch.no_grad()
def extract(model: HumanLRM, triplane: Triplane, resolution: int, faces: int | None = None) -> TriangleSurface:
    """The field's zero level as one closed body (box units).

    Args:
        resolution: lattice cells per side.
        faces: approximate number of triangles; ``None``: as many as the lattice gives.

    Raises:
        ValueError: the field has no surface inside the box.
    """
    landmarks = triplane.inputs.landmarks
    return extract_body(
        distance_of(model, triplane), resolution, None if landmarks is None else landmarks[0].cpu(), faces
    )


def fit_photo(body: TriangleSurface, triplane: Triplane, hidden: Bool[Tensor, "S S"] | None = None) -> TriangleSurface:
    """The body, ending where the photo shows that the person ends.

    Args:
        hidden: pixels of other people: whether the person ends there is unknown.
    """
    landmarks, image = triplane.inputs.landmarks, triplane.inputs.image
    body = smooth_photo_border(body, (image[0, 4] > 0.5).cpu().numpy())
    crown = None if landmarks is None else crown_mask(body.vertices, landmarks[0].cpu().numpy())
    if hidden is not None and bool(hidden.any()):
        image = torch.cat([image[:, :4], image[:, 4:] * ~hidden.to(image.device)], dim=1)
    return fit_silhouette(body, extract_outlines(image), crown)


def distance_of(model: HumanLRM, triplane: Triplane) -> Sdf:
    """The field's signed distance (box units), with arms and legs where landmarks are.

    Far from all bones the field is not evaluated: the distance to the bones is enough there.
    """
    device, landmarks = next(model.parameters()).device, triplane.inputs.landmarks
    skeleton = SkeletonCapsules().to(device)

    def sdf(points: Float[Tensor, "P 3"]) -> Float[Tensor, "P"]:
        batch = points[None].to(device)
        if landmarks is None:
            return model.field.distance(triplane, batch)[0].cpu()
        capsules = skeleton.distances(batch, landmarks)[0]
        distance = capsules[0].amin(-1)
        near = distance < _EMPTY_DISTANCE
        if bool(near.any()):
            field = model.field.distance(triplane, batch[:, near]).to(distance)
            distance[near] = skeleton.enforce_limbs(field, capsules[:, near])[0]
        return distance.cpu()

    return sdf


def extract_body(
    sdf: Sdf, resolution: int, landmarks: Float[Tensor, "J 3"] | None, faces: int | None = None
) -> TriangleSurface:
    """The zero level of a signed distance as one closed body. Detached parts are bridged along the bones."""
    surface = extract_surface(sdf, resolution)
    if landmarks is not None and detached_share(surface) > _DETACHED_SHARE:
        skeleton = SkeletonCapsules()
        surface = extract_surface(
            lambda points: skeleton.bridge_gaps(sdf(points)[None], points[None], landmarks[None])[0], resolution
        )
    surface = clean(surface, smoothing=_SMOOTHING_STEPS)
    return surface if faces is None else simplify(surface, faces)


def photo_of(subject: SubjectCrop) -> PhotoProjection:
    """The subject's photo as a projector."""
    return PhotoProjection(subject.photo_rgb.astype(np.float32) / 255, subject.photo_alpha, subject.crop)


def color_of(model: HumanLRM, triplane: Triplane, subject: SubjectCrop) -> FieldColor:
    """Colors of surface points by the field.

    The field reads the photo's pixels at the photo's own resolution (at most ``_COLOR_SIDE_PX``), finer than the
    network's input, and the network's input where that was completed.
    """
    device = next(model.parameters()).device
    side_px = int(min(max(subject.crop.side_px, subject.rgb.shape[-1]), _COLOR_SIDE_PX))
    photo = subject.image_at(side_px)[None].to(device)
    seen = torch.nn.functional.interpolate(triplane.inputs.image.to(photo), photo.shape[-2:], mode="bilinear")
    image = torch.where((photo[:, 3:4] <= 0.5) & (seen[:, 3:4] > 0.5), seen, premultiplied(photo))
    sharp = replace(triplane, inputs=replace(triplane.inputs, image=image))

    @torch.no_grad()
    def color(points: Float[Tensor, "P 3"], normals: Float[Tensor, "P 3"]) -> Float[Tensor, "P 3"]:
        return model.field.color(sharp, points[None].to(device), normals[None].to(device))[0].cpu()

    return color
