"""Places on the average body that garments and colours depend on: its vertices, and the texels of its texture.

A garment is a function of the place, so one rule both displaces the vertices and paints the texels.
"""

from dataclasses import dataclass, fields
from functools import cache

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import distance_transform_edt

from humanlrm.mesh.raycast import RayScene
from humanlrm.people.procedural.bodies import rig

#: Side of anny's square atlas in the texture, pixels.
ATLAS_PX = 512


@dataclass(frozen=True)
class Sites:
    """N places on the average adult in the rest pose (arms 45 degrees away from the body).

    Attributes:
        position: metres, +Y up, facing +Z, feet on y = 0.
        cloth: the same with the arms hanging straight down, so that patterns run around the sleeves.
        axis: x of the limb's axis there: 0 on the trunk, about 0.14 on legs and 0.18 on arms, metres.
        arm, leg, head, hand, foot: share of a limb or part in the place, 0 to 1.
        along_arm: 0 shoulder, 1 elbow, 2 wrist; along_leg: 0 hip, 1 knee, 2 ankle.
        eye: 1 on an eye ball.
    """

    position: Float[np.ndarray, "N 3"]
    cloth: Float[np.ndarray, "N 3"]
    axis: Float[np.ndarray, "N"]
    arm: Float[np.ndarray, "N"]
    along_arm: Float[np.ndarray, "N"]
    leg: Float[np.ndarray, "N"]
    along_leg: Float[np.ndarray, "N"]
    head: Float[np.ndarray, "N"]
    hand: Float[np.ndarray, "N"]
    foot: Float[np.ndarray, "N"]
    eye: Float[np.ndarray, "N"]

    def where(self, chosen: Bool[np.ndarray, "N"]) -> tuple["Sites", Int[np.ndarray, "M"]]:
        """The chosen sites and their indices."""
        index = np.flatnonzero(chosen)
        return Sites(**{f.name: getattr(self, f.name)[index] for f in fields(self)}), index


def _along(points: Float[np.ndarray, "N 3"], joints: list[Float[np.ndarray, "3"]]) -> Float[np.ndarray, "N"]:
    """0 at the first joint, 1 at the second, 2 at the third, by projection on the nearer bone."""
    a, b, c = joints
    first = (points - a) @ (b - a) / ((b - a) @ (b - a))
    second = (points - b) @ (c - b) / ((c - b) @ (c - b))
    return np.where(first + (1 + second) < 2, first, 1 + second).astype(np.float32)


def _hanging(
    points: Float[np.ndarray, "N 3"], arm: Float[np.ndarray, "N"], shoulder: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "N 3"]:
    """``points`` with both arms (45 degrees away in anny's rest pose) turned down about the shoulders."""
    side = np.sign(points[:, 0])
    x, y = np.abs(points[:, 0]) - shoulder[0], points[:, 1] - shoulder[1]
    turned = np.stack(
        [side * (shoulder[0] + (x + y) / np.sqrt(2)), shoulder[1] + (y - x) / np.sqrt(2), points[:, 2]], 1
    )
    return (points + arm[:, None] * (turned - points)).astype(np.float32)


@cache
def vertex_sites() -> Sites:
    """One site per vertex of the rig."""
    shared = rig()
    points, begin = shared.vertices, shared.armature.begin
    mirrored = np.abs(points) * [1, 0, 0] + points * [0, 1, 1]

    def joints(*names: str) -> list[Float[np.ndarray, "3"]]:
        return [begin(f"{name}.L") for name in names]

    arm = shared.weight_of("upperarm", "lowerarm", "wrist", "finger", "metacarpal")
    leg = shared.weight_of("upperleg", "lowerleg", "foot", "toe")
    hips, shoulders = begin("lowerleg01.L")[0], begin("upperarm01.L")[0]
    return Sites(
        position=points,
        axis=np.sign(points[:, 0]) * (leg * hips + arm * shoulders),
        cloth=_hanging(points, arm, begin("upperarm01.L")),
        arm=arm,
        along_arm=_along(mirrored, joints("upperarm01", "lowerarm01", "wrist")),
        leg=leg,
        along_leg=_along(mirrored, joints("upperleg01", "lowerleg01", "foot")),
        head=shared.weight_of("head", "eye", "neck02", "neck03"),
        hand=shared.weight_of("wrist", "finger", "metacarpal"),
        foot=shared.weight_of("foot", "toe"),
        eye=shared.weight_of("eye"),
    )


@dataclass(frozen=True)
class BodyTexels:
    """The painted texels of anny's atlas.

    Attributes:
        index: flat index into the atlas, row 0 at the top, ATLAS_PX columns.
        sites: where each lies on the body.
        nearest: for every texel of the atlas, the position in ``index`` of the nearest painted one (fills the gutters).
    """

    index: Int[np.ndarray, "N"]
    sites: Sites
    nearest: Int[np.ndarray, "T"]


@cache
def texels() -> BodyTexels:
    """Found once per process by shooting a ray through each texel of the flattened mesh."""
    shared = rig()
    flat = np.concatenate([shared.uv, np.zeros((len(shared.uv), 1), np.float32)], axis=1)
    step = (np.arange(ATLAS_PX) + 0.5) / ATLAS_PX
    u, v = np.meshgrid(step, step[::-1])
    origins = np.stack([u, v, np.ones_like(u)], axis=-1).reshape(-1, 3)
    hits = RayScene(flat, shared.uv_faces).first_hit(origins, np.tile([0.0, 0.0, -1.0], (len(origins), 1)))
    index = np.flatnonzero(hits.face >= 0)
    corners, weights = shared.faces[hits.face[index]], hits.barycentric[index].astype(np.float32)
    order = np.full(ATLAS_PX**2, -1)
    order[index] = np.arange(len(index))
    empty = order.reshape(ATLAS_PX, -1) < 0
    row, column = np.asarray(distance_transform_edt(empty, return_distances=False, return_indices=True))
    nearest = order.reshape(ATLAS_PX, -1)[row, column].ravel()
    return BodyTexels(index, _interpolated(vertex_sites(), corners, weights), nearest)


def _interpolated(sites: Sites, corners: Int[np.ndarray, "N 3"], weights: Float[np.ndarray, "N 3"]) -> Sites:
    def blend(values: Float[np.ndarray, "V *c"]) -> Float[np.ndarray, "N *c"]:
        return np.einsum("nk...,nk->n...", values[corners], weights).astype(np.float32)

    return Sites(**{f.name: blend(getattr(sites, f.name)) for f in fields(Sites)})
