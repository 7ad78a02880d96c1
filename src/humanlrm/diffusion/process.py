"""The diffusion process: noise, preconditioning and loss (EDM, Karras et al. 2022), side by side with the forward.

What is diffused (latent triplanes, landmarks) has standard deviation 1; noisy it is ``clean + sigma * noise``. With
that the preconditioned network is v-prediction in other words: in the variance-preserving picture
(``alpha^2 + s^2 = 1`` and ``s / alpha = sigma``) the raw output is ``-v``, and the loss, whose weight makes every noise
level count alike, is that of v (Salimans & Ho 2022). Tests say so.
"""

from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

Known = TypeVar("Known", contravariant=True)


@runtime_checkable
class Network(Protocol[Known]):
    """``model.denoiser.Denoiser`` is one, and ``model.pose_denoiser.PoseDenoiser``; each has a condition of its own."""

    def __call__(
        self, noisy: Float[Tensor, "B *D"], log_noise: Float[Tensor, "B"], condition: Known, /
    ) -> Float[Tensor, "B *D"]: ...


@dataclass(frozen=True)
class NoiseLevels:
    """Which noise levels are trained: ``log sigma`` is normal (EDM, table 1).

    EDM's numbers are for images of standard deviation 0.5; ours are shifted to 1 (our choice).
    """

    mean: float = -0.4
    spread: float = 1.2

    def draw(self, count: int, rng: torch.Generator) -> Float[Tensor, "B"]:
        """Standard deviations of the noise."""
        return (self.mean + self.spread * torch.randn(count, generator=rng)).exp()


def scalings(sigma: Float[Tensor, "B"]) -> tuple[Float[Tensor, "B"], Float[Tensor, "B"], Float[Tensor, "B"]]:
    """``c_skip, c_out, c_in`` for latents of standard deviation 1 (EDM, table 1)."""
    c_in = (1 + sigma**2).rsqrt()
    return c_in**2, sigma * c_in, c_in


def denoised(
    network: Network[Known], noisy: Float[Tensor, "B *D"], sigma: Float[Tensor, "B"], condition: Known
) -> Float[Tensor, "B *D"]:
    """The expected clean latent: ``c_skip x + c_out F(c_in x, log(sigma) / 4)`` (EDM, equation 7)."""
    c_skip, c_out, c_in = (_over(c, noisy) for c in scalings(sigma))
    return c_skip * noisy + c_out * network(c_in * noisy, sigma.log() / 4, condition)


def denoising_loss(
    network: Network[Known],
    clean: Float[Tensor, "B *D"],
    noise: Float[Tensor, "B *D"],
    sigma: Float[Tensor, "B"],
    condition: Known,
) -> Float[Tensor, "B"]:
    """Squared error of the denoised latent over ``c_out^2`` (EDM, equation 8), mean per person.

    A network that knows nothing and says 0 has a loss of 1 at every noise level if the latents' deviation is 1.
    """
    noisy = add_noise(clean, noise, sigma)
    error = (denoised(network, noisy, sigma, condition) - clean) / _over(scalings(sigma)[1], clean)
    return error.square().flatten(1).mean(1)


def add_noise(
    clean: Float[Tensor, "B *D"], noise: Float[Tensor, "B *D"], sigma: Float[Tensor, "B"]
) -> Float[Tensor, "B *D"]:
    """``clean + sigma * noise``: its variance is 1 + sigma^2."""
    return clean + _over(sigma, noise) * noise


def noise_of(
    noisy: Float[Tensor, "B *D"], clean: Float[Tensor, "B *D"], sigma: Float[Tensor, "B"]
) -> Float[Tensor, "B *D"]:
    """The noise (epsilon) in a noisy latent, given the clean one."""
    return (noisy - clean) / _over(sigma, noisy)


def velocity_of(
    noisy: Float[Tensor, "B *D"], clean: Float[Tensor, "B *D"], sigma: Float[Tensor, "B"]
) -> Float[Tensor, "B *D"]:
    """``v = alpha epsilon - s clean``, ``alpha = 1 / sqrt(1 + sigma^2)``, ``s = sigma alpha`` (Salimans & Ho 2022)."""
    alpha = _over((1 + sigma**2).rsqrt(), noisy)
    return alpha * noise_of(noisy, clean, sigma) - _over(sigma, noisy) * alpha * clean


def clean_from_velocity(
    noisy: Float[Tensor, "B *D"], velocity: Float[Tensor, "B *D"], sigma: Float[Tensor, "B"]
) -> Float[Tensor, "B *D"]:
    """Inverse of :func:`velocity_of`."""
    alpha = _over((1 + sigma**2).rsqrt(), noisy)
    return alpha**2 * noisy - _over(sigma, noisy) * alpha * velocity


def clean_from_noise(
    noisy: Float[Tensor, "B *D"], noise: Float[Tensor, "B *D"], sigma: Float[Tensor, "B"]
) -> Float[Tensor, "B *D"]:
    """Inverse of :func:`noise_of`."""
    return noisy - _over(sigma, noisy) * noise


def _over(values: Float[Tensor, "B"], like: Float[Tensor, "B *D"]) -> Float[Tensor, "B *_"]:
    """One number for all of a person's."""
    return values.view(-1, *[1] * (like.ndim - 1))
