"""Where a person's weight is, and whether the feet bear it: told from the landmarks alone.

Who stands has the weight above the feet. Bodies of the people engine are tilted until they have, and people who are
estimated from a photo, which hardly tells a person who leans from a camera that looks down, are set upright by it.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from humanlrm.body.landmarks import COUNT, INDEX
from humanlrm.frame import project_ndc, sample_plane, unproject_ndc

_SIDES = ("left", "right")
_FEET = [INDEX[f"{side}_{name}"] for side in _SIDES for name in ("ankle", "toe")]
#: Share of the body's mass, the landmarks that its part lies between (or the middles of both sides' ones), and where
#: its middle is, from the first to the second (Winter 2009, table 4.1; hands and feet by one landmark, our choice).
_TRUNK = ((0.497, "hip", "neck", 0.5), (0.081, "head", "head", 0.0))
_LIMBS = (
    (0.028, "shoulder", "elbow", 0.436),
    (0.016, "elbow", "wrist", 0.43),
    (0.006, "hand", "hand", 0.0),
    (0.1, "hip", "knee", 0.433),
    (0.0465, "knee", "ankle", 0.433),
    (0.0145, "ankle", "toe", 0.5),
)
#: Where between ankle and toe a foot bears the weight: five centimetres before the ankle (our choice).
_UNDER_THE_FOOT = 0.3
#: Who stands: the trunk's rise over its length, the pelvis' height above the ankles and how much one ankle is higher
#: than the other, over the length of a straight leg (our choice).
_UPRIGHT, _TALL, _LEVEL = 0.7, 0.85, 0.2
#: How little depth counts against the picture plane where it is told which foot bears how much.
_DEPTH_COUNTS = 0.1
#: Share of an estimated lean that is taken for an error; leans from the first of these angles on are believed more and
#: more, from the second on entirely (our choice; ``benchmarks/lean.py`` prints what is left).
_DOUBT, _DOUBTFUL_DEG, _MEANT_DEG = 0.5, 6.0, 12.0
#: The largest lean that is undone, degrees.
_MOST_DEG = 25.0


def _both(name: str) -> list[int]:
    return [INDEX[name]] if name in INDEX else [INDEX[f"{side}_{name}"] for side in _SIDES]


def _masses() -> Float[np.ndarray, "J"]:
    shares = np.zeros(COUNT)
    parts = [(mass, _both(a), _both(b), place) for mass, a, b, place in _TRUNK]
    for side in _SIDES:
        parts += [(mass, [INDEX[f"{side}_{a}"]], [INDEX[f"{side}_{b}"]], place) for mass, a, b, place in _LIMBS]
    for mass, first, second, place in parts:
        shares[first] += mass * (1 - place) / len(first)
        shares[second] += mass * place / len(second)
    return shares / shares.sum()


#: Share of the body's mass at each landmark: the centre of mass is a weighted mean of the landmarks.
MASSES = _masses()


def named_landmark(landmarks: Float[Tensor, "*B J 3"], name: str) -> Float[Tensor, "*B 3"]:
    """A landmark by its name."""
    return landmarks[..., INDEX[name], :]


def is_standing(landmarks: Float[Tensor, "*B J 3"]) -> Bool[Tensor, "*B"]:
    """Whether somebody stands on both feet, or walks: trunk upright, pelvis high, ankles about level. +Y is up."""
    hips, knees, ankles = (
        torch.stack([named_landmark(landmarks, f"{side}_{name}") for side in _SIDES])
        for name in ("hip", "knee", "ankle")
    )
    leg = ((hips - knees).norm(dim=-1) + (knees - ankles).norm(dim=-1)).mean(0)
    trunk = named_landmark(landmarks, "neck") - hips.mean(0)
    undo_lean = trunk[..., 1] > _UPRIGHT * trunk.norm(dim=-1)
    tall = (hips - ankles).mean(0)[..., 1] > _TALL * leg
    return undo_lean & tall & ((ankles[0] - ankles[1])[..., 1].abs() < _LEVEL * leg)


def balance_offset(landmarks: Float[Tensor, "*B J 3"], depth_counts: float = 1.0) -> Float[Tensor, "*B 3"]:
    """From the place between the feet that is nearest below the centre of mass to the centre of mass. Of who stands
    it points up.

    Args:
        depth_counts: against x where the nearest place is looked for; less than 1 for landmarks whose z is a guess.
    """
    feet = [
        torch.lerp(named_landmark(landmarks, f"{s}_ankle"), named_landmark(landmarks, f"{s}_toe"), _UNDER_THE_FOOT)
        for s in _SIDES
    ]
    weight = torch.einsum("j,...jc->...c", torch.as_tensor(MASSES).to(landmarks), landmarks)
    counts = landmarks.new_tensor([1.0, 0.0, depth_counts])
    across, reach = feet[1] - feet[0], weight - feet[0]
    share = (reach * across * counts).sum(-1) / (across.square() * counts).sum(-1).clamp(min=1e-9)
    return reach - share.clamp(0, 1)[..., None] * across


def lean_deg(landmarks: Float[Tensor, "*B J 3"]) -> Float[Tensor, "*B"]:
    """By how much estimated people lean toward the camera, degrees: the angle of their weight's arm."""
    arm = balance_offset(landmarks, _DEPTH_COUNTS)
    return torch.rad2deg(torch.atan2(arm[..., 2], arm[..., 1]))


def undo_lean(landmarks: Float[Tensor, "*B J 3"], feet_hidden: Bool[Tensor, "*B"]) -> Float[Tensor, "*B J 3"]:
    """Estimated landmarks with half of a lean of up to six degrees of who stands undone; of others as they are. Feet
    that the photo does not show stand under the body: there all of the lean is undone.

    Every landmark stays where the picture shows it and moves in depth, about the middle of all.
    """
    lean = lean_deg(landmarks).clamp(-_MOST_DEG, _MOST_DEG)
    doubt = ((_MEANT_DEG - lean.abs()) / (_MEANT_DEG - _DOUBTFUL_DEG)).clamp(0, 1) * _DOUBT
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
