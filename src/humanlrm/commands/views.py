"""``humanlrm train-views``: the prior of what a photo does not show."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from humanlrm.commands.terminal import check_bf16, check_device, console, needs_train, say


@dataclass(frozen=True)
class TrainViews:
    """Train the generation of what a photo does not show: backs, and what is hidden or cut off.

    Started again with the same --run, it goes on. The people may be rendered while it trains: the folder is listed
    again every 2,000 photos.

    Attributes:
        data: folder of shards, made by this version of `humanlrm people` or `humanlrm prepare`.
        run: folder of checkpoints and logs.
        photos: how many photos to see in all.
        batch: photos per step.
        bf16: compute the network in bfloat16, where this device is faster in it.
        seed: of initial weights, noise, order and augmentation.
        initial: folder of exported weights that a new run starts from.
        weights_out: where to write the finished weights (float16).
        workers: processes that load data.
        device: cpu, cuda or mps.
        threads: torch threads; more than one pays only on an otherwise idle machine.
    """

    data: Path
    run_folder: Annotated[Path, tyro.conf.arg(name="run")] = Path("runs/views")
    photos: int = 200_000
    batch: int = 4
    bf16: bool = False
    seed: int = 0
    initial: Path | None = None
    weights_out: Path | None = None
    workers: int = 1
    device: str = "cpu"
    threads: int = 1

    def run(self) -> int:
        needs_train()
        import torch

        from humanlrm.model.pretrained import save_pretrained
        from humanlrm.model.view_denoiser import ViewDenoiserConfig
        from humanlrm.train.checkpoint import trained_parameters
        from humanlrm.train.report import TrainingReport
        from humanlrm.train.views import train_views, view_recipe

        check_device(self.device)
        torch.set_num_threads(self.threads)
        plan = replace(
            view_recipe(self.photos),
            batch=self.batch,
            seed=self.seed,
            bf16=check_bf16(self.bf16, self.device),
            initial=self.initial,
            workers=self.workers,
            device=self.device,
        )
        with TrainingReport(self.run_folder, self.photos, console) as report:
            model = train_views(ViewDenoiserConfig(), plan, self.data, self.run_folder, report.show_progress)
        if self.weights_out is not None:
            save_pretrained(self.weights_out, model.config, dict(trained_parameters(model)))
            say(f"weights written to {self.weights_out}")
        return 0
