"""A plane in which a part of a person, such as the head, is its own mirror image."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy
from jaxtyping import Float

#: Points (box units) to how much they belong to something, 0 to 1.
Membership = Callable[[Float[np.ndarray, "P 3"]], Float[np.ndarray, "P"]]
#: How far beside the surface a mirror image may lie, box units: the part is not quite its own mirror image.
_BESIDE = (0.015, 0.03)
#: Turns (degrees) and shifts (box units) of the plane that are tried.
_TURNS_DEG, _SHIFTS = np.arange(-42.0, 43.0, 6.0), np.arange(-0.02, 0.021, 0.01)
#: What a turn of so many degrees, and such a shift, cost of the likeness (all of these are our choice).
_USUAL_DEG, _USUAL, _COST = 30.0, 0.02, 0.15
#: (cost, turn, shift), the cheapest first.
_PLANES = sorted(
    (_COST * ((turn / _USUAL_DEG) ** 2 + (shift / _USUAL) ** 2), turn, shift)
    for turn in _TURNS_DEG
    for shift in _SHIFTS
)
#: If no plane turned by less than this shows both halves, they cannot be compared.
_NEAR_DEG = 13.0
_NEAR, _FAR = ([p for p in _PLANES if (abs(p[1]) < _NEAR_DEG) == near] for near in (True, False))
#: Places nearer to the plane are like their images whatever it is; box units.
_TRIVIAL = 0.012
#: Pairs that tell something; and how alike both halves have to be where both are seen.
_PAIRS, _ALIKE = 40, 0.35


@dataclass(frozen=True)
class Mirror:
    """A plane and where it holds.

    Attributes:
        origin: a point of the plane, box units.
        normal: its unit normal.
        up: unit axis of the plane around which it may be out of true.
        share: of points, how much they belong to the part, 0 to 1.
    """

    origin: Float[np.ndarray, "3"]
    normal: Float[np.ndarray, "3"]
    up: Float[np.ndarray, "3"]
    share: Membership

    def image(self, points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P 3"]:
        """Points on the other side."""
        return points - 2 * self._beside(points)[:, None] * self.normal

    def _beside(self, points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P"]:
        return (points - self.origin) @ self.normal

    def on(
        self, vertices: Float[np.ndarray, "V 3"], normals: Float[np.ndarray, "V 3"], points: Float[np.ndarray, "P 3"]
    ) -> tuple[Float[np.ndarray, "P 3"], Float[np.ndarray, "P 3"], Float[np.ndarray, "P"]]:
        """The mirror images of points, put onto the surface; its normals there; and how much they are worth, 0 to 1.

        Args:
            vertices, normals: of the surface.
        """
        images = self.image(points)
        _, nearest = scipy.spatial.KDTree(vertices).query(images)
        outward = normals[nearest]
        beside = ((images - vertices[nearest]) * outward).sum(axis=1)
        trust = np.clip((_BESIDE[1] - np.abs(beside)) / (_BESIDE[1] - _BESIDE[0]), 0, 1) * self.share(images)
        return (images - beside[:, None] * outward).astype(np.float32), outward, trust.astype(np.float32)

    def agreed(self, points: Float[np.ndarray, "S 3"], colors: Float[np.ndarray, "S 3"]) -> "Mirror | None":
        """The plane near this one in whose mirror the two halves are most alike; ``None``: they are not alike. Where
        too little of both is seen to compare them, the plane stays.

        Args:
            points: places that are seen, and their colours.
        """
        own = self.share(points) > 0.5
        points, colors = points[own], colors[own]
        if len(points) < _PAIRS:
            return self
        tree, best, most, compared = scipy.spatial.KDTree(points), None, -np.inf, False
        for planes in (_NEAR, _FAR):
            for cost, turn, shift in planes:
                if 1 - cost <= most:  # however alike, this plane and all after it are worse
                    break
                normal = scipy.spatial.transform.Rotation.from_rotvec(self.up * np.deg2rad(turn)).apply(self.normal)
                plane = replace(self, normal=normal, origin=self.origin + shift * normal)
                likeness = plane._likeness(tree, points, colors)
                compared = compared or likeness is not None
                if likeness is not None and likeness > _ALIKE and likeness - cost > most:
                    best, most = plane, likeness - cost
            if not compared:
                return self
        return best

    def _likeness(
        self, tree: "scipy.spatial.KDTree", points: Float[np.ndarray, "S 3"], colors: Float[np.ndarray, "S 3"]
    ) -> float | None:
        """Correlation of the colours of places with those of their images, where these are seen."""
        aside = np.flatnonzero(self._beside(points) > _TRIVIAL)
        away, nearest = tree.query(self.image(points[aside]), distance_upper_bound=_BESIDE[0])
        pairs = np.isfinite(away)
        if pairs.sum() < _PAIRS:
            return None
        images = np.asarray(nearest)[pairs]
        here, there = (c - c.mean(axis=0) for c in (colors[aside[pairs]], colors[images]))
        return float((here * there).sum() / max(float(np.linalg.norm(here) * np.linalg.norm(there)), 1e-9))
