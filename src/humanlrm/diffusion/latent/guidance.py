"""Reconstruction guidance: samples are pulled towards the photo's visible pixels of the person.

At every step of the solver the expected clean latent is decoded, some pixels of the photo are rendered, and the latent
takes a few small steps down the gradient of their error. Only the decoder and the field are differentiated, not the
denoiser (as decomposed diffusion sampling does, Chung et al. 2024).
"""

from dataclasses import dataclass, fields, replace
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from humanlrm.diffusion.latent.denoiser import Denoiser
from humanlrm.frame import canonical_camera
from humanlrm.model.lrm import HumanLRM
from humanlrm.model.triplane import InputView
from humanlrm.rays import pixel_centres, pixel_rays
from humanlrm.render.density import Density, LaplaceDensity, RadianceField, SoftplusDensity
from humanlrm.render.settings import Sampling
from humanlrm.render.volume import render_rays

_LEAST = 1e-3
_SAMPLING = Sampling(coarse=16, fine=8, shaded=2)


@dataclass(frozen=True)
class GuidanceSettings:
    """Strength of reconstruction guidance.

    Attributes:
        rays: pixels that are rendered, anew for every step of the solver.
        steps: gradient steps per step of the solver.
        rate: root mean square of the first gradient step, in standard deviations of the latents; a step that does not
            lower the error is taken back and the next one is half as long.
        start: noise level below which guidance acts: above, there is no person to compare with the photo.
        sampling: of the renderer.
    """

    rays: int = 512
    steps: int = 2
    rate: float = 0.05
    start: float = 2.0
    sampling: Sampling = _SAMPLING

    def __post_init__(self) -> None:
        if self.rays < 1 or self.steps < 1 or not self.rate > 0 or not self.start > 0:
            raise ValueError(f"GuidanceSettings needs positive rays, steps, rate and start, got {self}")


class ReconstructionGuidance:
    """Correction of the clean latents of one person's samples; a ``sample.Denoise``.

    Args:
        model: its decoder and field render the person.
        view: maps of the photo that points sample; a batch of one.
        hidden: pixels that say nothing about the person (``visibility.find_hidden_pixels``).
        seed: chooses the pixels.

    Raises:
        ValueError: the photo shows nothing of the person.
    """

    def __init__(
        self,
        model: HumanLRM,
        denoiser: Denoiser,
        view: InputView,
        hidden: Bool[Tensor, "1 H W"],
        settings: GuidanceSettings | None = None,
        seed: int = 0,
    ) -> None:
        self.model, self.denoiser, self.view = model, denoiser, view
        self.settings = settings or GuidanceSettings()
        self.density: Density = LaplaceDensity() if model.field.is_distance else SoftplusDensity()
        self.rng = torch.Generator().manual_seed(seed)
        rgb, alpha = view.image[0, :3], view.image[0, 3]
        shows = ~hidden[0]
        self.person = torch.nonzero((shows & (alpha > 0.5)).flatten())[:, 0]
        self.background = torch.nonzero((shows & (alpha <= 0.5)).flatten())[:, 0]
        if len(self.person) == 0:
            raise ValueError("the photo shows nothing of the person: sample without reconstruction guidance")
        self.rgb, self.alpha = rgb.flatten(1).T, alpha.flatten()
        self.camera = canonical_camera(view.image.shape[-1])

    def __call__(self, clean: Float[Tensor, "B 3 C s s"], sigma: float) -> Float[Tensor, "B 3 C s s"]:
        """Normalised latents, moved so that they render the chosen pixels at least as well."""
        if sigma > self.settings.start:
            return clean
        pixels = self.draw_pixels()
        rate = clean.new_full((len(clean), 1, 1, 1, 1), self.settings.rate)
        error, slope = self._error_and_slope(clean, pixels)
        for _ in range(self.settings.steps):
            size = slope.square().mean((1, 2, 3, 4), keepdim=True).sqrt().clamp(min=1e-12)
            moved = clean - rate * slope / size
            next_error, next_slope = self._error_and_slope(moved, pixels)
            better = (next_error < error)[:, None, None, None, None]
            clean, slope = torch.where(better, moved, clean), torch.where(better, next_slope, slope)
            error, rate = torch.minimum(next_error, error), torch.where(better, rate, rate / 2)
        return clean

    def draw_pixels(self) -> Int[Tensor, "R"]:
        """Draw pixels, three quarters of them on the person."""
        drawn = []
        on = self.settings.rays if len(self.background) == 0 else self.settings.rays - self.settings.rays // 4
        for among, count in ((self.person, on), (self.background, self.settings.rays - on)):
            if count:
                drawn.append(among[torch.randint(len(among), (count,), generator=self.rng).to(among.device)])
        return torch.cat(drawn)

    def error(self, clean: Float[Tensor, "B 3 C s s"], pixels: Int[Tensor, "R"]) -> Float[Tensor, "B"]:
        """Error of rendered pixels: squared color error on the person, and cross entropy of the silhouette."""
        count = len(clean)
        view = replace(self.view, **{f.name: _repeated(getattr(self.view, f.name), count) for f in fields(InputView)})
        planes = self.model.decoder.from_latent(self.denoiser.restored(clean), view)
        radiance = RadianceField(
            partial(self.model.field.distance, planes), partial(self.model.field, planes), self.density
        )
        centres = pixel_centres(self.camera.size_px).to(clean)[pixels.to(clean.device)]
        rays = pixel_rays(self.camera, centres[None].expand(count, -1, -1))
        rendered = render_rays(radiance, rays, self.settings.sampling)
        on, truth = self.alpha[pixels], self.rgb[pixels]
        color = (rendered.rgb - truth).square().mean(-1) * on
        outline = -(on * (rendered.alpha + _LEAST).log() + (1 - on) * (1 - rendered.alpha + _LEAST).log())
        return color.mean(-1) + 0.1 * outline.mean(-1)

    def _error_and_slope(
        self, clean: Float[Tensor, "B 3 C s s"], pixels: Int[Tensor, "R"]
    ) -> tuple[Float[Tensor, "B"], Float[Tensor, "B 3 C s s"]]:
        with torch.enable_grad():
            clean = clean.detach().requires_grad_()
            error = self.error(clean, pixels)
            (slope,) = torch.autograd.grad(error.sum(), clean)
        return error.detach(), slope


def _repeated(value: Tensor | None, count: int) -> Tensor | None:
    return None if value is None else value.expand(count, *value.shape[1:])
