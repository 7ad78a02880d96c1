"""Poses as turns of bones: inverse kinematics, twists shared by pairs of bones, arms clear of the trunk, balance."""

from itertools import pairwise

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from humanlrm.people.poses.balance import balancing
from humanlrm.people.procedural.bodies import Body, Turns, place_bones, rig, skeleton
from humanlrm.people.procedural.poses import Arm, BodyPose, Leg

_DOWN, _UP, _FORWARD, _LEFT = (
    np.array([0.0, -1, 0]),
    np.array([0.0, 1, 0]),
    np.array([0.0, 0, 1]),
    np.array([1.0, 0, 0]),
)
#: How often a pose is balanced: the feet follow, and the weight with them.
_BALANCE_ROUNDS = 2
_SPINE = ("spine05", "spine04", "spine03", "spine02", "spine01")
_FINGER_AXIS = np.array([0.7, 0.2, 0.68])


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
    """Directions of one side's limbs at rest, and the turns that bring them into a pose."""

    def __init__(self, body: Body, side: str) -> None:
        self.side, self.sign = side, 1.0 if side == "L" else -1.0
        self.mirror = np.array([self.sign, 1, 1])
        begin = body.armature.begin
        self.shoulder, elbow, wrist, hip, knee, ankle = (
            begin(f"{bone}.{side}").astype(float)
            for bone in ("upperarm01", "lowerarm01", "wrist", "upperleg01", "lowerleg01", "foot")
        )
        self.neck = begin("neck01").astype(float)
        self.torso = float(np.linalg.norm(self.neck - begin("root")))
        self.upper, self.fore = elbow - self.shoulder, wrist - elbow
        self.thigh, self.shin = knee - hip, ankle - knee
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

    def arm_turns(self, arm: Arm, away: float) -> Turns:
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

    def leg_turns(self, leg: Leg, pelvis: Float[np.ndarray, "3 3"]) -> Turns:
        """Bone turns of a leg; ``pelvis`` is the orientation of the pelvis, for a level sole."""
        m = self.sign
        upright = _about(np.cross(self.thigh, _DOWN), np.degrees(np.arccos(-_unit(self.thigh)[1])))
        out = _about(_FORWARD if leg.flex < 60 else _UP, m * leg.abduct)
        hip = out @ _about(_LEFT, -leg.flex) @ _about(_DOWN, -m * leg.twist)
        whole = hip @ upright
        hinge = whole.T @ (hip @ _LEFT)
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

    def finger_turns(self, curl: float) -> Turns:
        """Fingers 2 to 5 curled by ``curl`` degrees per joint toward the palm, the thumb less."""
        axis = self.mirror * (1, -1, -1) * _FINGER_AXIS
        bent = {f"finger{f}-{j}.{self.side}": _about(axis, curl) for f in range(2, 6) for j in (1, 2, 3)}
        return bent | {f"finger1-{j}.{self.side}": _about(axis, 0.3 * curl) for j in (2, 3)}


def bone_turns(body: Body, pose: BodyPose) -> Turns:
    """The pose as turns for :func:`humanlrm.people.procedural.bodies.skin`; standing people are balanced
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
    for _ in range(_BALANCE_ROUNDS):
        tilt = balancing(skeleton(body, turns))
        if tilt is None:
            break
        pelvis = tilt.as_matrix() @ pelvis
        turns |= _stance(both, pose, pelvis)
    return turns


def _stance(both: list[_Limbs], pose: BodyPose, pelvis: Float[np.ndarray, "3 3"]) -> Turns:
    """Turns of pelvis and legs."""
    turns = {"root": pelvis}
    for limbs, leg in zip(both, pose.legs, strict=True):
        turns |= limbs.leg_turns(leg, pelvis)
    return turns


def arm_clearance_m(body: Body, turns: Turns, side: str) -> float:
    """Distance of a forearm and hand from the trunk, an elliptic cylinder about the spine; negative inside."""
    armature, (rotation, position) = body.armature, place_bones(body, turns)
    chain = position[[armature.index(f"{n}.{side}") for n in ("lowerarm01", "wrist", "finger3-3")]]
    samples = np.concatenate([np.linspace(a, b, 5) for a, b in pairwise(chain)])
    spine = armature.index("spine03")
    x, y, z = ((samples - position[spine]) @ rotation[spine] + armature.rest[spine]).T
    half_x, half_z, offset_z = _trunk_half_widths(body)
    radius = np.hypot(x / half_x, (z - (armature.rest[spine][2] + offset_z)) / half_z)
    beside = (y > armature.begin("root")[1] - 0.2) & (y < armature.begin("neck01")[1])
    return float(np.where(beside, (radius - 1) * half_z, 1.0).min())


def _trunk_half_widths(body: Body) -> tuple[float, float, float]:
    """Half widths of the trunk with a sleeve's thickness (x, z), and its middle in z relative to the spine, metres."""
    trunk = body.vertices[rig().weight_of("spine05", "spine04", "spine03", "root") > 0.6]
    low, high = np.quantile(trunk, 0.03, axis=0), np.quantile(trunk, 0.97, axis=0)
    middle = (low[2] + high[2]) / 2 - body.armature.begin("spine03")[2]
    return (high[0] - low[0]) / 2 + 0.05, (high[2] - low[2]) / 2 + 0.045, float(middle)
