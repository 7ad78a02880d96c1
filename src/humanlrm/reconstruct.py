"""The front door: a photo in, a textured, watertight, metric person out."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from humanlrm.body.height import crown_mask, standing_height
from humanlrm.body.parts import anatomy_from_landmarks
from humanlrm.body.skeleton import SkeletonCapsules
from humanlrm.diffusion.uncertainty import Uncertainty
from humanlrm.mesh.clean import clean, detached_share, simplify
from humanlrm.mesh.export import save
from humanlrm.mesh.extract import Sdf, extract_surface
from humanlrm.mesh.preview import contact_sheet, render_views
from humanlrm.mesh.silhouette import extract_outlines, fit_silhouette, smooth_photo_border
from humanlrm.mesh.surface import TriangleSurface
from humanlrm.mesh.texels import TexturedMesh
from humanlrm.model.lrm import Model
from humanlrm.model.pretrained import SHIPPED, from_pretrained
from humanlrm.model.triplane import Triplane
from humanlrm.photo.blazepose import PoseDetector
from humanlrm.photo.crop import SubjectCrop, find_subject
from humanlrm.photo.load import PhotoSource, load_photo
from humanlrm.texture.bake import bake, heat_map
from humanlrm.texture.observations import FieldColor
from humanlrm.texture.project import PhotoProjection

_FACES = 24_000
#: Farther from all bones than this there is nobody, whatever is worn (box units; our choice).
_FAR = 0.35
#: Spread that a heat map shows as red, metres.
_HOT_M = 0.1
_SMOOTHING = 3
#: Side of the photo that the field takes colours from, at most.
_SHARPEST_PX = 1024
#: A person of whom more than this share is detached is held together by the bones.
_DETACHED = 0.003
#: Estimated landmarks farther out than this ask for a larger frame, and at most this far out is believed (box units);
#: how often the network looks. A portrait's feet are three units below its middle.
_FRAME, _MOST_ROOM, _LOOKS = 0.93, 4.0, 3


@dataclass(frozen=True)
class Settings:
    """How a person is written out.

    Attributes:
        height_m: standing height of the person.
        resolution: cells per side of the marching cubes lattice: 64 times a power of two.
        texture_px: side of the texture.
        faces: about how many triangles the mesh has.
    """

    height_m: float = 1.70
    resolution: int = 256
    texture_px: int = 1024
    faces: int = _FACES

    def __post_init__(self) -> None:
        if not 0.3 <= self.height_m <= 3:
            raise ValueError(f"height_m must be a person's height between 0.3 and 3 metres, got {self.height_m}")
        if self.resolution not in (64, 128, 256, 512):
            raise ValueError(f"resolution must be 64, 128, 256 or 512, got {self.resolution}")
        if not 64 <= self.texture_px <= 8192:
            raise ValueError(f"texture_px must be between 64 and 8192, got {self.texture_px}")
        if self.faces < 100:
            raise ValueError(f"faces must be at least 100, got {self.faces}")


@dataclass(frozen=True, repr=False)
class Reconstruction:
    """A reconstructed person.

    Attributes:
        mesh: textured mesh in box units (``frame.py``); times ``metres_per_unit`` it is in metres.
        subject: what the network was shown.
        landmarks: corrected landmarks (as detected, where the model has no landmark head), box units.
        metres_per_unit: metric scale, from ``height_m``.
        seconds: time per stage.
        others: what the network was shown of further photos, if there were several.
        uncertainty: how sure the surface is at each vertex, if that was asked for (``humanlrm.completion``).
    """

    mesh: TexturedMesh
    subject: SubjectCrop
    landmarks: Float[np.ndarray, "J 3"]
    metres_per_unit: float
    seconds: dict[str, float]
    others: tuple[SubjectCrop, ...] = ()
    uncertainty: Uncertainty | None = None

    def __repr__(self) -> str:
        """Without the arrays."""
        height_m = self.metres_per_unit * float(np.ptp(self.mesh.vertices[:, 1]))
        faces, side_px = len(self.mesh.faces), len(self.mesh.texture)
        return f"Reconstruction({faces:,} faces, {height_m:.2f} m high, texture {side_px} px)"

    def save(self, path: str | Path) -> Path:
        """Writes .glb, .obj or .ply: metres, upright, facing +Z, feet at y = 0. Never leaves a half-written file.

        Uncertainty goes with .glb and .ply as vertex attributes: ``_SPREAD_M`` and ``_ABSENCE``.

        Raises:
            ValueError: an unknown suffix.
        """
        attributes: dict[str, Float[np.ndarray, "U"]] = {}
        if self.uncertainty is not None:
            spread_m = self.uncertainty.spread.numpy() * self.metres_per_unit
            attributes = {"_SPREAD_M": spread_m, "_ABSENCE": self.uncertainty.absence.numpy()}
        return save(path, self.mesh, metres_per_unit=self.metres_per_unit, attributes=attributes)

    def heat_map(self, size_px: int = 1024) -> UInt8[np.ndarray, "{size_px} {size_px} 3"]:
        """Uncertainty as a texture for the mesh's coordinates: blue where the surface is sure, red where samples are
        10 cm apart or more.

        Raises:
            ValueError: uncertainty was not asked for.
        """
        if self.uncertainty is None:
            raise ValueError("no uncertainty was asked for (Completion(uncertainty=True))")
        spread_m = self.uncertainty.spread.numpy() * self.metres_per_unit
        return heat_map(self.mesh, spread_m / _HOT_M, size_px)

    def preview(self, size_px: int = 384) -> UInt8[np.ndarray, "H W 3"]:
        """One picture: the inputs, front, left, back, right, normals."""
        inputs = [_shown(subject, size_px) for subject in (self.subject, *self.others)]
        sides = render_views(self.mesh, size_px=size_px)
        normals = render_views(self.mesh, ("front",), size_px, shading="normals")
        return contact_sheet([*inputs, *sides, *normals])


def _shown(subject: SubjectCrop, size_px: int) -> UInt8[np.ndarray, "{size_px} {size_px} 3"]:
    """The person before white."""
    seen = (subject.rgb * subject.alpha + (1 - subject.alpha)).permute(1, 2, 0).numpy()
    return np.asarray(Image.fromarray((seen * 255).round().astype(np.uint8)).resize((size_px, size_px)))


class Loaded:
    """Holds the network and the detector; load once, call often.

    Args:
        weights: folder of ``config.json`` and ``model.safetensors``.
        device: where the network runs.

    Raises:
        CheckpointError: the weights are incomplete, damaged or do not fit.
    """

    def __init__(self, weights: Path = SHIPPED, device: str | torch.device = "cpu", threads: int = 0) -> None:
        self.model = from_pretrained(weights, device)
        self.detector = PoseDetector(threads, careful=True)


class Reconstructor(Loaded):
    """From a photo to a mesh."""

    def __call__(self, photo: PhotoSource, settings: Settings | None = None) -> Reconstruction:
        """Reconstructs the main person of a photo: a file, a Pillow image, or an array of 8-bit numbers.

        Raises:
            PhotoError: the photo cannot be read or shows nobody.
            ValueError: nothing solid was reconstructed.
        """
        clock = StageTimer()
        with clock("photo"):
            loaded = load_photo(photo)
        with clock("person"):
            subject = find_subject(loaded, self.detector, self.model.config.image_px)
        return reconstruct(self.model, subject, settings, clock)


class StageTimer:
    """Seconds per stage, in order.

    Attributes:
        seconds: of the stages that have ended.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = time.perf_counter() - start


@torch.no_grad()
def reconstruct(
    model: Model, subject: SubjectCrop, settings: Settings | None = None, clock: StageTimer | None = None
) -> Reconstruction:
    """From what the network is shown to a textured mesh.

    Raises:
        ValueError: the field has no surface inside the box.
    """
    clock = clock or StageTimer()
    with clock("network"):
        subject, planes = encode_reframed(model, subject)
    return mesh_from_triplane(model, subject, planes, settings, clock)


@torch.no_grad()
def mesh_from_triplane(
    model: Model,
    subject: SubjectCrop,
    planes: Triplane,
    settings: Settings | None = None,
    clock: StageTimer | None = None,
) -> Reconstruction:
    """From planes to a textured mesh. Same errors as :func:`reconstruct`."""
    clock, settings = clock or StageTimer(), settings or Settings()
    with clock("surface"):
        surface = extract(model, planes, settings.resolution, settings.faces)
    with clock("texture"):
        corrected = planes.inputs.landmarks
        landmarks = (subject.landmarks[..., :3] if corrected is None else corrected[0]).cpu().numpy()
        color = color_of(model, planes, subject)
        mesh = bake(surface, color, [photo_of(subject)], settings.texture_px, anatomy=anatomy_from_landmarks(landmarks))
    # Without a landmark head a point may be missing; then the mesh's own height has to do, though people may sit.
    known = corrected is not None or bool((subject.landmarks[:, 3] > 0).all())
    standing = standing_height(landmarks) if known else float(np.ptp(mesh.vertices[:, 1]))
    return Reconstruction(mesh, subject, landmarks, settings.height_m / standing, clock.seconds)


@torch.no_grad()
def extract(model: Model, planes: Triplane, resolution: int, faces: int | None = None) -> TriangleSurface:
    """The field's zero level as one sound body (box units) that ends where the photo shows that it ends, of about so
    many faces."""
    marks = planes.inputs.landmarks
    surface = one_body(distance_of(model, planes), resolution, None if marks is None else marks[0].cpu(), faces)
    surface = smooth_photo_border(surface, (planes.inputs.image[0, 4] > 0.5).cpu().numpy())
    bare = None if marks is None else crown_mask(surface.vertices, marks[0].cpu().numpy())
    return fit_silhouette(surface, extract_outlines(planes.inputs.image), bare)


def distance_of(model: Model, planes: Triplane) -> Sdf:
    """The field's distance (box units), with arms and legs where landmarks are known. Far from all bones the field is
    not asked: the distance to them is enough."""
    device, marks = next(model.parameters()).device, planes.inputs.landmarks
    bones = SkeletonCapsules().to(device)

    def sdf(points: Float[torch.Tensor, "P 3"]) -> Float[torch.Tensor, "P"]:
        there = points[None].to(device)
        if marks is None:
            return model.field.distance(planes, there)[0].cpu()
        capsules = bones.distances(there, marks)[0]
        found = capsules[0].amin(-1)
        near = found < _FAR
        if bool(near.any()):
            asked = model.field.distance(planes, there[:, near]).to(found)
            found[near] = bones.enforce_limbs(asked, capsules[:, near])[0]
        return found.cpu()

    return sdf


def one_body(
    sdf: Sdf, resolution: int, landmarks: Float[Tensor, "J 3"] | None, faces: int | None = None
) -> TriangleSurface:
    """The zero level of a distance as one sound body, of about so many faces. If parts of it are detached, the bones
    between the landmarks, if there are any, hold them."""
    surface = extract_surface(sdf, resolution)
    if landmarks is not None and detached_share(surface) > _DETACHED:
        bones = SkeletonCapsules()
        surface = extract_surface(
            lambda points: bones.bridge_gaps(sdf(points)[None], points[None], landmarks[None])[0], resolution
        )
    surface = clean(surface, smoothing=_SMOOTHING)
    return surface if faces is None else simplify(surface, faces)


def encode_reframed(model: Model, subject: SubjectCrop) -> tuple[SubjectCrop, Triplane]:
    """Planes in a frame that has room for the whole person.

    The detector squeezes the legs of a half body into the photo. Where the model's estimate puts them beyond the frame,
    they would be cut off: the frame grows, and the network looks again, a few times if need be.
    """
    device = next(model.parameters()).device
    planes = model.encode(subject.inputs.to(device))
    for _ in range(_LOOKS - 1):
        if planes.inputs.estimated is None:
            break
        roomy = expand_frame(subject, planes.inputs.estimated[0])
        if roomy is subject:
            break
        subject, planes = roomy, model.encode(roomy.inputs.to(device))
    return subject, planes


def expand_frame(subject: SubjectCrop, points: Float[Tensor, "N 3"]) -> SubjectCrop:
    """A larger frame, if the photo cuts the person off and the points (box units) lie beyond this one."""
    if not subject.truncated or float(points[:, :2].abs().max()) < _FRAME:
        return subject
    return subject.expanded_to(points.cpu().numpy().clip(-_MOST_ROOM, _MOST_ROOM))


def photo_of(subject: SubjectCrop) -> PhotoProjection:
    """The photo that a subject was found in, to be projected."""
    return PhotoProjection(subject.photo_rgb.astype(np.float32) / 255, subject.photo_alpha, subject.crop)


def color_of(model: Model, planes: Triplane, subject: SubjectCrop) -> FieldColor:
    """Colours of surface points. The unseen side is coloured in part by what its pixel shows: at the photo's own
    resolution (at most ``_SHARPEST_PX``), finer than the network's input."""
    device = next(model.parameters()).device
    sharpest = int(min(max(subject.crop.side_px, subject.rgb.shape[-1]), _SHARPEST_PX))
    image = subject.image_at(sharpest).to(device)
    seen = torch.cat([image[:3] * image[3:4], image[3:]])
    sharp = replace(planes, inputs=replace(planes.inputs, image=seen[None]))

    @torch.no_grad()
    def color(points: Float[Tensor, "P 3"], normals: Float[Tensor, "P 3"]) -> Float[Tensor, "P 3"]:
        return model.field.color(sharp, points[None].to(device), normals[None].to(device))[0].cpu()

    return color
