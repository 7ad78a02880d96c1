"""What the renderer asks of a field: two callables and a rule that turns distance into density."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class RadianceSamples(Protocol):
    """The field at points, all that shading needs (``model.field.FieldSamples`` is one).

    Attributes:
        sdf: signed distance, negative inside, box units.
        gradient: of the signed distance.
        normal: the gradient at unit length.
        rgb: sRGB in [0, 1].
    """

    @property
    def sdf(self) -> Float[Tensor, "B P"]: ...
    @property
    def gradient(self) -> Float[Tensor, "B P 3"]: ...
    @property
    def normal(self) -> Float[Tensor, "B P 3"]: ...
    @property
    def rgb(self) -> Float[Tensor, "B P 3"]: ...


@runtime_checkable
class Density(Protocol):
    """How opaque space is (1 / box unit) at a signed distance."""

    def __call__(self, sdf: Float[Tensor, "*B S"]) -> Float[Tensor, "*B S"]: ...

    def blurred(self, sdf: Float[Tensor, "*B S"], width: Float[Tensor, "*B 1"]) -> Float[Tensor, "*B S"]:
        """The same, no sharper than samples that lie ``width`` apart can resolve."""
        ...


@dataclass(frozen=True)
class RadianceField:
    """B subjects, ready to be rendered.

    Attributes:
        distance: points (B, P, 3) to signed distances (B, P): the cheap question.
        samples: points (B, P, 3) to :class:`RadianceSamples`: the dear one.
        density: signed distance to density.
    """

    distance: Callable[[Float[Tensor, "B P 3"]], Float[Tensor, "B P"]]
    samples: Callable[[Float[Tensor, "B P 3"]], RadianceSamples]
    density: Density
