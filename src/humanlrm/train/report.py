"""What a training run shows: a progress line on the console; curves, pictures and meshes in tensorboard."""

from functools import cached_property
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from torch.utils.tensorboard import SummaryWriter

from humanlrm.train.loop import Progress
from humanlrm.train.pictures import Pictures
from humanlrm.train.throughput import matmul_peak


class TrainingReport:
    """Callable that the loop reports to; a context manager that owns progress bar and log file.

    Args:
        begun: how many of the ``samples`` a run that goes on has seen.

    ``mfu`` is the share of the fastest matrix product, measured for a second at the start, that the steps reach.
    """

    def __init__(
        self, run: Path, samples: int, console: Console, device: str = "cpu", bf16: bool = False, begun: int = 0
    ) -> None:
        self._bar = Bar(
            TextColumn("training"),
            BarColumn(12),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}"),
            console=console,
        )
        self._task = self._bar.add_task("training", total=samples, completed=begun, text="")
        self._run = run
        self._device, self._dtype = device, torch.bfloat16 if bf16 else torch.float32

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

    def __call__(self, progress: Progress) -> None:
        step, losses = progress.state.seen, progress.losses
        for name, value in losses.items():
            self._writer.add_scalar(f"loss/{name}", value, step)
        for name, value in (progress.validation or {}).items():
            self._writer.add_scalar(f"validation/{name}", value, step)
        self._writer.add_scalar("learning_rate", progress.rate, step)
        self._writer.add_scalar("samples_per_s", progress.samples_per_s, step)
        self._writer.add_scalar("mfu", progress.flops_per_s / self._peak, step)
        if progress.pictures is not None:
            self._draw(progress.pictures, step)
        shown = [f"{name} {losses[name]:.3f}" for name in ("sdf", "depth", "landmarks") if name in losses]
        text = "  ".join([f"{progress.samples_per_s:.1f}/s", f"MFU {progress.flops_per_s / self._peak:.0%}", *shown])
        self._bar.update(self._task, completed=step, text=text)
        if progress.validation is not None:
            terms = "  ".join(f"{name} {value:.4f}" for name, value in progress.validation.items())
            self._bar.console.print(f"{step:,} samples, validation: {terms}", highlight=False)

    def _draw(self, pictures: Pictures, step: int) -> None:
        self._writer.add_images("given", pictures.inputs, step)
        self._writer.add_images("predicted/around", pictures.around, step)
        if pictures.targets is not None:
            self._writer.add_images("wanted and predicted, colour and normals", pictures.targets, step)
        if pictures.mesh is not None:
            parts = (torch.from_numpy(a)[None] for a in vars(pictures.mesh).values())
            self._writer.add_mesh("predicted/mesh", *parts, global_step=step)
        self._writer.flush()
