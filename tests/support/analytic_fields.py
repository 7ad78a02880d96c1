"""Fields whose pictures are known: spheres and boxes of one colour, or coloured by place."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from humanlrm.render.density import LaplaceDensity, RadianceField

RED = torch.tensor([0.8, 0.1, 0.1])


@dataclass(frozen=True)
class Found:
    sdf: Tensor
    gradient: Tensor
    normal: Tensor
    rgb: Tensor


def sphere(radius: float | Tensor = 0.5, centre: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Callable:
    def distance(points: Tensor) -> Tensor:
        away = points - torch.tensor(centre, dtype=points.dtype)
        return (away**2).sum(-1).add(1e-12).sqrt() - radius

    return distance


def box(half: tuple[float, float, float]) -> Callable:
    def distance(points: Tensor) -> Tensor:
        q = points.abs() - torch.tensor(half, dtype=points.dtype)
        outside = (q.clamp(min=0) ** 2).sum(-1).add(1e-12).sqrt()
        return outside + q.amax(-1).clamp(max=0)

    return distance


def union(*parts: Callable) -> Callable:
    return lambda points: torch.stack([part(points) for part in parts]).amin(0)


def field_of(
    distance: Callable, color: Callable[[Tensor], Tensor] | Tensor = RED, density=None, beta: float = 0.005
) -> RadianceField:
    """A field with the gradient by automatic differentiation; ``color`` is one for all or a function of place."""

    def samples(points: Tensor) -> Found:
        with torch.enable_grad():
            at = points.detach().requires_grad_()
            sdf = distance(at)
            (gradient,) = torch.autograd.grad(sdf.sum(), at, create_graph=True)
        rgb = color(points) if callable(color) else color.expand_as(points)
        normal = torch.nn.functional.normalize(gradient, dim=-1)
        return Found(distance(points), gradient, normal, rgb)

    return RadianceField(distance, samples, density or LaplaceDensity(beta, beta / 2).requires_grad_(False))


def by_place(points: Tensor) -> Tensor:
    return points / 2 + 0.5
