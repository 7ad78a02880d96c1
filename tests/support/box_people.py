"""An asset pack of little people made of boxes."""

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from humanlrm.people.poses.pack import POSE_JOINTS

SKIN, CLOTH = (200, 150, 120), (40, 60, 160)
MIDDLE = {
    "Hips": (None, (0, 1.0, 0)),
    "Spine": ("Hips", (0, 1.05, 0)),
    "Spine1": ("Spine", (0, 1.15, 0)),
    "Spine2": ("Spine1", (0, 1.25, 0)),
    "Neck": ("Spine2", (0, 1.45, 0)),
    "Head": ("Neck", (0, 1.55, 0)),
    "HeadEnd": ("Head", (0, 1.75, 0)),
}
LEFT = {
    "Shoulder": ("Spine2", (0.03, 1.4, 0)),
    "Arm": ("Shoulder", (0.16, 1.4, 0)),
    "ForeArm": ("Arm", (0.43, 1.4, 0)),
    "Hand": ("ForeArm", (0.66, 1.4, 0)),
    "HandIndex1": ("Hand", (0.75, 1.4, 0.03)),
    "UpLeg": ("Hips", (0.09, 0.9, 0)),
    "Leg": ("UpLeg", (0.09, 0.5, 0)),
    "Foot": ("Leg", (0.09, 0.08, 0)),
    "ToeBase": ("Foot", (0.09, 0.03, 0.12)),
    "ToeEnd": ("ToeBase", (0.09, 0.02, 0.2)),
    "Eye": ("Head", (0.03, 1.63, 0.09)),
}
CUBE = np.array([(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)])
QUADS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]


def rest_joints() -> tuple[list[str], list[int], np.ndarray]:
    joints = dict(MIDDLE)
    for side, x in (("Left", 1), ("Right", -1)):
        for name, (parent, place) in LEFT.items():
            owner = parent if parent in MIDDLE else side + parent
            joints[side + name] = (owner, (x * place[0], *place[1:]))
    names = list(joints)
    parents = [-1 if p is None else names.index(p) for p, _ in joints.values()]
    return names, parents, np.array([place for _, place in joints.values()], float)


def boxes(names: list[str], places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A box of six separate sides (so every corner is stored three times) around each joint, and one for the nose."""
    centres = [*places, (0, 1.6, 0.11)]
    sizes = [0.08 if "Eye" not in n and "End" not in n else 0.03 for n in names] + [0.02]
    owners = [*range(len(names)), names.index("Head")]
    corners = np.concatenate(
        [((CUBE - 0.5) * s + c)[np.array(QUADS)].reshape(-1, 3) for c, s in zip(centres, sizes, strict=True)]
    )
    faces = np.concatenate(
        [[(4 * q, 4 * q + 1, 4 * q + 2), (4 * q, 4 * q + 2, 4 * q + 3)] for q in range(len(corners) // 4)]
    )
    return corners, faces, np.repeat(owners, 24)


def write_avatar(path: Path, avatar_id: str) -> None:
    names, parents, places = rest_joints()
    corners, faces, owners = boxes(names, places)
    low, high = corners.min(0), corners.max(0)
    bare = np.array([any(w in names[o] for w in ("Head", "Hand", "Eye")) for o in owners])
    uv = np.where(bare, 0.25, 0.75)[:, None] + np.random.default_rng(0).uniform(-0.2, 0.2, (len(corners), 2)) * [1, 1]
    image = np.full((64, 64, 3), CLOTH, np.uint8)
    image[:, :32] = SKIN
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="WEBP", lossless=True)
    joints = np.zeros((len(corners), 4), np.uint8)
    joints[:, 0] = owners
    weights = np.zeros((len(corners), 4), np.uint8)
    weights[:, 0] = 255
    bind = np.tile(np.eye(4, dtype=np.float32), (len(names), 1, 1))
    bind[:, :3, 3] = places
    np.savez(
        path,
        verts_q=np.round((corners - low) / (high - low) * 65535).astype(np.uint16),
        verts_scale=((high - low) / 65535).astype(np.float32),
        verts_offset=low.astype(np.float32),
        faces=faces.astype(np.uint16),
        uv_q=(np.clip(uv, 0, 1) * 65535).astype(np.uint16),
        tex_webp=np.frombuffer(file.getvalue(), np.uint8),
        skin_joints=joints,
        skin_weights=weights,
        joint_names=np.array(names),
        joint_parents=np.array(parents, np.int16),
        bind_world=bind,
        face_part=np.zeros(len(faces), np.uint8),
        part_names=np.array(["body"]),
        id=np.array(avatar_id),
        identity=np.array(avatar_id[:3]),
        sex=np.array("F"),
        group=np.array("Box"),
        outfit=np.array("Casual"),
    )


def write_box_people(root: Path) -> Path:
    """An asset pack of three people made of boxes, in two splits, and 20 poses at rest."""
    records = []
    for split, avatar_id in (("train", "one_a"), ("train", "two_b"), ("val", "six_c")):
        folder = root / "valid" / split
        folder.mkdir(parents=True, exist_ok=True)
        write_avatar(folder / f"{avatar_id}.npz", avatar_id)
        records.append({"id": avatar_id, "split": split})
    (root / "valid" / "index.json").write_text(json.dumps(records), encoding="utf-8")
    (root / "poses").mkdir()
    quats = np.tile(np.float32([1, 0, 0, 0]), (20, 22, 1))
    sources = np.array([f"clip{i}" for i in range(20)])
    np.savez(root / "poses" / "poses.npz", joint_names=np.array(POSE_JOINTS), quat_wxyz=quats, source=sources)
    return root
