"""The front door: a photo in, a textured, watertight, metric person out."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image
from torch import Tensor

from humanlrm.diffusion.uncertainty import Uncertainty
from humanlrm.landmarks import BONES, INDEX, LANDMARKS, LIMBS
from humanlrm.matting import PoseDetector
from humanlrm.mesh import (
    Photo,
    TexturedMesh,
    TriangleSurface,
    bake,
    clean,
    contact_sheet,
    detached_share,
    extract_surface,
    meet_outlines,
    mend_border,
    outlines_of,
    render_views,
    save,
    simplify,
)
from humanlrm.mesh.anatomy import Anatomy, Hair, Parts
from humanlrm.mesh.extract import Sdf
from humanlrm.mesh.mirror import Mirror
from humanlrm.mesh.photo_views import Share
from humanlrm.mesh.texture import heat_map
from humanlrm.mesh.unseen import FieldColor
from humanlrm.model.bones import Bones
from humanlrm.model.lrm import Model
from humanlrm.model.pretrained import SHIPPED, from_pretrained
from humanlrm.model.triplane import Triplane
from humanlrm.subject import SubjectCrop, find_subject, load_photo

#: Standing height over the sum of shank, thigh, trunk (hip to neck) and neck-to-head: its median over people of all
#: kinds is printed by ``python -m benchmarks.stature --assets DIR``.
STATURE = 1.094
_FACES = 24_000
#: A head begins between these heights above the neck, and ends between these distances from its axis (box units).
_HEAD_FROM, _HEAD_TO = (0.02, 0.08), (0.17, 0.25)
#: How far from the middle of the skull something above it belongs to the head, in lengths of the neck (our choice).
_ABOVE = 1.3
#: Between these heights above the middle of the skull hair begins at the nape, and between these places behind it
#: behind the ears, in lengths of the neck (our choice).
_NAPE, _EARS = (-0.6, -0.4), (0.0, 0.2)
#: Limbs by the landmark to which a bone leads (all others are the trunk), and what covers each.
_LIMBS = {"elbow": "arm", "wrist": "arm", "hand": "hand", "knee": "leg", "ankle": "leg", "toe": "foot", "head": "head"}
_CLOTHES = {"trunk": 0, "arm": 0, "leg": 1, "head": 2, "hand": 3, "foot": 4}
#: Where a jacket ends: its height over the hips, in the length of the trunk (our choice).
_HEM = 0.03
#: Farther from all bones than this there is nobody, whatever is worn (box units; our choice).
_FAR = 0.35
#: Segments of both legs, side by side.
_SEGMENTS = [(f"{s}_{a}", f"{s}_{b}") for s in ("left", "right") for a, b in (("ankle", "knee"), ("knee", "hip"))]
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


@dataclass(frozen=True)
class Reconstruction:
    """A reconstructed person.

    Attributes:
        mesh: textured mesh in box units (``frame.py``).
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
        given = [_shown(subject, size_px) for subject in (self.subject, *self.others)]
        sides = render_views(self.mesh, size_px=size_px)
        normals = render_views(self.mesh, ("front",), size_px, shading="normals")
        return contact_sheet([*given, *sides, *normals])


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

    def __call__(self, photo: str | Path, settings: Settings | None = None) -> Reconstruction:
        """Reconstructs the main person of a photo.

        Raises:
            PhotoError: the photo cannot be read or shows nobody.
            ValueError: nothing solid was reconstructed.
        """
        clock = Clock()
        with clock("photo"):
            loaded = load_photo(photo)
        with clock("person"):
            subject = find_subject(loaded, self.detector, self.model.config.image_px)
        return reconstruct(self.model, subject, settings, clock)


class Clock:
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
    model: Model, subject: SubjectCrop, settings: Settings | None = None, clock: Clock | None = None
) -> Reconstruction:
    """From what the network is shown to a textured mesh.

    Raises:
        ValueError: the field has no surface inside the box.
    """
    clock = clock or Clock()
    with clock("network"):
        subject, planes = framed(model, subject)
    return built(model, subject, planes, settings, clock)


@torch.no_grad()
def built(
    model: Model, subject: SubjectCrop, planes: Triplane, settings: Settings | None = None, clock: Clock | None = None
) -> Reconstruction:
    """From planes to a textured mesh. Same errors as :func:`reconstruct`."""
    clock, settings = clock or Clock(), settings or Settings()
    with clock("surface"):
        surface = extract(model, planes, settings.resolution, settings.faces)
    with clock("texture"):
        corrected = planes.given.landmarks
        landmarks = (subject.landmarks[..., :3] if corrected is None else corrected[0]).cpu().numpy()
        colour = colour_of(model, planes, subject)
        mesh = bake(surface, colour, [photo_of(subject)], settings.texture_px, anatomy=anatomy_of(landmarks))
    # Without a landmark head a point may be missing; then the mesh's own height has to do, though people may sit.
    known = corrected is not None or bool((subject.landmarks[:, 3] > 0).all())
    standing = stature(landmarks) if known else float(np.ptp(mesh.vertices[:, 1]))
    return Reconstruction(mesh, subject, landmarks, settings.height_m / standing, clock.seconds)


@torch.no_grad()
def extract(model: Model, planes: Triplane, resolution: int, faces: int | None = None) -> TriangleSurface:
    """The field's zero level as one sound body (box units) that ends where the photo shows that it ends, of about so
    many faces."""
    marks = planes.given.landmarks
    surface = one_body(distance_of(model, planes), resolution, None if marks is None else marks[0].cpu(), faces)
    surface = mend_border(surface, (planes.given.image[0, 4] > 0.5).cpu().numpy())
    bare = None if marks is None else crown(surface.vertices, marks[0].cpu().numpy())
    return meet_outlines(surface, outlines_of(planes.given.image), bare)


def crown(points: Float[np.ndarray, "P 3"], landmarks: Float[np.ndarray, "J 3"]) -> Bool[np.ndarray, "P"]:
    """Which points are on the upper half of the head, or not far above it."""
    up = landmarks[INDEX["head"]] - landmarks[INDEX["neck"]]
    from_head = points - landmarks[INDEX["head"]]
    return (from_head @ up > 0) & (np.linalg.norm(from_head, axis=1) < _ABOVE * np.linalg.norm(up))


def distance_of(model: Model, planes: Triplane) -> Sdf:
    """The field's distance (box units), with arms and legs where landmarks are known. Far from all bones the field is
    not asked: the distance to them is enough."""
    device, marks = next(model.parameters()).device, planes.given.landmarks
    bones = Bones().to(device)

    def sdf(points: Float[torch.Tensor, "P 3"]) -> Float[torch.Tensor, "P"]:
        there = points[None].to(device)
        if marks is None:
            return model.field.distance(planes, there)[0].cpu()
        capsules = bones.distances(there, marks)[0]
        found = capsules[0].amin(-1)
        near = found < _FAR
        if bool(near.any()):
            asked = model.field.distance(planes, there[:, near]).to(found)
            found[near] = bones.with_limbs(asked, capsules[:, near])[0]
        return found.cpu()

    return sdf


def one_body(
    sdf: Sdf, resolution: int, landmarks: Float[Tensor, "J 3"] | None, faces: int | None = None
) -> TriangleSurface:
    """The zero level of a distance as one sound body, of about so many faces. If parts of it are detached, the bones
    between the landmarks, if there are any, hold them."""
    surface = extract_surface(sdf, resolution)
    if landmarks is not None and detached_share(surface) > _DETACHED:
        bones = Bones()
        surface = extract_surface(
            lambda points: bones.held_together(sdf(points)[None], points[None], landmarks[None])[0], resolution
        )
    surface = clean(surface, smoothing=_SMOOTHING)
    return surface if faces is None else simplify(surface, faces)


def framed(model: Model, subject: SubjectCrop) -> tuple[SubjectCrop, Triplane]:
    """Planes in a frame that has room for the whole person.

    The detector squeezes the legs of a half body into the photo. Where the model's estimate puts them beyond the frame,
    they would be cut off: the frame grows, and the network looks again, a few times if need be.
    """
    device = next(model.parameters()).device
    planes = model.planes_of(subject.given.to(device))
    for _ in range(_LOOKS - 1):
        if planes.given.estimated is None:
            break
        roomy = with_room(subject, planes.given.estimated[0])
        if roomy is subject:
            break
        subject, planes = roomy, model.planes_of(roomy.given.to(device))
    return subject, planes


def with_room(subject: SubjectCrop, points: Float[Tensor, "N 3"]) -> SubjectCrop:
    """A larger frame, if the photo cuts the person off and the points (box units) lie beyond this one."""
    if not subject.truncated or float(points[:, :2].abs().max()) < _FRAME:
        return subject
    return subject.including(points.cpu().numpy().clip(-_MOST_ROOM, _MOST_ROOM))


def photo_of(subject: SubjectCrop) -> Photo:
    """The photo that a subject was found in, to be projected."""
    return Photo(subject.photo_rgb.astype(np.float32) / 255, subject.photo_alpha, subject.crop)


def colour_of(model: Model, planes: Triplane, subject: SubjectCrop) -> FieldColor:
    """Colours of surface points. The unseen side is coloured in part by what its pixel shows: at the photo's own
    resolution (at most ``_SHARPEST_PX``), finer than the network's input."""
    device = next(model.parameters()).device
    sharpest = int(min(max(subject.crop.side_px, subject.rgb.shape[-1]), _SHARPEST_PX))
    image = subject.image_at(sharpest).to(device)
    seen = torch.cat([image[:3] * image[3:4], image[3:]])
    sharp = replace(planes, given=replace(planes.given, image=seen[None]))

    @torch.no_grad()
    def colour(points: Float[Tensor, "P 3"], normals: Float[Tensor, "P 3"]) -> Float[Tensor, "P 3"]:
        return model.field.colour(sharp, points[None].to(device), normals[None].to(device))[0].cpu()

    return colour


def anatomy_of(landmarks: Float[np.ndarray, "J 3"]) -> Anatomy:
    """Where what of a person is, by the landmarks (box units)."""
    return Anatomy(head_share(landmarks), parts_of(landmarks), mirror_of(landmarks), hair_of(landmarks))


def head_share(landmarks: Float[np.ndarray, "J 3"]) -> Share:
    """Where the head is. The field reads pixels, and would paint a face on the back of it."""
    neck, head = landmarks[INDEX["neck"]], landmarks[INDEX["head"]]
    up = (head - neck) / max(float(np.linalg.norm(head - neck)), 1e-6)

    def share(points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P"]:
        height = (points - neck) @ up
        beside = np.linalg.norm(points - neck - height[:, None] * up, axis=1)
        return (_ramp(height, *_HEAD_FROM) * (1 - _ramp(beside, *_HEAD_TO))).astype(np.float32)

    return share


def _ramp(x: Float[np.ndarray, "P"], start: float, end: float) -> Float[np.ndarray, "P"]:
    """0 up to ``start``, 1 from ``end`` on."""
    return np.clip((x - start) / (end - start), 0, 1)


def mirror_of(landmarks: Float[np.ndarray, "J 3"]) -> Mirror:
    """The plane between the halves of the head."""
    neck, head, nose = (landmarks[INDEX[name]] for name in ("neck", "head", "nose"))
    up, across = head - neck, np.cross(head - neck, nose - head)
    up, across = (v / max(float(np.linalg.norm(v)), 1e-6) for v in (up, across))
    return Mirror(head, across, up, head_share(landmarks))


def hair_of(landmarks: Float[np.ndarray, "J 3"]) -> Hair:
    """Hair is on the crown and on the back of a head, behind the ears and above the nape, in lengths of the neck."""
    neck, head, nose = (landmarks[INDEX[name]] for name in ("neck", "head", "nose"))
    length, on_head = max(float(np.linalg.norm(head - neck)), 1e-6), head_share(landmarks)
    up = (head - neck) / length
    forward = nose - head - ((nose - head) @ up) * up
    forward = forward / max(float(np.linalg.norm(forward)), 1e-6)

    def height(points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P"]:
        return np.where(on_head(points) > 0.5, (points - head) @ up / length, -np.inf)

    def back(points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P"]:
        high, behind = (points - head) @ up / length, (head - points) @ forward / length
        return (on_head(points) * _ramp(high, *_NAPE) * _ramp(behind, *_EARS)).astype(np.float32)

    return Hair(height, back)


def parts_of(landmarks: Float[np.ndarray, "J 3"]) -> Parts:
    """The person's limbs, and what clothes mostly cover together: trunk and arms, hips and legs, head, hands, feet."""
    marks, bones = torch.from_numpy(landmarks.astype(np.float32))[None], Bones()
    ends = [LANDMARKS[end].rpartition("_") for _, end in BONES]
    named = [(side, _LIMBS[name]) if name in _LIMBS else ("", "trunk") for side, _, name in ends]
    limb_of = np.unique(named, axis=0, return_inverse=True)[1].reshape(-1)
    trunk = limb_of[named.index(("", "trunk"))]
    covered = np.array([_CLOTHES[kind] for _, kind in named])
    hips = (landmarks[INDEX["left_hip"]] + landmarks[INDEX["right_hip"]]) / 2
    up = landmarks[INDEX["neck"]] - hips
    length = max(float(np.linalg.norm(up)), 1e-6)
    up = up / length
    lengths = np.linalg.norm(landmarks[BONES[:, 1]] - landmarks[BONES[:, 0]], axis=-1)
    begin = _begin_of_bones(lengths)

    def from_bones(points: Float[np.ndarray, "P 3"]) -> tuple[Float[np.ndarray, "P E"], Float[np.ndarray, "P E"]]:
        """How far from each, and where along it."""
        distances, along = bones.distances(torch.from_numpy(points)[None], marks)
        return distances[0].numpy(), along[0].numpy()

    def nearest(points: Float[np.ndarray, "P 3"]) -> tuple[Int[np.ndarray, "P"], Float[np.ndarray, "P"]]:
        """The bone, and where along it."""
        distances, along = from_bones(points)
        found = distances.argmin(-1)
        return found, along[np.arange(len(points)), found]

    def limbs(points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P L"]:
        distances, _ = from_bones(points)
        return np.stack([distances[:, limb_of == limb].min(axis=1) for limb in range(limb_of.max() + 1)], axis=1)

    def clothes(points: Float[np.ndarray, "P 3"]) -> Int[np.ndarray, "P"]:
        found, _ = nearest(points)
        low = (limb_of[found] == trunk) & ((points - hips) @ up < _HEM * length)
        return np.where(low, _CLOTHES["leg"], covered[found])

    def height(points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P"]:
        found, along = nearest(points)
        return np.where(limb_of[found] == trunk, (points - hips) @ up, begin[found] + along * lengths[found])

    return Parts(limbs, clothes, height)


def _begin_of_bones(lengths: Float[np.ndarray, "E"]) -> Float[np.ndarray, "E"]:
    """How far from the beginning of an arm or a leg its bones begin."""
    begin = np.zeros(len(BONES))
    for bone, (_, outer) in enumerate(LIMBS):
        begin[BONES[:, 0] == outer] = begin[bone] + lengths[bone]
    return begin


def stature(landmarks: Float[np.ndarray, "J 3"]) -> float:
    """Standing height in box units from the lengths of the body's segments, whatever the pose (our choice).

    Of a shank and a thigh the longer side counts: what points along the rays is estimated too short.
    """
    first, second = (np.stack([landmarks[INDEX[name]] for name in names]) for names in zip(*_SEGMENTS, strict=True))
    left, right = np.linalg.norm(first - second, axis=1).reshape(2, -1)
    hips = (landmarks[INDEX["left_hip"]] + landmarks[INDEX["right_hip"]]) / 2
    neck, head = landmarks[INDEX["neck"]], landmarks[INDEX["head"]]
    upper = np.linalg.norm(neck - hips) + np.linalg.norm(head - neck)
    return STATURE * float(np.maximum(left, right).sum() + upper)
