"""``humanlrm batch``: a folder of photos to a folder of people."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from humanlrm.commands.reconstruct import NetworkOptions
from humanlrm.commands.terminal import check_device, check_writable, complain, console, say
from humanlrm.settings import PhotoOptions


@dataclass(frozen=True)
class BatchPhotos:
    """Reconstruct all photos of a folder and its subfolders. An interrupted batch goes on if it is started again.

    Attributes:
        photos: folder of photos.
        out: folder to write: a photo's files have its name and subfolder (photo.glb; photo.1.glb is the second
            person or sample). summary.csv, summary.jsonl and contact sheets tell about all.
        options: what is made of each photo.
        network: weights and processor.
        workers: processes; each uses one core. With --ray: Ray actors.
        ray: reconstruct on the Ray cluster at this address, e.g. auto, or local for one of this machine. Needs the
            extra "cluster".
    """

    photos: tyro.conf.Positional[Path]
    out: Path
    options: Annotated[PhotoOptions, tyro.conf.arg(name="photo"), tyro.conf.OmitArgPrefixes] = field(
        default_factory=PhotoOptions
    )
    network: tyro.conf.OmitArgPrefixes[NetworkOptions] = field(default_factory=NetworkOptions)
    workers: int = 1
    ray: str | None = None

    def run(self) -> int:
        """Reconstruct; 1 if a photo failed."""
        check_writable(self.out / "summary.csv")
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1, got {self.workers}")
        check_device(self.network.device)
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from humanlrm.batch import BatchPlan, run_batch
        from humanlrm.cluster import map_on_ray

        plan = BatchPlan(self.photos, self.out, self.options, self.network.weights, self.network.device)
        cluster = None if self.ray is None else partial(map_on_ray, address=self.ray, workers=self.workers)
        rate = TextColumn("{task.fields[rate]}")
        with Progress(BarColumn(20), MofNCompleteColumn(), rate, TimeRemainingColumn(), console=console) as bar:
            task = bar.add_task("photos", total=None, rate="")

            def show(done: int, total: int) -> None:
                speed = bar.tasks[0].speed
                bar.update(task, completed=done, total=total, rate=f"{60 * speed:.1f}/min" if speed else "")

            records = run_batch(plan, self.workers, cluster, show)
        failed = [record for record in records if record.state == "failed"]
        for record in failed:
            complain(f"{record.photo}: {record.reason}")
        people = sum(len(record.people) for record in records)
        say(f"{self.out}: {len(records) - len(failed)} photos done, people in them: {people}, failed: {len(failed)}")
        return 1 if failed else 0
