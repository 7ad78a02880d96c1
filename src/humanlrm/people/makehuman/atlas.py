"""Several textured parts on one texture: where each part's tile lies, and what its coordinates become."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

#: Height and width of the atlas: the skin on the left half, garments in the right half.
ATLAS_PX = (1024, 2048)


@dataclass(frozen=True)
class Tile:
    """A square of the atlas, pixels from the upper left corner."""

    row: int
    column: int
    size: int

    def paste(self, atlas: UInt8[np.ndarray, "H W 3"], image: UInt8[np.ndarray, "h w 3"]) -> None:
        """Writes an image into the square, resized to fit."""
        if image.shape[:2] != (self.size, self.size):
            image = np.asarray(Image.fromarray(image).resize((self.size, self.size), Image.Resampling.BILINEAR))
        atlas[self.row : self.row + self.size, self.column : self.column + self.size] = image

    def coordinates(self, uv: Float[np.ndarray, "U 2"]) -> Float[np.ndarray, "U 2"]:
        """Texture coordinates of the part on the atlas (v = 0 at the bottom), a texel away from the tile's border."""
        height, width = ATLAS_PX
        inside = np.clip(uv, 1.0 / self.size, 1 - 1.0 / self.size)
        column = self.column + inside[:, 0] * self.size
        row = self.row + (1 - inside[:, 1]) * self.size
        return np.stack([column / width, 1 - row / height], axis=1).astype(np.float32)


#: Slots by name; parts of one person take different ones.
SLOTS: dict[str, Tile] = {
    "skin": Tile(0, 0, 1024),
    "upper": Tile(0, 1024, 512),
    "lower": Tile(0, 1536, 512),
    "hair": Tile(512, 1024, 512),
    "shoes": Tile(512, 1536, 256),
    "over": Tile(512, 1792, 256),
    "eyes": Tile(768, 1536, 128),
    "brows": Tile(768, 1664, 128),
    "hat": Tile(768, 1792, 256),
    "glasses": Tile(896, 1536, 128),
    "socks": Tile(896, 1664, 128),
}


def filled_under_alpha(rgb: UInt8[np.ndarray, "H W 3"], alpha: UInt8[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """The image with its transparent texels painted in the colour of the opaque ones around them."""
    if (alpha > 200).all() or not (alpha > 200).any():
        return rgb
    solid = (alpha > 200).astype(np.float32)
    height, width = alpha.shape
    small = (max(1, width // 32), max(1, height // 32))
    painted = [_blurred(rgb[..., k] * solid, small) for k in range(3)]
    share = _blurred(solid, small)
    mean = (rgb * solid[..., None]).sum((0, 1)) / solid.sum()
    around = np.stack([(p + 1e-2 * m) / (share + 1e-2) for p, m in zip(painted, mean, strict=True)], axis=-1)
    mix = (alpha.astype(np.float32) / 255)[..., None]
    return np.clip(rgb * mix + around * (1 - mix), 0, 255).astype(np.uint8)


def _blurred(channel: Float[np.ndarray, "H W"], small: tuple[int, int]) -> Float[np.ndarray, "H W"]:
    image = Image.fromarray(channel.astype(np.float32))
    return np.asarray(image.resize(small, Image.Resampling.BOX).resize(image.size, Image.Resampling.BILINEAR))
