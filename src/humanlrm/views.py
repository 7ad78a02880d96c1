"""The network's inputs and supervision: tensors, batch first, in the sample's frame."""

from dataclasses import dataclass, fields
from typing import Any

import torch
from einops import reduce
from jaxtyping import Float
from torch import Tensor

#: Colours are divided by at least this much alpha.
_LEAST_ALPHA = 1e-4


def premultiplied(image: Float[Tensor, "*B 5 H W"]) -> Float[Tensor, "*B 5 H W"]:
    """sRGB, alpha and known to sRGB times alpha, alpha and known."""
    rgb, rest = image.split([3, 2], dim=-3)
    return torch.cat([rgb * rest[..., :1, :, :], rest], dim=-3)


def on_grey(image: Float[Tensor, "*B 5 H W"]) -> Float[Tensor, "*B 3 H W"]:
    """The person in front of grey, as encoders see people: sRGB."""
    rgb, alpha, _ = image.split([3, 1, 1], dim=-3)
    return rgb * alpha + 0.5 * (1 - alpha)


@dataclass(frozen=True)
class Inputs:
    """One view per subject; single samples have no batch axis until :func:`collate`.

    Attributes:
        image: sRGB, alpha, known (1 inside the photo), in [0, 1].
        landmarks: detected, box units, and visibility in [0, 1]; 0 = missing.
        detector_features: the detector's features at the landmarks, in the picture and in its mirror image; 0 =
            unknown.
    """

    image: Float[Tensor, "*B 5 H W"]
    landmarks: Float[Tensor, "*B J 4"]
    detector_features: Float[Tensor, "*B J 2 C"]

    def to(self, device: torch.device | str) -> "Inputs":
        return Inputs(self.image.to(device), self.landmarks.to(device), self.detector_features.to(device))


@dataclass(frozen=True)
class Targets:
    """T square views of each subject to be rendered, each through the canonical camera of its own frame.

    Attributes:
        rgb: sRGB, not premultiplied; NaN where unknown.
        alpha: the silhouette in [0, 1]; NaN where unknown.
        normal: unit vectors, axes of the view's own frame; NaN where unknown.
        depth: z of the first surface in the view's own frame, box units; NaN where unknown.
        to_input: similarity from the view's own frame to the input view's frame.
    """

    rgb: Float[Tensor, "*B T 3 H W"]
    alpha: Float[Tensor, "*B T 1 H W"]
    normal: Float[Tensor, "*B T 3 H W"]
    depth: Float[Tensor, "*B T 1 H W"]
    to_input: Float[Tensor, "*B T 4 4"]

    def reduced(self, side_px: int) -> "Targets":
        """At a lower resolution: means of blocks, colours weighted by alpha; a block unknown in part is unknown.

        Raises:
            ValueError: the side is not a whole multiple of ``side_px``.
        """
        side = self.alpha.shape[-1]
        factor, rest = divmod(side, side_px)
        if rest or factor == 0:
            raise ValueError(f"targets of {side} px cannot be reduced to render_px={side_px}; give a divisor")
        if factor == 1:
            return self
        mean = lambda x: reduce(x, "... C (H p) (W q) -> ... C H W", "mean", p=factor, q=factor)  # noqa: E731
        alpha = mean(self.alpha)
        rgb = mean(self.rgb * self.alpha) / alpha.clamp(min=_LEAST_ALPHA)
        normal = torch.nn.functional.normalize(mean(self.normal), dim=-3)
        return Targets(rgb, alpha, normal, mean(self.depth), self.to_input)


@dataclass(frozen=True)
class Supervision:
    """The truth (box units).

    Attributes:
        points, sdf: signed distance samples.
        surface, normals, rgb: surface samples; rgb is sRGB under the input view's light.
        depth: z where a pixel's ray enters and leaves the person; NaN where it misses.
        landmarks: true landmarks; NaN where unknown.
        targets: views to be rendered; ``None``: no rendering.
        teacher_landmarks: the true landmarks with a little noise, which replace the model's own estimate; NaN where
            unknown. ``None``: the estimate is used.
    """

    points: Float[Tensor, "*B P 3"]
    sdf: Float[Tensor, "*B P"]
    surface: Float[Tensor, "*B S 3"]
    normals: Float[Tensor, "*B S 3"]
    rgb: Float[Tensor, "*B S 3"]
    depth: Float[Tensor, "*B 2 D D"]
    landmarks: Float[Tensor, "*B J 3"]
    targets: Targets | None = None
    teacher_landmarks: Float[Tensor, "*B J 3"] | None = None


@dataclass(frozen=True)
class Batch:
    inputs: Inputs
    supervision: Supervision

    def to(self, device: torch.device) -> "Batch":
        def move(part: Any) -> Any:
            if part is None or isinstance(part, Tensor):
                return None if part is None else part.to(device)
            return type(part)(*(move(getattr(part, f.name)) for f in fields(part)))

        return move(self)


def collate(samples: list[Batch]) -> Batch:
    """Single samples (without a batch axis) to one batch."""

    def stack(parts: list[Any]) -> Any:
        if parts[0] is None or isinstance(parts[0], Tensor):
            return None if parts[0] is None else torch.stack(parts)
        return type(parts[0])(*(stack([getattr(p, f.name) for p in parts]) for f in fields(parts[0])))

    return stack(samples)
