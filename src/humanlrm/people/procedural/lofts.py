"""Parts that the body's own surface cannot make: skirts, coat tails, long hair, buns, brims, hoods.

Each is a closed surface lofted through rings. Rings are computed on the average body where the texture is painted,
and on the posed person where the geometry lies.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, Int

from humanlrm.mesh.surface import TriangleSurface
from humanlrm.people.procedural.bodies import Body, Turns, place_bones, rig
from humanlrm.people.procedural.sites import vertex_sites

Rings = Float[np.ndarray, "n m 3"]


@dataclass(frozen=True)
class LoftedPart:
    """A closed lofted surface.

    Attributes:
        name: "skirt", "hair", "extra", "left_shoe" or "right_shoe"; decides the place in the texture and the paint.
        vertices: metres, posed.
        faces: counter-clockwise seen from outside.
        uv: within the part's own rectangle, in [0, 1].
        uv_faces: index into ``uv`` of each face corner.
        chart: the rings on the average body (for patterns), u along the second axis, v along the first.
    """

    name: str
    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    uv: Float[np.ndarray, "U 2"]
    uv_faces: Int[np.ndarray, "F 3"]
    chart: Rings


def loft(name: str, rings: Rings, chart: Rings) -> LoftedPart:
    """Joins consecutive rings and closes both ends with fans.

    Raises:
        ValueError: fewer than 2 rings or 3 points per ring, or a chart of another shape.
    """
    n, m, _ = rings.shape
    if n < 2 or m < 3 or chart.shape != rings.shape:
        raise ValueError(f"loft: expected (n >= 2, m >= 3, 3) rings and chart alike, got {rings.shape}, {chart.shape}")
    i, j = (a.ravel() for a in np.meshgrid(np.arange(n - 1), np.arange(m), indexing="ij"))
    faces, uv_faces = _grid(i, j, (j + 1) % m, m), _grid(i, j, j + 1, m + 1)
    rim = np.arange(m)
    caps, uv_caps = [], []
    for row, centre, flip in ((0, 0, False), (n - 1, 1, True)):
        ends = [row * m + (rim + 1) % m, row * m + rim]
        uv_ends = [row * (m + 1) + rim + 1, row * (m + 1) + rim]
        order = slice(None, None, -1) if flip else slice(None)
        caps.append(np.stack([np.full(m, n * m + centre), *ends[order]], axis=1))
        uv_caps.append(np.stack([np.full(m, n * (m + 1) + centre), *uv_ends[order]], axis=1))
    vertices = np.concatenate([rings.reshape(-1, 3), rings[[0, -1]].mean(axis=1)])
    v, u = np.meshgrid(np.linspace(0, 1, n), np.linspace(0, 1, m + 1), indexing="ij")
    uv = np.concatenate([np.stack([u.ravel(), v.ravel()], axis=1), [[0.5, 0.0], [0.5, 1.0]]])
    faces, uv_faces = np.concatenate([faces, *caps]), np.concatenate([uv_faces, *uv_caps])
    if TriangleSurface(vertices - vertices.mean(axis=0), faces).volume < 0:
        faces, uv_faces = faces[:, ::-1], uv_faces[:, ::-1]
    faces, uv_faces = faces.astype(np.int32), uv_faces.astype(np.int32)
    return LoftedPart(name, vertices.astype(np.float32), faces, uv.astype(np.float32), uv_faces, chart)


def _grid(
    i: Int[np.ndarray, "N"], j: Int[np.ndarray, "N"], k: Int[np.ndarray, "N"], width: int
) -> Int[np.ndarray, "F 3"]:
    a, b, c, d = i * width + j, i * width + k, (i + 1) * width + j, (i + 1) * width + k
    return np.concatenate([np.stack([a, b, c], axis=1), np.stack([b, d, c], axis=1)])


def hull_ring(
    points: Float[np.ndarray, "N 3"],
    centre: Float[np.ndarray, "3"],
    axes: Float[np.ndarray, "2 3"],
    count: int,
    ease: Float[np.ndarray, "m"] | float,
) -> Float[np.ndarray, "m 3"]:
    """The convex outline of ``points`` seen along the normal of ``axes``, moved out by ``ease`` metres."""
    angle = np.arange(count) * (2 * np.pi / count)
    compass = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    reach = (((points - centre) @ axes.T) @ compass.T).max(axis=0)
    cosine = compass @ compass.T
    radius = np.where(cosine > 0.05, np.maximum(reach, 0.03) / np.maximum(cosine, 0.05), np.inf).min(axis=1) + ease
    return centre + (radius[:, None] * compass) @ axes


def skirt(
    posed: Float[np.ndarray, "V 3"], waist_m: float, length: float, flare_m: float, rng: np.random.Generator
) -> LoftedPart:
    """A skirt or coat tail around both legs: convex rings from the waist to the level ``length`` of the legs.

    Args:
        posed: the dressed and posed vertices that it must enclose.
        waist_m: height of its upper border on the average body.
        length: end, 0 hip, 1 knee, 2 ankle.
        flare_m: how far the hem stands off the legs.
        rng: for the pleats.
    """
    levels = [(waist_m - step * (waist_m - 0.90) / 4, None) for step in range(4)]
    levels += [(None, s) for s in np.linspace(0.06, length, max(6, int(9 * length)))]
    pleats, phase, depth = rng.integers(4, 9), rng.uniform(0, 6.28), rng.uniform(0.02, 0.3)
    angle = np.arange(48) * (2 * np.pi / 48)
    groups = [_level(height, along) for height, along in levels]
    middles = np.stack([(posed[left].mean(axis=0) + posed[right].mean(axis=0)) / 2 for left, right in groups])
    lefts = np.stack([posed[left].mean(axis=0) - posed[right].mean(axis=0) for left, right in groups])
    rings, chart = [], []
    for k, (left, right) in enumerate(groups):
        down = middles[min(k + 1, len(groups) - 1)] - middles[max(k - 1, 0)]
        part = k / (len(groups) - 1)
        ease = 0.006 + flare_m * part * (1 + depth * np.sin(pleats * angle + phase))
        rings.append(hull_ring(posed[np.r_[left, right]], middles[k], _axes(lefts[min(k, 3)], down), 48, ease))
        height = waist_m - part * (waist_m - 0.9 + 0.41 * length)
        chart.append(np.stack([0.2 * np.cos(angle), np.full(48, height), 0.2 * np.sin(angle)], axis=1))
    return loft("skirt", _relaxed(np.stack(rings)), np.stack(chart))


def _relaxed(rings: Rings) -> Rings:
    """Rings smoothed along their length, the ends kept: cloth does not follow every bump."""
    for _ in range(2):
        rings[1:-1] = 0.5 * rings[1:-1] + 0.25 * (rings[:-2] + rings[2:])
    return rings


def _axes(left: Float[np.ndarray, "3"], down: Float[np.ndarray, "3"]) -> Float[np.ndarray, "2 3"]:
    down = down / (np.linalg.norm(down) + 1e-9)
    left = left - (left @ down) * down
    left = left / (np.linalg.norm(left) + 1e-9)
    return np.stack([left, np.cross(left, -down)])


def _level(height: float | None, along: float | None) -> tuple[Int[np.ndarray, "A"], Int[np.ndarray, "B"]]:
    """Vertices of the left and right half near a height of the trunk, or near a level of the legs."""
    sites = vertex_sites()
    if along is None:
        near = (np.abs(sites.position[:, 1] - height) < 0.022) & (sites.arm < 0.5)
    else:
        near = (np.abs(sites.along_leg - along) < 0.06) & (sites.leg > 0.4) & (sites.position[:, 1] < 0.93)
    left = sites.position[:, 0] >= 0
    return np.flatnonzero(near & left), np.flatnonzero(near & ~left)


def shoe(side: str, posed: Float[np.ndarray, "V 3"], foot: Float[np.ndarray, "3 3"], thick_m: float) -> LoftedPart:
    """A shoe around a foot: convex slices from heel to toe, so that no toes show.

    Args:
        side: "left" or "right".
        posed: the dressed and posed vertices that it must enclose.
        foot: orientation of the foot's bone.
        thick_m: of the leather.
    """
    average = vertex_sites().position
    rings, chart = [], []
    for group in _slices(side):
        rings.append(hull_ring(posed[group], posed[group].mean(axis=0), foot[:, :2].T, 24, thick_m))
        chart.append(hull_ring(average[group], average[group].mean(axis=0), np.eye(3)[:2], 24, thick_m))
    ends = [_tapered(np.stack(r), ahead) for r, ahead in ((rings, foot[:, 2]), (chart, np.array([0, 0, 1.0])))]
    return loft(f"{side}_shoe", _relaxed(ends[0]), ends[1])


def _tapered(rings: Rings, ahead: Float[np.ndarray, "3"]) -> Rings:
    """With a smaller ring beyond each end, for a rounded heel and toe."""
    first, last = (r.mean(axis=0) + 0.65 * (r - r.mean(axis=0)) for r in (rings[0], rings[-1]))
    return np.concatenate([[first - 0.010 * ahead], rings, [last + 0.014 * ahead]])


@cache
def _slices(side: str) -> list[Int[np.ndarray, "A"]]:
    """Vertices of a foot below the ankle, in overlapping slices from heel to toe."""
    sites = vertex_sites()
    x, y, z = sites.position.T
    foot = (sites.leg > 0.5) & (y < 0.085) & ((x > 0) == (side == "left"))
    levels = np.linspace(z[foot].min() + 0.008, z[foot].max() - 0.012, 14)
    return [np.flatnonzero(foot & (np.abs(z - level) < 0.016)) for level in levels]


class HeadSpace:
    """Carries points near the average head over to one person's posed head and upper back.

    Above the chin they move with the head, below the shoulders with the chest, between they blend.
    """

    def __init__(self, body: Body, turns: Turns) -> None:
        shared, bones = rig(), [body.armature.index(name) for name in ("head", "spine01")]
        rotation, position = place_bones(body, turns)
        self.rotation, self.position = rotation[bones], position[bones]
        self.rest = body.armature.rest[bones].astype(float)
        skull = shared.weight_of("head") > 0.9
        average, person = shared.vertices[skull], body.vertices[skull]
        self.scale = np.ptp(person, axis=0) / np.ptp(average, axis=0)
        self.average, self.person = average.mean(axis=0), person.mean(axis=0)

    def __call__(self, points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        rest = (points - self.average) * self.scale + self.person
        moved = [(rest - r) @ q.T + p for r, q, p in zip(self.rest, self.rotation, self.position, strict=True)]
        with_head = np.clip((points[..., 1:2] - 1.38) / 0.12, 0, 1)
        return with_head * moved[0] + (1 - with_head) * moved[1]


def _back_of(height: float) -> float:
    """z of the average back, neck or skull at a height."""
    points = vertex_sites().position
    return float(points[(np.abs(points[:, 1] - height) < 0.015) & (np.abs(points[:, 0]) < 0.09), 2].min())


def mantle(name: str, space: HeadSpace, high_m: float, low_m: float, thick_m: float, spread_deg: float) -> LoftedPart:
    """A crescent around the back of head and neck: long hair, or a hood on the shoulders.

    Args:
        name: of the part.
        space: the person's head.
        high_m: upper end on the average body.
        low_m: lower end.
        thick_m: how far it stands off.
        spread_deg: half of the angle it spans, 90 from ear to ear.
    """
    rings, locks = [], np.tile(np.sin(np.arange(38) * 2.4) * np.cos(np.arange(38) * 0.7), (3, 1)).T * (0, 0.02, 0)
    for part in np.linspace(0, 1, 14):
        height = high_m + part * (low_m - high_m)
        dome = np.sqrt(np.clip(1 - ((height - 1.60) / 0.125) ** 2, 0.05, 1)) if height > 1.60 else 1.0
        tip = np.sqrt(max(1 - part**6, 0.12))
        wide, back = (0.088 + 0.7 * thick_m) * dome, 0.03 - _back_of(height) + thick_m * tip
        angle = np.radians(np.linspace(-spread_deg, spread_deg, 25))
        outer = np.stack([wide * np.sin(angle), 0 * angle, 0.03 - back * dome * np.cos(angle)], axis=1)
        inner = outer[::-2] * np.array([0.55, 1, 0.55]) + np.array([0, 0, 0.008])
        rings.append(np.concatenate([outer, inner]) + np.array([0, height, 0]) + part**3 * locks)
    chart = np.stack(rings)
    return loft(name, space(chart), chart)


def blob(
    name: str, space: HeadSpace, spine: Float[np.ndarray, "n 3"], radius_m: Float[np.ndarray, "n"], flat: float = 1.0
) -> LoftedPart:
    """Round rings about a curve on the average head: a bun, a pony tail, a brim.

    ``flat`` stretches the rings front to back.
    """
    angle = np.arange(20) * (2 * np.pi / 20)
    chart = []
    for k, (centre, radius) in enumerate(zip(spine, radius_m, strict=True)):
        along = spine[min(k + 1, len(spine) - 1)] - spine[max(k - 1, 0)]
        left, ahead = _axes(np.array([1.0, 0, 0]), along)
        chart.append(centre + radius * (np.cos(angle)[:, None] * left + flat * np.sin(angle)[:, None] * ahead))
    return loft(name, space(np.stack(chart)), np.stack(chart))
