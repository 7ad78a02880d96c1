"""An upright mesh of any unit to its place behind a mask: for programs and scans that do not know the frame."""

import numpy as np
import torch
from jaxtyping import Bool, Float

from humanlrm.frame import VIEW_SPAN, project_ndc
from humanlrm.mesh.surface import TriangleSurface

_ROUNDS = 6


def place_in_mask(surface: TriangleSurface, mask: Bool[np.ndarray, "S S"]) -> TriangleSurface:
    """An upright mesh of any unit, moved and scaled so that its box in the input view has the height and the middle of
    the mask's; its middle in z goes to 0.

    Raises:
        ValueError: an empty mask or a mesh without height.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows) == 0 or np.ptp(surface.vertices[:, 1]) < 1e-9:
        raise ValueError("place_in_mask: the mask is empty or the mesh is flat; there is nothing to fit")
    half = len(mask) / 2
    low = np.array([columns[0] / half - 1, 1 - (rows[-1] + 1) / half])
    high = np.array([(columns[-1] + 1) / half - 1, 1 - rows[0] / half])
    start, end = surface.vertices.min(0), surface.vertices.max(0)
    placed = (surface.vertices - (start + end) / 2) * (high - low)[1] * (VIEW_SPAN / 2) / (end - start)[1]
    for _ in range(_ROUNDS):  # perspective: the box in the picture is not that of the plane z = 0
        start, end = _seen_box(placed)
        placed *= (high - low)[1] / (end - start)[1]
        start, end = _seen_box(placed)
        placed[:, :2] += ((low + high) / 2 - (start + end) / 2) * (VIEW_SPAN / 2)
    return TriangleSurface(placed.astype(np.float32), surface.faces)


def _seen_box(points: Float[np.ndarray, "P 3"]) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"]]:
    """Lower and upper corner in the input view's [-1, 1]^2."""
    seen = project_ndc(torch.from_numpy(points.astype(np.float32))).numpy()
    return seen.min(0), seen.max(0)
