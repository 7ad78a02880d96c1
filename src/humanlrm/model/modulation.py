"""Where a view's camera enters the network: adaptive layer norm of the view's tokens."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.camera import Cameras

_NUMBERS = 16


def camera_numbers(cameras: Cameras) -> Float[Tensor, "*B 16"]:
    """A camera as 16 numbers that know neither pixels nor the scale of camera space.

    The world-to-camera matrix (12; box to camera, a similarity is allowed and divided by its scale, which no image
    shows), focal lengths in half image sides and the principal point in [-1, 1]. LRM's camera features, with
    intrinsics that do not depend on the resolution.
    """
    world = cameras.w2c[..., :3, :]
    scale = torch.linalg.det(world[..., :3]).abs().pow(1 / 3)[..., None, None]
    half = cameras.K.new_tensor([cameras.size_px[1] / 2, cameras.size_px[0] / 2])
    focal = torch.diagonal(cameras.K[..., :2, :2], dim1=-2, dim2=-1) / half
    principal = cameras.K[..., :2, 2] / half - 1
    return torch.cat([(world / scale).flatten(-2), focal, principal], dim=-1)


class CameraEmbedding(nn.Module):
    """Cameras to condition vectors."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(_NUMBERS, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())

    def forward(self, cameras: Cameras) -> Float[Tensor, "*B E"]:
        return self.layers(camera_numbers(cameras))


class Modulation(nn.Module):
    """Scale and shift of normalised tokens by a condition (LRM's ModLN: ``LN(f) (1 + gamma) + beta``).

    Starts as the identity, so that a model trained on single views is a good start for posed ones (our choice).
    """

    def __init__(self, condition: int, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(condition, 2 * width)
        nn.init.zeros_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def forward(self, tokens: Float[Tensor, "N T D"], condition: Float[Tensor, "N E"]) -> Float[Tensor, "N T D"]:
        gamma, beta = self.layer(condition)[:, None].chunk(2, dim=-1)
        return tokens * (1 + gamma) + beta
