"""Parts that the rivals share: features of pixels, implicit functions, true normals, and surfaces of occupancies."""

from collections.abc import Callable

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.extraction import extract_body
from humanlrm.frame import unproject_ndc
from humanlrm.mesh.surface import TriangleSurface
from humanlrm.model.blocks import ChannelNorm, Pointwise, conv
from humanlrm.model.encoder import LiteEncoder, TrainableTrunk
from humanlrm.train.losses import inside_box
from humanlrm.views import on_grey, premultiplied

#: Channels of the picture: RGB, alpha, known.
PICTURE = 5


class PixelEncoder(nn.Module):
    """A feature pyramid (Lin et al. 2017) over EfficientNet-Lite0: features of a picture at stride 4.

    Args:
        width: channels.
        trained: train a copy of the encoder's coarser blocks; otherwise the whole encoder is frozen.
        net: a frozen encoder that other parts use, too; ``None``: one of its own.
    """

    def __init__(self, width: int, trained: bool = True, net: LiteEncoder | None = None) -> None:
        super().__init__()
        self.net = LiteEncoder() if net is None else net
        self.trunk = TrainableTrunk() if trained else None
        channels = self.net.channels[1:]
        self.norms = nn.ModuleList([ChannelNorm(count) for count in channels])
        self.lateral = nn.ModuleList([Pointwise(count, width) for count in channels])
        self.mix = nn.Sequential(conv(width + PICTURE, width), nn.SiLU(), conv(width, width))

    def forward(self, image: Float[Tensor, "B 5 H W"]) -> Float[Tensor, "B C h w"]:
        """Args: ``image`` is sRGB (not premultiplied), alpha, known, in [0, 1]; sides are multiples of 32."""
        person = on_grey(image)
        pyramid = self.net(person) if self.trunk is None else self.trunk(self.net.fine(person))
        maps = (pyramid.stride4, pyramid.stride8, pyramid.stride16, pyramid.stride32)
        levels = [layer(norm(each)) for layer, norm, each in zip(self.lateral, self.norms, maps, strict=True)]
        features = levels.pop()
        for level in reversed(levels):
            features = level + nn.functional.interpolate(features, scale_factor=2, mode="bilinear")
        picture = nn.functional.avg_pool2d(premultiplied(image), 4)
        return features + self.mix(torch.cat([features, picture], dim=1))


class ImplicitFunction(nn.Module):
    """PIFu's MLP (Saito et al. 2019): every layer gets the input again; LeakyReLU."""

    def __init__(self, inputs: int, widths: tuple[int, ...], outputs: int = 1) -> None:
        super().__init__()
        counts = [0, *widths]
        self.hidden = nn.ModuleList([nn.Linear(inputs + a, b) for a, b in zip(counts[:-1], widths, strict=True)])
        self.leave = nn.Linear(inputs + widths[-1], outputs)

    def forward(self, x: Float[Tensor, "B P F"]) -> tuple[Float[Tensor, "B P O"], Float[Tensor, "B P h"]]:
        """Output, and the last hidden layer."""
        hidden = x[..., :0]
        for layer in self.hidden:
            hidden = nn.functional.leaky_relu(layer(torch.cat([hidden, x], dim=-1)), 0.1)
        return self.leave(torch.cat([hidden, x], dim=-1)), hidden


def occupancy_error(
    logits: Float[Tensor, "B P"], sdf: Float[Tensor, "B P"], points: Float[Tensor, "B P 3"], squared: bool = False
) -> Float[Tensor, ""]:
    """Cross entropy (PIFuHD) or squared difference (PIFu) of inside and outside; unknown points (NaN) do not count."""
    known, inside = inside_box(points), (sdf < 0).to(logits)
    if squared:
        error = (logits.sigmoid() - inside) ** 2
    else:
        error = nn.functional.binary_cross_entropy_with_logits(logits, inside, reduction="none")
    return (error * known).sum() / known.sum().clamp(min=1)


def true_normals(depth: Float[Tensor, "B 2 D D"]) -> Float[Tensor, "B 2 3 D D"]:
    """Unit normals of the front and the back of people, from the depths where rays enter and leave; NaN: unknown."""
    side = depth.shape[-1]
    centres = (torch.arange(side, device=depth.device, dtype=depth.dtype) + 0.5) / side * 2 - 1
    right, up = torch.meshgrid(centres, -centres, indexing="xy")
    places = unproject_ndc(torch.stack([right, up], dim=-1).expand(*depth.shape, 2), depth)
    step = lambda axis: places.roll(-1, axis) - places.roll(1, axis)  # noqa: E731
    normal = nn.functional.normalize(torch.linalg.cross(step(3), -step(2)), dim=-1)
    # Pixels at the picture's border have no neighbor on one side.
    border = torch.ones_like(depth, dtype=torch.bool)
    border[..., 1:-1, 1:-1] = False
    normal = normal.masked_fill(border[..., None], torch.nan)
    outward = normal * normal.new_tensor([1.0, -1.0])[None, :, None, None, None]
    return rearrange(outward, "B k H W c -> B k c H W")


def occupancy_surface(
    logits: Callable[[Float[Tensor, "1 P 3"]], Float[Tensor, "1 P"]], resolution: int, device: torch.device
) -> TriangleSurface:
    """The level 0.5 of an occupancy as one closed body (box units).

    Raises:
        EmptySurfaceError: nothing is inside.
    """

    def sdf(points: Float[Tensor, "P 3"]) -> Float[Tensor, "P"]:
        return 0.5 - logits(points[None].to(device))[0].sigmoid().cpu()

    return extract_body(sdf, resolution, None)
