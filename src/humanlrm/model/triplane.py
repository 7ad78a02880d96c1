"""Feature planes, and the input view that points sample beside them."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from humanlrm.model.heatmap_head import LandmarkHeatmaps


@dataclass(frozen=True)
class InputView:
    """Maps of the input view that points sample (pixel-aligned features; not in the paper).

    A decoder of the paper's family predicts only what its flags ask for; the rest is ``None``.

    Attributes:
        image: RGB, alpha and known (1 inside the photo).
        features: learned features at stride 2.
        depth: z where the pixel's ray enters and leaves the person, box units.
        landmarks: that the planes are built on, box units.
        estimated: the model's own estimate of them; ``None``: nothing was estimated.
        heatmaps: of the estimate; only for training.
    """

    image: Float[Tensor, "B 5 H W"]
    features: Float[Tensor, "B Cf Hf Wf"] | None
    depth: Float[Tensor, "B 2 Hz Wz"] | None
    landmarks: Float[Tensor, "B J 3"] | None
    estimated: Float[Tensor, "B J 3"] | None = None
    heatmaps: LandmarkHeatmaps | None = None


@dataclass(frozen=True)
class Triplane:
    """Feature planes in the sample's frame. ``zy`` and ``xz`` span [-1, 1]^2. First rows are +y, +z.

    The small family's ``xy`` lives in the projective image coordinates of the input camera, so that a point samples
    exactly what its pixel shows. The paper's family, which takes any cameras, has it orthographic as well.
    """

    xy: Float[Tensor, "B C Hx Wx"]
    zy: Float[Tensor, "B C Hs Ws"]
    xz: Float[Tensor, "B C Hs Ws"]
    inputs: InputView
