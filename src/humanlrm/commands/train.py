"""``humanlrm train``, ``train-diffusion``, ``train-poses`` and ``describe``."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro

from humanlrm.commands.terminal import asset_pack, check_bf16, check_device, complain, console, needs_train
from humanlrm.train.config import RenderSchedule, TrainConfig, for_heads

#: Imagined people of whom a new landmark lifter learns.
_FIGURES = 20_000


@dataclass(frozen=True)
class Train:
    """Train a preset on shards. Started again with the same --run, it goes on from the newest checkpoint.

    Several processes: torchrun --nproc-per-node 2 -m -- humanlrm.cli train ...

    Attributes:
        preset: model to train: tiny, small, base or paper.
        data: folders of shards.
        shares: how often each folder's turn comes, e.g. 2 1 1. none: all alike.
        run_folder: folder of checkpoints and logs.
        validation: folder of shards to validate on.
        rendering: also compare renderings of other views (color, perceptual, mask, normal, depth).
        weights_out: folder to write the finished weights to (float16), e.g. src/humanlrm/weights/small.
        assets: asset pack whose poses a new run's landmark lifter learns beside those of the shards. Default:
            $HUMANLRM_ASSETS.
        threads: torch threads; more than one pays only on an otherwise idle machine.
    """

    preset: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PRESET")]
    data: tuple[Path, ...]
    config: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(default_factory=TrainConfig)
    shares: Annotated[tuple[float, ...] | None, tyro.conf.arg(metavar="SHARE ...")] = None
    run_folder: Annotated[Path, tyro.conf.arg(name="run")] = Path("runs/small")
    validation: Path | None = None
    rendering: bool = False
    weights_out: Path | None = None
    assets: Path | None = None
    threads: int = 1

    def run(self) -> int:
        needs_train()
        import torch

        from humanlrm.model.config import PRESETS
        from humanlrm.model.pretrained import save_pretrained
        from humanlrm.train.checkpoint import list_checkpoints, load_counters, trained_parameters
        from humanlrm.train.loop import train
        from humanlrm.train.processes import own_group
        from humanlrm.train.report import TrainingReport
        from humanlrm.train.setup import setup, training_batches
        from humanlrm.train.stop import StopRequested, stop_message

        if self.preset not in PRESETS:
            raise ValueError(f"unknown preset {self.preset!r}; there are {', '.join(PRESETS)}")
        check_device(self.config.device)
        torch.set_num_threads(self.threads)
        model_config, plan = PRESETS[self.preset](), self._plan()
        data = self._mixture()
        begun = load_counters(self.run_folder).seen if list_checkpoints(self.run_folder) else 0
        if begun:
            console.print(f"going on from {begun:,} of {plan.samples:,} samples", highlight=False)
        with TrainingReport(self.run_folder, plan.samples, console, plan.device, plan.bf16, begun) as report:
            figures = self._figures() if plan.initial is None else None
            with own_group():
                state = setup(model_config, plan, data, self.run_folder, figures, report.show_fit)
                train(state, training_batches(state, data), report.hooks(self.validation))
            model = state.averaged_model()
        if console.quiet:  # what the first process writes may not be there yet
            return 0
        seen = load_counters(self.run_folder).seen
        if state.progress < 1:
            raise StopRequested(stop_message(seen, plan.samples))
        console.print(f"{seen:,} samples seen; checkpoints are in {self.run_folder}", highlight=False)
        if self.weights_out is not None:
            save_pretrained(
                self.weights_out, model_config, {name: p.cpu() for name, p in trained_parameters(model).items()}
            )
            console.print(f"weights written to {self.weights_out}", highlight=False)
        return 0

    def _plan(self) -> TrainConfig:
        """The run's settings with what follows from other options and from the device."""
        bf16 = check_bf16(self.config.bf16, self.config.device)
        plan = replace(self.config, bf16=bf16, rendering=RenderSchedule() if self.rendering else None)
        return for_heads(plan) if plan.part == "head" else plan

    def _figures(self):
        from humanlrm.people.avatars.person import AvatarLibrary
        from humanlrm.people.figures import figures

        given = asset_pack(self.assets)
        return None if given is None else figures(AvatarLibrary(given, "train"), _FIGURES, self.config.seed)

    def _mixture(self):
        from humanlrm.data.shards import Mixture, ShardFolder

        shares = self.shares or (1.0,) * len(self.data)
        if len(shares) != len(self.data):
            raise ValueError(f"--shares: {len(shares)} numbers for {len(self.data)} folders; give one for each --data")
        mixture = Mixture([(ShardFolder(folder), share) for folder, share in zip(self.data, shares, strict=True)])
        for problem in mixture.problems:
            complain(f"skipped {problem}")
        return mixture


@dataclass(frozen=True)
class TrainDiffusion:
    """Train the completion of half-hidden people. Started again with the same --run, it goes on where it was.

    Attributes:
        preset: denoiser to train: tiny or small.
        student: weights folder of a reconstruction model of the paper's family (without depth_prior).
        data: folder of shards.
        latents: folder of the teacher's latents; those that are missing are made first.
        run_folder: folder of checkpoints and logs.
        teacher: weights folder of the multi-view teacher. Default: the student, given several views.
        views: number of views of each person that the teacher sees.
        photos: photos to see in all.
        batch: photos per step.
        workers: processes that load data.
        device: cpu, cuda or mps.
        threads: torch threads; more than one pays only on an otherwise idle machine.
        weights_out: folder to write the finished weights to (float16).
    """

    preset: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PRESET")]
    student: Path
    data: Path
    latents: Path
    run_folder: Annotated[Path, tyro.conf.arg(name="run")] = Path("runs/diffusion")
    teacher: Path | None = None
    views: int = 4
    photos: int = 200_000
    batch: int = 8
    workers: int = 1
    device: str = "cpu"
    threads: int = 1
    weights_out: Path | None = None

    def run(self) -> int:
        needs_train()
        import torch

        from humanlrm.diffusion.latent.denoiser import DENOISERS
        from humanlrm.model.pretrained import from_pretrained, save_pretrained
        from humanlrm.train.checkpoint import trained_parameters
        from humanlrm.train.denoise import DenoisingConfig
        from humanlrm.train.latent.distill import Teacher, distill
        from humanlrm.train.report import TrainingReport

        if self.preset not in DENOISERS:
            raise ValueError(f"unknown preset {self.preset!r}; there are {', '.join(DENOISERS)}")
        check_device(self.device)
        torch.set_num_threads(self.threads)
        student = from_pretrained(self.student, self.device)
        model = student if self.teacher is None else from_pretrained(self.teacher, self.device)
        teacher = Teacher(model, self.latents, self.views)
        plan = DenoisingConfig(samples=self.photos, batch=self.batch, workers=self.workers)
        sizes = DENOISERS[self.preset]()
        with TrainingReport(self.run_folder, self.photos, console) as report:
            show = report.show_progress
            denoiser = distill(sizes, plan, student, teacher, self.data, self.run_folder, show)
        if self.weights_out is not None:
            save_pretrained(
                self.weights_out, denoiser.config, {name: p.cpu() for name, p in trained_parameters(denoiser).items()}
            )
        return 0


@dataclass(frozen=True)
class TrainPoses:
    """Train the sampling of poses around a small model's estimate. Started again with the same --run, it goes on.

    Attributes:
        data: folders of shards, best of people that the model was not trained on: there it errs as on strangers.
        weights: folder of a model of the small family. Default: a copy of the shipped ones in the run's folder.
        run_folder: folder of examples, checkpoints and logs.
        photos: augmented photos from which examples are collected, once.
        examples: examples that the denoiser sees in all, each one several times.
        seed: seed of initial weights, noise and augmentation.
        workers: processes that collect examples.
        threads: torch threads of the training.
        weights_out: folder to write the finished weights to (float16). Default: the folder "poses" of the model's.
    """

    data: tuple[Path, ...]
    weights: Path | None = None
    run_folder: Annotated[Path, tyro.conf.arg(name="run")] = Path("runs/poses")
    photos: int = 20_000
    examples: int = 200_000
    seed: int = 0
    workers: int = 1
    threads: int = 1
    weights_out: Path | None = None

    def run(self) -> int:
        needs_train()
        import torch

        from humanlrm.commands.terminal import commit
        from humanlrm.completion import POSES
        from humanlrm.data.shards import ShardFolder
        from humanlrm.evaluate.card import describe_data, pose_card, write_card
        from humanlrm.model.history import TrainingStage
        from humanlrm.model.pose_denoiser import PoseDenoiserConfig
        from humanlrm.model.pretrained import SHIPPED, copied, save_pretrained
        from humanlrm.train.checkpoint import load_averaged_weights, trained_parameters
        from humanlrm.train.poses import collect_examples, pose_recipe, train_poses
        from humanlrm.train.report import TrainingReport

        torch.set_num_threads(self.threads)
        for folder in self.data:
            ShardFolder(folder)  # what is missing is said here, not by every process
        # The package's own weights stay as they are.
        weights = self.weights or copied(SHIPPED, self.run_folder / "weights")
        out = self.weights_out or weights / POSES
        with console.status(f"Looking at {self.photos:,} photos"):
            examples = collect_examples(
                weights, list(self.data), self.run_folder / "examples", self.photos, self.seed, self.workers
            )
        plan = pose_recipe(self.examples, self.seed)
        with TrainingReport(self.run_folder, self.examples, console) as report:
            model = train_poses(PoseDenoiserConfig(), plan, examples, self.run_folder, report.show_progress)
        state = load_averaged_weights(self.run_folder)[2]
        save_pretrained(out, model.config, dict(trained_parameters(model)))
        sources, licences = describe_data(ShardFolder(folder) for folder in self.data)
        stage = TrainingStage("poses", sources, licences, state.seen, state.seconds / 3600, self.seed, commit())
        write_card(out, pose_card(sum(p.numel() for p in model.parameters()), len(examples), stage))
        console.print(f"weights written to {out}; sample with --weights {out.parent}", highlight=False)
        return 0


@dataclass(frozen=True)
class Describe:
    """Print what a preset costs: parameters, tokens, operations and memory. Nothing is trained or downloaded.

    Attributes:
        preset: model to describe: tiny, small, base or paper.
        views: input views per sample (base and paper).
        queries: field queries per sample in training, e.g. rays times samples per ray.
    """

    preset: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PRESET")]
    views: int = 1
    queries: int = 2048

    def run(self) -> int:
        from rich.table import Table

        from humanlrm.model.config import PRESETS
        from humanlrm.model.describe import describe

        if self.preset not in PRESETS:
            raise ValueError(f"unknown preset {self.preset!r}; there are {', '.join(PRESETS)}")
        table = Table(title=f"{self.preset}, {self.views} view{'s' if self.views > 1 else ''}", show_header=False)
        table.add_column()
        table.add_column(justify="right")
        for name, value in describe(PRESETS[self.preset](), self.views, self.queries).rows():
            table.add_row(name, value, end_section=name in ("trained", "feature planes"))
        console.print(table)
        return 0
