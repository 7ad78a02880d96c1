"""Occluders: objects and people in front of the person in a photograph, and objects in hands."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import trimesh
from jaxtyping import Float, Int

from humanlrm.body.landmarks import INDEX
from humanlrm.camera import Cameras, rotation_about_y
from humanlrm.data.render.renderer import SceneRenderer, Solid, Surface, face_viewer
from humanlrm.data.scan import Scan
from humanlrm.mesh.raycast import RayScene, pixel_rays
from humanlrm.mesh.surface import TriangleSurface, unit_face_normals, vertex_normals

#: Range of the share of the person that an occluder leaves visible; other draws are repeated.
_VISIBLE, _HELD_VISIBLE = (0.4, 0.985), (0.65, 1.0)
_DRAWS = 6
#: That share is measured on every n-th pixel of a row and column.
_STRIDE = 5


@dataclass(frozen=True)
class Look:
    """A solid texture: two colors mixed by a pattern in space.

    Attributes:
        kind: flat, stripes, checks or blotches.
        colors: sRGB.
        axes: directions of the pattern, per metre of its period.
    """

    kind: str
    colors: Float[np.ndarray, "2 3"]
    axes: Float[np.ndarray, "3 3"]

    def __call__(self, points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P 3"]:
        """sRGB at points (metres)."""
        phase = points @ self.axes.T
        if self.kind == "flat":
            mix = 0.1 * np.sin(phase[:, 0] * 0.3)
        elif self.kind == "stripes":
            mix = phase[:, 0] % 1 < 0.5
        elif self.kind == "checks":
            mix = (np.floor(phase).sum(1) % 2) < 1
        else:
            waves = np.sin(2.1 * phase + 1.7 * np.sin(1.3 * phase[:, [1, 2, 0]])).sum(1)
            mix = 0.5 + 0.5 * np.tanh(waves)
        mix = np.asarray(mix, dtype=np.float32)[:, None]
        return np.clip(self.colors[0] * (1 - mix) + self.colors[1] * mix, 0, 1).astype(np.float32)


def random_look(rng: np.random.Generator) -> Look:
    """Draw one color for half of the objects, else a pattern with a period of 2 to 30 cm."""
    kind = str(rng.choice(["flat", "stripes", "checks", "blotches"], p=[0.5, 0.15, 0.1, 0.25]))
    first = rng.uniform(0, 1, size=3) * rng.uniform(0.3, 1)
    second = np.clip(first + rng.normal(0, 0.3, size=3), 0, 1)
    turn = trimesh.transformations.random_rotation_matrix(rng.random(3))[:3, :3]
    period_m = np.exp(rng.uniform(np.log(0.02), np.log(0.3)))
    return Look(kind, np.stack([first, second]).astype(np.float32), turn / period_m)


def skin_look(rng: np.random.Generator) -> Look:
    """Draw bare skin of any tone."""
    tone = np.array([0.92, 0.75, 0.65]) * (1 - rng.uniform(0, 0.75) * np.array([0.75, 0.85, 0.95]))
    return Look("flat", np.stack([tone, tone * 0.92]).astype(np.float32), np.eye(3))


@dataclass(frozen=True)
class Shape:
    """A closed surface in metres; ``smooth`` ones are shaded as if round."""

    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    look: Look
    smooth: bool

    def moved(self, offset: Float[np.ndarray, "3"]) -> "Shape":
        return Shape(self.vertices + offset, self.faces, self.look, self.smooth)


class Props:
    """Shapes as one solid of a photograph."""

    def __init__(self, shapes: Sequence[Shape]) -> None:
        starts = np.cumsum([0, *(len(s.vertices) for s in shapes)])
        vertices = np.concatenate([s.vertices for s in shapes]).astype(np.float32)
        faces = np.concatenate([s.faces + start for s, start in zip(shapes, starts[:-1], strict=True)])
        self.scene = RayScene(vertices, faces)
        self.looks = [s.look for s in shapes]
        self.which = np.repeat(np.arange(len(shapes)), [len(s.faces) for s in shapes])
        self.corner_normals = np.concatenate([_corner_normals(s) for s in shapes])

    def trace(self, origin: Float[np.ndarray, "3"], directions: Float[np.ndarray, "*R 3"]) -> Surface:
        """Cast rays from one point at the shapes."""
        hits = self.scene.first_hit(origin, directions)
        hit = hits.hit
        face, along = hits.face[hit], directions[hit]
        normals = np.einsum("nk,nkc->nc", hits.barycentric[hit], self.corner_normals[face])
        points, albedo = origin + along * hits.distance[hit][:, None], np.zeros((len(face), 3), np.float32)
        for k, look in enumerate(self.looks):
            on_shape = self.which[face] == k
            albedo[on_shape] = look(points[on_shape])
        return Surface(hits.distance, face_viewer(normals, along), albedo, np.ones(len(face), np.float32))


def _corner_normals(shape: Shape) -> Float[np.ndarray, "F 3 3"]:
    surface = TriangleSurface(shape.vertices, shape.faces)
    if shape.smooth:
        return vertex_normals(surface)[shape.faces]
    return np.repeat(unit_face_normals(surface)[:, None], 3, axis=1).astype(np.float32)


def box(size_m: np.ndarray, look: Look, yaw_rad: float = 0.0) -> Shape:
    """A box around the origin, turned about +Y."""
    mesh = trimesh.creation.box(extents=size_m)
    return Shape(np.asarray(mesh.vertices) @ rotation_about_y(yaw_rad).T, np.asarray(mesh.faces), look, smooth=False)


def bag(size_m: np.ndarray, look: Look, yaw_rad: float = 0.0) -> Shape:
    """A box with round edges (a superellipsoid) around the origin, turned about +Y."""
    ball = trimesh.creation.icosphere(3)
    direction = np.asarray(ball.vertices)
    vertices = np.sign(direction) * np.abs(direction) ** 0.55 * size_m / 2
    return Shape(vertices @ rotation_about_y(yaw_rad).T, np.asarray(ball.faces), look, smooth=True)


def tube(start: np.ndarray, end: np.ndarray, radius_m: float, look: Look) -> Shape:
    """A capsule between two points."""
    length = float(np.linalg.norm(end - start))
    mesh = trimesh.creation.capsule(length, radius_m, count=(12, 8))
    turn = np.asarray(trimesh.geometry.align_vectors(np.array([0, 0, 1]), (end - start) / max(length, 1e-9)))
    vertices = np.asarray(mesh.vertices) @ turn[:3, :3].T + start
    return Shape(vertices, np.asarray(mesh.faces), look, smooth=True)


def table(rng: np.random.Generator) -> list[Shape]:
    """A slab on four legs that stands at the origin."""
    wide, deep, high = rng.uniform(0.6, 1.6), rng.uniform(0.4, 0.9), rng.uniform(0.45, 1.0)
    top, leg, thick = random_look(rng), random_look(rng), rng.uniform(0.02, 0.06)
    slab = box(np.array([wide, thick, deep]), top).moved(np.array([0, high, 0]))
    return [slab, *_legs(0.46 * wide, 0.44 * deep, high, 0.05, leg)]


def chair(rng: np.random.Generator) -> list[Shape]:
    """Seat, back and legs at the origin, the back toward +Z or away."""
    look, high, wide = random_look(rng), rng.uniform(0.4, 0.5), rng.uniform(0.4, 0.6)
    back, side = rng.uniform(0.35, 0.6), rng.choice([-1, 1])
    return [
        box(np.array([wide, 0.05, 0.45]), look).moved(np.array([0, high, 0])),
        box(np.array([wide, back, 0.04]), look).moved(np.array([0, high + back / 2, 0.21 * side])),
        *_legs(0.45 * wide, 0.2, high, 0.04, look),
    ]


def _legs(x_m: float, z_m: float, high_m: float, thick_m: float, look: Look) -> list[Shape]:
    leg = box(np.array([thick_m, high_m, thick_m]), look)
    return [leg.moved(np.array([x, high_m / 2, z])) for x in (-x_m, x_m) for z in (-z_m, z_m)]


def arm(rng: np.random.Generator) -> list[Shape]:
    """An arm of another person that reaches in from the side: sleeve, forearm, hand; the hand is near the origin."""
    side, sleeve, skin = rng.choice([-1, 1]), random_look(rng), skin_look(rng)
    hand = rng.normal(0, 0.08, size=3)
    elbow = hand + np.array([side * rng.uniform(0.15, 0.3), rng.uniform(-0.25, 0.2), rng.uniform(-0.05, 0.1)])
    shoulder = elbow + np.array([side * rng.uniform(0.9, 1.4), rng.uniform(-0.3, 0.5), rng.uniform(0, 0.3)])
    fingers = hand + (hand - elbow) / np.linalg.norm(hand - elbow) * 0.1
    lower = sleeve if rng.random() < 0.5 else skin
    return [
        tube(shoulder, elbow, 0.06, sleeve),
        tube(elbow, hand, 0.042, lower),
        tube(hand, fingers, 0.035, skin),
    ]


def _standing(rng: np.random.Generator) -> list[Shape]:
    """Boxes and bags on the floor."""
    make = box if rng.random() < 0.6 else bag
    size = np.exp(rng.normal(np.log(0.45), 0.45, size=3)).clip(0.15, 1.3)
    return [make(size, random_look(rng), rng.uniform(0, 3)).moved(np.array([0, size[1] / 2, 0]))]


def _pole(rng: np.random.Generator) -> list[Shape]:
    lean = rng.normal(0, 0.05, size=3) if rng.random() < 0.7 else np.array([rng.choice([-0.9, 0.9]), 0, 0])
    return [tube(np.zeros(3), np.array([0, 2.6, 0]) + 2.6 * lean, rng.uniform(0.012, 0.09), random_look(rng))]


def _rail(rng: np.random.Generator) -> list[Shape]:
    """A fence: two or three rails and posts."""
    look, high, radius = random_look(rng), rng.uniform(0.6, 1.2), rng.uniform(0.012, 0.035)
    level = [np.array([-1.6, h, 0]) for h in np.linspace(high, high * 0.3, int(rng.integers(1, 4)))]
    rails = [tube(p, p * np.array([-1, 1, 1]), radius, look) for p in level]
    step = rng.uniform(0.12, 0.9)
    posts = [tube(np.array([x, 0, 0]), np.array([x, high, 0]), radius, look) for x in np.arange(-1.5, 1.6, step)]
    return rails + posts


_FLOOR: list[tuple[Callable[[np.random.Generator], list[Shape]], float]] = [
    (_standing, 0.3), (table, 0.2), (chair, 0.2), (_pole, 0.2), (_rail, 0.1)
]  # fmt: skip


def place_in_front(
    renderer: SceneRenderer, camera: Cameras, rng: np.random.Generator, bystander: Scan | None = None
) -> list[Solid]:
    """Place one object, arm or person between camera and subject; none if six draws hide too little or too much."""
    return _draw_visible(renderer, camera, _VISIBLE, lambda: _in_front(renderer, camera, rng, bystander))


#: Landmarks that a held object needs.
_HOLDING = [INDEX[f"{side}_{part}"] for side in ("left", "right") for part in ("hand", "hip")]


def place_held(renderer: SceneRenderer, camera: Cameras, rng: np.random.Generator) -> list[Solid]:
    """Place an object at one hand: a bag, a box, a ball, a stick, an armful. None if hands or hips are unknown."""
    marks = renderer.scan.landmarks
    if marks is None or not np.isfinite(marks[_HOLDING]).all():
        return []
    return _draw_visible(renderer, camera, _HELD_VISIBLE, lambda: Props(_held(renderer.center, marks, rng)))


def visible_share(renderer: SceneRenderer, solid: Solid, camera: Cameras) -> float:
    """Share of the person in the photograph that a solid leaves visible; 0 if the person is not in it."""
    origin, directions = pixel_rays(camera)
    directions = directions[::_STRIDE, ::_STRIDE]
    person = renderer.scene.first_hit(origin, directions).distance
    free = (person < solid.scene.first_hit(origin, directions).distance).sum()
    return float(free / max(1, np.isfinite(person).sum()))


def _draw_visible(
    renderer: SceneRenderer, camera: Cameras, shares: tuple[float, float], draw: Callable[[], Solid]
) -> list[Solid]:
    """Draw until the person's visible share is in range; none after ``_DRAWS`` draws."""
    for _ in range(_DRAWS):
        solid = draw()
        if shares[0] <= visible_share(renderer, solid, camera) <= shares[1]:
            return [solid]
    return []


def _in_front(renderer: SceneRenderer, camera: Cameras, rng: np.random.Generator, bystander: Scan | None) -> Solid:
    """Draw a solid that covers a spot of the person, at some distance in front."""
    eye = camera.c2w.numpy()[:3, 3]
    toward = eye - renderer.center
    distance = np.linalg.norm(toward)
    toward /= distance
    level = toward * [1, 0, 1] / np.linalg.norm(toward * [1, 0, 1])
    right = np.array([level[2], 0, -level[0]])
    relative = renderer.scan.vertices - renderer.center
    front, wide = (relative @ level).max(), np.ptp(relative @ right)
    ground = renderer.scan.vertices[:, 1].min()
    # At most half of the way to the camera, where things would fill the picture.
    gap = min(float(np.exp(rng.uniform(np.log(0.1), np.log(1.2)))), 0.5 * max(distance - front, 0.1))
    ahead = level * (front + gap)
    spot = renderer.center + ahead + right * rng.uniform(-0.5, 0.5) * wide
    axes = np.stack([right, [0, 1, 0], level], axis=1)
    kind = rng.random()
    if bystander is not None and kind < 0.2:
        return _bystander(bystander, np.array([spot[0], ground, spot[2]]), right, rng)
    if kind < 0.35:
        shapes = arm(rng)
        up_m = rng.uniform(-0.4, 0.4) * np.ptp(renderer.scan.vertices[:, 1])
        place = renderer.center + ahead * 0.8 + np.array([0, up_m, 0])
    else:
        makers, chance = zip(*_FLOOR, strict=True)
        shapes = makers[rng.choice(len(makers), p=chance)](rng)
        place = np.array([spot[0], ground, spot[2]])
    turn = rotation_about_y(rng.normal(0, 0.4))
    return Props([Shape(s.vertices @ (axes @ turn).T + place, s.faces, s.look, s.smooth) for s in shapes])


def _bystander(scan: Scan, place: np.ndarray, right: np.ndarray, rng: np.random.Generator) -> SceneRenderer:
    """Another person on the floor, to one side, turned any way."""
    move = np.eye(4)
    move[:3, :3] = rotation_about_y(rng.uniform(0, 2 * np.pi))
    middle = (scan.vertices.min(0) + scan.vertices.max(0)) / 2
    shift = place + right * rng.choice([-1, 1]) * rng.uniform(0.1, 0.35)
    move[:3, 3] = shift - move[:3, :3] @ np.array([middle[0], scan.vertices[:, 1].min(), middle[2]])
    return SceneRenderer(scan.moved(move))


def _held(center: Float[np.ndarray, "3"], marks: Float[np.ndarray, "J 3"], rng: np.random.Generator) -> list[Shape]:
    side = "left" if rng.random() < 0.5 else "right"
    hand, look = marks[INDEX[f"{side}_hand"]].astype(np.float64), random_look(rng)
    size = np.exp(rng.normal(np.log([0.3, 0.32, 0.13]), 0.3)).clip(0.06, 0.6)
    turn = rng.uniform(0, 3)
    kind = rng.choice(["carried", "shoulder", "small", "ball", "stick", "armful"], p=[0.3, 0.15, 0.25, 0.1, 0.1, 0.1])
    if kind == "carried":
        below = hand - np.array([0, size[1] / 2 + 0.1, 0])
        handle = tube(below + np.array([0, size[1] / 2, 0]), hand, 0.008, look)
        return [(bag if rng.random() < 0.6 else box)(size, look, turn).moved(below), handle]
    if kind == "shoulder":
        hip = marks[INDEX[f"{side}_hip"]].astype(np.float64)
        outward = (hip - center) * [1, 0, 1]
        outward /= np.linalg.norm(outward) + 1e-9
        return [bag(size, look, turn).moved(hip + outward * 0.2)]
    if kind == "ball":
        return [bag(np.full(3, rng.uniform(0.08, 0.3)), look).moved(hand + rng.normal(0, 0.03, size=3))]
    if kind == "stick":
        along = rng.normal(size=3)
        along *= rng.uniform(0.3, 1.1) / np.linalg.norm(along)
        return [tube(hand - 0.3 * along, hand + 0.7 * along, rng.uniform(0.008, 0.03), look)]
    if kind == "armful":
        other = marks[INDEX[f"{'right' if side == 'left' else 'left'}_hand"]].astype(np.float64)
        return [box(size * [1.2, 1, 1.6], look, turn).moved((hand + other) / 2)]
    small = np.exp(rng.normal(np.log([0.09, 0.16, 0.03]), 0.35))
    return [box(small, look, turn).moved(hand + rng.normal(0, 0.02, size=3))]
