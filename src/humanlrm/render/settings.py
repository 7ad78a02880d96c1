"""Settings of the volume renderer; nothing heavy is imported here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sampling:
    """Numbers of samples per ray.

    The paper does not state them; LRM takes 128 without a distance field. The defaults were measured on the capsule
    body of ``benchmarks/render.py``: 24 coarse samples come no nearer to the plain integral, and eight fine ones stay
    about twice as far from it.

    Attributes:
        coarse: distances without gradient that locate the surface; 0 divides the whole ray evenly.
        fine: intervals that are integrated, with gradient.
        shaded: how many of them, those of the largest weight, get colour and normal; ``None``: all.
    """

    coarse: int = 16
    fine: int = 12
    shaded: int | None = 3

    def __post_init__(self) -> None:
        if self.coarse < 0 or self.fine < 1 or (self.shaded is not None and not 1 <= self.shaded <= self.fine):
            raise ValueError(f"Sampling needs coarse >= 0, fine >= 1 and 1 <= shaded <= fine (or None), got {self}")


#: Every ray evenly divided and shaded everywhere: the plain twin of all other samplings.
PLAIN = Sampling(coarse=0, fine=128, shaded=None)
