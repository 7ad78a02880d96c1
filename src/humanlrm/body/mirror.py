"""Mirror symmetry of a part of a person, such as the head."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy
from jaxtyping import Float

#: Points (box units) to their degree of membership in a region, 0 to 1.
Membership = Callable[[Float[np.ndarray, "P 3"]], Float[np.ndarray, "P"]]
#: Distances of a mirror image from the surface (box units) at which its trust begins to fall, and is 0.
_TRUST_FALL = (0.015, 0.03)
#: Turns (degrees) and shifts (box units) of the plane that are tried.
_TURNS_DEG, _SHIFTS = np.arange(-42.0, 43.0, 6.0), np.arange(-0.02, 0.021, 0.01)
#: Cost of a plane, in units of correlation, at the usual turn (degrees) and at the usual shift (box units).
_USUAL_TURN_DEG, _USUAL_SHIFT, _COST = 30.0, 0.02, 0.15
#: (cost, turn, shift), the cheapest first.
_PLANES = sorted(
    (_COST * ((turn / _USUAL_TURN_DEG) ** 2 + (shift / _USUAL_SHIFT) ** 2), turn, shift)
    for turn in _TURNS_DEG
    for shift in _SHIFTS
)
#: If no plane turned by less than this shows both halves, they cannot be compared.
_NEAR_DEG = 13.0
_NEAR_PLANES, _FAR_PLANES = ([p for p in _PLANES if (abs(p[1]) < _NEAR_DEG) == near] for near in (True, False))
#: Places nearer to the plane than this resemble their images in any case; box units.
_TRIVIAL_DISTANCE = 0.012
#: Fewest pairs that are compared, and the least correlation of a symmetric part.
_LEAST_PAIRS, _LEAST_CORRELATION = 40, 0.35


@dataclass(frozen=True)
class Mirror:
    """A plane of symmetry and the region where it holds.

    Attributes:
        origin: a point of the plane, box units.
        normal: its unit normal.
        up: unit axis of the plane, about which its estimate may be turned.
        membership: of points in the region.
    """

    origin: Float[np.ndarray, "3"]
    normal: Float[np.ndarray, "3"]
    up: Float[np.ndarray, "3"]
    membership: Membership

    def reflect(self, points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P 3"]:
        """Mirror images of points."""
        return points - 2 * self._distance(points)[:, None] * self.normal

    def _distance(self, points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P"]:
        return (points - self.origin) @ self.normal

    def reflect_onto(
        self, vertices: Float[np.ndarray, "V 3"], normals: Float[np.ndarray, "V 3"], points: Float[np.ndarray, "P 3"]
    ) -> tuple[Float[np.ndarray, "P 3"], Float[np.ndarray, "P 3"], Float[np.ndarray, "P"]]:
        """Mirror images of points on the surface, the surface's normals there, and how far to trust them, 0 to 1.

        Args:
            vertices, normals: of the surface.
        """
        images = self.reflect(points)
        _, nearest = scipy.spatial.KDTree(vertices).query(images)
        outward = normals[nearest]
        height = ((images - vertices[nearest]) * outward).sum(axis=1)
        trust = np.clip((_TRUST_FALL[1] - np.abs(height)) / (_TRUST_FALL[1] - _TRUST_FALL[0]), 0, 1)
        trust = trust * self.membership(images)
        return (images - height[:, None] * outward).astype(np.float32), outward, trust.astype(np.float32)

    def refined(self, points: Float[np.ndarray, "S 3"], colors: Float[np.ndarray, "S 3"]) -> "Mirror | None":
        """The plane near this one in which the colours of both halves correlate most; ``None``: they do not correlate.

        Returns this plane itself where too little of both halves is visible to compare them.

        Args:
            points: visible places, and their colours.
        """
        inside = self.membership(points) > 0.5
        points, colors = points[inside], colors[inside]
        if len(points) < _LEAST_PAIRS:
            return self
        tree, best, best_score, compared = scipy.spatial.KDTree(points), None, -np.inf, False
        for planes in (_NEAR_PLANES, _FAR_PLANES):
            for cost, turn, shift in planes:
                if 1 - cost <= best_score:  # even a perfect correlation could not make up for the cost from here on
                    break
                normal = scipy.spatial.transform.Rotation.from_rotvec(self.up * np.deg2rad(turn)).apply(self.normal)
                plane = replace(self, normal=normal, origin=self.origin + shift * normal)
                correlation = plane._correlation(tree, points, colors)
                compared = compared or correlation is not None
                if correlation is not None and correlation > _LEAST_CORRELATION and correlation - cost > best_score:
                    best, best_score = plane, correlation - cost
            if not compared:
                return self
        return best

    def _correlation(
        self, tree: "scipy.spatial.KDTree", points: Float[np.ndarray, "S 3"], colors: Float[np.ndarray, "S 3"]
    ) -> float | None:
        """Correlation of the colours of places with those of their images; ``None``: too few images are visible."""
        one_side = np.flatnonzero(self._distance(points) > _TRIVIAL_DISTANCE)
        distance, nearest = tree.query(self.reflect(points[one_side]), distance_upper_bound=_TRUST_FALL[0])
        pairs = np.isfinite(distance)
        if pairs.sum() < _LEAST_PAIRS:
            return None
        images = np.asarray(nearest)[pairs]
        a, b = (c - c.mean(axis=0) for c in (colors[one_side[pairs]], colors[images]))
        return float((a * b).sum() / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-9))
