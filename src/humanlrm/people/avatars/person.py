"""People made of rigged, textured avatars: every time another pose, build and colours of clothes.

Reads the avatar folder of the asset pack (``valid/``: ``index.json`` and one npz per avatar, see its README).
"""

import io
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image
from scipy.sparse import csr_matrix

from humanlrm.body.landmarks import LANDMARKS
from humanlrm.data.scan import Scan
from humanlrm.mesh.surface import TriangleSurface
from humanlrm.people.armature import Armature, Transforms, skin
from humanlrm.people.avatars.build import Build, build_matrices, random_build, rig_rotations
from humanlrm.people.chest_print import Chest, find_chest, with_print
from humanlrm.people.dye import Dye, covered_texels, find_dye, redye
from humanlrm.people.mesh import floor_below, line_sheets
from humanlrm.people.poses.balance import Skeleton, balanced, random_pose
from humanlrm.people.poses.everyday import everyday_pose
from humanlrm.people.poses.pack import PosePack, Split, load_poses, world_rotations

CHILD_SHARE = 0.06
_AVATAR_LICENCE = "MIT"
_WIG = "h_wig"
_JOINTS_PER_VERTEX = 4


@dataclass(frozen=True)
class Avatar:
    """One avatar at rest.

    Attributes:
        id, identity, sex, group, outfit: from the pack.
        vertices: metres, T-pose; vertices that only a texture seam separated are one.
        faces: index into ``vertices``.
        uv, uv_faces: texture coordinates per corner, v = 0 at the bottom.
        weights: four weights (sum 1) of each vertex for the joints.
        armature: the skeleton.
        nose: number of the vertex at the tip of the nose.
        texture: sRGB.
        dye: texels that may change colour.
        chest: texels of cloth on the front of the trunk.
    """

    id: str
    identity: str
    sex: str
    group: str
    outfit: str
    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    uv: Float[np.ndarray, "U 2"]
    uv_faces: Int[np.ndarray, "F 3"]
    weights: csr_matrix
    armature: Armature
    nose: int
    texture: UInt8[np.ndarray, "H W 3"]
    dye: Dye
    chest: Chest


class AvatarLibrary:
    """The avatars of one side of the identity split, and the poses that belong to that side.

    Args:
        assets: root of the asset pack; ``valid/`` and ``poses/poses.npz`` are used.
        split: ``"train"`` or ``"val"``; the pack splits by identity, poses are split by source.
        cached: number of decoded avatars that stay in memory, about 8 MB each; the oldest leaves first.

    Raises:
        FileNotFoundError: the folder or the pose pack is missing.
        ValueError: ``split`` is neither of the two, or has no avatar.
    """

    def __init__(self, assets: Path, split: Split, *, cached: int = 32):
        if split not in ("train", "val"):
            raise ValueError(f'AvatarLibrary: split is "train" or "val", not {split!r}')
        self.folder = Path(assets) / "valid"
        index = self.folder / "index.json"
        if not index.is_file():
            raise FileNotFoundError(f"AvatarLibrary: no {index}; `assets` must be the root of the asset pack")
        self.split: Split = split
        self.records = {r["id"]: r for r in json.loads(index.read_text(encoding="utf-8")) if r["split"] == split}
        if not self.records:
            raise ValueError(f"AvatarLibrary: {index} lists no avatar of the split {split!r}")
        self.ids = tuple(sorted(self.records))
        self.poses: PosePack = load_poses(Path(assets) / "poses" / "poses.npz").of_split(split)
        self._decoded = lru_cache(maxsize=cached)(load_avatar)

    def __len__(self) -> int:
        return len(self.ids)

    def avatar(self, avatar_id: str) -> Avatar:
        """One avatar, decoded at first use.

        Raises:
            ValueError: this side of the split has no such avatar.
        """
        if avatar_id not in self.records:
            raise ValueError(f"AvatarLibrary: no avatar {avatar_id!r} in the split {self.split!r}")
        return self._decoded(self.folder / self.split / f"{avatar_id}.npz")


def load_avatar(path: Path) -> Avatar:
    """Decodes one avatar file; only plain arrays are read, nothing is unpickled.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"load_avatar: no avatar file {path}; is the asset pack complete?")
    with np.load(path, allow_pickle=False) as file:
        data = {name: file[name] for name in file.files}
    names = tuple(str(n) for n in data["joint_names"])
    rest = data["bind_world"][:, :3, 3].astype(np.float64)
    armature = Armature(names, tuple(int(p) for p in data["joint_parents"]), rest)
    first, welded = _weld(data["verts_q"])
    vertices = (data["verts_q"][first] * data["verts_scale"] + data["verts_offset"]).astype(np.float32)
    uv, uv_faces = (data["uv_q"] / np.float32(65535)).astype(np.float32), data["faces"].astype(np.int32)
    faces = welded[uv_faces].astype(np.int32)
    part = np.array([str(n) for n in data["part_names"]])[data["face_part"]]
    lining = line_sheets(vertices, faces, part == _WIG)
    vertices, faces, uv_faces = lining.vertices, lining.faces, lining.texture_corners(uv_faces)
    part = part[lining.face_rows]
    joints, shares = (data[name][first][lining.rows] for name in ("skin_joints", "skin_weights"))
    starts = np.arange(0, joints.size + 1, _JOINTS_PER_VERTEX)
    entries = ((shares / np.float32(255)).ravel(), joints.astype(np.int64).ravel(), starts)
    weights = csr_matrix(entries, shape=(len(joints), len(names)))
    texture = np.asarray(Image.open(io.BytesIO(data["tex_webp"].tobytes())).convert("RGB"))
    nose = _nose_vertex(armature, vertices, weights, faces[part == part[0]])
    dye = _dye(texture, armature, (vertices, faces), (uv, uv_faces), weights, part, nose)
    chest = _chest(texture, armature, TriangleSurface(vertices, faces), (uv, uv_faces), weights, dye)
    words = {key: str(data[key]) for key in ("id", "identity", "sex", "group", "outfit")}
    return Avatar(**words, vertices=vertices, faces=faces, uv=uv, uv_faces=uv_faces, weights=weights,
                  armature=armature, nose=nose, texture=texture, dye=dye, chest=chest)  # fmt: skip


def _weld(positions: UInt8[np.ndarray, "V 3"] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows to keep and, for every row, the number of its kept twin: equal stored positions are one vertex."""
    _, first, welded = np.unique(positions, axis=0, return_index=True, return_inverse=True)
    return first, welded.reshape(-1)


def _share_of(armature: Armature, weights: csr_matrix, *words: str) -> Float[np.ndarray, "V"]:
    """Summed weight of each vertex for the joints whose name contains one of the words."""
    chosen = np.array([any(word in name for word in words) for name in armature.names])
    return (weights.data * chosen[weights.indices]).reshape(-1, _JOINTS_PER_VERTEX).sum(1)


def _nose_vertex(
    armature: Armature, vertices: Float[np.ndarray, "V 3"], weights: csr_matrix, faces: Int[np.ndarray, "F 3"]
) -> int:
    """The front-most vertex of the head near the middle, between the chin and the eyes, without hair or hat parts."""
    head, eye = (armature.rest[armature.index(name)] for name in ("Head", "LeftEye"))
    candidates = np.unique(faces)
    x, y = np.abs(vertices[candidates, 0] - head[0]), vertices[candidates, 1]
    on_face = (x < 0.02) & (y > eye[1] - 0.06) & (y < eye[1])
    on_face &= _share_of(armature, weights, "Head")[candidates] > 0.5
    if not on_face.any():
        raise ValueError("load_avatar: no face vertex between the chin and the eyes; is this avatar in T-pose?")
    return int(candidates[on_face][vertices[candidates[on_face], 2].argmax()])


def _dye(texture, armature, mesh, mapping, weights, part, nose) -> Dye:
    """Texels of cloth and of a separate hair part."""
    (vertices, faces), (uv, uv_faces), size = mesh, mapping, texture.shape[:2]
    body, wig = part == part[0], part == _WIG
    hand = (_share_of(armature, weights, "Hand", "Finger") > 0.5)[faces].any(1)
    head = (_share_of(armature, weights, "Head", "Eye") > 0.5)[faces].any(1)
    close = (np.linalg.norm(vertices - vertices[nose], axis=1) < 0.05)[faces].all(1) & body
    painted = {key: covered_texels(size, uv, uv_faces[chosen]) for key, chosen in
               {"kept": hand | head | ~body, "hair": wig, "face": close, "hand": hand}.items()}  # fmt: skip
    skin = _skin_colors(texture[painted["face"]], texture[painted["hand"]])
    return find_dye(texture, painted["kept"], painted["hair"], skin)


def _chest(texture, armature, surface, mapping, weights, dye) -> Chest:
    """Texels of cloth on the front of the trunk."""
    trunk = np.array((_share_of(armature, weights, "Spine", "Hips") > 0.5)[surface.faces].all(1))
    shoulders = armature.rest[[armature.index(f"{side}Arm") for side in ("Left", "Right")]]
    uv, uv_faces = mapping
    chest = find_chest(texture.shape[:2], surface, uv, uv_faces, shoulders, trunk)
    cloth = np.isin(chest.texels, dye.cloth[dye.cloth_share > 128])
    return Chest(chest.texels[cloth], chest.x[cloth], chest.y[cloth])


def _skin_colors(face: UInt8[np.ndarray, "N 3"], hand: UInt8[np.ndarray, "M 3"]) -> Float[np.ndarray, "S 3"]:
    """The face's median colour, and the hand's if it is not far from it (gloves are)."""
    colors = [np.median(texels, axis=0).astype(np.float64) for texels in (face, hand) if len(texels)]
    if not colors:
        raise ValueError("load_avatar: neither face nor hands cover a texel; is this avatar's texture complete?")
    return np.stack([c for c in colors if np.linalg.norm(c - colors[0]) < 90])


def make_avatar(
    library: AvatarLibrary, seed: int, *, avatar_id: str | None = None, everyday: str | None = None
) -> Scan:
    """A person made from an avatar: random pose, build and clothes colours; the same seed gives the same person.

    Metres, lowest point at y = 0, centred in x and z, facing +Z. All 19 landmarks are known.

    Args:
        avatar_id: the avatar to use; random if not given.
        everyday: name of the everyday pose to take; random, of all kinds, if not given.
    """
    rng = np.random.default_rng([seed, 0xA7A7])
    drawn = library.ids[int(rng.integers(len(library)))]
    avatar = library.avatar(drawn if avatar_id is None else avatar_id)
    if everyday is None:
        source, quats = random_pose(library.poses, library.split, rng)
    else:
        source, quats = f"everyday/{everyday}", everyday_pose(everyday, rng)
    child = bool(rng.random() < CHILD_SHARE)
    height = float(rng.uniform(1.1, 1.45)) if child else float(rng.uniform(1.45, 2.0))
    build = random_build(rng, child=child)
    bend = rng.uniform(4, 38, 2)
    texture = redye(avatar.texture, avatar.dye, rng, strength=float(rng.choice([0.0, 1.0], p=[0.2, 0.8])))
    if library.split == "train":
        texture = with_print(texture, avatar.chest, rng)
    quats = balanced(quats, skeleton(avatar, build, bend))
    vertices, landmarks = posed(avatar, world_rotations(quats), build=build, height_m=height, finger_bend_deg=bend)
    tags: dict[str, str | float] = {
        "sex": {"F": "female", "M": "male"}.get(avatar.sex, avatar.sex),
        "group": avatar.group,
        "clothes": avatar.outfit.lower(),
        "age_group": "child" if child else "adult",
        "identity": avatar.identity,
        "height_m": height,
        "pose": source,
    }
    return Scan(f"{avatar.id}_{seed}", "avatar", _AVATAR_LICENCE, vertices, avatar.faces, avatar.uv, avatar.uv_faces,
                texture, landmarks, tags)  # fmt: skip


def posed(
    avatar: Avatar,
    world: Float[np.ndarray, "22 3 3"],
    *,
    build: Build,
    height_m: float,
    finger_bend_deg: Float[np.ndarray, "2"],
) -> tuple[Float[np.ndarray, "V 3"], Float[np.ndarray, "19 3"]]:
    """Vertices and landmarks of the avatar in a pose, standing on the floor.

    Args:
        world: world rotations of the pose's joints.
        height_m: height that this build would have in T-pose.
    """
    armature, stretch = avatar.armature, build_matrices(avatar.armature, build)
    upright = armature.place(np.tile(np.eye(3), (len(armature.names), 1, 1)), stretch)
    rest = skin(avatar.vertices, avatar.weights, armature, upright)
    scale = height_m / float(np.ptp(rest[:, 1]))
    transforms = armature.place(rig_rotations(armature, world, finger_bend_deg), stretch)
    vertices = skin(avatar.vertices, avatar.weights, armature, transforms)
    landmarks = rig_landmarks(avatar, transforms, vertices[avatar.nose])
    floor = floor_below(vertices)
    return (vertices - floor) * np.float32(scale), ((landmarks - floor) * scale).astype(np.float32)


#: Landmark (of the left, if it has a side) -> the joints whose middle it is near, the joint that carries it along, and
#: how far from there it is, in shares of the height in T-pose: toward the person's left, up and forward. So avatars
#: have their landmarks where bodies of anny have theirs (``benchmarks/joints.py`` prints how well).
_POINTS: dict[str, tuple[tuple[str, ...], str, tuple[float, float, float]]] = {
    "neck": (("Neck",), "Neck", (0.0, 0.01, -0.014)),
    "head": (("Head", "HeadEnd"), "Head", (0.0, 0.008, -0.009)),
    "shoulder": (("Arm",), "Shoulder", (0.006, -0.007, 0.0)),
    "elbow": (("ForeArm",), "Arm", (0.004, -0.009, -0.002)),
    "wrist": (("Hand",), "ForeArm", (0.0, 0.0, 0.0)),
    "hand": (("HandIndex1",), "Hand", (0.008, 0.0, 0.0)),
    "hip": (("UpLeg",), "Hips", (0.017, 0.009, -0.019)),
    "knee": (("Leg",), "UpLeg", (0.0, 0.005, -0.009)),
    "ankle": (("Foot",), "Leg", (0.0, -0.006, -0.011)),
    "toe": (("ToeEnd",), "ToeBase", (-0.02, 0.006, -0.019)),
}


def skeleton(avatar: Avatar, build: Build, finger_bend_deg: Float[np.ndarray, "2"]) -> Skeleton:
    """The landmarks of the avatar with this build in a pose, as :func:`posed` gives them up to scale and place."""
    armature, stretch = avatar.armature, build_matrices(avatar.armature, build)
    nose, weights = avatar.vertices[[avatar.nose]], avatar.weights[[avatar.nose]]

    def posed_landmarks(world: Float[np.ndarray, "22 3 3"]) -> Float[np.ndarray, "19 3"]:
        transforms = armature.place(rig_rotations(armature, world, finger_bend_deg), stretch)
        return rig_landmarks(avatar, transforms, skin(nose, weights, armature, transforms)[0])

    return posed_landmarks


def rig_landmarks(avatar: Avatar, transforms: Transforms, nose: Float[np.ndarray, "3"]) -> Float[np.ndarray, "19 3"]:
    """The 19 landmarks of a posed avatar."""
    armature, (linear, positions), height = avatar.armature, transforms, float(np.ptp(avatar.vertices[:, 1]))
    points = []
    for landmark in LANDMARKS:
        if landmark == "nose":
            points.append(nose)
            continue
        side, _, name = landmark.rpartition("_")
        near, carrier, offset = _POINTS[name]
        joints = [armature.index(side.title() + joint) for joint in near]
        carried = armature.index(carrier if carrier in armature.names else side.title() + carrier)
        rest = armature.rest[joints].mean(0) + np.array(offset) * (-1 if side == "right" else 1, 1, 1) * height
        points.append(linear[carried] @ (rest - armature.rest[carried]) + positions[carried])
    return np.stack(points).astype(np.float32)
