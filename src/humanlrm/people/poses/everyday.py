"""Everyday poses: standing relaxed, hands on hips, arms crossed, walking, sitting, on the phone.

Photos of people are mostly these, and motion clips are mostly not. Each pose is a stance of the legs and a gesture of
each arm, given as the directions of upper arm and forearm.
"""

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from humanlrm.people.poses.pack import POSE_JOINTS, Split, with_turns

#: Directions of the left upper arm and the left forearm (+X left, +Y up, +Z forward) in the chest's frame.
GESTURES: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "down": ((0.27, -1.0, -0.02), (0.18, -1.0, 0.16)),
    "down_away": ((0.42, -0.95, -0.05), (0.30, -1.0, 0.25)),
    "swing_front": ((0.22, -1.0, 0.35), (0.10, -0.9, 0.75)),
    "swing_back": ((0.25, -1.0, -0.40), (0.20, -1.0, -0.12)),
    "hip": ((0.72, -0.66, -0.20), (-0.66, -0.66, 0.36)),
    "pocket": ((0.42, -0.88, -0.28), (-0.12, -0.92, 0.38)),
    "crossed": ((0.20, -0.86, 0.44), (-0.92, 0.10, 0.38)),
    "clasped": ((0.28, -0.95, 0.12), (-0.52, -0.66, 0.55)),
    "behind": ((0.36, -0.86, -0.36), (-0.58, -0.72, -0.36)),
    "phone": ((0.60, -0.55, 0.45), (-0.50, 0.83, 0.05)),
    "texting": ((0.24, -0.93, 0.20), (-0.36, 0.30, 0.88)),
    "chin": ((0.12, -0.85, 0.50), (-0.30, 0.90, 0.28)),
    "wave": ((0.92, -0.15, 0.20), (0.25, 0.95, 0.18)),
    "raised": ((0.42, 0.90, 0.05), (0.15, 1.0, 0.10)),
    "aside": ((0.95, 0.02, 0.05), (1.0, 0.05, 0.15)),
    "pointing": ((0.30, -0.22, 0.92), (0.12, 0.0, 1.0)),
    "lap": ((0.26, -0.94, 0.18), (-0.16, -0.52, 0.84)),
    "knee": ((0.25, -0.80, 0.45), (0.02, -0.45, 0.85)),
    "run_front": ((0.18, -0.75, 0.60), (-0.25, 0.35, 0.90)),
    "run_back": ((0.22, -0.72, -0.65), (0.05, -0.55, 0.83)),
    "forward": ((0.18, -0.20, 0.96), (0.05, -0.10, 1.0)),
    "prop": ((0.30, -0.80, -0.52), (0.15, -0.95, -0.30)),
}

#: (stance, gesture of the left arm, gesture of the right arm) by name. Mirroring supplies the other side.
EVERYDAY: dict[str, tuple[str, str, str]] = {
    "relaxed": ("stand", "down", "down"), "relaxed_wide": ("wide", "down_away", "down_away"),
    "contrapposto": ("contrapposto", "down", "down"), "attention": ("stand", "down", "down"),
    "casual": ("contrapposto", "down_away", "down"), "akimbo": ("wide", "hip", "hip"),
    "one_hand_on_hip": ("contrapposto", "down", "hip"), "model": ("contrapposto", "hip", "down_away"),
    "pockets": ("stand", "pocket", "pocket"), "one_pocket": ("contrapposto", "pocket", "down"),
    "crossed_arms": ("stand", "crossed", "crossed"), "clasped_hands": ("stand", "clasped", "clasped"),
    "hands_behind": ("stand", "behind", "behind"), "phone_call": ("contrapposto", "phone", "down"),
    "phone_call_pocket": ("stand", "pocket", "phone"), "texting": ("contrapposto", "texting", "texting"),
    "thinking": ("contrapposto", "crossed", "chin"), "waving": ("stand", "down", "wave"),
    "greeting": ("contrapposto", "wave", "down_away"), "cheering": ("wide", "raised", "raised"),
    "reaching_up": ("stand", "raised", "down"), "arms_out": ("stand", "aside", "aside"),
    "pointing": ("wide", "pointing", "down"), "strolling": ("walk", "swing_back", "swing_front"),
    "walking": ("walk", "swing_back", "swing_front"), "walking_pocket": ("walk", "pocket", "swing_front"),
    "walking_phone": ("walk", "swing_back", "phone"), "leaning": ("lean", "down_away", "down"),
    "sitting": ("sit", "lap", "lap"), "sitting_knees": ("sit", "knee", "knee"),
    "sitting_crossed": ("sit_crossed", "lap", "clasped"), "sitting_talking": ("sit", "texting", "lap"),
    "squatting": ("squat", "knee", "knee"), "step": ("step", "down", "swing_front"),
    "running": ("run", "run_back", "run_front"), "sprinting": ("run", "run_back", "run_front"),
    "lunging": ("lunge", "hip", "hip"), "lunging_arms_out": ("lunge", "aside", "aside"),
    "kneeling_on_one": ("kneel_one", "knee", "down"), "kneeling": ("kneel", "lap", "lap"),
    "kneeling_upright": ("kneel", "down", "hip"), "jumping": ("jump", "raised", "raised"),
    "jumping_star": ("star", "raised", "aside"), "picking_up": ("bend", "forward", "forward"),
    "bending_over": ("bend", "knee", "forward"), "sitting_on_the_floor": ("floor", "prop", "prop"),
    "sitting_hugging_knees": ("floor", "forward", "forward"), "crouching_low": ("squat", "forward", "knee"),
    "lying": ("lie", "down_away", "down"), "lying_arms_up": ("lie", "raised", "aside"),
}  # fmt: skip

#: Stances that are neither standing nor walking, and their share: photos mostly show people standing or walking, but
#: poses that are rare in training fail.
HARD_STANCES = {"sit", "sit_crossed", "squat", "run", "lunge", "kneel_one", "kneel", "jump", "star", "bend", "floor",
                "lie"}  # fmt: skip
HARD_SHARE = 0.45
#: Probability that an arm makes another gesture than the pose's.
_OTHER_ARMS = 0.3

_VAL = {"casual", "relaxed_wide", "model", "one_pocket", "greeting", "walking", "sitting_knees", "phone_call_pocket",
        "sprinting", "kneeling_upright", "jumping_star", "bending_over", "lying_arms_up"}  # fmt: skip
#: Frequency of poses relative to the others (1).
_SHARE = {"sitting": 3, "lying": 0.5, "lying_arms_up": 0.5, "relaxed": 4, "contrapposto": 3, "relaxed_wide": 3,
          "casual": 4, "attention": 2, "akimbo": 1.5, "strolling": 6, "walking_pocket": 3, "walking_phone": 2,
          "step": 4, "crossed_arms": 5, "clasped_hands": 2, "thinking": 2, "texting": 2}  # fmt: skip


def names_of(split: Split) -> tuple[str, ...]:
    """Names of the everyday poses on one side of the split; train and val share none."""
    return tuple(name for name in EVERYDAY if (name in _VAL) == (split == "val"))


def draw(split: Split, rng: np.random.Generator) -> tuple[str, Float[np.ndarray, "22 4"]]:
    """A random everyday pose of the split: (``"everyday/<name>"``, local rotations)."""
    hard = rng.random() < HARD_SHARE
    names = [name for name in names_of(split) if (EVERYDAY[name][0] in HARD_STANCES) == hard]
    share = np.array([_SHARE.get(name, 1.0) for name in names])
    name = names[int(rng.choice(len(names), p=share / share.sum()))]
    return f"everyday/{name}", everyday_pose(name, rng)


def everyday_pose(name: str, rng: np.random.Generator) -> Float[np.ndarray, "22 4"]:
    """Local rotations (w, x, y, z) of one everyday pose with the spread that people show.

    Raises:
        ValueError: there is no everyday pose of this name.
    """
    if name not in EVERYDAY:
        raise ValueError(f"everyday_pose: no pose {name!r}; there are {', '.join(EVERYDAY)}")
    stance, left, right = EVERYDAY[name]
    turns = _stance(stance, rng)
    for side, gesture in (("left", left), ("right", right)):
        gesture = str(rng.choice(list(GESTURES))) if rng.random() < _OTHER_ARMS else gesture
        turns |= _arm(side, gesture, rng)
    turns["neck"] = _euler(rng.normal(4, 5), rng.normal(0, 5), 0)
    turns["head"] = _euler(rng.normal(0, 7) + 14 * (name == "texting"), rng.normal(0, 12), rng.normal(0, 4))
    return with_turns(np.tile(np.array([1, 0, 0, 0], np.float32), (len(POSE_JOINTS), 1)), turns)


def _euler(x_deg: float, y_deg: float, z_deg: float) -> Rotation:
    return Rotation.from_euler("xyz", [x_deg, y_deg, z_deg], degrees=True)


def _on_side(side: str, turns: dict[str, Rotation]) -> dict[str, Rotation]:
    """Turns of a left limb by joint as those of the limb of a side."""
    if side == "right":
        mirrored = {joint: turn.as_quat(scalar_first=True) * [1, 1, -1, -1] for joint, turn in turns.items()}
        turns = {joint: Rotation.from_quat(quat, scalar_first=True) for joint, quat in mirrored.items()}
    return {f"{side}_{joint}": turn for joint, turn in turns.items()}


def _arm(side: str, gesture: str, rng: np.random.Generator) -> dict[str, Rotation]:
    """Shoulder, elbow and wrist from the directions of upper arm u and forearm f.

    The elbow bends about the local y axis, which brings the forearm from +X toward +Z: so the upper arm's x axis is u
    and its z axis is the part of f across u.
    """
    upper, fore = (np.asarray(d) / np.linalg.norm(d) + rng.normal(0, 0.06, 3) for d in GESTURES[gesture])
    u, f = upper / np.linalg.norm(upper), fore / np.linalg.norm(fore)
    z = f - (f @ u) * u
    z = z / np.linalg.norm(z) if np.linalg.norm(z) > 1e-6 else np.array([0.0, 0.0, 1.0])
    shoulder = Rotation.from_matrix(np.stack([u, np.cross(z, u), z], axis=1))
    elbow = _euler(0, -float(np.rad2deg(np.arccos(np.clip(u @ f, -1, 1)))), 0)
    wrist = _euler(rng.normal(0, 10), rng.normal(0, 8), rng.normal(0, 12))
    turns = {"shoulder": shoulder, "elbow": elbow, "wrist": wrist}
    return _on_side(side, turns)


def leg(side: str, forward: float, out: float, knee: float, toe_out: float, ankle: float) -> dict[str, Rotation]:
    """Hip, knee and ankle of a leg, in degrees: thigh forward and outward, knee bend, foot turned out, toes up."""
    hip = Rotation.from_euler("y", toe_out, degrees=True) * _euler(-forward, 0, out)
    turns = {"hip": hip, "knee": _euler(knee, 0, 0), "ankle": _euler(-ankle, 0, 0)}
    return _on_side(side, turns)


def _upright(bend_deg: float, side_deg: float, turn_deg: float) -> dict[str, Rotation]:
    """A trunk bent forward, to its left and turned to its left, a third at each of the three spine joints."""
    return {f"spine{i}": _euler(bend_deg / 3, turn_deg / 3, -side_deg / 3) for i in (1, 2, 3)}


def _stance(stance: str, rng: np.random.Generator) -> dict[str, Rotation]:
    """Pelvis, spine and legs."""
    if stance in ("walk", "step"):
        return _stride(rng, 1.0 if stance == "walk" else 0.6)
    if stance in ("sit", "sit_crossed", "squat"):
        return _seat(stance, rng)
    if stance in HARD_STANCES:
        return _hard(stance, rng)
    spread = {"stand": 2.0, "wide": 9.0, "contrapposto": 3.0, "lean": 4.0}[stance] + abs(rng.normal(0, 3))
    tilt = {"contrapposto": rng.uniform(3, 9), "lean": rng.uniform(5, 12)}.get(stance, rng.normal(0, 1.5))
    bent = {"contrapposto": rng.uniform(8, 30)}.get(stance, abs(rng.normal(0, 3)))
    turns = {"pelvis": _euler(rng.normal(0, 2), rng.normal(0, 5), -tilt)}
    turns |= _upright(rng.normal(2, 4), -tilt * rng.uniform(0.8, 1.8), rng.normal(0, 6))
    turns |= leg("right", 0, spread - tilt, abs(rng.normal(1, 2)), rng.normal(12, 6), 0)
    turns |= leg("left", bent * 0.75, spread + tilt, bent, rng.normal(18, 8), bent * 0.25)
    return turns


def _stride(rng: np.random.Generator, length: float) -> dict[str, Rotation]:
    """A step: the left leg in front, the right leg behind on its toes."""
    reach = rng.uniform(12, 30) * length
    turns = {"pelvis": _euler(rng.normal(2, 2), -reach * 0.15, rng.normal(0, 2))}
    turns |= _upright(rng.normal(2, 3), 0.0, reach * 0.4)
    turns |= leg("left", reach, 1, rng.uniform(2, 12), rng.normal(6, 4), rng.uniform(-5, 12))
    turns |= leg("right", -reach * 0.8, 1, rng.uniform(8, 45), rng.normal(6, 4), -rng.uniform(0, 20))
    turns["right_toe"] = _euler(-rng.uniform(5, 25), 0, 0)
    return turns


def _seat(stance: str, rng: np.random.Generator) -> dict[str, Rotation]:
    """Sitting on a chair (which is not there), legs crossed, or squatting."""
    squat = stance == "squat"
    forward, knee = (rng.uniform(95, 115), rng.uniform(110, 130)) if squat else (rng.normal(85, 7), rng.normal(82, 10))
    lean = rng.uniform(15, 35) if squat else rng.normal(4, 8)
    turns = {"pelvis": _euler(lean * 0.4, 0, 0)} | _upright(lean * 0.8, rng.normal(0, 4), rng.normal(0, 6))
    spread = rng.uniform(4, 16) + 8 * squat
    for side in ("left", "right"):
        turns |= leg(side, forward + lean * 0.4, spread, knee + rng.normal(0, 5), spread * 0.5, 30 * squat)
    if stance == "sit_crossed":
        turns |= leg("left", forward + 14, -14, knee - 8, -6, rng.normal(-10, 8))
    return turns


def _hard(stance: str, rng: np.random.Generator) -> dict[str, Rotation]:
    """Running, lunging, kneeling, jumping, bending over, on the floor, lying. Angles of both legs: thigh forward,
    outward, knee, toes up."""
    wide, bend = rng.uniform(2, 14), rng.uniform(35, 75)
    tuck = rng.uniform(0, 1)
    lean, left, right = {
        "run": (10, (rng.uniform(45, 75), 1, rng.uniform(60, 100), 5), (-15, 1, rng.uniform(30, 85), -20)),
        "lunge": (rng.uniform(0, 15), (rng.uniform(60, 85), 4, rng.uniform(65, 95), 10), (-25, 4, 35, 15)),
        "kneel_one": (5, (90, wide, 92, 0), (-4, wide, 92, 15)),
        "kneel": (4, (rng.uniform(0, 40), wide, 0, 0), (0, wide, 0, 0)),
        "jump": (5, (20 + 60 * tuck, wide, 40 + 60 * tuck, -25), (10 + 50 * tuck, wide, 45 + 60 * tuck, -25)),
        "star": (0, (5, rng.uniform(20, 40), 10, -25), (5, rng.uniform(20, 40), 10, -25)),
        "bend": (bend, (0, wide * 0.6, rng.uniform(0, 35), 0), (0, wide * 0.6, rng.uniform(0, 35), 0)),
        "floor": (-12, (rng.uniform(80, 115), wide, rng.uniform(10, 110), 0), (95, wide, rng.uniform(10, 110), 0)),
        "lie": (0, (rng.uniform(0, 30), wide, rng.uniform(0, 60), -10), (rng.uniform(0, 15), wide, 10, -10)),
    }[stance]
    if stance == "kneel":
        left = right = (left[0], wide, 92 + left[0], -62)
    turns = {"pelvis": _euler(lean * 0.5, rng.normal(0, 5), rng.normal(0, 2))}
    turns |= _upright(lean * (0.9 if stance == "bend" else 0.5), rng.normal(0, 5), rng.normal(0, 8))
    if stance == "lie":
        turns["pelvis"] = _euler(-90, 0, 0) * _euler(0, rng.normal(0, 25), 0)
    for side, (forward, out, knee, ankle) in (("left", left), ("right", right)):
        thigh = forward + lean * 0.5 + (0.35 * knee if stance == "bend" else 0)
        turns |= leg(side, thigh, out, knee, rng.normal(6, 5), ankle)
    return turns
