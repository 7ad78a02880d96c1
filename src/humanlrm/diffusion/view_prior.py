"""Sides that a photo does not show: front, silhouette and back of the whole person, generated along the photo's rays.

The paper's second version diffuses views. Ours are two layers of the photo's own view: where rays enter the person and
where they leave.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from humanlrm.body.landmarks import INDEX
from humanlrm.diffusion.process import MOST_NOISE, predicted
from humanlrm.diffusion.sample import draw_noise, geometric_levels
from humanlrm.frame import HEAD_SQUARE_SHARE, SquareCrop, square_around
from humanlrm.model.view_denoiser import CHANNELS, ViewCondition, ViewDenoiser, in_square
from humanlrm.photo.crop import SubjectCrop
from humanlrm.texture.project import PhotoProjection
from humanlrm.views import premultiplied

#: Photos are this much finer than the generated layers; what differs so much from the photo (sRGB) has nothing of it;
#: colors are drawn toward the photo over this many generated pixels (``benchmarks/view_prior.py``).
_FINER, _CHANGED, _SMOOTH = 4, 0.25, 17
#: Alpha of a silhouette's edge. Pixels with less are not used, pixels with more are the person: inside of hidden parts
#: alpha says how sure the silhouette is, and colors are not darker for it (``benchmarks/view_prior.py``).
_EDGE = (0.5, 0.8)
#: Share of the way from the mean to the network's sample at which samples are taken: at this network's size whole
#: samples bulge and shine (``benchmarks/view_prior.py``). As the truncation of Brock et al. (ICLR 2019).
TRUNCATION = 0.5
#: Channels of front and back in layers.
SIDES = (slice(0, 3), slice(4, 7))


@dataclass(frozen=True)
class GeneratedView:
    """Layers of one square of a photo.

    Attributes:
        layers: premultiplied front, alpha, premultiplied back.
        square: the square of the photo, in its pixels.
    """

    layers: Float[Tensor, "7 S S"]
    square: SquareCrop

    def projections(self, crop: SquareCrop) -> tuple[PhotoProjection, PhotoProjection]:
        """Front and back as projectors onto the person of a crop."""
        layers = self.layers.cpu()
        alpha = layers[3].numpy()
        scale = len(alpha) / self.square.side_px
        offset = (np.array(crop.center_px) - np.array(self.square.center_px)) * scale + len(alpha) / 2
        box = SquareCrop((float(offset[0]), float(offset[1])), crop.side_px * scale)
        rgb, rgb_behind = (straight_colors(layers[side], layers[3:4]).permute(1, 2, 0).numpy() for side in SIDES)
        front = PhotoProjection(rgb, alpha, box, ends=True)
        return front, replace(front, rgb=rgb_behind, side="back")


@dataclass(frozen=True)
class GeneratedViews:
    """Layers of a person.

    Attributes:
        body: of the crop.
        head: of the square around the head, finer.
    """

    body: GeneratedView
    head: GeneratedView

    def pictures(self, crop: SquareCrop) -> list[list[PhotoProjection]]:
        """Groups of projectors in the order of their trust (``texture.bake``)."""
        heads, bodies = self.head.projections(crop), self.body.projections(crop)
        return [[head_or_body] for pair in zip(heads, bodies, strict=True) for head_or_body in pair]


def straight_colors(
    premultiplied: Float[Tensor, "*B 3 H W"], alpha: Float[Tensor, "*B 1 H W"]
) -> Float[Tensor, "*B 3 H W"]:
    """Colors of generated layers in [0, 1], without their alpha, for pixels of the person."""
    low, high = _EDGE
    return (premultiplied * high / alpha.clamp(low, high)).clamp(0, 1)


@torch.no_grad()
def generate_views(
    denoiser: ViewDenoiser, subject: SubjectCrop, landmarks: Float[Tensor, "J 3"], seed: int = 0, steps: int = 1
) -> GeneratedViews:
    """Generate the layers of a person in a pose.

    Args:
        landmarks: box units.
        seed: of the sample.
        steps: 1: the mean of all that the photo allows; more: a sample by so many steps (DDIM).
    """
    device, size_px = denoiser.deviations.device, denoiser.config.image_px
    squares = [subject.crop, square_around(subject.crop, landmarks[INDEX["head"]].cpu().numpy())]
    fine = torch.stack([premultiplied(subject.image_of(square, _FINER * size_px)) for square in squares])
    photo = torch.nn.functional.avg_pool2d(fine, _FINER)
    middles = torch.from_numpy(np.stack([subject.crop.to_ndc(np.array(s.center_px)) for s in squares])).float()
    zoom = torch.tensor([1.0, 1 / HEAD_SQUARE_SHARE])
    placed = in_square(landmarks.cpu().float().expand(2, -1, -1), middles, zoom)
    known = torch.ones(2, dtype=torch.bool)
    condition = ViewCondition(*(part.to(device) for part in (known, photo, placed, zoom)))
    layers = with_photo(sample_layers(denoiser, condition, seed, steps), condition, fine.to(device))
    body, head = (GeneratedView(part, square) for part, square in zip(layers, squares, strict=True))
    return GeneratedViews(body, head)


def with_photo(
    layers: Float[Tensor, "B 7 h w"], condition: ViewCondition, fine: Float[Tensor, "B 5 H W"]
) -> Float[Tensor, "B 7 H W"]:
    """Layers with the photo in them, at its resolution.

    The front is the photo where that shows the person. Elsewhere front and back are drawn toward what the photo shows
    there, or nearest, as far as they resemble it: the mean of all that there may be is duller than each. Colors are
    drawn smoothly, so that a print stays as faint as it was generated; the photo's fine detail is added.

    Args:
        fine: the condition's photo, finer.
    """
    grow = lambda x: torch.nn.functional.interpolate(x, size=fine.shape[-2:], mode="bilinear")  # noqa: E731
    shown, alpha = (fine[:, 3:4] > 0.5).to(fine), layers[:, 3:4]
    nearest, person = condition.nearest, alpha / _smooth(alpha).clamp(min=1e-3)
    detail = shown * (replace(condition, photo=fine).nearest - grow(nearest))  # of colors that do not end at a border
    sides = []
    for side in SIDES:
        toward = alpha * nearest - layers[:, side]
        resembles = (1 - toward.abs().amax(1, keepdim=True) / _CHANGED).clamp(0, 1)
        drawn = layers[:, side] + person * _smooth(resembles * toward)
        sides.append((grow(drawn) + grow(resembles) * detail).clamp(0, 1))
    front = torch.cat([sides[0], grow(alpha)], dim=1)
    return torch.cat([front + shown * (fine[:, :4] - front), sides[1]], dim=1)


def _smooth(image: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
    for _ in range(2):
        image = torch.nn.functional.avg_pool2d(image, _SMOOTH, 1, _SMOOTH // 2)
    return image


def sample_layers(
    denoiser: ViewDenoiser, condition: ViewCondition, seed: int = 0, steps: int = 1, truncation: float = TRUNCATION
) -> Float[Tensor, "B 7 H W"]:
    """Layers for conditions. All of a batch get the same noise. What the photo shows of the front is imposed.

    Args:
        steps: 1: the mean; more: a sample.
        truncation: share of the way from the mean to the sample.
    """
    side = denoiser.config.image_px // denoiser.config.patch
    noise = draw_noise(seed, 1, (CHANNELS, side, side)).to(condition.photo).expand(len(condition.photo), -1, -1, -1)
    levels = [MOST_NOISE, 0.0] if steps == 1 else geometric_levels(steps)
    x, guesses = noise * levels[0], []
    for sigma, sigma_next in pairwise(levels):  # DDIM on the coarse errors; the last step gives the fine ones
        errors = condition.imposed(predicted(denoiser, x, x.new_full((len(x),), sigma), condition))
        guesses.append(denoiser.restored(errors, condition))  # colors that there are
        coarse = denoiser.coarse(denoiser.normalized(guesses[-1], condition))
        x = coarse + (sigma_next / sigma) * (x - coarse)
    return guesses[0] + truncation * (guesses[-1] - guesses[0])  # the first guess is the mean


def completed_picture(image: Float[Tensor, "1 5 H W"], view: GeneratedView) -> Float[Tensor, "1 5 H W"]:
    """The network's input with the generated front where the photo does not show the person; nothing is unknown.

    Args:
        view: of the whole crop.
    """
    size = image.shape[-2:]
    layers = torch.nn.functional.interpolate(view.layers[None, :4], size=size, mode="bilinear", antialias=True)
    colors = straight_colors(layers[:, :3], layers[:, 3:4])
    shown = (image[:, 3:4] > 0.5).to(image)
    low, high = _EDGE
    silhouette = ((layers[:, 3:4] - low) / (high - low)).clamp(0, 1)  # the network knows masks of photos, not of means
    generated = torch.cat([colors, silhouette], dim=1)
    picture = generated + shown * (image[:, :4] - generated)
    return torch.cat([picture, torch.ones_like(shown)], dim=1)


def hidden_share(image: Float[Tensor, "1 5 H W"], view: GeneratedView) -> float:
    """Share of the generated person that the network's input does not show.

    Args:
        view: of the whole crop.
    """
    size = image.shape[-2:]
    alpha = torch.nn.functional.interpolate(view.layers[None, 3:4], size=size, mode="bilinear", antialias=True)
    hidden = (alpha > 0.5) & (image[:, 3:4] < 0.5)
    return float(hidden.sum() / (alpha > 0.5).sum().clamp(min=1))
