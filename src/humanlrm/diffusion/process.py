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
    """

    mean: float = -0.4
    spread: float = 1.2

    def draw(self, count: int, rng: torch.Generator) -> Float[Tensor, "B"]:
        """Standard deviations of the noise."""
        return (self.mean + self.spread * torch.randn(count, generator=rng)).exp()


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


def denoised(
    network: Network[Condition], noisy: Float[Tensor, "B *D"], sigma: Float[Tensor, "B"], condition: Condition
) -> Float[Tensor, "B *D"]:
    """The expected clean sample: ``c_skip x + c_out F(c_in x, log(sigma) / 4)`` (EDM, equation 7)."""
    c_skip, c_out, c_in = (append_dims(c, noisy) for c in scalings(sigma))
    return c_skip * noisy + c_out * network(c_in * noisy, sigma.log() / 4, condition)


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
    _, c_out, _ = scalings(sigma)
    noisy = add_noise(clean, noise, sigma)
    error = (denoised(network, noisy, sigma, condition) - clean) / append_dims(c_out, clean)
    return error.square().flatten(1).mean(1)
