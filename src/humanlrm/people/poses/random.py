"""Random poses: the ones people take in photos, each perturbed, and now and then a wild one.

Angles are degrees in the axes of a person standing upright with the arms hanging (+X left, +Y up, +Z forward), written
for the left side; the right side mirrors them. All base poses and spreads are our choice, judged by eye on renders.
"""

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from humanlrm.people.poses.balance import balancing
from humanlrm.people.procedural.bodies import Body, place_bones, rig, skeleton

_DOWN, _FORWARD, _LEFT = np.array([0.0, -1, 0]), np.array([0.0, 0, 1]), np.array([1.0, 0, 0])
#: How often a pose is balanced: the feet follow, and the weight with them.
_LOOKS = 2
_SPINE = ("spine05", "spine04", "spine03", "spine02", "spine01")


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


def _pair(part: Arm | Leg) -> tuple:
    return part, part


_HIP = Arm(reach=(0.40, -0.80, 0.02), pole=(1, 0, -0.35), pronate=20)
_SITTING = Leg(flex=86, abduct=9, twist=4, knee=86)

#: (how often, pose). Left and right are swapped at random.
PHOTO_POSES: tuple[tuple[float, BodyPose], ...] = (
    (5.0, BodyPose("standing")),
    (1.0, BodyPose("a-pose", arms=_pair(Arm(abduct=40, elbow=8)), legs=_pair(Leg(abduct=8)))),
    (0.5, BodyPose("t-pose", arms=_pair(Arm(abduct=85, elbow=6, twist=0)), legs=_pair(Leg(abduct=6)))),
    (1.5, BodyPose("contrapposto", legs=(Leg(abduct=-1), Leg(18, 8, 14, 28)), pelvis=(0, -6, 4), spine=(0, 8, -4))),
    (1.0, BodyPose("hands-on-hips", arms=_pair(_HIP))),
    (0.7, BodyPose("hand-on-hip", arms=(_HIP, Arm()), legs=(Leg(), Leg(12, 8, 10, 20)))),
    (0.8, BodyPose("crossed-arms", arms=_pair(Arm(reach=(-0.20, -0.42, 0.42), pole=(0.8, -1, 0.0), pronate=10)))),
    (0.5, BodyPose("hands-clasped", arms=_pair(Arm(reach=(0.06, -0.78, 0.42), pole=(1, -0.3, -0.4))))),
    (0.5, BodyPose("hands-behind", arms=_pair(Arm(flex=-28, abduct=16, twist=60, elbow=45)))),
    (0.8, BodyPose("arms-raised", arms=_pair(Arm(flex=12, abduct=155, twist=0, elbow=18)))),
    (0.5, BodyPose("waving", arms=(Arm(flex=20, abduct=95, twist=-80, elbow=75), Arm()))),
    (0.7, BodyPose("hand-to-face", arms=(Arm(reach=(0.14, -0.04, 0.38), pole=(0.7, -1, 0.2)), Arm()), head=(8, 0, 0))),
    (0.7, BodyPose("phone", arms=(Arm(reach=(0.12, -0.22, 0.62), pole=(0.6, -1, 0)), Arm()), head=(18, 0, 0))),
    (0.5, BodyPose("pointing", arms=(Arm(flex=82, abduct=12, elbow=8), Arm()))),
    (1.8, BodyPose("walking", (Arm(-22, 9, 10, 18), Arm(20, 9, 20, 28)), (Leg(26, 2, 4, 6), Leg(-16, 2, 4, 24)))),
    (
        1.0,
        BodyPose(
            "running",
            (Arm(-42, 14, 10, 90), Arm(38, 10, 30, 85)),
            (Leg(62, 2, 2, 82, False), Leg(-14, 2, 2, 55, False)),
            pelvis=(10, 0, 0),
        ),
    ),
    (
        0.7,
        BodyPose(
            "kicking",
            (Arm(-10, 50, 0, 25), Arm(35, 55, 0, 30)),
            (Leg(78, 10, 6, 18, False), Leg(0, 4, 8, 8)),
            pelvis=(-10, 0, 0),
        ),
    ),
    (0.5, BodyPose("balance", _pair(Arm(10, 78, 0, 12)), (Leg(0, 2, 4, 4), Leg(58, 40, 40, 105, False)))),
    (1.2, BodyPose("sitting", _pair(Arm(30, 12, 22, 50)), _pair(_SITTING))),
    (
        0.5,
        BodyPose(
            "legs-crossed",
            _pair(Arm(24, 14, 30, 62)),
            (replace(_SITTING, abduct=4), Leg(98, -10, 0, 80, False)),
        ),
    ),
    (0.6, BodyPose("crouching", _pair(Arm(48, 20, 20, 60)), _pair(Leg(112, 16, 10, 128)), (16, 0, 0), (24, 0, 0))),
    (
        0.6,
        BodyPose("leaning", _pair(Arm(52, 12, 15, 20)), _pair(Leg(34, 7, 6, 22)), (26, 0, 0), (24, 0, 0), (-14, 0, 0)),
    ),
    (0.5, BodyPose("lunge", _pair(_HIP), (Leg(70, 4, 4, 78), Leg(-22, 4, 4, 35, False)))),
    (0.5, BodyPose("kneeling", legs=(Leg(88, 8, 4, 92), Leg(-4, 4, 4, 92, False)), arms=_pair(Arm(20, 14, 20, 35)))),
    (0.3, BodyPose("knees", legs=_pair(Leg(32, 8, 4, 118, False)), arms=_pair(Arm(18, 12, 20, 40)))),
)


#: Families that are neither standing nor walking, and how much more often they are drawn than photos show them.
_HARD = {
    "running",
    "kicking",
    "balance",
    "sitting",
    "legs-crossed",
    "crouching",
    "leaning",
    "lunge",
    "kneeling",
    "knees",
}
_HARDER = 3.0


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
    swapped = {name: tuple(s * v for s, v in zip((1, -1, -1), getattr(pose, name), strict=True)) for name in _TRUNK}
    return replace(pose, arms=pose.arms[::-1], legs=pose.legs[::-1], **swapped)


_TRUNK = ("pelvis", "spine", "head")


def _clip(value: float, low: float, high: float) -> float:
    return float(np.clip(value, low, high))


def _limit_arm(arm: Arm) -> Arm:
    return replace(
        arm,
        flex=_clip(arm.flex, -45, 150),
        abduct=_clip(arm.abduct, 2, 165),
        twist=_clip(arm.twist, -85, 75),
        elbow=_clip(arm.elbow, 4, 142),
        pronate=_clip(arm.pronate, -60, 70),
    )


def _limit_leg(leg: Leg) -> Leg:
    return replace(
        leg,
        flex=_clip(leg.flex, -28, 118),
        abduct=_clip(leg.abduct, -12, 55),
        twist=_clip(leg.twist, -20, 45),
        knee=_clip(leg.knee, 1, 138),
    )


def _perturbed(pose: BodyPose, rng: np.random.Generator) -> BodyPose:
    size = rng.uniform(0.4, 1.5)

    def arm(base: Arm) -> Arm:
        n = rng.normal(0, size, 5) * (7, 4, 8, 8, 14)
        reach = None if base.reach is None else tuple(np.add(base.reach, rng.normal(0, 0.03 * size, 3)))
        sums = (base.flex + n[0], base.abduct + n[1], base.twist + n[2], base.elbow + n[3], base.pronate + n[4])
        return _limit_arm(Arm(*sums, reach=reach, pole=base.pole))

    def leg(base: Leg) -> Leg:
        n = rng.normal(0, size, 4) * (4, 2.5, 5, 5)
        return _limit_leg(
            Leg(base.flex + n[0], base.abduct + n[1], base.twist + n[2], base.knee + abs(n[3]), base.planted)
        )

    shake = {
        k: tuple(np.add(getattr(pose, k), rng.normal(0, s * size, 3))) for k, s in zip(_TRUNK, (2, 4, 8), strict=True)
    }
    arms, legs = tuple(map(arm, pose.arms)), tuple(map(leg, pose.legs))
    return replace(pose, arms=arms, legs=legs, curl=rng.uniform(2, 45), **shake)


def _free(rng: np.random.Generator) -> BodyPose:
    big = rng.random() < 0.35
    k = 1.8 if big else 1.0

    def arm() -> Arm:
        up = rng.uniform(5, 150) if big else rng.uniform(5, 75)
        return _limit_arm(Arm(rng.normal(12, 22 * k), up, rng.normal(0, 28), rng.uniform(4, 65 * k), rng.normal(0, 18)))

    def leg() -> Leg:
        planted = bool(rng.random() < 0.7)
        flex = rng.normal(4, 14 * k)
        return _limit_leg(
            Leg(flex, rng.normal(5, 6 * k), rng.normal(5, 9), abs(rng.normal(max(flex, 0), 16 * k)), planted)
        )

    spread = {n: tuple(rng.normal(0, s, 3) * k) for n, s in zip(_TRUNK, (4, 10, 11), strict=True)}
    family = "free-big" if big else "free"
    return BodyPose(family, (arm(), arm()), (leg(), leg()), curl=rng.uniform(0, 45), **spread)


def _unit(v: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    return v / (np.linalg.norm(v) + 1e-12)


def _euler(degrees: tuple[float, float, float], share: float = 1.0) -> Float[np.ndarray, "3 3"]:
    """Turn about up, then roll toward the left, then pitch forward."""
    pitch, roll, turn = np.multiply(degrees, share)
    return Rotation.from_euler("YZX", [turn, -roll, pitch], degrees=True).as_matrix()


def _about(axis: Float[np.ndarray, "3"], degrees: float) -> Float[np.ndarray, "3 3"]:
    return Rotation.from_rotvec(_unit(axis) * np.radians(degrees)).as_matrix()


def _frame(along: Float[np.ndarray, "3"], hinge: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Columns: direction of the bone, its hinge made orthogonal, and their cross product."""
    a = _unit(along)
    h = _unit(hinge - (hinge @ a) * a)
    return np.stack([a, h, np.cross(a, h)], axis=1)


def _split_twist(rotation: Float[np.ndarray, "3 3"], axis: Float[np.ndarray, "3"]) -> tuple:
    """``rotation`` as two bones' turns: the swing with half of the twist about ``axis``, and the other half."""
    source, target = _unit(axis), rotation @ _unit(axis)
    cross = np.cross(source, target)
    angle = float(np.degrees(np.arctan2(np.linalg.norm(cross), source @ target)))
    swing = _about(cross, angle) if np.linalg.norm(cross) > 1e-6 else np.eye(3)
    vector = Rotation.from_matrix(swing.T @ rotation).as_rotvec()
    half = Rotation.from_rotvec(vector / 2).as_matrix()
    return swing @ half, half


class _Limbs:
    """Rest directions of one side's limbs, and the turns that bring them where a pose wants them."""

    def __init__(self, body: Body, side: str) -> None:
        shared = rig()
        self.side, self.sign = side, 1.0 if side == "L" else -1.0
        self.mirror = np.array([self.sign, 1, 1])
        at = {n: body.armature.rest[shared.armature.index(f"{n}.{side}")].astype(float) for n in _JOINTS}
        self.shoulder, self.at = at["upperarm01"], at
        self.neck, pelvis = (
            body.armature.rest[shared.armature.index("neck01")].astype(float),
            body.armature.rest[shared.armature.index("root")],
        )
        self.torso = float(np.linalg.norm(self.neck - pelvis))
        self.upper, self.fore = at["lowerarm01"] - at["upperarm01"], at["wrist"] - at["lowerarm01"]
        self.thigh, self.shin = at["lowerleg01"] - at["upperleg01"], at["foot"] - at["lowerleg01"]
        self.bend = np.cross(self.upper, self.fore)

    def directions(self, arm: Arm) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
        """Directions of upper arm and forearm in the chest's frame."""
        if arm.reach is not None:
            return self._reaching(arm)
        m = self.sign
        turn = _about(_FORWARD, m * arm.abduct) @ _about(_LEFT, -arm.flex) @ _about(_DOWN, m * arm.twist)
        return turn @ _DOWN, turn @ _about(_LEFT, -arm.elbow) @ _DOWN

    def _reaching(self, arm: Arm) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
        """Two-bone inverse kinematics: the wrist at ``reach``, the elbow toward ``pole``."""
        wrist = self.neck + self.torso * self.mirror * np.array(arm.reach) - self.shoulder
        a, b = np.linalg.norm(self.upper), np.linalg.norm(self.fore)
        distance = np.clip(np.linalg.norm(wrist), abs(a - b) * 1.05 + 0.04, (a + b) * 0.995)
        ahead = _unit(wrist)
        pole = self.mirror * arm.pole
        out = _unit(pole - (pole @ ahead) * ahead)
        along = (a**2 - b**2 + distance**2) / (2 * distance)
        elbow = along * ahead + np.sqrt(max(a**2 - along**2, 0)) * out
        return _unit(elbow), _unit(distance * ahead - elbow)

    def arm_turns(self, arm: Arm, away: float) -> dict[str, Float[np.ndarray, "3 3"]]:
        """Bone turns of an arm whose upper arm is swung ``away`` degrees further from the body."""
        side, clear = self.side, _about(_FORWARD, self.sign * away)
        upper, fore = (clear @ d for d in self.directions(arm))
        raised = max(0.0, np.degrees(np.arcsin(np.clip(upper[1], -1, 1))) + 30)
        clavicle = _about(_FORWARD, self.sign * 0.22 * raised)
        hinge = np.cross(upper, fore)
        whole = _frame(upper, hinge) @ _frame(self.upper, self.bend).T
        lower = whole.T @ _frame(fore, hinge) @ _frame(self.fore, self.bend).T
        first, second = _split_twist(clavicle.T @ whole, self.upper)
        roll = [_about(self.fore, -self.sign * arm.pronate * share) for share in (0.4, 0.6)]
        names = ("clavicle", "upperarm01", "upperarm02", "lowerarm01", "lowerarm02", "wrist")
        turns = (clavicle, first, second, lower, roll[0], roll[1])
        return {f"{n}.{side}": t for n, t in zip(names, turns, strict=True)}

    def leg_turns(self, leg: Leg, pelvis: Float[np.ndarray, "3 3"]) -> dict[str, Float[np.ndarray, "3 3"]]:
        """Bone turns of a leg; ``pelvis`` is the orientation of the pelvis, for a level sole."""
        m = self.sign
        upright = _about(np.cross(self.thigh, _DOWN), np.degrees(np.arccos(-_unit(self.thigh)[1])))
        out = _about(_FORWARD, m * leg.abduct) if leg.flex < 60 else _about(np.array([0.0, 1, 0]), m * leg.abduct)
        whole = out @ _about(_LEFT, -leg.flex) @ _about(_DOWN, -m * leg.twist) @ upright
        hinge = whole.T @ (out @ _about(_LEFT, -leg.flex) @ _about(_DOWN, -m * leg.twist) @ _LEFT)
        knee = _about(hinge, leg.knee)
        first, second = _split_twist(whole, self.thigh)
        return {
            f"upperleg01.{self.side}": first,
            f"upperleg02.{self.side}": second,
            f"lowerleg01.{self.side}": knee,
            f"foot.{self.side}": self._foot(leg, pelvis @ whole @ knee),
        }

    def _foot(self, leg: Leg, shin: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3 3"]:
        """Turn of the foot about the ankle: level on the ground, at most 45 degrees from its rest."""
        if not leg.planted:
            return _about(_LEFT, 12 + 0.33 * leg.knee)
        ahead = shin @ _FORWARD
        level = Rotation.from_euler("y", np.arctan2(ahead[0], ahead[2])).as_matrix()
        vector = Rotation.from_matrix(shin.T @ level).as_rotvec()
        return Rotation.from_rotvec(vector * min(1, np.radians(45) / (np.linalg.norm(vector) + 1e-9))).as_matrix()

    def finger_turns(self, curl: float) -> dict[str, Float[np.ndarray, "3 3"]]:
        """Fingers 2 to 5 curled by ``curl`` degrees per joint toward the palm, the thumb less."""
        axis = self.mirror * (1, -1, -1) * _FINGER_AXIS
        bent = {f"finger{f}-{j}.{self.side}": _about(axis, curl) for f in range(2, 6) for j in (1, 2, 3)}
        return bent | {f"finger1-{j}.{self.side}": _about(axis, 0.3 * curl) for j in (2, 3)}


_JOINTS = ("upperarm01", "lowerarm01", "wrist", "upperleg01", "lowerleg01", "foot")
_FINGER_AXIS = np.array([0.7, 0.2, 0.68])


def bone_turns(body: Body, pose: BodyPose) -> dict[str, Float[np.ndarray, "3 3"]]:
    """The pose as turns for :func:`humanlrm.people.procedural.bodies.skin`: who stands has the weight above the feet
    (``people.poses.balance``), arms are pushed outward until clear of the trunk."""
    both, pelvis = [_Limbs(body, side) for side in "LR"], _euler(pose.pelvis)
    turns = {name: _euler(pose.spine, 0.2) for name in _SPINE} | _stance(both, pose, pelvis)
    turns |= {name: _euler(pose.head, share) for name, share in (("neck01", 0.4), ("head", 0.6))}
    for limbs, arm in zip(both, pose.arms, strict=True):
        turns |= limbs.finger_turns(pose.curl)
        for away in range(0, 40, 4):
            turns |= limbs.arm_turns(arm, away)
            if arm_clearance_m(body, turns, limbs.side) > 0:
                break
    for _ in range(_LOOKS):
        tilt = balancing(skeleton(body, turns))
        if tilt is None:
            break
        pelvis = tilt.as_matrix() @ pelvis
        turns |= _stance(both, pose, pelvis)
    return turns


def _stance(
    both: list[_Limbs], pose: BodyPose, pelvis: Float[np.ndarray, "3 3"]
) -> dict[str, Float[np.ndarray, "3 3"]]:
    """Turns of what a person stands with: pelvis and legs."""
    turns = {"root": pelvis}
    for limbs, leg in zip(both, pose.legs, strict=True):
        turns |= limbs.leg_turns(leg, pelvis)
    return turns


def arm_clearance_m(body: Body, turns: dict[str, Float[np.ndarray, "3 3"]], side: str) -> float:
    """Distance of a forearm and hand from the trunk, an elliptic cylinder about the spine; negative inside."""
    shared = rig()
    rotation, position = place_bones(body, turns)
    chain = position[[shared.armature.index(f"{n}.{side}") for n in ("lowerarm01", "wrist", "finger3-3")]]
    samples = np.concatenate([np.linspace(a, b, 5) for a, b in pairwise(chain)])
    spine = shared.armature.index("spine03")
    rest = (samples - position[spine]) @ rotation[spine] + body.armature.rest[spine]
    half = _trunk_half_widths(body)
    middle = body.armature.rest[spine][2] + half[2]
    radial = np.hypot(rest[:, 0] / half[0], (rest[:, 2] - middle) / half[1])
    beside = (rest[:, 1] > body.armature.rest[shared.armature.index("root")][1] - 0.2) & (
        rest[:, 1] < body.armature.rest[shared.armature.index("neck01")][1]
    )
    return float(np.where(beside, (radial - 1) * half[1], 1.0).min())


def _trunk_half_widths(body: Body) -> tuple[float, float, float]:
    """Half widths of the trunk with a sleeve's thickness (x, z), and its middle in z relative to the spine, metres."""
    shared = rig()
    trunk = body.vertices[shared.weight_of("spine05", "spine04", "spine03", "root") > 0.6]
    low, high = np.quantile(trunk, 0.03, axis=0), np.quantile(trunk, 0.97, axis=0)
    middle = (low[2] + high[2]) / 2 - body.armature.rest[shared.armature.index("spine03")][2]
    return (high[0] - low[0]) / 2 + 0.05, (high[2] - low[2]) / 2 + 0.045, float(middle)
