"""Light of the photo, taken out of a texture as far as normals and body parts tell.

Model: the logarithm of a texel's luminance is that of its piece of clothes plus a smooth function of its normal (the
irradiance of distant light, spherical harmonics of first order; Ramamoorthi & Hanrahan 2001, section 3, keeps nine
terms, of which four are held here, since a photo shows half of all normals). Shadows, gloss and colored light stay.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from humanlrm.body.parts import part_segmenter
from humanlrm.mesh.surface import TexturedMesh, TriangleSurface
from humanlrm.mesh.texels import paint, rasterize
from humanlrm.mesh.unwrap import Unwrapped

_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
#: Texels of less luminance (linear) are left out of the fit; texels that are looked at; rounds of robust weights.
_DARK, _SAMPLES, _ROUNDS = 0.002, 20_000, 5
#: Half weight of a texel whose logarithm is this far from the fit: prints and hair are no light.
_ROBUST = 0.25
#: Light is taken out by at most this factor, in both directions.
_MOST_GAIN = 2.5
#: Damping of the light's direction against that of the pieces of clothes.
_DAMPING = 1e-3


def remove_light(mesh: TexturedMesh, landmarks: Float[np.ndarray, "J 3"]) -> TexturedMesh:
    """The mesh with an estimate of the albedo as its texture.

    Raises:
        ValueError: landmarks are missing.
    """
    if not np.isfinite(landmarks).all():
        raise ValueError("--albedo needs all landmarks of the person; some are missing")
    size = len(mesh.texture)
    texels = rasterize(Unwrapped(mesh.welded, mesh.faces, mesh.uv), size)
    surface = TriangleSurface(mesh.vertices, mesh.faces)
    normals = texels.interpolate(surface, mesh.normals)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    step = max(len(normals) // _SAMPLES, 1)
    points = texels.interpolate(surface, mesh.vertices)[::step]
    clothes = part_segmenter(landmarks)(points)
    linear = to_linear(mesh.texture[texels.row, texels.column].astype(np.float32) / 255)
    light = fit_light((linear @ _LUMA)[::step], normals[::step], clothes)
    shading = normals @ light
    gain = np.clip(np.exp(np.median(shading) - shading), 1 / _MOST_GAIN, _MOST_GAIN)
    return replace(mesh, texture=paint(texels, to_srgb(np.clip(linear * gain[:, None], 0, 1)), size))


def fit_light(
    luminance: Float[np.ndarray, "P"], normals: Float[np.ndarray, "P 3"], clothes: Int[np.ndarray, "P"]
) -> Float[np.ndarray, "3"]:
    """Slope of the logarithm of luminance along the normal: toward the light, 0 for light from everywhere."""
    bright = luminance > _DARK
    if not bright.any():
        return np.zeros(3, np.float32)
    target = np.log(luminance[bright])
    pieces = (clothes[bright][:, None] == np.unique(clothes[bright])).astype(np.float64)
    system = np.concatenate([normals[bright], pieces], axis=1)
    damping = np.diag([_DAMPING * len(target)] * 3 + [1e-9] * pieces.shape[1])
    weights, solution = np.ones(len(target)), np.zeros(system.shape[1])
    for _ in range(_ROUNDS):
        weighted = system * weights[:, None]
        solution = np.linalg.solve(weighted.T @ system + damping, weighted.T @ target)
        weights = 1 / (1 + ((target - system @ solution) / _ROBUST) ** 2)
    return solution[:3].astype(np.float32)


def to_linear(srgb: Float[np.ndarray, "*P"]) -> Float[np.ndarray, "*P"]:
    """sRGB in [0, 1] to linear light."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)


def to_srgb(linear: Float[np.ndarray, "*P"]) -> Float[np.ndarray, "*P"]:
    """Linear light to sRGB in [0, 1]."""
    curve = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, 12.92 * linear, curve).astype(np.float32)
