"""Animation error: people reconstructed from a photo in one pose, posed by our rig like the true person in other ones.

Both skeletons are brought to a T-pose; what takes the true one from there to a new pose is made by the rig. The truth
is the person of the engine in that pose, with its own weights. Beside it stands the same with the true weights, taken
from the nearest vertex, which tells errors of our weights from those of surface and landmarks.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial import KDTree

from humanlrm.data.scan import Scan
from humanlrm.evaluate.geometry import compare
from humanlrm.evaluate.renderer import EvalRenderer, Viewpoint, camera_at, random_lamps
from humanlrm.evaluate.report.rows import Interval, bootstrap
from humanlrm.mesh.surface import TriangleSurface
from humanlrm.people.avatars.build import Build, random_build
from humanlrm.people.avatars.person import Avatar, AvatarLibrary, posed, skeleton
from humanlrm.people.generate import VALIDATION_SEED
from humanlrm.people.poses.balance import balanced, random_pose
from humanlrm.people.poses.pack import world_rotations
from humanlrm.photo.load import PhotoError
from humanlrm.reconstruct import Reconstructor, Settings
from humanlrm.rig.pose import rotations_to
from humanlrm.rig.skeleton import JOINT, JOINTS, skeleton_from_landmarks
from humanlrm.rig.skin import RiggedPerson
from humanlrm.rig.weights import strongest

_STRETCHED = 3.0
#: Samples of each surface: a tenth of a millimetre of noise in the mean.
_POINTS = 20_000
#: The engine's joints by the names of ours; all others move with their parents.
_SIDE_NAMES = {"Shoulder": "Shoulder", "Arm": "UpperArm", "ForeArm": "LowerArm", "Hand": "Hand",
               "UpLeg": "UpperLeg", "Leg": "LowerLeg", "Foot": "Foot", "ToeBase": "Toes"}  # fmt: skip
_OURS = {"Hips": "hips", "Spine": "spine", "Spine1": "chest", "Spine2": "chest", "Neck": "neck", "Head": "head"} | {
    f"{side}{name}": f"{side.lower()}{ours}" for side in ("Left", "Right") for name, ours in _SIDE_NAMES.items()
}


@dataclass(frozen=True)
class AnimationCase:
    """One person in one new pose.

    Attributes:
        person: of the engine.
        chamfer_cm: of the person posed by our rig, translation aligned.
        true_weights_cm: the same with the true weights.
        photo_cm: of the reconstruction in the photo's own pose.
        stretched: share of edges that are over three times as long as in the photo's pose.
    """

    person: str
    chamfer_cm: float
    true_weights_cm: float
    photo_cm: float
    stretched: float


#: Measured values and their names in the table.
COLUMNS = {
    "photo_cm": "Chamfer cm, photo's pose",
    "chamfer_cm": "Chamfer cm, new poses",
    "true_weights_cm": "with true weights",
    "stretched": "edges beyond 3x",
}


def measure_animation(assets: Path, count: int, poses: int, seed: int = 0) -> Iterator[AnimationCase]:
    """Measure ``count`` held-out people in ``poses`` new poses each; people whom the detector misses are left out.

    Raises:
        ValueError, FileNotFoundError: the asset pack is incomplete.
    """
    library, reconstructor = AvatarLibrary(assets, "val"), Reconstructor()
    for number in range(count):
        avatar = library.avatar(library.ids[number % len(library)])
        yield from measure_person(library, avatar, reconstructor, VALIDATION_SEED + seed + number, poses)


def measure_person(
    library: AvatarLibrary, avatar: Avatar, reconstructor: Reconstructor, seed: int, poses: int
) -> Iterator[AnimationCase]:
    """One person in several poses."""
    rng = np.random.default_rng([seed, 27])
    build, height_m = random_build(rng, child=False), float(rng.uniform(1.5, 1.95))
    truth = [_pose(library, avatar, build, height_m, rng) for _ in range(poses + 1)]
    vertices, landmarks = truth[0]
    mapped = avatar.faces, avatar.uv, avatar.uv_faces, avatar.texture
    scan = Scan(avatar.id, "avatar", "MIT", vertices, *mapped, landmarks, {})
    try:
        person = reconstructor(_photograph(scan, seed), settings=Settings(height_m=height_m, texture_px=256))
    except PhotoError:
        return
    rigged, scale = person.rigged(), person.metres_per_unit
    surface = TriangleSurface(rigged.mesh.vertices * np.float32(scale), rigged.mesh.faces)
    photo_cm = _chamfer_cm(surface, TriangleSurface(vertices, avatar.faces))
    exact = _with_true_weights(rigged, avatar, vertices, landmarks, scale)
    to_t, edges = rotations_to(rigged.skeleton, "t"), _edge_lengths(surface.vertices, surface.faces)
    for true_vertices, true_landmarks in truth[1:]:
        turned = np.swapaxes(rotations_to(skeleton_from_landmarks(true_landmarks), "t"), -1, -2) @ to_t
        moved = [TriangleSurface(p.vertices_in(turned) * np.float32(scale), surface.faces) for p in (rigged, exact)]
        target = TriangleSurface(true_vertices, avatar.faces)
        longer = _edge_lengths(moved[0].vertices, surface.faces) > _STRETCHED * np.maximum(edges, 1e-4)
        ours_cm, exact_cm = (_chamfer_cm(person, target) for person in moved)
        yield AnimationCase(avatar.id, ours_cm, exact_cm, photo_cm, float(longer.mean()))


def summarize(cases: list[AnimationCase]) -> dict[str, Interval | None]:
    """Mean and interval over people of every column."""
    return {name: bootstrap((case.person, getattr(case, name)) for case in cases) for name in COLUMNS}


def _pose(
    library: AvatarLibrary, avatar: Avatar, build: Build, height_m: float, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "V 3"], Float[np.ndarray, "J 3"]]:
    """The person in a random pose of the held-out ones, metres."""
    bend = np.array([15.0, 15.0])
    quats = balanced(random_pose(library.poses, library.split, rng)[1], skeleton(avatar, build, bend))
    return posed(avatar, world_rotations(quats), build=build, height_m=height_m, finger_bend_deg=bend)


def _photograph(scan: Scan, seed: int) -> np.ndarray:
    """A level photograph from the front, with its exact mask as the alpha channel."""
    renderer, rng = EvalRenderer(scan), np.random.default_rng([seed, 13])
    photo = renderer.photograph(camera_at(renderer, Viewpoint(0.0)), random_lamps(rng), rng)
    return np.dstack([photo.rgb, (photo.alpha * 255).astype(np.uint8)])


def _with_true_weights(
    person: RiggedPerson,
    avatar: Avatar,
    vertices: Float[np.ndarray, "V 3"],
    landmarks: Float[np.ndarray, "J 3"],
    scale: float,
) -> RiggedPerson:
    """The same person with the weights of the nearest true vertex."""
    ours: list[int] = []
    for name, parent in zip(avatar.armature.names, avatar.armature.parents, strict=True):
        ours.append(JOINT[_OURS[name]] if name in _OURS else ours[parent])
    merge = np.zeros((len(ours), len(JOINTS)))
    merge[np.arange(len(ours)), ours] = 1
    dense = np.asarray(avatar.weights @ merge)
    hips = skeleton_from_landmarks(landmarks).positions[0] - person.skeleton.positions[0] * scale
    nearest = KDTree(vertices).query(person.mesh.vertices * scale + hips)[1]
    return replace(person, weights=strongest(dense[nearest]))


def _chamfer_cm(predicted: TriangleSurface, truth: TriangleSurface) -> float:
    return 100 * compare(predicted, truth, "translation", _POINTS, workers=1).chamfer


def _edge_lengths(vertices: Float[np.ndarray, "V 3"], faces: np.ndarray) -> Float[np.ndarray, "F 3"]:
    return np.linalg.norm(vertices[faces] - vertices[np.roll(faces, -1, axis=1)], axis=-1)
