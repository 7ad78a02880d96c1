"""CPU seconds per part of a measured case, one thread: ``python -m benchmarks.evaluate``."""

import argparse
import time

import numpy as np
import torch

from humanlrm.evaluate.baselines import BASELINES
from humanlrm.evaluate.case_builder import CaseBuilder
from humanlrm.evaluate.methods import open_method
from humanlrm.evaluate.plan import Corruption, Shooting, Sources
from humanlrm.evaluate.renderer import Viewpoint
from humanlrm.evaluate.scores import Scorer
from humanlrm.evaluate.sources import find_units, open_scan
from humanlrm.people.procedural.person import make_person
from humanlrm.photo.blazepose import PoseDetector


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=3)
    subjects = parser.parse_args().subjects
    torch.set_num_threads(1)
    detector, scorer, spent = PoseDetector(threads=1), Scorer("scale+translation", 50_000), {}
    methods = {"humanlrm": open_method("humanlrm", None, 128, None), **BASELINES}
    make_person(0)  # fills caches

    def timed(part, work):
        start = time.process_time()
        result = work()
        spent.setdefault(part, []).append(time.process_time() - start)
        return result

    sources = Sources(count=subjects)
    for unit in find_units(sources):
        build = lambda u=unit: CaseBuilder(u, open_scan(sources, u), detector, Shooting())  # noqa: E731
        builder = timed("person and its ray scene", build)
        builder.renderer.outer  # noqa: B018
        case = timed("photograph", lambda b=builder: b.level(Viewpoint(0), Corruption()))
        timed("truth", lambda c=case: (c.truth.visible, c.truth.pictures))
        for name, method in methods.items():
            predicted = timed(name, lambda m=method, c=case: m(c))
            timed("scores", lambda c=case, p=predicted: scorer(c, p))
    for part, seconds in spent.items():
        print(f"{part:26s} {np.median(seconds):.2f} s")


if __name__ == "__main__":
    main()
