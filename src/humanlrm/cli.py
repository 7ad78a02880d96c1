"""``humanlrm``: one command for photos, people, training and evaluation."""

import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro
from PIL import Image
from rich.console import Console

#: Of several processes that torchrun started, only the first speaks.
_console = Console(quiet=os.environ.get("RANK", "0") != "0")
_errors = Console(stderr=True)


@dataclass(frozen=True)
class Reconstruct:
    """Reconstruct the person in a photo as a textured mesh.

    Attributes:
        photo: JPEG, PNG, WebP, TIFF...; an alpha channel is used as the person's outline.
        output: .glb, .obj or .ply.
        height_m: standing height of the person in metres.
        resolution: lattice cells per side: 64, 128, 256 or 512.
        texture_px: side of the texture.
        faces: about how many triangles.
        preview: also write a picture: input, front, left, back, right, normals.
        weights: folder of other weights than the shipped ones.
        device: cpu, cuda or mps.
    """

    photo: tyro.conf.Positional[Path]
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("person.glb")
    height_m: float = 1.70
    resolution: int = 256
    texture_px: int = 1024
    faces: int = 24_000
    preview: Path | None = None
    weights: Path | None = None
    device: str = "cpu"

    def run(self) -> int:
        from humanlrm.model.pretrained import SHIPPED
        from humanlrm.reconstruct import Reconstructor, Settings

        settings = Settings(self.height_m, self.resolution, self.texture_px, self.faces)
        _check_output(self.output)
        if self.preview is not None and self.preview.suffix.lower() not in Image.registered_extensions():
            raise ValueError(f"preview must be a picture such as .png or .jpg, got {self.preview}")
        _check_device(self.device)
        with _console.status(f"Reconstructing {self.photo.name}"):
            found = Reconstructor(self.weights or SHIPPED, self.device)(self.photo, settings)
            path = found.save(self.output)
            if self.preview is not None:
                _save_picture(found.preview(), self.preview)
        times = "  ".join(f"{stage} {seconds:.2f}" for stage, seconds in found.seconds.items())
        _console.print(f"{path}  ({len(found.mesh.faces):,} triangles)", highlight=False)
        if self.preview is not None:
            _console.print(f"{self.preview}", highlight=False)
        if found.subject.truncated:
            borders = ", ".join(found.subject.truncated)
            _console.print(f"The photo cuts the person off ({borders}): what it does not show is a guess.")
        _console.print(f"seconds: {times}  all {sum(found.seconds.values()):.2f}", highlight=False)
        _console.print(f"peak memory: {_peak_mib():,.0f} MiB", highlight=False)
        return 0


@dataclass(frozen=True)
class People:
    """Render synthetic people into training shards, or look at them. Goes on where an interrupted run was.

    Attributes:
        out: folder for the shards.
        count: how many people.
        seed: seed of the first; people have consecutive seeds.
        assets: asset pack with avatars and poses; without it all people are procedural. Default: $HUMANLRM_ASSETS.
        kind: procedural, avatar or composed people only; the last two need the asset pack. Default: a mix.
        workers: processes, or Ray actors.
        ray: render on a Ray cluster, at this address, or "local" for one of this machine; needs the extra `cluster`.
        preview: write a contact sheet of the people to this picture; nothing is rendered for training.
        describe: print and draw how diverse the people are that were rendered into --data.
        data: folder of shards for --describe.
        figure: where --describe draws.
    """

    out: Path | None = None
    count: int = 100
    seed: int = 0
    assets: Path | None = None
    kind: Literal["procedural", "avatar", "composed"] | None = None
    workers: int = 1
    ray: str | None = None
    preview: Path | None = None
    describe: bool = False
    data: Path | None = None
    figure: Path = Path("people-statistics.png")

    def run(self) -> int:
        from humanlrm.people.command import preview, render, report
        from humanlrm.people.generate import Job
        from humanlrm.people.preview import Sheet

        asked = (self.out is not None) + (self.preview is not None) + self.describe
        if asked != 1 or self.describe != (self.data is not None):
            raise ValueError("people: give one of --out DIR, --preview PICTURE, or --describe with --data DIR")
        given = self.assets or (Path(os.environ["HUMANLRM_ASSETS"]) if "HUMANLRM_ASSETS" in os.environ else None)
        if self.data is not None:
            report(self.data, self.figure, _console)
        elif self.preview is not None:
            preview(self.preview, Sheet(self.count, self.seed, given, self.kind), self.workers, _console)
        elif self.out is not None:
            job = Job(self.out, self.count, self.seed, given, self.kind)
            return render(job, self.workers, self.ray, _console, _errors)
        return 0


@dataclass(frozen=True)
class Prepare:
    """Turn a data set of scans or of multi-view captures into training shards. Goes on where an interrupted run was.

    Exit code 1 if any item was skipped; the table says which and why. Layouts and licences: docs/datasets.md.

    Attributes:
        name: thuman, humman, custom-humans, 2k2k, x-humans, renderpeople, zju-mocap, scans or multiview.
        source: folder of the data set.
        out: folder for the shards.
        split: file of held-out ids, one per line, or thuman2 (0506 to 0525).
        part: train (what is not held out), test or all.
        every: of the frames of a sequence, every how many.
        limit: at most so many people.
        workers: processes.
        up: up axis of the files if it is not the data set's usual one: +x -x +y -y +z -z (write --up=-z).
        unit: m, cm, mm, auto (told by the height) or height (set it to --height-m).
        height_m: height of scans of unknown unit.
        image_px: longer side of the photographs of captures.
        licence: of your own scans or photographs; it is kept in the shards.
    """

    name: tyro.conf.Positional[str]
    source: Path
    out: Path
    split: str | None = None
    part: str = "train"
    every: int = 1
    limit: int | None = None
    workers: int = 1
    up: str | None = None
    unit: str | None = None
    height_m: float = 1.7
    image_px: int = 512
    licence: str | None = None

    def run(self) -> int:
        from rich.progress import Progress as Bar
        from rich.table import Table

        from humanlrm.data.intake.adapter import Options
        from humanlrm.data.prepare import Job, plan, run, summary

        options = Options(self.up, self.unit, self.height_m, self.image_px, self.licence)
        job = Job(self.name, self.source, self.out, options, self.split, self.part, self.every, self.limit)
        planned = plan(job)
        with Bar(console=_console) as bar:
            task = bar.add_task(job.name, total=sum(len(items) for _, items in planned.todo))
            outcomes = run(job, planned.todo, self.workers, lambda o: bar.advance(task, len(o.done) + len(o.skipped)))
        table = Table(title=f"{job.source} to {job.out}", show_header=False)
        for row in summary(job, planned, outcomes):
            table.add_row(*row)
        _console.print(table)
        skipped = planned.skipped + [line for outcome in outcomes for line in outcome.skipped]
        for line in skipped:
            _errors.print(f"skipped {line}", style="red", highlight=False, soft_wrap=True, markup=False)
        return 1 if skipped else 0


@dataclass(frozen=True)
class Train:
    """Train a preset on shards. Started again with the same --run, it goes on from the newest checkpoint.

    Several processes: torchrun --nproc-per-node 2 -m humanlrm.cli train ...

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
        bf16: compute the network in bfloat16.
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
    rendering: bool = False
    seed: int = 0
    workers: int = 1
    device: str = "cpu"
    threads: int = 1
    initial: Path | None = None
    export: Path | None = None
    encoder: str | None = None
    picture_every: int = 500

    def run(self) -> int:
        from humanlrm.model.config import PRESETS
        from humanlrm.model.pretrained import save_pretrained
        from humanlrm.train.checkpoint import trained
        from humanlrm.train.config import TrainConfig
        from humanlrm.train.loop import train
        from humanlrm.train.render_config import RenderSchedule
        from humanlrm.train.report import TrainingReport

        if self.preset not in PRESETS:
            raise ValueError(f"unknown preset {self.preset!r}; there are {', '.join(PRESETS)}")
        _check_device(self.device)
        torch.set_num_threads(self.threads)
        config = PRESETS[self.preset]()
        names = ("samples", "batch", "accumulate", "learning_rate", "fall", "bf16", "seed", "picture_every")
        plan = TrainConfig(
            **{name: getattr(self, name) for name in names}, rendering=RenderSchedule() if self.rendering else None
        )
        data = self._mixture()
        with TrainingReport(self.run_folder, self.samples, _console, self.device, self.bf16) as report:
            model = train(
                config,
                plan,
                data,
                self.run_folder,
                self.validation,
                report,
                self.workers,
                self.device,
                self.initial,
                self.encoder,
            )
        if self.export is not None:
            save_pretrained(self.export, config, {name: p.cpu() for name, p in trained(model).items()})
            _console.print(f"weights written to {self.export}", highlight=False)
        return 0

    def _mixture(self):
        from humanlrm.data.shards import Mixture, ShardFolder

        weights = self.weights or (1.0,) * len(self.data)
        if len(weights) != len(self.data):
            raise ValueError(
                f"--weights: {len(weights)} numbers for {len(self.data)} folders; give one for each --data"
            )
        mixture = Mixture([(ShardFolder(folder), weight) for folder, weight in zip(self.data, weights, strict=True)])
        for problem in mixture.problems:
            _errors.print(f"skipped {problem}", style="red", highlight=False, soft_wrap=True, markup=False)
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
        from humanlrm.model.denoiser_config import DENOISERS
        from humanlrm.model.paper import PaperLRM
        from humanlrm.model.pretrained import from_pretrained, save_pretrained
        from humanlrm.train.checkpoint import trained
        from humanlrm.train.diffuse import DiffuseConfig, distil
        from humanlrm.train.report import TrainingReport

        if self.preset not in DENOISERS:
            raise ValueError(f"unknown preset {self.preset!r}; there are {', '.join(DENOISERS)}")
        _check_device(self.device)
        torch.set_num_threads(self.threads)
        student = from_pretrained(self.student, self.device)
        teacher = student if self.teacher is None else from_pretrained(self.teacher, self.device)
        if not isinstance(student, PaperLRM) or not isinstance(teacher, PaperLRM):
            raise ValueError("student and teacher must be of the paper's family: others have no latent triplane")
        plan = DiffuseConfig(samples=self.samples, batch=self.batch)
        places = (self.data, self.latents, self.run_folder)
        with TrainingReport(self.run_folder, self.samples, _console) as report:
            model = distil(DENOISERS[self.preset](), plan, student, teacher, *places, report, self.workers, self.views)
        if self.export is not None:
            save_pretrained(self.export, model.config, {name: p.cpu() for name, p in trained(model).items()})
        return 0


@dataclass(frozen=True)
class Evaluate:
    """Measure reconstructions of held-out people, and write a report, contact sheets and a page. Goes on where an
    interrupted evaluation was.

    Attributes:
        sets: procedural-val and composed-val (held-out seeds), valid-val (held-out avatars).
        count: people per set of seeds; default 100, with --quick 64.
        scans: folder of scans (OBJ, PLY, GLB; +Y up), rendered from --views sides.
        ids: file with the names of the scans that are wanted, e.g. a test list.
        pairs: folder of NAME.jpg beside NAME.obj (upright, +Z toward the camera).
        photos: only reconstruct all photos of this folder, and write a page.
        methods: humanlrm, inflated, mean-body, visual-hull (an oracle), command.
        command: program for the method "command", e.g. 'tool {image} -o {out}'.
        protocols: plain, occlusion, robustness, landmarks.
        views: photographs per subject, evenly spread.
        poses: per avatar of valid-val.
        mask: exact or detected.
        landmarks: detected or exact.
        alignment: none, translation, scale+translation or icp; default scale+translation, with --quick translation.
        points: samples per surface.
        resolution: lattice cells per side.
        weights: folder of other weights than the shipped ones.
        assets: asset pack, for composed-val and valid-val. Default: $HUMANLRM_ASSETS.
        out: folder to write.
        workers: processes.
        ray: address of a Ray cluster, or "local".
        compare: print the paired differences of two report.json instead: second minus first.
        quick: the measure of model cards instead: procedural people, one photo each, geometry at 1.70 m.
        json: with --quick, also write the rows to this file.
    """

    sets: tuple[str, ...] | None = None
    count: int | None = None
    scans: Path | None = None
    ids: Path | None = None
    pairs: Path | None = None
    photos: Path | None = None
    methods: tuple[str, ...] = ("humanlrm",)
    command: str | None = None
    protocols: tuple[str, ...] = ("plain",)
    views: int = 3
    poses: int = 3
    mask: str = "exact"
    landmarks: str = "detected"
    alignment: str | None = None
    points: int = 50_000
    resolution: int = 128
    weights: Path | None = None
    assets: Path | None = None
    out: Path = Path("evaluation")
    workers: int = 1
    ray: str | None = None
    compare: tuple[Path, Path] | None = None
    quick: bool = False
    json: Path | None = None

    def run(self) -> int:
        from humanlrm.evaluate import command

        if self.compare is not None:
            return command.print_differences(*self.compare, _console)
        if self.photos is not None:
            return command.measure_photos(self.photos, self.out, self.weights, self.resolution, _console)
        if self.quick:
            return command.measure_quickly(
                64 if self.count is None else self.count,
                self.alignment or "translation",
                self.resolution,
                self.weights,
                self.methods,
                self.json,
                _console,
            )
        if self.json is not None:
            raise ValueError("--json belongs to --quick; otherwise report.json is in --out")
        return command.measure(self._plan(), self.out, self.workers, self.ray, _console)

    def _plan(self):
        from humanlrm.evaluate.case import Shooting
        from humanlrm.evaluate.run import Plan
        from humanlrm.evaluate.sources import Sources

        own_data = self.scans is not None or self.pairs is not None
        sets = self.sets if self.sets is not None else () if own_data else ("procedural-val",)
        assets = self.assets or (Path(os.environ["HUMANLRM_ASSETS"]) if "HUMANLRM_ASSETS" in os.environ else None)
        count = 100 if self.count is None else self.count
        sources = Sources(sets, count, self.poses, assets=assets, scans=self.scans, ids=self.ids, pairs=self.pairs)
        return Plan(
            sources,
            self.methods,
            self.protocols,
            self.views,
            Shooting(self.mask, self.landmarks, self.points),
            self.alignment or "scale+translation",
            self.resolution,
            self.weights,
            self.command,
        )


@dataclass(frozen=True)
class Export:
    """Write a run's newest weights (float16) with a model card that says how good they are.

    Attributes:
        run_folder: the training run.
        data: the shards it was trained on, for the card.
        out: e.g. src/humanlrm/weights/small.
        count: held-out people to measure.
        preset: name for the card.
        seed: seed of the run, for the card.
    """

    run_folder: Annotated[Path, tyro.conf.arg(name="run")]
    data: Path
    out: Path
    count: int = 64
    preset: str = "small"
    seed: int = 0

    def run(self) -> int:
        from humanlrm.data.shards import ShardFolder
        from humanlrm.evaluate.card import TrainingFacts, describe_data, model_card, write_card
        from humanlrm.evaluate.quick import evaluate_quick
        from humanlrm.model.pretrained import save_pretrained
        from humanlrm.train.checkpoint import averaged_weights

        config, tensors, state = averaged_weights(self.run_folder)
        save_pretrained(self.out, config, tensors)
        sources, licences = describe_data(ShardFolder(self.data))
        parameters = sum(t.numel() for t in tensors.values())
        hours = state.seconds / 3600
        facts = TrainingFacts(self.preset, parameters, sources, licences, state.seen, hours, self.seed, _commit())
        reports = [
            evaluate_quick(self.count, "translation", 128, self.out, method, _console)
            for method in ("humanlrm", "inflated")
        ]
        _console.print(write_card(self.out, model_card(facts, reports)).read_text(), highlight=False)
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
        _console.print(table)
        return 0


Command = (
    Annotated[Reconstruct, tyro.conf.subcommand("reconstruct")]
    | Annotated[People, tyro.conf.subcommand("people")]
    | Annotated[Prepare, tyro.conf.subcommand("prepare")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[TrainDiffusion, tyro.conf.subcommand("train-diffusion")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Export, tyro.conf.subcommand("export")]
    | Annotated[Describe, tyro.conf.subcommand("describe")]
)


def _commit() -> str:
    import subprocess

    found = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or "unknown"


def _check_device(name: str) -> None:
    """Before any work is done."""
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"device {name!r} is not available here ({str(error).splitlines()[0]}); try cpu") from error


def _check_output(path: Path) -> None:
    """Before any work is done."""
    if path.suffix.lower() not in (".glb", ".obj", ".ply"):
        raise ValueError(f"output must end in .glb, .obj or .ply, got {path}")


def _save_picture(pixels, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    Image.fromarray(pixels).save(partial)
    partial.replace(path)


def _peak_mib() -> float:
    """Largest memory that this process has held (kilobytes on Linux, bytes on macOS)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; whatever the user can mend is one red line and exit code 1."""
    command = tyro.cli(Command, args=arguments, prog="humanlrm", description=__doc__)  # pyright: ignore[reportArgumentType]
    try:
        return command.run()
    except (ValueError, OSError) as error:
        _errors.print(
            f"humanlrm: {' '.join(str(error).split())}", style="red", highlight=False, soft_wrap=True, markup=False
        )
        return 1
    except KeyboardInterrupt:
        _errors.print("humanlrm: stopped", style="red")
        return 130


if __name__ == "__main__":
    sys.exit(main())
