"""CPU seconds per part of a measured case, one thread: ``python -m benchmarks.evaluate``."""

import argparse
import time

import numpy as np
import torch

from humanlrm.evaluate.case import Shooting, make_case
from humanlrm.evaluate.corruptions import Corruption
from humanlrm.evaluate.methods import FLOORS, open_method
from humanlrm.evaluate.renderer import EvalRenderer, Viewpoint, random_lamps
from humanlrm.evaluate.scores import Scorer
from humanlrm.people.generate import VALIDATION_SEED
from humanlrm.people.procedural.person import make_person
from humanlrm.photo.blazepose import PoseDetector


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=3)
    subjects = parser.parse_args().subjects
    torch.set_num_threads(1)
    detector, scorer, spent = PoseDetector(threads=1), Scorer("scale+translation", 50_000), {}
    methods = {"humanlrm": open_method("humanlrm", None, 128, None), **FLOORS}
    make_person(0)  # fills caches

    def timed(part, work):
        start = time.process_time()
        result = work()
        spent.setdefault(part, []).append(time.process_time() - start)
        return result

    for seed in range(VALIDATION_SEED, VALIDATION_SEED + subjects):
        stage = timed("person and its ray scene", lambda seed=seed: EvalRenderer(make_person(seed)))
        stage.outer  # noqa: B018
        names, lamps = ("procedural-val", str(seed), str(seed)), random_lamps(np.random.default_rng(seed))
        how = (Viewpoint(0), Corruption(), lamps, detector, Shooting(), seed)
        case = timed("photograph and truth", lambda s=stage, n=names, h=how: make_case(s, n, *h))
        for name, method in methods.items():
            predicted = timed(name, lambda m=method, c=case: m(c))
            timed("scores", lambda c=case, p=predicted: scorer(c, p))
    for part, seconds in spent.items():
        print(f"{part:26s} {np.median(seconds):.2f} s")


if __name__ == "__main__":
    main()
