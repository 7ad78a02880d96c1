"""``humanlrm train``, ``train-diffusion``, ``train-poses`` and ``describe``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro

from humanlrm.commands.terminal import asset_pack, check_bf16, check_device, console, errors, needs_train

#: Imagined people of whom a new landmark lifter learns.
_FIGURES = 20_000


@dataclass(frozen=True)
class Train:
    """Train a preset on shards. Started again with the same --run, it goes on from the newest checkpoint.

    Several processes: torchrun --nproc-per-node 2 -m -- humanlrm.cli train ...

    Attributes:
        preset: tiny, small, base or paper.
        data: folders of shards.
        weights: how often each folder's turn comes, e.g. 2 1 1; without it all alike.
        run: folder of checkpoints and logs.
        validation: folder of shards to validate on.
        samples: how many samples to see in all.
        batch: samples per process that are computed at once.
        accumulate: batches per step.
        learning_rate: after warm-up.
        fall: of the learning rate: linear (over the last quarter) or cosine (over the whole run).
        bf16: compute the network in bfloat16, where this device is faster in it.
        part: all, or of small and tiny only the estimate of the landmarks, or only what is built on them (field), or of
            that only what heads are like.
        rendering: also compare renderings of other views (colour, perceptual, mask, normal, depth).
        seed: of initial weights and of the order of the data.
        workers: processes that load data.
        device: cpu, cuda or mps.
        threads: torch threads; more than one pays only on an otherwise idle machine.
        initial: another run, or a folder of exported weights, that a new run starts from.
        export: where to write the finished weights (float16), e.g. src/humanlrm/weights/small.
        encoder: what the image encoder of a new run of base or paper starts from: a hub id such as facebook/dinov2-base
            or facebook/dino-vitb16, or a folder; without it from random weights.
        picture_every: steps between pictures in the log.
        assets: asset pack whose poses a new run's landmark lifter learns beside those of the shards. Default:
            $HUMANLRM_ASSETS.
    """

    preset: tyro.conf.Positional[str]
    data: tuple[Path, ...]
    weights: tuple[float, ...] | None = None
    run_folder: Annotated[Path, tyro.conf.arg(name="run")] = Path("runs/small")
    validation: Path | None = None
    samples: int = 60_000
    batch: int = 8
    accumulate: int = 1
    learning_rate: float = 8e-4
    fall: Literal["linear", "cosine"] = "linear"
    bf16: bool = False
    part: Literal["all", "landmarks", "field", "head"] = "all"
    rendering: bool = False
    seed: int = 0
    workers: int = 1
    device: str = "cpu"
    threads: int = 1
    initial: Path | None = None
    export: Path | None = None
    encoder: str | None = None
    picture_every: int = 500
    assets: Path | None = None

    def run(self) -> int:
        needs_train()
        from humanlrm.model.config import PRESETS
        from humanlrm.model.pretrained import save_pretrained
        from humanlrm.train.checkpoint import list_checkpoints, load_counters, trained_parameters
        from humanlrm.train.config import TrainConfig, for_heads
        from humanlrm.train.loop import train
        from humanlrm.train.processes import own_group
        from humanlrm.train.render_losses import RenderSchedule
        from humanlrm.train.report import TrainingReport
        from humanlrm.train.setup import setup
        from humanlrm.train.stop import stop_message

        if self.preset not in PRESETS:
            raise ValueError(f"unknown preset {self.preset!r}; there are {', '.join(PRESETS)}")
        check_device(self.device)
        torch.set_num_threads(self.threads)
        config = PRESETS[self.preset]()
        bf16 = check_bf16(self.bf16, self.device)
        names = ("samples", "batch", "accumulate", "learning_rate", "fall", "part", "seed", "picture_every")
        names += ("workers", "device", "initial", "encoder")
        plan = TrainConfig(
            **{name: getattr(self, name) for name in names},
            bf16=bf16,
            rendering=RenderSchedule() if self.rendering else None,
        )
        if self.part == "head":
            plan = for_heads(plan)
        data = self._mixture()
        begun = load_counters(self.run_folder).seen if list_checkpoints(self.run_folder) else 0
        if self.initial is None and getattr(config, "landmarks", True) and not begun:
            console.print("A new run begins by fitting the landmark lifter, which takes some minutes.", highlight=False)
        if begun:
            console.print(f"going on from {begun:,} of {self.samples:,} samples", highlight=False)
        with TrainingReport(self.run_folder, self.samples, console, self.device, bf16, begun) as report:
            figures = self._figures() if self.initial is None else None
            with own_group():
                state = setup(config, plan, data, self.run_folder, figures)
                train(state, data, report.hooks(self.validation))
            model = state.averaged_model()
        if console.quiet:  # what the first process writes may not be there yet
            return 0
        seen = load_counters(self.run_folder).seen
        if seen < self.samples:
            raise ValueError(stop_message(seen, self.samples))
        console.print(f"{seen:,} samples seen; checkpoints are in {self.run_folder}", highlight=False)
        if self.export is not None:
            save_pretrained(self.export, config, {name: p.cpu() for name, p in trained_parameters(model).items()})
            console.print(f"weights written to {self.export}", highlight=False)
        return 0

    def _figures(self):
        from humanlrm.people.avatars.person import AvatarLibrary
        from humanlrm.people.figures import figures

        given = asset_pack(self.assets)
        return None if given is None else figures(AvatarLibrary(given, "train"), _FIGURES, self.seed)

    def _mixture(self):
        from humanlrm.data.shards import Mixture, ShardFolder

        weights = self.weights or (1.0,) * len(self.data)
        if len(weights) != len(self.data):
            raise ValueError(
                f"--weights: {len(weights)} numbers for {len(self.data)} folders; give one for each --data"
            )
        mixture = Mixture([(ShardFolder(folder), weight) for folder, weight in zip(self.data, weights, strict=True)])
        for problem in mixture.problems:
            errors.print(f"skipped {problem}", style="red", highlight=False, soft_wrap=True, markup=False)
        return mixture


@dataclass(frozen=True)
class TrainDiffusion:
    """Train the completion of half-hidden people. Started again with the same --run, it goes on where it was.

    Attributes:
        preset: tiny or small.
        student: weights folder of a reconstruction model of the paper's family (without depth_prior).
        data: folder of shards.
        latents: folder of the teacher's latents; those that lack are made first.
        run: folder of checkpoints and logs.
        teacher: weights folder of the multi-view teacher. Default: the student, given several views.
        views: that the teacher sees of each person.
        samples: how many photos to see in all.
        batch: photos per step.
        workers: processes that load data.
        device: cpu, cuda or mps.
        threads: torch threads; more than one pays only on an otherwise idle machine.
        export: where to write the finished weights (float16).
    """

    preset: tyro.conf.Positional[str]
    student: Path
    data: Path
    latents: Path
    run_folder: Annotated[Path, tyro.conf.arg(name="run")] = Path("runs/diffusion")
    teacher: Path | None = None
    views: int = 4
    samples: int = 200_000
    batch: int = 8
    workers: int = 1
    device: str = "cpu"
    threads: int = 1
    export: Path | None = None

    def run(self) -> int:
        needs_train()
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
        plan, sizes = DenoisingConfig(samples=self.samples, batch=self.batch), DENOISERS[self.preset]()
        with TrainingReport(self.run_folder, self.samples, console) as report:
            show = report.show_progress
            denoiser = distill(sizes, plan, student, teacher, self.data, self.run_folder, show, self.workers)
        if self.export is not None:
            save_pretrained(
                self.export, denoiser.config, {name: p.cpu() for name, p in trained_parameters(denoiser).items()}
            )
        return 0


@dataclass(frozen=True)
class TrainPoses:
    """Train the sampling of poses around a small model's estimate. Started again with the same --run, it goes on.

    Attributes:
        data: folders of shards, best of people that the model was not trained on: there it errs as on strangers.
        weights: folder of a model of the small family. Default: a copy of the shipped ones in the run's folder.
        run: folder of examples, checkpoints and logs.
        photos: how many augmented photos the model looks at, once.
        samples: how many photos the denoiser sees, again and again.
        seed: of initial weights, noise and augmentation.
        workers: processes that look at photos.
        threads: torch threads of the training.
        export: where to write the finished weights (float16). Default: the folder "poses" of the model's.
    """

    data: tuple[Path, ...]
    weights: Path | None = None
    run_folder: Annotated[Path, tyro.conf.arg(name="run")] = Path("runs/poses")
    photos: int = 20_000
    samples: int = 200_000
    seed: int = 0
    workers: int = 1
    threads: int = 1
    export: Path | None = None

    def run(self) -> int:
        needs_train()
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
        out = self.export or weights / POSES
        with console.status(f"Looking at {self.photos:,} photos"):
            examples = collect_examples(
                weights, list(self.data), self.run_folder / "examples", self.photos, self.seed, self.workers
            )
        plan = pose_recipe(self.samples, self.seed)
        with TrainingReport(self.run_folder, self.samples, console) as report:
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
        preset: tiny, small, base or paper.
        views: given views per sample (base and paper).
        queries: field queries per sample in training, e.g. rays times samples per ray.
    """

    preset: tyro.conf.Positional[str]
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
