"""Seeds of the parts of a run: torch's own generator looks at the low 32 bits of a seed alone."""

import numpy as np


def seed_of(*numbers: int) -> int:
    """A 32-bit seed that depends on all of some numbers, e.g. the run's seed and the step."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
