"""Pictures of a field from all around, for a training log: no mesh is made."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.frame import canonical_camera
from humanlrm.rays import Rays, image_rays
from humanlrm.render.field import RadianceField
from humanlrm.render.occupancy import occupancy
from humanlrm.render.surface import Tracing, render_surface
from humanlrm.render.volume import to_image


def orbit_rotation(yaw_deg: float) -> Float[Tensor, "4 4"]:
    """Turns the frame about +Y, counter-clockwise seen from above: where the input camera's frame goes."""
    yaw = torch.tensor(yaw_deg).deg2rad()
    out = torch.eye(4)
    out[0, 0] = out[2, 2] = yaw.cos()
    out[0, 2], out[2, 0] = yaw.sin(), -yaw.sin()
    return out


@torch.no_grad()
def turntable(
    field: RadianceField,
    subjects: int = 1,
    yaws_deg: tuple[float, ...] = (0.0, 90.0, 180.0, 270.0),
    size_px: int = 128,
    supersample: int = 2,
    tracing: Tracing | None = None,
) -> Float[Tensor, "B 3 H W"]:
    """The canonical camera walks around: colour in the upper row, normals below, one column per yaw, on white.

    Normals are in the axes of each view (x right, y up, z toward the viewer) as (n + 1)/2. 0 degrees is the photo's
    view, 90 degrees shows a person's left side. In [0, 1]: ``SummaryWriter.add_images`` takes it as it is.
    """
    camera = canonical_camera(size_px * supersample)
    grid = occupancy(field, subjects)
    rays = Rays(*(value.expand(subjects, *value.shape[1:]) for value in vars(image_rays(camera)).values()))
    columns = []
    for yaw_deg in yaws_deg:
        turn = orbit_rotation(yaw_deg)
        seen = render_surface(field, rays.moved(turn.expand(subjects, 4, 4)), tracing, grid)
        normals = (seen.normal @ turn[:3, :3] + 1) / 2
        alpha = seen.alpha[..., None]
        both = torch.cat([seen.over(torch.ones(subjects, 1, 3)), normals * alpha + 1 - alpha], dim=-1)
        columns.append(nn.functional.avg_pool2d(to_image(both, camera.size_px), supersample))
    return rearrange(torch.stack(columns), "V B (rows C) H W -> B C (rows H) (V W)", rows=2)
