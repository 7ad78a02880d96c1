"""``humanlrm evaluate`` and ``humanlrm export``: how good weights are, and weights that say so."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from humanlrm.commands.terminal import asset_pack, commit, console, needs_train

if TYPE_CHECKING:
    from humanlrm.train.checkpoint import TrainerState


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
        photos: only reconstruct all photos of this folder (--weights, --resolution), and write a page.
        methods: humanlrm, humanlrm-textured (in the colours that are saved), humanlrm-four (given four views),
            humanlrm-two (front and back), humanlrm-sampled, humanlrm-mean-of-4, humanlrm-best-of-4 (an oracle),
            inflated, mean-body, visual-hull (an oracle), command.
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
        compare: print the paired differences of two report.json, or their folders, instead: second minus first.
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
            return command.print_differences(*self.compare, console)
        if self.photos is not None:
            self._only("photos", "out", "weights", "resolution", "assets")
            return command.measure_photos(self.photos, self.out, self.weights, self.resolution, console)
        needs_train()
        if self.quick:
            return command.measure_quickly(
                64 if self.count is None else self.count,
                self.alignment or "translation",
                self.resolution,
                self.weights,
                self.methods,
                self.json,
                console,
            )
        if self.json is not None:
            raise ValueError("--json belongs to --quick; otherwise report.json is in --out")
        return command.measure(self._plan(), self.out, self.workers, self.ray, console)

    def _only(self, *names: str) -> None:
        """Raises ValueError: another option was given beside these."""
        others = [f for f in fields(self) if f.name not in names and getattr(self, f.name) != f.default]
        if others:
            raise ValueError(f"--{others[0].name} does not go with --{names[0]}")

    def _plan(self):
        from humanlrm.evaluate.case import Shooting
        from humanlrm.evaluate.run import EvaluationPlan
        from humanlrm.evaluate.sources import Sources

        own_data = self.scans is not None or self.pairs is not None
        sets = self.sets if self.sets is not None else () if own_data else ("procedural-val",)
        assets = asset_pack(self.assets)
        count = 100 if self.count is None else self.count
        sources = Sources(sets, count, self.poses, assets=assets, scans=self.scans, ids=self.ids, pairs=self.pairs)
        return EvaluationPlan(
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
class Card:
    """Measure weights again, with the code as it is now, and write their model card anew.

    Attributes:
        weights: folder of exported weights.
        count: held-out people to measure.
        preset: name for the card. Default: of the preset that they have the config of.
    """

    weights: Path
    count: int = 64
    preset: str | None = None

    def run(self) -> int:
        needs_train()
        from humanlrm.evaluate.card import TrainingFacts, model_card, write_card
        from humanlrm.evaluate.quick import evaluate_quick
        from humanlrm.model.config import preset_of
        from humanlrm.model.history import read_history
        from humanlrm.model.pretrained import from_pretrained, read_pretrained
        from humanlrm.train.checkpoint import trained

        parameters = sum(p.numel() for p in trained(from_pretrained(self.weights)).values())
        reports = [
            evaluate_quick(self.count, "translation", 128, self.weights, method, console)
            for method in ("humanlrm", "inflated")
        ]
        name = self.preset or preset_of(read_pretrained(self.weights)[0]) or self.weights.name
        text = model_card(TrainingFacts(name, parameters, read_history(self.weights)), reports)
        console.print(write_card(self.weights, text).read_text(encoding="utf-8"), highlight=False, soft_wrap=True)
        return 0


@dataclass(frozen=True)
class Export:
    """Write a run's newest weights (float16) with a model card that says how good they are.

    Attributes:
        run_folder: the training run.
        data: folders of the shards it was trained on, for the card. Default: those that the run has noted; give them if
            they have moved.
        out: e.g. src/humanlrm/weights/small.
        count: held-out people to measure, a few seconds each.
        preset: name for the card. Default: of the preset that they have the config of.
        landmarks: another run that trained the landmarks alone (small family): the estimate of them is taken from it.
    """

    run_folder: Annotated[Path, tyro.conf.arg(name="run")]
    out: Path
    data: tuple[Path, ...] = ()
    count: int = 64
    preset: str | None = None
    landmarks: Path | None = None

    def run(self) -> int:
        needs_train()
        from humanlrm.completion import POSES
        from humanlrm.data.shards import ShardFolder
        from humanlrm.evaluate.card import describe_data
        from humanlrm.model.config import ModelConfig
        from humanlrm.model.history import read_history, write_history
        from humanlrm.model.pretrained import save_pretrained, with_landmarks
        from humanlrm.train.checkpoint import averaged_weights

        config, tensors, state = averaged_weights(self.run_folder)
        sources, licences = describe_data(map(ShardFolder, self._folders()))
        stages = read_history(self.run_folder)
        if self.landmarks is not None:
            other, theirs, seen = averaged_weights(self.landmarks)
            tensors = with_landmarks(config, tensors, other, theirs)
            stages.append(_stage(self.landmarks, sources, licences, seen))
        stages.append(_stage(self.run_folder, sources, licences, state))
        save_pretrained(self.out, config, tensors)
        write_history(self.out, stages)
        if isinstance(config, ModelConfig) and not (self.out / POSES).is_dir():
            console.print(
                f"{self.out} cannot sample half bodies until `humanlrm train-poses --weights {self.out}` has been run",
                highlight=False,
            )
        return Card(self.out, self.count, self.preset).run()

    def _folders(self) -> list[Path]:
        from humanlrm.model.history import read_notes

        runs = [self.run_folder] if self.landmarks is None else [self.run_folder, self.landmarks]
        notes = [found for run in runs if (found := read_notes(run)) is not None]
        noted = list(dict.fromkeys(Path(folder) for found in notes for folder in found.data))
        gone = [folder for folder in noted if not folder.is_dir()]
        if not self.data and (gone or not noted):
            what = f"was trained on {gone[0]}, which is gone" if gone else "does not say what it was trained on"
            raise ValueError(f"{self.run_folder} {what}; name its folders of shards with --data")
        given = [folder.resolve() for folder in self.data]
        return list(dict.fromkeys([*given, *(folder for folder in noted if folder not in gone)]))


def _stage(run: Path, sources: dict[str, int], licences: list[str], state: "TrainerState") -> "TrainingStage":
    from humanlrm.model.history import TrainingStage, read_notes

    notes = read_notes(run)
    part, seed = ("unknown", -1) if notes is None else (notes.part, notes.seed)
    return TrainingStage(part, sources, licences, state.seen, state.seconds / 3600, seed, commit())
