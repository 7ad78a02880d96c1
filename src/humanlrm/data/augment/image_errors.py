"""Errors of cameras, codecs and matting in the network's input."""

import io
from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from PIL import Image
from scipy.ndimage import gaussian_filter

#: sRGB in [0, 1] to sRGB in [0, 1], pixel by pixel.
Tone = Callable[[np.ndarray], np.ndarray]
_GREY = np.array([0.299, 0.587, 0.114], np.float32)


def random_tone(rng: np.random.Generator) -> Tone:
    """Draw exposure and white balance; for every third picture also gamma, contrast and saturation."""
    gain = (np.exp(rng.normal(0, 0.16)) * np.exp(rng.normal(0, 0.05, size=3))).astype(np.float32)
    if rng.random() > 0.35:
        return lambda rgb: np.clip(rgb * gain, 0, 1)
    gamma, contrast, saturation = np.exp(rng.normal(0, [0.18, 0.15, 0.25])).astype(np.float32)

    def tone(rgb: np.ndarray) -> np.ndarray:
        out = np.clip(rgb * gain, 1e-4, 1) ** gamma
        out = 0.45 + (out - np.float32(0.45)) * contrast
        grey = (out @ _GREY)[..., None]
        return np.clip(grey + (out - grey) * saturation, 0, 1).astype(np.float32)

    return tone


def camera_errors(image: Float[np.ndarray, "H W 5"], rng: np.random.Generator) -> Float[np.ndarray, "H W 5"]:
    """Add blur to every fourth picture, noise to every third; upscale small copies; code two fifths as JPEG."""
    blur = rng.random()
    if blur < 0.15:
        image[..., :3] = gaussian_filter(image[..., :3], (*[rng.uniform(0.4, 2.0)] * 2, 0), truncate=2.5)
    elif blur < 0.25:
        image[..., :3] = _blur_motion(image[..., :3], rng)
    if rng.random() < 0.33:
        noise = rng.standard_normal((*image.shape[:2], 3), dtype=np.float32)
        image[..., :3] += noise * np.float32(rng.uniform(0.005, 0.045))
    small, jpeg = rng.random() < 0.15, rng.random() < 0.4
    if small or jpeg:
        picture = Image.fromarray((np.clip(image[..., :3], 0, 1) * 255 + 0.5).astype(np.uint8))
        if small:
            size, full = int(len(image) * rng.uniform(0.2, 0.7)), picture.size
            picture = picture.resize((size, size), Image.Resampling.BOX).resize(full, Image.Resampling.BILINEAR)
        if jpeg:
            picture = _jpeg(picture, int(rng.integers(25, 96)))
        image[..., :3] = np.asarray(picture) / np.float32(255)
    np.clip(image[..., :3], 0, 1, out=image[..., :3])
    return image


def _jpeg(picture: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def _blur_motion(rgb: Float[np.ndarray, "H W 3"], rng: np.random.Generator) -> Float[np.ndarray, "H W 3"]:
    """Average the picture along a short straight path."""
    length, angle = rng.uniform(2, 0.03 * len(rgb) + 2), rng.uniform(0, np.pi)
    steps = np.linspace(-0.5, 0.5, int(np.ceil(length)) + 1) * length
    shifts = {(round(s * np.sin(angle)), round(s * np.cos(angle))) for s in steps}
    reach = max(max(abs(dy), abs(dx)) for dy, dx in shifts)
    wide = np.pad(rgb, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    height, width = rgb.shape[:2]
    parts = [wide[reach + dy : reach + dy + height, reach + dx : reach + dx + width] for dy, dx in sorted(shifts)]
    return np.stack(parts).mean(0, dtype=np.float32)


def mask_errors(image: Float[np.ndarray, "H W 5"], rng: np.random.Generator) -> Float[np.ndarray, "H W 5"]:
    """Erode or dilate every third mask softly; add holes, wrong bits at the border or a halo to some."""
    kind = rng.random()
    if kind < 0.3:
        image[..., 3] = _shift_edge(image[..., 3], rng.uniform(0.7, 2.5), rng)
    elif kind < 0.35:
        # The mask of a coarser picture: rounder, wider.
        soft = gaussian_filter(image[..., 3], rng.uniform(2.5, 5), truncate=2)
        image[..., 3] = np.clip((soft - rng.uniform(0.1, 0.35)) * rng.uniform(3, 8), 0, 1)
    if rng.random() < 0.1:
        for _ in range(int(rng.integers(1, 4))):
            image[..., 3] = _add_blot(image[..., 3], rng)
    image[..., 3] *= image[..., 4] > 0.5
    return image


def _shift_edge(alpha: Float[np.ndarray, "H W"], sigma_px: float, rng: np.random.Generator) -> Float[np.ndarray, "H W"]:
    soft = gaussian_filter(alpha, sigma_px)
    return np.clip((soft - rng.uniform(0.25, 0.75)) * rng.uniform(2, 6) + 0.5, 0, 1)


def _add_blot(alpha: Float[np.ndarray, "H W"], rng: np.random.Generator) -> Float[np.ndarray, "H W"]:
    """Remove or add an ellipse near the mask's outline or inside."""
    places = np.argwhere(alpha[::8, ::8] > 0.5) * 8
    if len(places) == 0:
        return alpha
    size = len(alpha)
    radii = rng.uniform(0.008, 0.035, size=2) * size
    middle = places[rng.integers(len(places))] + rng.normal(0, 0.03 * size, size=2)
    y, x = np.ogrid[: alpha.shape[0], : alpha.shape[1]]
    inside = ((y - middle[0]) / radii[0]) ** 2 + ((x - middle[1]) / radii[1]) ** 2 < 1
    return np.where(inside, np.float32(rng.random() < 0.5), alpha)
