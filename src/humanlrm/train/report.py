"""Reports of a training run: a progress line on the console; curves, pictures and meshes in tensorboard."""

from functools import cached_property
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from torch.utils.tensorboard import SummaryWriter

from humanlrm.data.shards import ShardFolder
from humanlrm.train.hooks import DrawPictures, Progress, ReportProgress, SaveCheckpoints, Validate
from humanlrm.train.loop import Hook
from humanlrm.train.pictures import Pictures
from humanlrm.train.throughput import matmul_peak

#: Losses that the progress line shows.
_SHOWN_LOSSES = ("sdf", "depth", "landmarks")


class TrainingReport:
    """A context manager that owns progress bar and log file. Hooks call its methods.

    ``mfu`` is the share of the fastest matrix product, measured for a second at the start, that the steps reach.

    Args:
        seen: samples that a run that goes on has seen, of ``samples``.
    """

    def __init__(
        self, run: Path, samples: int, console: Console, device: str = "cpu", bf16: bool = False, seen: int = 0
    ) -> None:
        columns = (TimeRemainingColumn(), TextColumn("{task.fields[text]}"))
        self._bar = Bar(TextColumn("training"), BarColumn(12), MofNCompleteColumn(), *columns, console=console)
        self._task = self._bar.add_task("training", total=samples, completed=seen, text="")
        self._run = run
        self._device, self._dtype = device, torch.bfloat16 if bf16 else torch.float32

    def show_fit(self, done: int, steps: int) -> None:
        """Show the first fit of a new run, whose samples are counted after it."""
        text = f"landmark lifter, step {done:,} of {steps:,}" if done < steps else ""
        self._bar.update(self._task, text=text)

    @cached_property
    def _writer(self) -> SummaryWriter:
        """Made when there is something to write: a run that cannot start leaves no folder."""
        return SummaryWriter(str(self._run / "log"))

    def __enter__(self) -> "TrainingReport":
        self._peak = matmul_peak(self._device, self._dtype)
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
        if "_writer" in vars(self):
            self._writer.close()

    def hooks(self, validation: Path | None = None) -> list[Hook]:
        """Build the usual hooks of a run: all that is reported, and checkpoints.

        Args:
            validation: folder of shards to validate on.
        """
        hooks: list[Hook] = [Validate(ShardFolder(validation), self.show_validation)] if validation else []
        return [*hooks, DrawPictures(self.show_pictures), ReportProgress(self.show_progress), SaveCheckpoints()]

    def show_progress(self, progress: Progress) -> None:
        seen, losses, mfu = progress.counters.seen, progress.losses, progress.flops_per_s / self._peak
        scalars = {f"loss/{name}": value for name, value in losses.items()}
        scalars |= {"learning_rate": progress.rate, "samples_per_s": progress.samples_per_s, "mfu": mfu}
        self._write_scalars(scalars, seen)
        shown = [f"{name} {losses[name]:.3f}" for name in _SHOWN_LOSSES if name in losses]
        text = "  ".join([f"{progress.samples_per_s:.1f}/s", f"MFU {mfu:.0%}", *shown])
        self._bar.update(self._task, completed=seen, text=text)

    def show_validation(self, seen: int, losses: dict[str, float]) -> None:
        self._write_scalars({f"validation/{name}": value for name, value in losses.items()}, seen)
        text = "  ".join(f"{name} {value:.4f}" for name, value in losses.items())
        self._bar.console.print(f"{seen:,} samples, validation: {text}", highlight=False)

    def _write_scalars(self, scalars: dict[str, float], seen: int) -> None:
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, seen)

    def show_pictures(self, seen: int, pictures: Pictures) -> None:
        self._writer.add_images("inputs", pictures.inputs, seen)
        self._writer.add_images("predicted/around", pictures.around, seen)
        if pictures.targets is not None:
            self._writer.add_images("true and predicted, color and normals", pictures.targets, seen)
        if pictures.mesh is not None:
            arrays = (torch.from_numpy(a)[None] for a in vars(pictures.mesh).values())
            self._writer.add_mesh("predicted/mesh", *arrays, global_step=seen)
        self._writer.flush()
