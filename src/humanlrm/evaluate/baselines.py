"""Floors: methods that know nothing of people, measured like a model."""

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

from humanlrm.frame import VIEW_SPAN
from humanlrm.mesh import clean, extract_surface
from humanlrm.mesh.surface import TriangleSurface
from humanlrm.subject import SubjectCrop

_DEEPEST = 0.16


def inflated_silhouette(shown: SubjectCrop) -> TriangleSurface:
    """The mask inflated to the front and to the back: half thickness sqrt(d (2r - d)) at distance d from the outline,
    as if each limb were round with radius r = 0.16 units at most (our choice). Orthographic."""
    mask = shown.alpha[0].numpy() > 0.5
    unit = VIEW_SPAN / len(mask)
    inside = np.minimum(np.asarray(distance_transform_edt(mask)) * unit, _DEEPEST)
    outside = np.asarray(distance_transform_edt(~mask)) * unit
    thickness = torch.from_numpy((np.sqrt(inside * (2 * _DEEPEST - inside)) - outside).astype(np.float32))

    def sdf(points):
        grid = torch.stack([points[:, 0], -points[:, 1]], -1)[None, None] * (2 / VIEW_SPAN)
        half = torch.nn.functional.grid_sample(thickness[None, None], grid, align_corners=False)[0, 0, 0]
        return points[:, 2].abs() - half

    return clean(extract_surface(sdf, 128))


BASELINES = {"inflated": inflated_silhouette}
