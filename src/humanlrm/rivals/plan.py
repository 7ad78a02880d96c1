"""Settings of the rivals' commands: nothing heavy is imported here."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from humanlrm.evaluate.plan import EvaluationPlan, Shooting, Sources, check_program


@dataclass(frozen=True)
class RivalTraining:
    """Settings that all rivals share when they are trained.

    Attributes:
        hours: hours of computing on one core; then the run ends. The learning rate falls over the last quarter.
        photos: photos that are seen at most, if that comes first.
        batch: photos per step.
        learning_rate: highest learning rate (AdamW).
        warmup: photos over which the learning rate rises.
        lifter_steps: steps in which our model's landmark lifter is fitted first; they count.
        seed: seed of the initial weights and of the order of the data.
        device: device to train on: cpu, cuda or mps.
        workers: processes that load and augment data; 0: the training process does.
    """

    hours: float = 3.0
    photos: int = 1_000_000
    batch: int = 8
    learning_rate: float = 5e-4
    warmup: int = 1_000
    lifter_steps: int = 8_000
    seed: int = 0
    device: str = "cpu"
    workers: int = 1


@dataclass(frozen=True)
class Comparison:
    """People, photos and systems of the comparison.

    Attributes:
        runs: folder with a run of each trained rival.
        sets: held-out people.
        count: people of composed-val or procedural-val.
        poses: poses of each avatar of valid-val.
        limit: subjects of each set, evenly spread over all of it. Default: all.
        views: photos of each subject; the occlusion protocol takes one of them.
        draws: occluded photos of each subject, of other kinds from subject to subject. Default: all kinds and levels.
        assets: asset pack. Default: $HUMANLRM_ASSETS.
        weights: our weights. Default: the shipped ones.
        resolution: lattice cells per side of surfaces.
        points: samples of each surface.
        systems: names of the systems to measure beside ours, e.g. hmr pifu inflated. Default: all. The per-image fields
            (nerf-one, nerf-four) take minutes per photo.
        occluded: also measure occluded photos.
        fitted: subjects of each set on whose plain photos the per-image fields are measured: some of the others, if it
            divides --limit.
        programs: programs of others, each as NAME=COMMAND with {image} and {out} in the command.
    """

    runs: Path
    sets: tuple[str, ...] = ("valid-val", "composed-val")
    count: int = 30
    poses: int = 1
    limit: int | None = None
    views: int = 1
    draws: int | None = None
    assets: Path | None = None
    weights: Path | None = None
    resolution: int = 128
    points: int = 50_000
    systems: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ()
    occluded: bool = True
    fitted: int = 6
    programs: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=COMMAND ...")] = ()

    def __post_init__(self) -> None:
        for program in self.programs:
            name, _, command = program.partition("=")
            if not name or not command:
                raise ValueError(f"a program is NAME=COMMAND, got {program!r}")
            check_program(command)

    @property
    def commands(self) -> list[tuple[str, str]]:
        """Names and commands of the programs."""
        return [(name, command) for name, _, command in (program.partition("=") for program in self.programs)]

    def evaluation(self) -> EvaluationPlan:
        """The evaluation that all systems share, with our model as the method."""
        protocols = ("plain", "occlusion") if self.occluded else ("plain",)
        sources = Sources(self.sets, self.count, self.poses, self.limit, self.assets)
        return EvaluationPlan(
            sources,
            protocols=protocols,
            views=self.views,
            draws=self.draws,
            weights=self.weights,
            resolution=self.resolution,
            shooting=Shooting(points=self.points),
        )
