"""Seeds to people of all kinds, and jobs that render them to shards on several processes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from humanlrm.data.render.environment import load_environments
from humanlrm.data.render.shoot import render_subject
from humanlrm.data.scan import Scan
from humanlrm.data.shards import write_shard
from humanlrm.data.subject import Subject
from humanlrm.people.avatars.person import AvatarLibrary, make_avatar
from humanlrm.people.facts import with_facts
from humanlrm.people.job import Kind, PeopleJob
from humanlrm.people.makehuman.person import make_composed
from humanlrm.people.procedural.person import make_person
from humanlrm.photo.blazepose import PoseDetector
from humanlrm.workers import map_tasks

#: Shares of procedural people and of avatars where there is an asset pack; the rest is composed.
_PROCEDURAL, _AVATARS = 0.3, 0.3
#: Seeds from here on are for validation: training never draws them.
VALIDATION_SEED = 10_000_000


class PersonSampler:
    """Chooses and makes the person of a seed: procedural ones, and with the asset pack avatars and composed ones.

    Args:
        assets: root of the asset pack; None for procedural people only.
        kind: makes only these; None mixes all kinds.

    Raises:
        ValueError: a kind that needs the asset pack without one.
    """

    def __init__(self, assets: Path | None, kind: Kind | None = None) -> None:
        if assets is None and kind not in (None, "procedural"):
            raise ValueError(f"people: {kind} people need an asset pack; give --assets or set HUMANLRM_ASSETS")
        self.assets = assets
        self.only: Kind | None = kind
        self.library = AvatarLibrary(assets, "train") if assets is not None and kind in (None, "avatar") else None

    def kind(self, seed: int) -> Kind:
        """The kind of person of a seed."""
        dice = np.random.default_rng([seed, 1]).random()
        if self.only is not None:
            return self.only
        if self.assets is None or dice < _PROCEDURAL:
            return "procedural"
        return "avatar" if dice < _PROCEDURAL + _AVATARS else "composed"

    def __call__(self, seed: int) -> Scan:
        """The person of a seed, with the tags of ``facts``."""
        kind = self.kind(seed)
        if kind == "avatar" and self.library is not None:
            scan = make_avatar(self.library, seed)
        elif kind == "composed" and self.assets is not None:
            scan = make_composed(self.assets, seed)
        else:
            scan = make_person(seed)
        return with_facts(scan, kind)


@dataclass(frozen=True)
class ShardOutcome:
    """Number of subjects in a shard, and one line for each that failed."""

    shard: Path
    subjects: int
    failures: list[str]


class ShardRenderer:
    """One process's share of a job: makes and renders the people of a shard. The same on one machine and on a cluster.

    Raises:
        ValueError, FileNotFoundError: the asset pack is missing or incomplete.
    """

    def __init__(self, job: PeopleJob) -> None:
        torch.set_num_threads(1)
        self.sampler = PersonSampler(job.people.assets, job.people.kind)
        self.detector, self.settings = PoseDetector(threads=1), job.settings
        self.environments = load_environments(job.people.assets)

    def __call__(self, shard: tuple[Path, range]) -> ShardOutcome:
        """Write one shard, of its file and seeds. People who fail are left out and said by seed."""
        path, seeds = shard
        failures: list[str] = []

        def subjects() -> Iterator[tuple[str, Subject]]:
            # The person before may stand in front of the next; each shard starts anew, so it depends on its seeds only.
            before: Scan | None = None
            for seed in seeds:
                try:
                    scan = self.sampler(seed)
                    subject = render_subject(scan, self.detector, self.settings, seed, self.environments, before)
                    yield f"{seed:08d}", subject
                    before = scan
                except (ValueError, FloatingPointError, np.linalg.LinAlgError) as error:
                    failures.append(f"seed {seed}: {error}")

        return ShardOutcome(path, write_shard(path, subjects()), failures)


def run(
    job: PeopleJob,
    workers: int = 1,
    report: Callable[[ShardOutcome, int, int], None] | None = None,
    todo: list[tuple[Path, range]] | None = None,
) -> list[ShardOutcome]:
    """Renders the shards that are not complete yet; an interrupted job goes on where it was.

    Args:
        workers: processes; each computes with one thread.
        report: called after each shard with (outcome, shards done, shards to do).
        todo: the missing shards of the job, if they are listed already.

    Raises:
        ValueError, FileNotFoundError: the asset pack is missing or incomplete, or people would be there twice.
    """
    PersonSampler(job.people.assets, job.people.kind)  # what is missing is said here, not by every process
    tasks = job.missing_shards() if todo is None else todo
    outcomes: list[ShardOutcome] = []
    for _, outcome in map_tasks(ShardRenderer, (job,), tasks, workers):
        outcomes.append(outcome)
        if report is not None:
            report(outcome, len(outcomes), len(tasks))
    return outcomes
