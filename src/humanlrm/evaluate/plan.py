"""Settings of an evaluation, which are the options of ``humanlrm evaluate people``: nothing heavy is imported here."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

ALIGNMENTS = ("none", "translation", "scale+translation", "icp")

#: Sets of people that are named; folders have options of their own.
SETS = ("procedural-val", "composed-val", "valid-val")

#: Our model: the field's colors at the vertices; the colors that are saved; given four views, or front and back;
#: one sampled person, the mean of four, and of four the one that is nearest to the truth.
PLAIN, TEXTURED, FOUR, TWO = "humanlrm", "humanlrm-textured", "humanlrm-four", "humanlrm-two"
SAMPLED, MEAN, BEST = "humanlrm-sampled", "humanlrm-mean-of-4", "humanlrm-best-of-4"
OURS = (PLAIN, TEXTURED, FOUR, TWO, SAMPLED, MEAN, BEST)
PROGRAM = "command"
METHODS = (*OURS, PROGRAM, "inflated", "mean-body", "visual-hull")

_DEFAULT_VIEWS = 3


@dataclass(frozen=True)
class Corruption:
    """One corruption: its protocol, its kind (the name holds the unit) and its level."""

    protocol: str = "plain"
    kind: str = "clean"
    level: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.protocol}/{self.kind}/{self.level:g}"


#: Protocols whose photos come with exact landmarks, so that the injected errors are the only ones.
EXACT_LANDMARKS = ("landmarks",)
#: Levels of every kind, weakest first. "clean" is the uncorrupted photograph from the same side.
PROTOCOLS: dict[str, dict[str, tuple[float, ...]]] = {
    "plain": {"clean": (0,)},
    "occlusion": {
        "clean": (0,),
        "cut at the bottom, share of height": (0.15, 0.3, 0.5),
        "cut at the side, share of mask": (0.25, 0.5),
        "box, share of mask": (0.1, 0.2, 0.4),
        "person in front, share of mask": (0.1, 0.25, 0.5),
    },
    "robustness": {
        "clean": (0,),
        "blur px": (1, 2, 4),
        "noise": (0.03, 0.06, 0.12),
        "jpeg quality": (50, 20, 10),
        "darkness": (0.5, 0.75, 0.9),
        "mask eroded px": (2, 4, 8),
        "mask dilated px": (2, 4, 8),
        "small and off-centre, widths": (0, 0.1, 0.22),
        "camera from below deg": (10, 20),
        "camera from above deg": (10, 20, 40),
        "field of view deg": (15, 45, 60, 75),
    },
    "landmarks": {
        "clean": (0,),
        "detected": (0,),
        "missing, share": (0.25, 0.5, 1),
        "depth flipped": (1,),
        "limb moved cm": (5, 10, 20),
    },
}


def conditions(protocol: str) -> list[Corruption]:
    """All corruptions of a protocol, "clean" first.

    Raises:
        ValueError: there is no such protocol.
    """
    check_choice("protocol", protocol, PROTOCOLS)
    return [Corruption(protocol, kind, level) for kind, levels in PROTOCOLS[protocol].items() for level in levels]


def check_choice(kind: str, name: str, choices: Iterable[str]) -> None:
    """Refuse an unknown name of a kind of things.

    Raises:
        ValueError: the name is none of the choices.
    """
    if name not in choices:
        raise ValueError(f"unknown {kind} {name!r}; there are {', '.join(choices)}")


def check_program(template: str | None) -> str:
    """The template of a command with its placeholders.

    Raises:
        ValueError: no template, or a placeholder is missing.
    """
    if template is None:
        raise ValueError("the method command needs --command 'tool {image} -o {out}'")
    if "{image}" not in template or "{out}" not in template:
        raise ValueError(f"the command must contain {{image}} and {{out}}, got {template!r}")
    return template


@dataclass(frozen=True)
class Sources:
    """Held-out people to measure: named sets, your own scans, or photos with their scans.

    Attributes:
        sets: procedural-val and composed-val (people made from held-out seeds), valid-val (held-out avatars). Default:
            procedural-val, or nothing if --scans or --pairs is given.
        count: people per set of seeds. Default: 100, with --quick 64.
        poses: poses per avatar of valid-val.
        limit: subjects of each set, evenly spread over all of it. none: all.
        assets: asset pack, for composed-val and valid-val. Default: $HUMANLRM_ASSETS.
        scans: folder of scans (OBJ, PLY or GLB at any depth, +Y up), rendered from --views sides.
        ids: text file with the names of the scans to take, e.g. the test list of a data set.
        pairs: folder of NAME.jpg (or .png) beside NAME.obj, .ply or .glb; the scan is upright, +Z toward the camera.
    """

    sets: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="NAME ...")] = None
    count: int | None = None
    poses: int = 3
    limit: int | None = None
    assets: Path | None = None
    scans: Path | None = None
    ids: Path | None = None
    pairs: Path | None = None

    @property
    def set_names(self) -> tuple[str, ...]:
        """The named sets, the default filled in."""
        if self.sets is not None:
            return self.sets
        return SETS[:1] if self.folders == (None, None) else ()

    @property
    def folders(self) -> tuple[Path | None, Path | None]:
        """Folders of scans and of pairs."""
        return self.scans, self.pairs


@dataclass(frozen=True)
class Shooting:
    """Photographs and samples.

    Attributes:
        mask: "exact", or "detected" as on a photo without a mask.
        landmarks: "detected" or "exact".
        points: samples of each surface.
    """

    mask: str = "exact"
    landmarks: str = "detected"
    points: int = 50_000

    def __post_init__(self) -> None:
        if self.mask not in ("exact", "detected") or self.landmarks not in ("exact", "detected") or self.points < 100:
            raise ValueError(
                "mask and landmarks are exact or detected and points at least 100; "
                f"got {self.mask!r}, {self.landmarks!r}, {self.points}"
            )


@dataclass(frozen=True)
class OutsideMethod:
    """A method that a room above this one brings. Its fields belong to the settings of the evaluation.

    Attributes:
        name: in rows and tables.
    """

    name: str

    def make(self, resolution: int) -> Callable[[Any], Any]:
        """Read what the method needs; each worker does so once.

        Args:
            resolution: lattice cells per side of a surface.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class EvaluationPlan:
    """People, methods and measures of one evaluation.

    Attributes:
        sources: which people are measured.
        methods: humanlrm, humanlrm-textured (in the colors that are saved), humanlrm-four (given four views),
            humanlrm-two (front and back), humanlrm-sampled, humanlrm-mean-of-4, humanlrm-best-of-4 (an oracle),
            inflated, mean-body, visual-hull (an oracle), command.
        quick: the short measure of model cards instead: one photo of each procedural person from a random side, surface
            distances at a height of 1.70 m, no pictures.
        protocols: plain (clean photos), occlusion, robustness, landmarks.
        views: photos per person from evenly spread sides in the plain protocol; the other protocols take one side.
        draws: corrupted photos per person in each other protocol, other ones from person to person. none: all levels of
            all kinds.
        alignment: of the result to the truth before they are compared: none, translation, scale+translation or icp.
            Default: scale+translation, with --quick translation.
        weights: folder of weights. Default: the shipped ones.
        resolution: lattice cells per side of our model's surface.
        command: program for the method "command", e.g. 'tool {image} -o {out}'.
        shooting: photographs and samples.
        outside: methods of other rooms, measured after the named ones.
    """

    sources: Annotated[Sources, tyro.conf.arg(name="people")] = field(default_factory=Sources)
    methods: tuple[str, ...] = (PLAIN,)
    quick: bool = False
    protocols: tuple[str, ...] = ("plain",)
    views: int = _DEFAULT_VIEWS
    draws: int | None = None
    alignment: str = ""
    weights: Path | None = None
    resolution: int = 128
    command: str | None = None
    shooting: Annotated[Shooting, tyro.conf.arg(name="rare")] = field(default_factory=Shooting)
    outside: tyro.conf.Suppress[tuple[OutsideMethod, ...]] = ()

    def __post_init__(self) -> None:
        # Two defaults depend on the measure.
        if not self.alignment:
            object.__setattr__(self, "alignment", "translation" if self.quick else "scale+translation")
        if self.sources.count is None:
            object.__setattr__(self, "sources", replace(self.sources, count=64 if self.quick else 100))
        check_choice("alignment", self.alignment, ALIGNMENTS)
        for name in self.methods or (() if self.outside else ("",)):
            check_choice("method", name, METHODS)
        if PROGRAM in self.methods:
            check_program(self.command)
        for name in self.protocols or ("",):
            check_choice("protocol", name, PROTOCOLS)
        if self.views < 1 or (self.draws is not None and self.draws < 1):
            raise ValueError(f"views and draws must be positive, got {self.views} and {self.draws}")
        if self.quick:
            self._check_quick()

    def _check_quick(self) -> None:
        defaults = {
            "--sets, --scans and --pairs": self.sources.set_names == SETS[:1] and self.sources.folders == (None, None),
            "--protocols": self.protocols == ("plain",),
            "--views": self.views == _DEFAULT_VIEWS,
            "--draws": self.draws is None,
            "--mask, --landmarks and --points": self.shooting == Shooting(),
        }
        changed = [option for option, is_default in defaults.items() if not is_default]
        if changed:
            raise ValueError(f"--quick measures one plain photo of each procedural person; leave out {changed[0]}")
