"""What a person consists of, as far as colours go by it; whoever knows bodies says it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from humanlrm.body.mirror import Mirror
from humanlrm.texture.project import Share


@dataclass(frozen=True)
class Parts:
    """Of what parts of a person points are.

    Attributes:
        limbs: how far they are from the bones of each limb, box units: of the trunk, of an arm...
        clothes: what covers them: a jacket, trousers...
        height: how far along their limb they are, box units; of twins the same numbers mean the same place.
        twin: of each limb the one on the other side of the body; of what has none itself.
        bare: which limbs are mostly bare: hands.
    """

    limbs: Float[np.ndarray, "P L"]
    clothes: Int[np.ndarray, "P"]
    height: Float[np.ndarray, "P"]
    twin: Int[np.ndarray, "L"]
    bare: Bool[np.ndarray, "L"]

    @property
    def limb(self) -> Int[np.ndarray, "P"]:
        """The one to which they belong."""
        return self.limbs.argmin(axis=1)


#: Points (box units) to their parts.
PartsOf = Callable[[Float[np.ndarray, "P 3"]], Parts]


@dataclass(frozen=True)
class Hair:
    """Where the hair of a head is, which the photo shows from the front.

    Attributes:
        height: how high on the head points are, 0 at its middle; -inf elsewhere.
        back: how much they belong to the back of it, above the nape, 0 to 1.
    """

    height: Callable[[Float[np.ndarray, "P 3"]], Float[np.ndarray, "P"]]
    back: Share


@dataclass(frozen=True)
class Anatomy:
    """Where what of a person is, as far as that is known: colours go by it.

    Attributes:
        calm: of places that turn their back on the photos, how much of their colour comes from around them instead of
            from the field: a head's.
        parts: where no photo shows the person, or only another limb in front, colours go on within what is covered by
            the same clothes: a jacket's down to the hips, and behind a hand that lies on it. What is not seen is nearer
            to the colours that are seen at the same height of a limb, or of its twin.
        mirror: what no photo shows, but whose mirror image one does, looks like that: the other half of a face.
        hair: the back of a head looks like its crown.
        face: where a face's skin is: what is bare, and never seen, is of its colour.
    """

    calm: Share | None = None
    parts: PartsOf | None = None
    mirror: Mirror | None = None
    hair: Hair | None = None
    face: Share | None = None
