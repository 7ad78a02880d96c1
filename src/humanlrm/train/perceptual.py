"""A perceptual loss on the frozen encoder's features. It is not LPIPS: other network, no learned weights."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.model.encoder import LiteEncoder

#: Maps that are compared: strides 2, 4 and 8. Coarser ones see little of a patch (our choice).
_MAPS = 3


class PerceptualLoss(nn.Module):
    """Mean squared difference of EfficientNet-Lite0 features, each pixel's features at unit length (the paper uses a
    perceptual loss and does not say which; unit length after Zhang et al. 2018; no learned weights, our choice).

    Args:
        encoder: may be the model's own, it is frozen.
    """

    def __init__(self, encoder: LiteEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, seen: Float[Tensor, "B 3 H W"], wanted: Float[Tensor, "B 3 H W"]) -> Float[Tensor, ""]:
        """Images in [0, 1]; gradient to ``seen`` only. 0 for equal images, at most 4."""
        with torch.no_grad():
            truth = self.encoder.taps(wanted, _MAPS)
        pairs = zip(self.encoder.taps(seen, _MAPS), truth, strict=True)
        unit = lambda x: nn.functional.normalize(x, dim=1, eps=1e-3)  # noqa: E731
        return torch.stack([((unit(a) - unit(b)) ** 2).sum(1).mean() for a, b in pairs]).mean()
