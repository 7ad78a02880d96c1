"""Three motions of our own, as angles of the joints by formula: walk, idle and wave.

Angles are turns about the axes of the T-pose: x to the person's left, y up, z ahead. Walking follows the course of
hip, knee and ankle in textbooks of gait (Winter, Biomechanics and Motor Control of Human Movement), as sums of bumps.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from humanlrm.rig.motion import Motion
from humanlrm.rig.pose import world_rotations
from humanlrm.rig.skeleton import JOINT, JOINTS

_FRAMES_PER_S = 30
_SIGNED_SIDES = (("left", 1.0), ("right", -1.0))
#: Turns of joints relative to their parents, by name.
_Turns = dict[str, Rotation]


def walk() -> Motion:
    """Two steps in place, which repeat without a seam."""
    return _motion("walk", 1.1, _walk)


def idle() -> Motion:
    """Standing, breathing and looking about, without a seam."""
    return _motion("idle", 6.0, _idle)


def wave() -> Motion:
    """Standing and waving the right hand, without a seam."""
    return _motion("wave", 2.4, _wave)


CLIPS: dict[str, Callable[[], Motion]] = {"walk": walk, "idle": idle, "wave": wave}


def _motion(name: str, length_s: float, turns: Callable[[Float[np.ndarray, "T"]], _Turns]) -> Motion:
    """Frames of a cycle; the last one is the first again."""
    times = np.linspace(0, length_s, round(length_s * _FRAMES_PER_S) + 1)
    local = np.tile(np.eye(3), (len(times), len(JOINTS), 1, 1))
    for joint, rotation in turns(times / length_s).items():
        local[:, JOINT[joint]] = rotation.as_matrix()
    local[-1] = local[0]
    return Motion(name, times, world_rotations(local))


def _walk(phase: Float[np.ndarray, "T"]) -> _Turns:
    swing = np.cos(2 * np.pi * phase)
    turns = {
        "hips": _turn("y", -5 * swing) * _turn("x", np.full_like(phase, 2)),
        "spine": _turn("y", 4 * swing),
        "chest": _turn("y", 6 * swing) * _turn("x", np.full_like(phase, 2)),
        "neck": _turn("y", -5 * swing) * _turn("x", np.full_like(phase, -3)),
    }
    for side, sign in _SIGNED_SIDES:
        own = phase if sign > 0 else (phase + 0.5) % 1
        ahead = np.cos(2 * np.pi * own)
        hip = 8 + 20 * ahead - 4 * _bump(own, 0.85, 0.1)
        knee = 4 + 13 * _bump(own, 0.13, 0.07) + 56 * _bump(own, 0.73, 0.1)
        ankle = -5 * _bump(own, 0.07, 0.04) + 9 * _bump(own, 0.42, 0.12) - 16 * _bump(own, 0.63, 0.06)
        toes = 22 * _bump(own, 0.6, 0.05)
        turns[f"{side}UpperLeg"] = _turn("y", 5 * sign * swing) * _turn("x", -hip)
        turns[f"{side}LowerLeg"] = _turn("x", knee)
        turns[f"{side}Foot"] = _turn("x", -ankle)
        turns[f"{side}Toes"] = _turn("x", -toes)
        turns |= _arm(side, sign, 76 + 0 * phase, -18 * ahead - 2, 18 - 8 * ahead)
    return turns


def _idle(phase: Float[np.ndarray, "T"]) -> _Turns:
    breath, sway = np.sin(2 * np.pi * 2 * phase), np.sin(2 * np.pi * phase)
    turns = {
        "hips": _turn("z", 1.5 * sway) * _turn("y", 2 * sway),
        "spine": _turn("z", -1.5 * sway) * _turn("x", 1 + breath),
        "chest": _turn("z", -0.5 * sway) * _turn("x", -1.2 * breath),
        "neck": _turn("y", 5 * np.sin(2 * np.pi * phase + 0.8)) * _turn("x", 0.8 * breath),
        "head": _turn("y", 6 * np.sin(2 * np.pi * phase + 0.8)),
    }
    for side, sign in _SIGNED_SIDES:
        turns[f"{side}UpperLeg"] = _turn("y", -2 * sway) * _turn("z", -1.5 * sway + 2 * sign)
        turns[f"{side}Shoulder"] = _turn("z", 1.5 * sign * breath)
        turns |= _arm(side, sign, 74 - breath, 2 * sway * sign + 0 * phase, 14 + 2 * breath)
    return turns


def _wave(phase: Float[np.ndarray, "T"]) -> _Turns:
    turns, beat = _idle(phase), np.sin(2 * np.pi * 3 * phase)
    turns["rightShoulder"] = _turn("z", np.full_like(phase, -12))
    # The arm is raised and turned outward, so that the palm looks ahead.
    turns["rightUpperArm"] = (
        _turn("z", -8 - 4 * beat) * _turn("y", np.full_like(phase, 20)) * _turn("x", np.full_like(phase, -70))
    )
    turns["rightLowerArm"] = _turn("y", 80 + 20 * beat)
    turns["rightHand"] = _turn("y", 12 * beat)
    turns["head"] = _turn("z", np.full_like(phase, 3)) * _turn("y", np.full_like(phase, -4))
    return turns


def _arm(
    side: str, sign: float, lowered: Float[np.ndarray, "T"], back: Float[np.ndarray, "T"], bent: Float[np.ndarray, "T"]
) -> _Turns:
    """An arm that hangs: degrees below the T-pose, swung back, and bent at the elbow."""
    return {
        f"{side}UpperArm": _turn("x", back) * _turn("z", -sign * lowered),
        f"{side}LowerArm": _turn("y", -sign * bent),
    }


def _turn(axis: str, degrees: Float[np.ndarray, "T"]) -> Rotation:
    return Rotation.from_euler(axis, np.asarray(degrees)[:, None], degrees=True)


def _bump(phase: Float[np.ndarray, "T"], center: float, width: float) -> Float[np.ndarray, "T"]:
    """A bell of height 1 around a phase of the cycle."""
    away = (phase - center + 0.5) % 1 - 0.5
    return np.exp(-0.5 * (away / width) ** 2)
