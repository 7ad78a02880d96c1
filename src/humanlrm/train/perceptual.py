"""A perceptual loss on the frozen encoder's features. It is not LPIPS: other network, no learned weights."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.model.encoder import LiteEncoder

#: Maps that are compared: strides 2, 4 and 8. Coarser ones see little of a patch.
_MAPS = 3


class PerceptualLoss(nn.Module):
    """Mean squared difference of EfficientNet-Lite0 features, each pixel's features at unit length.

    The paper uses a perceptual loss and does not name it; unit length as in Zhang et al. 2018, without learned weights.

    Args:
        encoder: may be the model's own, it is frozen.
    """

    def __init__(self, encoder: LiteEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, predicted: Float[Tensor, "B 3 H W"], target: Float[Tensor, "B 3 H W"]) -> Float[Tensor, ""]:
        """Compare images in [0, 1]; gradient to ``predicted`` only. 0 for equal images, at most 4."""
        with torch.no_grad():
            true_maps = self.encoder.taps(target, _MAPS)
        pairs = zip(self.encoder.taps(predicted, _MAPS), true_maps, strict=True)
        unit = lambda x: nn.functional.normalize(x, dim=1, eps=1e-3)  # noqa: E731
        return torch.stack([((unit(a) - unit(b)) ** 2).sum(1).mean() for a, b in pairs]).mean()
