"""What a model makes of a batch, as pictures and a mesh for the training log."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from humanlrm.encoding import encode
from humanlrm.frame import canonical_camera
from humanlrm.mesh.extract import extract_surface
from humanlrm.mesh.surface import vertex_normals
from humanlrm.model.lrm import Model
from humanlrm.model.triplane import Triplane
from humanlrm.rays import Rays, image_rays
from humanlrm.render.density import LaplaceDensity, RadianceField
from humanlrm.render.surface import occupancy, render_surface, turntable
from humanlrm.render.volume import to_image
from humanlrm.train.render_objective import radiance_field, view_scale
from humanlrm.views import Batch, Targets

#: Cells per side of the mesh in the log.
_CELLS = 64


@dataclass(frozen=True)
class LoggedMesh:
    """The first subject's surface; vertices in box units, colours are sRGB bytes."""

    vertices: Float[np.ndarray, "V 3"]
    colors: UInt8[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]


@dataclass(frozen=True)
class Pictures:
    """Pictures in [0, 1].

    Attributes:
        inputs: the given views, on grey.
        around: the prediction from the front, its left, the back and its right; normals below.
        targets: one row per target view: wanted and predicted colour, wanted and predicted normals (grey: unknown) in
            the view's own axes as (n + 1)/2; ``None``: the batch has no target views.
        mesh: ``None``: the field has no surface yet.
    """

    inputs: Float[Tensor, "B 3 H W"]
    around: Float[Tensor, "B 3 H2 W4"]
    targets: Float[Tensor, "B 3 HT WT"] | None
    mesh: LoggedMesh | None


@torch.no_grad()
def draw(model: Model, batch: Batch, subjects: int = 2, size_px: int = 64) -> Pictures:
    """Pictures of the first few subjects of a batch: the surface, not the density around it.

    Args:
        model: on the CPU, in evaluation mode.
        size_px: side of each picture; target views are reduced to it if it divides their side.
    """
    batch = _first(batch, subjects)
    image = batch.inputs.image[:, :4]
    planes = encode(model, batch.inputs)
    field, count = radiance_field(model, planes, LaplaceDensity()), len(image)
    targets = batch.supervision.targets
    if targets is not None and targets.alpha.shape[-1] % size_px == 0:
        targets = targets.reduced(size_px)
    return Pictures(
        inputs=_on_grey(image[:, :3], image[:, 3:]),
        around=turntable(field, count, size_px=size_px),
        targets=None if targets is None else _beside(field, targets),
        mesh=_mesh(model, planes),
    )


def _first(part: Any, count: int) -> Any:
    """The first subjects of a dataclass of tensors (a batch, planes)."""
    if part is None or isinstance(part, Tensor):
        return None if part is None else part[:count].cpu()
    return type(part)(**{name: _first(value, count) for name, value in vars(part).items()})


def _on_grey(rgb: Float[Tensor, "*B 3 H W"], alpha: Float[Tensor, "*B 1 H W"]) -> Float[Tensor, "*B 3 H W"]:
    """What is unknown (NaN) is grey as well."""
    return torch.where(rgb.isnan(), 0.5, rgb * alpha + 0.5 * (1 - alpha)).clamp(0, 1)


def _beside(field: RadianceField, targets: Targets) -> Float[Tensor, "B 3 HT WT"]:
    """Wanted and predicted colour, wanted and predicted normals of every target view."""
    subjects, views, _, side, _ = targets.rgb.shape
    camera, grid = canonical_camera(side), occupancy(field, subjects)
    rays = Rays(*(value.expand(subjects, *value.shape[1:]) for value in vars(image_rays(camera)).values()))
    scale, rows = view_scale(targets.to_input), []
    for view in range(views):
        pose = targets.to_input[:, view]
        seen = render_surface(field, rays.moved(pose), grid=grid)
        normal = to_image(seen.normal @ (pose[:, :3, :3] / scale[:, view, None, None]), camera.size_px)
        rgb, alpha = to_image(seen.rgb, camera.size_px), to_image(seen.alpha, camera.size_px)
        wanted = targets.rgb[:, view], targets.alpha[:, view], targets.normal[:, view]
        colors = [_on_grey(wanted[0], wanted[1]), _on_grey(rgb, alpha)]
        normals = [_on_grey((wanted[2] + 1) / 2, wanted[1]), _on_grey((normal + 1) / 2, alpha)]
        rows.append(torch.cat(colors + normals, dim=3))
    return rearrange(torch.stack(rows), "T B C H W -> B C (T H) W")


def _mesh(model: Model, planes: Triplane) -> LoggedMesh | None:
    """Of the first subject."""
    one = _first(planes, 1)
    try:
        surface = extract_surface(lambda points: model.field.distance(one, points[None])[0], _CELLS, _CELLS)
    except ValueError:  # no surface inside of the box: what an early step may well have
        return None
    points, normals = (torch.from_numpy(a)[None] for a in (surface.vertices, vertex_normals(surface)))
    colors = (model.field.color(one, points, normals)[0] * 255).round().to(torch.uint8).numpy()
    return LoggedMesh(surface.vertices, colors, surface.faces)
