"""Poses of procedural people: those that people take in photos, each perturbed, and now and then a wild one.

Angles are degrees in the axes of a person standing upright with the arms hanging (+X left, +Y up, +Z forward), written
for the left side; the right side mirrors them. Base poses and spreads were judged by eye on renders.
"""

from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np


@dataclass(frozen=True)
class Arm:
    """An arm by angles, or by the place that the wrist reaches.

    Attributes:
        flex: upper arm forward (+) or back, degrees.
        abduct: upper arm away from the body.
        twist: inner rotation of the upper arm: a bent elbow then brings the hand to the front of the belly.
        elbow: 0 straight, 150 folded.
        pronate: turn of the hand about the forearm, palm downward (+).
        reach: wrist relative to the base of the neck in the chest's frame, in torso lengths (neck to pelvis, about
            0.5 m); x is positive on the arm's own side. Overrides flex, abduct, twist and elbow.
        pole: where the elbow points when reaching.
    """

    flex: float = 3
    abduct: float = 10
    twist: float = 15
    elbow: float = 14
    pronate: float = 0
    reach: tuple[float, float, float] | None = None
    pole: tuple[float, float, float] = (1, -0.6, -0.4)


@dataclass(frozen=True)
class Leg:
    """A leg by angles: thigh forward (+), away, turned outward; knee 0 straight, 150 folded.

    ``planted`` keeps the sole level with the ground, as far as the ankle allows.
    """

    flex: float = 0
    abduct: float = 4
    twist: float = 6
    knee: float = 3
    planted: bool = True


@dataclass(frozen=True)
class BodyPose:
    """A whole body; ``bend`` and ``pitch`` go forward, ``side``, ``roll`` and ``turn`` to the person's left."""

    family: str
    arms: tuple[Arm, Arm] = field(default_factory=lambda: (Arm(), Arm()))
    legs: tuple[Leg, Leg] = field(default_factory=lambda: (Leg(), Leg()))
    pelvis: tuple[float, float, float] = (0, 0, 0)  # pitch, roll, turn
    spine: tuple[float, float, float] = (0, 0, 0)  # bend, side, turn
    head: tuple[float, float, float] = (0, 0, 0)  # pitch, roll, turn
    curl: float = 18


def _both(part: Arm | Leg) -> tuple:
    return part, part


_HIP = Arm(reach=(0.40, -0.80, 0.02), pole=(1, 0, -0.35), pronate=20)
_SEAT = Leg(flex=86, abduct=9, twist=4, knee=86)

#: (how often, pose). Left and right are swapped at random.
PHOTO_POSES: tuple[tuple[float, BodyPose], ...] = (
    (5.0, BodyPose("standing")),
    (1.0, BodyPose("a-pose", arms=_both(Arm(abduct=40, elbow=8)), legs=_both(Leg(abduct=8)))),
    (0.5, BodyPose("t-pose", arms=_both(Arm(abduct=85, elbow=6, twist=0)), legs=_both(Leg(abduct=6)))),
    (1.5, BodyPose("contrapposto", legs=(Leg(abduct=-1), Leg(18, 8, 14, 28)), pelvis=(0, -6, 4), spine=(0, 8, -4))),
    (1.0, BodyPose("hands-on-hips", arms=_both(_HIP))),
    (0.7, BodyPose("hand-on-hip", arms=(_HIP, Arm()), legs=(Leg(), Leg(12, 8, 10, 20)))),
    (0.8, BodyPose("crossed-arms", arms=_both(Arm(reach=(-0.20, -0.42, 0.42), pole=(0.8, -1, 0.0), pronate=10)))),
    (0.5, BodyPose("hands-clasped", arms=_both(Arm(reach=(0.06, -0.78, 0.42), pole=(1, -0.3, -0.4))))),
    (0.5, BodyPose("hands-behind", arms=_both(Arm(flex=-28, abduct=16, twist=60, elbow=45)))),
    (0.8, BodyPose("arms-raised", arms=_both(Arm(flex=12, abduct=155, twist=0, elbow=18)))),
    (0.5, BodyPose("waving", arms=(Arm(flex=20, abduct=95, twist=-80, elbow=75), Arm()))),
    (0.7, BodyPose("hand-to-face", arms=(Arm(reach=(0.14, -0.04, 0.38), pole=(0.7, -1, 0.2)), Arm()), head=(8, 0, 0))),
    (0.7, BodyPose("phone", arms=(Arm(reach=(0.12, -0.22, 0.62), pole=(0.6, -1, 0)), Arm()), head=(18, 0, 0))),
    (0.5, BodyPose("pointing", arms=(Arm(flex=82, abduct=12, elbow=8), Arm()))),
    (1.8, BodyPose("walking", (Arm(-22, 9, 10, 18), Arm(20, 9, 20, 28)), (Leg(26, 2, 4, 6), Leg(-16, 2, 4, 24)))),
    (1.0, BodyPose("running", (Arm(-42, 14, 10, 90), Arm(38, 10, 30, 85)),
                   (Leg(62, 2, 2, 82, False), Leg(-14, 2, 2, 55, False)), pelvis=(10, 0, 0))),
    (0.7, BodyPose("kicking", (Arm(-10, 50, 0, 25), Arm(35, 55, 0, 30)),
                   (Leg(78, 10, 6, 18, False), Leg(0, 4, 8, 8)), pelvis=(-10, 0, 0))),
    (0.5, BodyPose("balance", _both(Arm(10, 78, 0, 12)), (Leg(0, 2, 4, 4), Leg(58, 40, 40, 105, False)))),
    (1.2, BodyPose("sitting", _both(Arm(30, 12, 22, 50)), _both(_SEAT))),
    (0.5, BodyPose("legs-crossed", _both(Arm(24, 14, 30, 62)), (replace(_SEAT, abduct=4), Leg(98, -10, 0, 80, False)))),
    (0.6, BodyPose("crouching", _both(Arm(48, 20, 20, 60)), _both(Leg(112, 16, 10, 128)), (16, 0, 0), (24, 0, 0))),
    (0.6, BodyPose("leaning", _both(Arm(52, 12, 15, 20)), _both(Leg(34, 7, 6, 22)),
                   (26, 0, 0), (24, 0, 0), (-14, 0, 0))),
    (0.5, BodyPose("lunge", _both(_HIP), (Leg(70, 4, 4, 78), Leg(-22, 4, 4, 35, False)))),
    (0.5, BodyPose("kneeling", legs=(Leg(88, 8, 4, 92), Leg(-4, 4, 4, 92, False)), arms=_both(Arm(20, 14, 20, 35)))),
    (0.3, BodyPose("knees", legs=_both(Leg(32, 8, 4, 118, False)), arms=_both(Arm(18, 12, 20, 40)))),
)  # fmt: skip


#: Families that are neither standing nor walking, and how much more often they are drawn than photos show them.
_HARD = {"running", "kicking", "balance", "sitting", "legs-crossed", "crouching", "leaning", "lunge", "kneeling",
         "knees"}  # fmt: skip
_HARDER = 3.0
_TRUNK_ANGLES = ("pelvis", "spine", "head")
_ARM_LIMITS = {"flex": (-45, 150), "abduct": (2, 165), "twist": (-85, 75), "elbow": (4, 142), "pronate": (-60, 70)}
_LEG_LIMITS = {"flex": (-28, 118), "abduct": (-12, 55), "twist": (-20, 45), "knee": (1, 138)}
_Limb = TypeVar("_Limb", Arm, Leg)


def sample_pose(rng: np.random.Generator) -> BodyPose:
    """65% a perturbed photo pose, 35% "free": everyday angles, of which a third wide ones."""
    if rng.random() < 0.35:
        pose = _free(rng)
    else:
        odds = np.array([odd * (_HARDER if pose.family in _HARD else 1) for odd, pose in PHOTO_POSES])
        pose = _perturbed(PHOTO_POSES[rng.choice(len(odds), p=odds / odds.sum())][1], rng)
    return mirrored(pose) if rng.random() < 0.5 else pose


def mirrored(pose: BodyPose) -> BodyPose:
    """The pose of the person in the mirror."""
    swapped = {
        name: tuple(s * v for s, v in zip((1, -1, -1), getattr(pose, name), strict=True)) for name in _TRUNK_ANGLES
    }
    return replace(pose, arms=pose.arms[::-1], legs=pose.legs[::-1], **swapped)


def _limited(limb: _Limb) -> _Limb:
    """The limb within the limits of its joints."""
    limits = _ARM_LIMITS if isinstance(limb, Arm) else _LEG_LIMITS
    return replace(limb, **{name: float(np.clip(getattr(limb, name), *limit)) for name, limit in limits.items()})


def _perturbed(pose: BodyPose, rng: np.random.Generator) -> BodyPose:
    size = rng.uniform(0.4, 1.5)

    def arm(base: Arm) -> Arm:
        n = rng.normal(0, size, 5) * (7, 4, 8, 8, 14)
        reach = None if base.reach is None else tuple(np.add(base.reach, rng.normal(0, 0.03 * size, 3)))
        sums = (base.flex + n[0], base.abduct + n[1], base.twist + n[2], base.elbow + n[3], base.pronate + n[4])
        return _limited(Arm(*sums, reach=reach, pole=base.pole))

    def leg(base: Leg) -> Leg:
        n = rng.normal(0, size, 4) * (4, 2.5, 5, 5)
        angles = (base.flex + n[0], base.abduct + n[1], base.twist + n[2], base.knee + abs(n[3]))
        return _limited(Leg(*angles, base.planted))

    spreads = zip(_TRUNK_ANGLES, (2, 4, 8), strict=True)
    trunk = {name: tuple(np.add(getattr(pose, name), rng.normal(0, s * size, 3))) for name, s in spreads}
    arms, legs = tuple(map(arm, pose.arms)), tuple(map(leg, pose.legs))
    return replace(pose, arms=arms, legs=legs, curl=rng.uniform(2, 45), **trunk)


def _free(rng: np.random.Generator) -> BodyPose:
    wide = rng.random() < 0.35
    k = 1.8 if wide else 1.0

    def arm() -> Arm:
        abduct = rng.uniform(5, 150 if wide else 75)
        angles = (rng.normal(12, 22 * k), abduct, rng.normal(0, 28), rng.uniform(4, 65 * k), rng.normal(0, 18))
        return _limited(Arm(*angles))

    def leg() -> Leg:
        planted = bool(rng.random() < 0.7)
        flex = rng.normal(4, 14 * k)
        angles = (flex, rng.normal(5, 6 * k), rng.normal(5, 9), abs(rng.normal(max(flex, 0), 16 * k)))
        return _limited(Leg(*angles, planted))

    trunk = {name: tuple(rng.normal(0, s, 3) * k) for name, s in zip(_TRUNK_ANGLES, (4, 10, 11), strict=True)}
    family = "free-big" if wide else "free"
    return BodyPose(family, (arm(), arm()), (leg(), leg()), curl=rng.uniform(0, 45), **trunk)
