"""The outline of the person in a photo, which is known to a pixel, and the field, which knows it to a centimetre."""

import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from humanlrm.frame import VIEW_SPAN, project_ndc
from humanlrm.model.triplane import sample_plane

#: Pixels along a side of the outline's map are as many times those of the image.
_FINER = 2
#: Box units: by how much the surface moves out in a rim along the outline, and the rim's width.
_OUT, _RIM = 0.006, 0.010
#: How far beyond the outline the surface may stay, and how much is taken away there at most. Farther outside than
#: ``_BEYOND`` something may stand in front of the person: there the field decides alone. All our choice, measured by
#: ``benchmarks/outline.py``.
_SLACK, _OFF, _BEYOND = 0.002, 0.012, 0.02


def outline_map(image: Float[Tensor, "B 5 H W"]) -> Float[Tensor, "B 1 Hf Wf"]:
    """Distance of each pixel from the outline, negative inside of the person, box units in the plane z = 0. Beyond the
    photo's border nobody knows where the person ends: unknown pixels count as the person.

    Args:
        image: RGB, alpha and known, in [0, 1].
    """
    finer = torch.nn.functional.interpolate(image[:, 3:].float(), scale_factor=_FINER, mode="bilinear")
    inside = ((finer[:, 0] > 0.5) | (finer[:, 1] < 0.5)).cpu().numpy()
    signed = [np.asarray(distance_transform_edt(~one)) - np.asarray(distance_transform_edt(one)) for one in inside]
    unit = VIEW_SPAN / finer.shape[-1]
    return torch.from_numpy(np.stack(signed)[:, None].astype(np.float32) * unit).to(image.device)


def meet_outline(
    sdf: Float[Tensor, "B P"], points: Float[Tensor, "B P 3"], outline: Float[Tensor, "B 1 H W"]
) -> Float[Tensor, "B P"]:
    """The field's distance, changed near the outline so that the surface ends where the photo shows that it ends.

    A field that is unsure where a surface is puts it too far inside, and the silhouettes of its bodies are thin: by
    half a pixel of its input, which is a tenth of a hand (our choice).
    """
    away = sample_plane(outline, project_ndc(points))[..., 0]
    near = torch.sigmoid((_BEYOND - away) / (0.25 * _BEYOND))
    moved = sdf - _OUT * near * torch.sigmoid((away + _RIM) / (0.3 * _RIM))
    return torch.maximum(moved, torch.minimum(away - _SLACK, moved + _OFF * near))
