"""BVH files: joints by the names of CMU, Mixamo and VRM, and their motion in the T-pose's terms."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from humanlrm.files import number, read_lines
from humanlrm.rig.motion import Motion, leg_length
from humanlrm.rig.pose import place_joints, rotations_to
from humanlrm.rig.skeleton import JOINT, JOINTS, PARENTS, Skeleton

#: Names of joints in files, without namespace, case and signs; of several that are there the first counts.
_NAMES: dict[str, tuple[str, ...]] = {
    "hips": ("hips", "hip", "pelvis", "root"),
    "spine": ("spine", "lowerback", "abdomen", "spine1", "torso"),
    "chest": ("upperchest", "spine3", "spine2", "spine1", "chest", "thorax"),
    "neck": ("neck", "neck1"),
    "head": ("head",),
    "Shoulder": ("shoulder", "collar", "clavicle"),
    "UpperArm": ("arm", "upperarm", "uparm"),
    "LowerArm": ("forearm", "lowerarm", "lowarm", "elbow"),
    "Hand": ("hand", "wrist"),
    "UpperLeg": ("upleg", "upperleg", "thigh"),
    "LowerLeg": ("leg", "lowerleg", "lowleg", "shin", "knee"),
    "Foot": ("foot", "ankle"),
    "Toes": ("toebase", "toes", "toe"),
}
#: Joints without which nobody can be moved.
_NEEDED = (
    "hips",
    *(f"{side}{name}" for side in ("left", "right") for name in ("UpperArm", "LowerArm", "UpperLeg", "LowerLeg")),
)
#: Lengths of what a file leaves out, in lengths of a leg.
_FOOT, _HAND, _HEAD = 0.2, 0.2, 0.2
_CHANNELS = {f"{axis}{kind}" for axis in "XYZ" for kind in ("position", "rotation")}


@dataclass
class _Node:
    """One joint of a file: where its parent is in the list, its offset, its channels, and where it ends."""

    name: str
    parent: int
    offset: Float[np.ndarray, "3"]
    channels: tuple[str, ...] = ()
    end: Float[np.ndarray, "3"] | None = field(default=None)


@dataclass(frozen=True)
class BvhMotion:
    """A motion that was read.

    Attributes:
        motion: relative to the T-pose.
        mapping: the file's joint for each of ours; joints that it lacks move with their parents.
    """

    motion: Motion
    mapping: dict[str, str]


def read_bvh(path: Path) -> BvhMotion:
    """Read a BVH file; the person starts where the file starts and looks ahead.

    Raises:
        ValueError: not a BVH file, damaged, or joints that are not known.
    """
    lines = read_lines(path)
    nodes, rest = _hierarchy(path, lines)
    frames, frame_s = _frames(path, rest, sum(len(node.channels) for node in nodes))
    found = _map_joints(path, nodes)
    upright = _upright(nodes, found)
    positions = _rest_positions(nodes) @ upright.T
    rotations, root = _world(nodes, frames)
    rotations, root = upright @ rotations @ upright.T, root @ upright.T
    skeleton = _skeleton(nodes, found, positions, upright)
    world = np.empty((len(frames), len(JOINTS), 3, 3))
    for joint, name in enumerate(JOINTS):
        world[:, joint] = rotations[:, found[name]] if name in found else world[:, PARENTS[joint]]
    hips = _hips_way(skeleton, world, root + positions[found["hips"]] - positions[0])
    turned, hips = _look_ahead(world @ np.swapaxes(rotations_to(skeleton, "t"), -1, -2), hips)
    motion = Motion(path.stem, np.arange(len(frames)) * frame_s, turned, hips)
    return BvhMotion(motion, {name: nodes[index].name for name, index in found.items()})


def _hierarchy(path: Path, lines: list[str]) -> tuple[list[_Node], list[str]]:
    """Joints, parents first, and the lines of the motion."""
    if not lines or lines[0].upper() != "HIERARCHY":
        raise ValueError(f"{path} is not a BVH file: it does not begin with HIERARCHY")
    nodes: list[_Node] = []
    open_joints: list[int] = []
    in_end = False
    for place, line in enumerate(lines[1:], 1):
        words = line.split()
        match words[0].upper():
            case "ROOT" | "JOINT":
                nodes.append(_Node(" ".join(words[1:]), open_joints[-1] if open_joints else -1, np.zeros(3)))
            case "END":
                in_end = True
            case "OFFSET":
                offset = np.array([number(word, f"{path}: {line}") for word in words[1:4]])
                if not nodes or len(offset) != 3:
                    raise ValueError(f"{path}: {line!r} is no offset of a joint")
                if in_end:
                    nodes[open_joints[-2]].end = offset
                else:
                    nodes[-1].offset = offset
            case "CHANNELS":
                channels = tuple(words[2:])
                if not set(channels) <= _CHANNELS or words[1] != str(len(channels)):
                    raise ValueError(f"{path}: cannot read {line!r}")
                nodes[-1].channels = channels
            case "{":
                open_joints.append(len(nodes) - 1)
            case "}":
                open_joints.pop()
                in_end = False
            case "MOTION":
                return nodes, lines[place + 1 :]
            case word:
                raise ValueError(f"{path}: {word!r} is no part of a BVH file")
    raise ValueError(f"{path} has no MOTION")


def _frames(path: Path, lines: list[str], width: int) -> tuple[Float[np.ndarray, "T N"], float]:
    """One row per frame, and the time between them, seconds."""
    words = [line.partition(":")[2].split() for line in lines[:2]]
    if len(lines) < 3 or any(len(word) != 1 for word in words):
        raise ValueError(f"{path}: expected lines 'Frames: N' and 'Frame Time: S' and a frame after MOTION")
    count, frame_s = int(number(words[0][0], path)), number(words[1][0], path)
    rows = [[number(word, path) for word in line.split()] for line in lines[2 : 2 + count]]
    if len(rows) < count or count < 1 or frame_s <= 0 or any(len(row) != width for row in rows):
        raise ValueError(f"{path}: expected {count} frames of {width} numbers; the file is incomplete or damaged")
    return np.array(rows), frame_s


def _map_joints(path: Path, nodes: list[_Node]) -> dict[str, int]:
    """The file's joint for each of ours that it has."""
    plain = {_plain(node.name): index for index, node in reversed(list(enumerate(nodes)))}
    found: dict[str, int] = {}
    for joint in JOINTS:
        side = next((word for word in ("left", "right") if joint.startswith(word)), "")
        for name in _NAMES[joint.removeprefix(side)]:
            index = next((plain[key] for key in _spellings(side, name) if key in plain), None)
            if index is not None and index not in found.values():
                found[joint] = index
                break
    if missing := [joint for joint in _NEEDED if joint not in found]:
        known = ", ".join(node.name for node in nodes[:12])
        raise ValueError(
            f"{path}: no joint for {', '.join(missing)}; expected the names of CMU, Mixamo or VRM, got {known}"
        )
    return found


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.rpartition(":")[2].removeprefix("mixamorig").lower())


def _spellings(side: str, name: str) -> Iterator[str]:
    yield f"{side}{name}"
    if side:
        yield f"{side[0]}{name}"
        yield f"{name}{side[0]}"


def _rest_positions(nodes: list[_Node]) -> Float[np.ndarray, "N 3"]:
    positions = np.zeros((len(nodes), 3))
    for index, node in enumerate(nodes):
        positions[index] = node.offset + (positions[node.parent] if node.parent >= 0 else 0)
    return positions


def _world(nodes: list[_Node], frames: Float[np.ndarray, "T N"]) -> tuple[np.ndarray, Float[np.ndarray, "T 3"]]:
    """World rotations (T, N, 3, 3) of the file's joints, and the place of its root."""
    rotations = np.tile(np.eye(3), (len(frames), len(nodes), 1, 1))
    root, column = np.tile(nodes[0].offset, (len(frames), 1)), 0
    for index, node in enumerate(nodes):
        turn = Rotation.identity(len(frames))
        for channel in node.channels:
            values = frames[:, column]
            column += 1
            if channel.endswith("rotation"):
                turn = turn * Rotation.from_euler(channel[0], values[:, None], degrees=True)
            elif index == 0:
                root[:, "XYZ".index(channel[0])] = values
        rotations[:, index] = turn.as_matrix()
        if node.parent >= 0:
            rotations[:, index] = rotations[:, node.parent] @ rotations[:, index]
    return rotations, root


def _upright(nodes: list[_Node], found: dict[str, int]) -> Float[np.ndarray, "3 3"]:
    """Rotation that makes y the file's up: files of some programs have z there."""
    positions = _rest_positions(nodes)
    legs = [positions[found[f"{side}LowerLeg"]] for side in ("left", "right")]
    up = positions[found["hips"]] - np.mean(legs, axis=0)
    return Rotation.from_euler("x", -90, degrees=True).as_matrix() if np.abs(up).argmax() == 2 else np.eye(3)


def _skeleton(
    nodes: list[_Node], found: dict[str, int], positions: Float[np.ndarray, "N 3"], upright: Float[np.ndarray, "3 3"]
) -> Skeleton:
    """Our skeleton in the file's rest pose; what it leaves out is set beside what is there."""
    at = {name: positions[index] for name, index in found.items()}
    hips, arms = at["hips"], (at["leftUpperArm"] + at["rightUpperArm"]) / 2
    leg = np.mean([np.linalg.norm(at[f"{side}UpperLeg"] - at[f"{side}LowerLeg"]) for side in ("left", "right")]) * 2
    across = at["leftUpperLeg"] - at["rightUpperLeg"]
    up = arms - hips
    ahead = np.cross(across, up)
    ahead, up = ahead / np.linalg.norm(ahead), up / np.linalg.norm(up)
    at.setdefault("spine", hips + 0.2 * (arms - hips))
    at.setdefault("chest", hips + 0.5 * (arms - hips))
    at.setdefault("neck", arms)
    at.setdefault("head", at["neck"] + 0.5 * _HEAD * leg * up)
    for side in ("left", "right"):
        at.setdefault(f"{side}Shoulder", (at["neck"] + at[f"{side}UpperArm"]) / 2)
        for child, parent, above in (("Hand", "LowerArm", "UpperArm"), ("Foot", "LowerLeg", "UpperLeg")):
            at.setdefault(f"{side}{child}", 2 * at[f"{side}{parent}"] - at[f"{side}{above}"])
        at.setdefault(f"{side}Toes", at[f"{side}Foot"] + _FOOT * leg * ahead - 0.3 * _FOOT * leg * up)
    at = {name: at[name] for name in JOINTS}
    end = {
        name: at[child]
        for child, name in zip(JOINTS[1:], (JOINTS[p] for p in PARENTS[1:]), strict=True)
        if name not in ("hips", "chest")
    }
    end |= {"hips": at["spine"], "chest": at["neck"], "head": at["head"] + _HEAD * leg * up}
    for side in ("left", "right"):
        wrist, toes = at[f"{side}Hand"], at[f"{side}Toes"]
        end[f"{side}Hand"] = wrist + _HAND * leg * _direction(wrist - at[f"{side}LowerArm"])
        end[f"{side}Toes"] = toes + 0.4 * (toes - at[f"{side}Foot"])
    nose = at["head"] + 0.4 * _HEAD * leg * up + 0.5 * _HEAD * leg * ahead
    return Skeleton(np.stack(list(at.values())), np.stack([end[name] for name in JOINTS]), nose)


def _hips_way(
    skeleton: Skeleton, world: Float[np.ndarray, "T K 3 3"], hips: Float[np.ndarray, "T 3"]
) -> Float[np.ndarray, "T 3"]:
    """The hips' way in lengths of a leg, from where they are in the T-pose on the floor."""
    feet = [JOINT[name] for name in JOINTS if name.endswith(("Foot", "Toes"))]
    floor = place_joints(skeleton, world, hips)[:, feet, 1].min()
    to_t = rotations_to(skeleton, "t")
    standing = -place_joints(skeleton, to_t, np.zeros(3))[feet, 1].min()
    start = np.array([hips[0, 0], floor + standing, hips[0, 2]])
    return (hips - start) / leg_length(skeleton.offsets)


def _look_ahead(
    rotations: Float[np.ndarray, "T K 3 3"], hips: Float[np.ndarray, "T 3"]
) -> tuple[Float[np.ndarray, "T K 3 3"], Float[np.ndarray, "T 3"]]:
    """The motion turned about y, so that the first frame looks along +Z."""
    ahead = rotations[0, JOINT["hips"]] @ [0, 0, 1]
    turn = Rotation.from_euler("y", -np.arctan2(ahead[0], ahead[2])).as_matrix()
    return turn @ rotations, hips @ turn.T


def _direction(vector: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    return vector / max(float(np.linalg.norm(vector)), 1e-9)
