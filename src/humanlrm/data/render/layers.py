"""Layers of training photographs: the whole person's front, back and silhouette along the photograph's rays."""

import numpy as np
from jaxtyping import Bool, Float

from humanlrm.camera import Cameras
from humanlrm.data.render.light import Light, shade_albedo
from humanlrm.data.render.renderer import SceneRenderer
from humanlrm.data.subject import Layers
from humanlrm.mesh.raycast import pixel_rays


def render_layers(renderer: SceneRenderer, camera: Cameras, light: Light, rng: np.random.Generator) -> Layers:
    """Render both sides of the person.

    No photograph tells how a back is lit. It is lit here as the front is: by the light's mirror image at the picture
    plane, without cast shadows. So the layers differ where the person does, and not where the lamps are.
    """
    person = renderer.light_person(camera, light, rng)
    origin, directions = pixel_rays(camera)
    rays = directions[person.whole]
    back = renderer.trace_back(origin, rays)
    behind, leaves = np.zeros_like(person.rgb), np.isfinite(back.distance)  # a ray that grazes an edge may not leave
    normals = mirror(back.normals, rays[leaves])
    behind[leaves] = shade_albedo(back.albedo, light.shade(normals, None, back.open_share))
    return Layers(_over_black(person.whole, person.rgb), _over_black(person.whole, behind), _as_alpha(person.whole))


def mirror(normals: Float[np.ndarray, "N 3"], directions: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
    """Normals, mirrored at the planes across directions of any length."""
    unit = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    return (normals - 2 * (normals * unit).sum(-1, keepdims=True) * unit).astype(np.float32)


def _over_black(whole: Bool[np.ndarray, "H W"], rgb: Float[np.ndarray, "N 3"]) -> np.ndarray:
    pixels = np.zeros((*whole.shape, 3), np.uint8)
    pixels[whole] = (rgb * 255 + 0.5).astype(np.uint8)
    return pixels


def _as_alpha(whole: Bool[np.ndarray, "H W"]) -> np.ndarray:
    return whole.astype(np.uint8) * 255
