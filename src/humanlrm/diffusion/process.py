"""The diffusion process: noise, preconditioning and loss (EDM, Karras et al. 2022), side by side with the forward.

Latent triplanes and landmarks have standard deviation 1; with noise they are ``clean + sigma * noise``. With these
scalings the network predicts ``-v``, the negative velocity of the variance-preserving picture (``alpha^2 + s^2 = 1``,
``s / alpha = sigma``; Salimans & Ho 2022), and the loss weighs every noise level alike.
"""

from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

Condition = TypeVar("Condition", contravariant=True)
#: Deviation of the noise in which nothing of the data is left to see.
MOST_NOISE = 80.0


@runtime_checkable
class Network(Protocol[Condition]):
    """A raw denoiser such as ``diffusion.latent.denoiser.Denoiser`` or ``model.pose_denoiser.PoseDenoiser``."""

    def __call__(
        self, noisy: Float[Tensor, "B *D"], log_noise: Float[Tensor, "B"], condition: Condition, /
    ) -> Float[Tensor, "B *D"]: ...


@dataclass(frozen=True)
class NoiseLevels:
    """Distribution of the noise levels in training: ``log sigma`` is normal (EDM, table 1).

    EDM's numbers are for images of standard deviation 0.5; ours are shifted to 1.

    Attributes:
        mean, spread: of ``log sigma``.
        pure: share of the draws that are ``MOST_NOISE`` instead: from there one step gives the conditional mean.
    """

    mean: float = -0.4
    spread: float = 1.2
    pure: float = 0.0

    def draw(self, count: int, rng: torch.Generator) -> Float[Tensor, "B"]:
        """Standard deviations of the noise."""
        sigma = (self.mean + self.spread * torch.randn(count, generator=rng)).exp()
        if not self.pure:
            return sigma
        return torch.where(torch.rand(count, generator=rng) < self.pure, MOST_NOISE, sigma)


def append_dims(values: Float[Tensor, "B"], like: Float[Tensor, "B *D"]) -> Float[Tensor, "B *_"]:
    """One value per sample, broadcastable against ``like``."""
    return values.view(-1, *[1] * (like.ndim - 1))


def scalings(sigma: Float[Tensor, "B"]) -> tuple[Float[Tensor, "B"], Float[Tensor, "B"], Float[Tensor, "B"]]:
    """``c_skip, c_out, c_in`` for data of standard deviation 1 (EDM, table 1)."""
    c_in = (1 + sigma**2).rsqrt()
    return c_in**2, sigma * c_in, c_in


def add_noise(
    clean: Float[Tensor, "B *D"], noise: Float[Tensor, "B *D"], sigma: Float[Tensor, "B"]
) -> Float[Tensor, "B *D"]:
    """``clean + sigma * noise``: its variance is 1 + sigma^2."""
    return clean + append_dims(sigma, noise) * noise


def predicted(
    network: Network[Condition], noisy: Float[Tensor, "B *D"], sigma: Float[Tensor, "B"], condition: Condition
) -> Float[Tensor, "B *E"]:
    """The expected clean sample of a network that outputs it as it is: ``F(c_in x, log(sigma) / 4)``.

    Pictures are few numbers' worth among all pixels, noise is not: a network whose tokens have fewer channels than
    pixels can output the one but not the other (Li & He 2025). What is output may be finer than what is diffused.
    """
    _, _, c_in = (append_dims(c, noisy) for c in scalings(sigma))
    return network(c_in * noisy, sigma.log() / 4, condition)


def denoised(
    network: Network[Condition], noisy: Float[Tensor, "B *D"], sigma: Float[Tensor, "B"], condition: Condition
) -> Float[Tensor, "B *D"]:
    """The expected clean sample: ``c_skip x + c_out F(c_in x, log(sigma) / 4)`` (EDM, equation 7)."""
    c_skip, c_out, _ = (append_dims(c, noisy) for c in scalings(sigma))
    return c_skip * noisy + c_out * predicted(network, noisy, sigma, condition)


def denoising_loss(
    network: Network[Condition],
    clean: Float[Tensor, "B *D"],
    noise: Float[Tensor, "B *D"],
    sigma: Float[Tensor, "B"],
    condition: Condition,
) -> Float[Tensor, "B"]:
    """Squared error of the denoised sample over ``c_out^2`` (EDM, equation 8), mean per sample.

    A network that outputs 0 has a loss of 1 at every noise level if the data's deviation is 1.
    """
    guess = denoised(network, add_noise(clean, noise, sigma), sigma, condition)
    return velocity_errors(guess, clean, sigma).flatten(1).mean(1)


def velocity_errors(
    guess: Float[Tensor, "B *D"], clean: Float[Tensor, "B *D"], sigma: Float[Tensor, "B"]
) -> Float[Tensor, "B *D"]:
    """Squared errors of clean samples guessed at noise levels, as errors of the velocity."""
    _, c_out, _ = scalings(sigma)
    return ((guess - clean) / append_dims(c_out, clean)).square()
