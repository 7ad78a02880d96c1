"""Pictures and a mesh of a model's predictions for the training log."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from humanlrm.camera import rotation_about_y
from humanlrm.encoding import encode
from humanlrm.frame import canonical_camera
from humanlrm.mesh.extract import extract_surface
from humanlrm.mesh.surface import vertex_normals
from humanlrm.model.lrm import HumanLRM
from humanlrm.model.triplane import Triplane
from humanlrm.rays import Rays, image_rays
from humanlrm.render.density import LaplaceDensity, RadianceField
from humanlrm.render.settings import Sampling
from humanlrm.render.volume import Rendering, render_rays, to_image
from humanlrm.train.pixels import view_scale
from humanlrm.train.render_losses import radiance_field
from humanlrm.views import Batch, Targets

#: Cells per side of the mesh in the log.
_LOG_MESH_CELLS = 64
#: Width of the density (box units): so narrow that the pictures show the surface.
_SURFACE_BETA = 0.005
_YAWS_DEG = (0.0, 90.0, 180.0, 270.0)
#: Rays that are rendered at once.
_CHUNK_RAYS = 4096


@dataclass(frozen=True)
class LoggedMesh:
    """The first subject's surface; vertices in box units, colors are sRGB bytes."""

    vertices: Float[np.ndarray, "V 3"]
    colors: UInt8[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]


@dataclass(frozen=True)
class Pictures:
    """Pictures in [0, 1].

    Attributes:
        inputs: the input views, on grey.
        around: the prediction from the front, its left, the back and its right; normals below.
        targets: one row per target view: true and predicted color, true and predicted normals (grey: unknown) in the
            view's own axes as (n + 1)/2; ``None``: the batch has no target views.
        mesh: ``None``: the field has no surface yet.
    """

    inputs: Float[Tensor, "B 3 H W"]
    around: Float[Tensor, "B 3 H2 W4"]
    targets: Float[Tensor, "B 3 HT WT"] | None
    mesh: LoggedMesh | None


@torch.no_grad()
def draw_pictures(model: HumanLRM, batch: Batch, subjects: int = 2, size_px: int = 64) -> Pictures:
    """Draw the first few subjects of a batch.

    Args:
        model: on the CPU, in evaluation mode.
        size_px: side of each picture; target views are reduced to it if it divides their side.
    """
    batch = _first(batch, subjects)
    image = batch.inputs.image[:, :4]
    planes = encode(model, batch.inputs)
    field, count = radiance_field(model, planes, LaplaceDensity(_SURFACE_BETA)), len(image)
    targets = batch.supervision.targets
    if targets is not None and targets.alpha.shape[-1] % size_px == 0:
        targets = targets.reduced(size_px)
    return Pictures(
        inputs=_on_grey(image[:, :3], image[:, 3:]),
        around=draw_around(field, count, size_px),
        targets=None if targets is None else _compare_targets(field, targets),
        mesh=_mesh(model, planes),
    )


def draw_around(field: RadianceField, subjects: int, size_px: int) -> Float[Tensor, "B 3 H W"]:
    """Render pictures from all around: color in the upper row, normals below, one column per yaw, on white.

    Normals are in the axes of each view (x right, y up, z toward the viewer) as (n + 1)/2.
    """
    columns = []
    for yaw_deg in _YAWS_DEG:
        turn = torch.eye(4)
        turn[:3, :3] = torch.from_numpy(rotation_about_y(np.deg2rad(yaw_deg)))
        view = _render(field, size_px, turn.expand(subjects, 4, 4))
        alpha = view.alpha[..., None]
        normals = (view.normal @ turn[:3, :3] + 1) / 2 * alpha + 1 - alpha
        rows = torch.cat([view.over(torch.ones(subjects, 1, 3)), normals], dim=-1)
        columns.append(to_image(rows, (size_px, size_px)))
    return rearrange(torch.stack(columns), "V B (rows C) H W -> B C (rows H) (V W)", rows=2).clamp(0, 1)


def _first(part: Any, count: int) -> Any:
    """Select the first subjects of a dataclass of tensors (a batch, planes)."""
    if part is None or isinstance(part, Tensor):
        return None if part is None else part[:count].cpu()
    return type(part)(**{name: _first(value, count) for name, value in vars(part).items()})


def _on_grey(rgb: Float[Tensor, "*B 3 H W"], alpha: Float[Tensor, "*B 1 H W"]) -> Float[Tensor, "*B 3 H W"]:
    """Blend colors with grey; unknown ones (NaN) are grey as well."""
    return torch.where(rgb.isnan(), 0.5, rgb * alpha + 0.5 * (1 - alpha)).clamp(0, 1)


def _compare_targets(field: RadianceField, targets: Targets) -> Float[Tensor, "B 3 HT WT"]:
    """Put true and predicted color, true and predicted normals of every target view side by side."""
    _, views, _, side, _ = targets.rgb.shape
    camera = canonical_camera(side)
    scale, rows = view_scale(targets.to_input), []
    for view in range(views):
        pose = targets.to_input[:, view]
        rendered = _render(field, side, pose)
        normal = to_image(rendered.normal @ (pose[:, :3, :3] / scale[:, view, None, None]), camera.size_px)
        rgb, alpha = to_image(rendered.rgb, camera.size_px), to_image(rendered.alpha, camera.size_px)
        true_alpha = targets.alpha[:, view]
        colors = [_on_grey(targets.rgb[:, view], true_alpha), _on_grey(rgb, alpha)]
        normals = [_on_grey((targets.normal[:, view] + 1) / 2, true_alpha), _on_grey((normal + 1) / 2, alpha)]
        rows.append(torch.cat(colors + normals, dim=3))
    return rearrange(torch.stack(rows), "T B C H W -> B C (T H) W")


def _render(field: RadianceField, size_px: int, to_input: Float[Tensor, "B 4 4"]) -> Rendering:
    """Render every subject by a canonical camera whose frame ``to_input`` moves to that of the input view."""
    front = vars(image_rays(canonical_camera(size_px))).values()
    rays = Rays(*(value.expand(len(to_input), *value.shape[1:]) for value in front))
    return render_rays(field, rays.moved(to_input), Sampling(), chunk=_CHUNK_RAYS)


def _mesh(model: HumanLRM, planes: Triplane) -> LoggedMesh | None:
    """Extract the first subject's surface."""
    first = _first(planes, 1)
    try:
        distance = lambda points: model.field.distance(first, points[None])[0]  # noqa: E731
        surface = extract_surface(distance, _LOG_MESH_CELLS, _LOG_MESH_CELLS)
    except ValueError:  # no surface inside of the box, as an early step may have
        return None
    points, normals = (torch.from_numpy(a)[None] for a in (surface.vertices, vertex_normals(surface)))
    colors = (model.field.color(first, points, normals)[0] * 255).round().to(torch.uint8).numpy()
    return LoggedMesh(surface.vertices, colors, surface.faces)
