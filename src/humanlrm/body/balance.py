"""Balance: the centre of mass, and whether the feet support it, from the landmarks alone.

A standing person's mass is above the feet. Bodies of the people engine are tilted until it is. Estimates from a photo
are set upright by it, because a photo hardly separates a leaning person from a camera that looks down.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from humanlrm.body.landmarks import COUNT, INDEX
from humanlrm.frame import project_ndc, sample_plane, unproject_ndc

_SIDES = ("left", "right")
_FEET = [INDEX[f"{side}_{name}"] for side in _SIDES for name in ("ankle", "toe")]
#: Segments: share of the body's mass, the landmarks at both ends (or the middles of both sides' ones), and the share of
#: the way from the first to the second at which the segment's own centre of mass lies (Winter 2009, table 4.1; hands
#: and feet by one landmark).
_TRUNK_SEGMENTS = ((0.497, "hip", "neck", 0.5), (0.081, "head", "head", 0.0))
_LIMB_SEGMENTS = (
    (0.028, "shoulder", "elbow", 0.436),
    (0.016, "elbow", "wrist", 0.43),
    (0.006, "hand", "hand", 0.0),
    (0.1, "hip", "knee", 0.433),
    (0.0465, "knee", "ankle", 0.433),
    (0.0145, "ankle", "toe", 0.5),
)
#: Share of the way from ankle to toe at which a foot bears the weight: five centimetres before the ankle.
_FOOT_CENTER = 0.3
#: A standing person: least rise of the trunk over its length; least height of the pelvis above the ankles and largest
#: difference of the ankles' heights, over the length of a straight leg.
_LEAST_TRUNK_RISE, _LEAST_PELVIS_HEIGHT, _MOST_ANKLE_STEP = 0.7, 0.85, 0.2
#: Weight of depth against the picture plane when an estimate's support is located.
_DEPTH_WEIGHT = 0.1
#: Share of an estimated lean that is taken for an error; from the first of these angles on this share falls, from the
#: second on it is 0 (``benchmarks/lean.py`` prints the rest).
_LEAN_ERROR_SHARE, _DOUBTFUL_DEG, _MEANT_DEG = 0.5, 6.0, 12.0
#: The largest lean that is undone, degrees.
_MOST_LEAN_DEG = 25.0


def _mass_shares() -> Float[np.ndarray, "J"]:
    def both_sides(name: str) -> list[int]:
        return [INDEX[name]] if name in INDEX else [INDEX[f"{side}_{name}"] for side in _SIDES]

    segments = [(mass, both_sides(a), both_sides(b), center) for mass, a, b, center in _TRUNK_SEGMENTS]
    for side in _SIDES:
        segments += [(mass, [INDEX[f"{side}_{a}"]], [INDEX[f"{side}_{b}"]], c) for mass, a, b, c in _LIMB_SEGMENTS]
    shares = np.zeros(COUNT)
    for mass, first, second, center in segments:
        shares[first] += mass * (1 - center) / len(first)
        shares[second] += mass * center / len(second)
    return shares / shares.sum()


#: Share of the body's mass at each landmark: the centre of mass is a weighted mean of the landmarks.
MASSES = _mass_shares()


def named_landmark(landmarks: Float[Tensor, "*B J 3"], name: str) -> Float[Tensor, "*B 3"]:
    """A landmark by its name."""
    return landmarks[..., INDEX[name], :]


def is_standing(landmarks: Float[Tensor, "*B J 3"]) -> Bool[Tensor, "*B"]:
    """True for people who stand on both feet or walk: trunk upright, pelvis high, ankles about level. +Y is up."""
    hips, knees, ankles = (
        torch.stack([named_landmark(landmarks, f"{side}_{name}") for side in _SIDES])
        for name in ("hip", "knee", "ankle")
    )
    leg = ((hips - knees).norm(dim=-1) + (knees - ankles).norm(dim=-1)).mean(0)
    trunk = named_landmark(landmarks, "neck") - hips.mean(0)
    upright = trunk[..., 1] > _LEAST_TRUNK_RISE * trunk.norm(dim=-1)
    tall = (hips - ankles).mean(0)[..., 1] > _LEAST_PELVIS_HEIGHT * leg
    return upright & tall & ((ankles[0] - ankles[1])[..., 1].abs() < _MOST_ANKLE_STEP * leg)


def balance_offset(landmarks: Float[Tensor, "*B J 3"], depth_weight: float = 1.0) -> Float[Tensor, "*B 3"]:
    """Vector from the support, the point between the feet nearest to the centre of mass, to the centre of mass.

    It points up for a balanced standing person. The support is the nearest point in the ground plane.

    Args:
        depth_weight: of z against x where the nearest point is located; below 1 for landmarks of uncertain depth.
    """
    feet = [
        torch.lerp(named_landmark(landmarks, f"{s}_ankle"), named_landmark(landmarks, f"{s}_toe"), _FOOT_CENTER)
        for s in _SIDES
    ]
    center = torch.einsum("j,...jc->...c", torch.as_tensor(MASSES).to(landmarks), landmarks)
    weights = landmarks.new_tensor([1.0, 0.0, depth_weight])
    across, reach = feet[1] - feet[0], center - feet[0]
    share = (reach * across * weights).sum(-1) / (across.square() * weights).sum(-1).clamp(min=1e-9)
    return reach - share.clamp(0, 1)[..., None] * across


def lean_deg(landmarks: Float[Tensor, "*B J 3"]) -> Float[Tensor, "*B"]:
    """Lean of estimated people toward the camera, degrees: the angle of their balance offset."""
    offset = balance_offset(landmarks, _DEPTH_WEIGHT)
    return torch.rad2deg(torch.atan2(offset[..., 2], offset[..., 1]))


def undo_lean(landmarks: Float[Tensor, "*B J 3"], feet_hidden: Bool[Tensor, "*B"]) -> Float[Tensor, "*B J 3"]:
    """Undo half of a lean of up to six degrees in estimates of standing people; all of it where the feet are hidden.

    Hidden feet are assumed under the body. Every landmark keeps its place in the picture and moves in depth, about the
    mean height of all.
    """
    lean = lean_deg(landmarks).clamp(-_MOST_LEAN_DEG, _MOST_LEAN_DEG)
    doubt = ((_MEANT_DEG - lean.abs()) / (_MEANT_DEG - _DOUBTFUL_DEG)).clamp(0, 1) * _LEAN_ERROR_SHARE
    undone = torch.where(feet_hidden, 1.0, doubt) * lean
    slope = torch.tan(torch.deg2rad(undone)) * is_standing(landmarks)
    height = landmarks[..., 1] - landmarks[..., 1].mean(-1, keepdim=True)
    return unproject_ndc(project_ndc(landmarks), landmarks[..., 2] - slope[..., None] * height)


def correct_posture(landmarks: Float[Tensor, "B *K J 3"], image: Float[Tensor, "B 5 H W"]) -> Float[Tensor, "B *K J 3"]:
    """Estimated landmarks of a photo, or K samples of them, set upright (:func:`undo_lean`).

    Args:
        image: RGB, alpha and known (1 inside the photo): feet outside of the photo are hidden.
    """
    feet = landmarks[..., _FEET, :]
    shown = sample_plane(image[:, 4:], project_ndc(feet).flatten(1, -2)) > 0.5
    return undo_lean(landmarks, ~shown.reshape(feet.shape[:-1]).any(-1))
