"""Settings of a reconstruction: plain values, checked when they are made. They also feed the command line."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

#: Lengths of units in metres.
METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}
#: Samples that can be asked for at once.
MOST_SAMPLES = 64
#: Steps of a sample of the view prior.
_VIEW_STEPS = 8


@dataclass(frozen=True)
class Settings:
    """Size and level of detail of the person that is written.

    Attributes:
        height_m: standing height of the person in metres, also of a person who sits.
        resolution: cells per side of the lattice in which the surface is searched: 64, 128, 256 or 512. More cells
            give finer detail and take longer.
        texture_px: side of the square texture in pixels.
        faces: approximate number of triangles.
    """

    height_m: float = 1.70
    resolution: int = 256
    texture_px: int = 1024
    faces: int = 24_000

    def __post_init__(self) -> None:
        if not 0.3 <= self.height_m <= 3:
            raise ValueError(f"height_m must be a person's height between 0.3 and 3 metres, got {self.height_m}")
        if self.resolution not in (64, 128, 256, 512):
            raise ValueError(f"resolution must be 64, 128, 256 or 512, got {self.resolution}")
        if not 64 <= self.texture_px <= 8192:
            raise ValueError(f"texture_px must be between 64 and 8192, got {self.texture_px}")
        if self.faces < 100:
            raise ValueError(f"faces must be at least 100, got {self.faces}")


@dataclass(frozen=True)
class Selection:
    """Choice of the person in a photo that shows several, or of which the computer is unsure.

    Attributes:
        person: another person than the largest and most central one: a number, counted from the left, or a place x,y in
            pixels of the upright photo.
        mask: picture of the person's outline, white on black, as large as the photo. It is believed as it is.
        rotate: degrees by which the photo is turned clockwise before it is read; without it photos that lie on their
            side or stand on their head are recognized.
    """

    person: str | None = None
    mask: Path | None = None
    rotate: Literal[0, 90, 180, 270] | None = None

    def __post_init__(self) -> None:
        if self.rotate not in (None, 0, 90, 180, 270):
            raise ValueError(f"rotate must be 0, 90, 180 or 270 degrees, got {self.rotate}")
        if self.person is not None and (self.number is None) == (self.place_px is None):
            raise ValueError(f"person must be a number from 1 on, or a place such as 310,240, got {self.person!r}")

    @property
    def number(self) -> int | None:
        """Number of the person from the left, from 1; ``None``: not chosen by number."""
        word = (self.person or "").strip()
        return int(word) if word.isdecimal() and int(word) > 0 else None

    @property
    def place_px(self) -> tuple[float, float] | None:
        """Place of the person in pixels of the upright photo; ``None``: not chosen by place."""
        x, comma, y = (self.person or "").partition(",")
        try:
            return (float(x), float(y)) if comma else None
        except ValueError:
            return None


@dataclass(frozen=True)
class Completion:
    """Completion of what the photo does not show, by sampling a diffusion model.

    Attributes:
        complete: when the pose of a single person is sampled instead of estimated: always, never, or auto. Auto samples
            if more than a quarter of the body lies below the photo; elsewhere the estimate is nearer to the truth.
        samples: number of different people who fit the photo. Several are always sampled, and written as person.0.glb,
            person.1.glb... with one picture of all. The first stands for most of 64 drawn poses, each further one for
            those that differ most from the ones before.
        seed: seed of the samples; sample k of a seed is always the same.
        guidance: 1 samples what the photo allows; more exaggerates what the photo shows.
        uncertainty: also measure how far the samples' surfaces are apart at each vertex: vertex attributes, and a heat
            map beside a GLB or OBJ.
        prior: diffusion model that is sampled: pose (landmarks; shipped) or latent (triplanes; for weights that have
            one).
    """

    complete: Literal["auto", "always", "never"] = "auto"
    samples: int = 1
    seed: int = 0
    guidance: float = 1.0
    uncertainty: bool = False
    prior: Literal["pose", "latent"] = "pose"

    def __post_init__(self) -> None:
        if self.complete not in ("auto", "always", "never"):
            raise ValueError(f"complete must be auto, always or never, got {self.complete!r}")
        if self.prior not in ("pose", "latent"):
            raise ValueError(f"prior must be pose or latent, got {self.prior!r}")
        check_sampling(self.samples, self.seed, self.guidance)

    @property
    def steps(self) -> int:
        """Steps in which the hidden parts are generated: one person is the mean of what fits, several are samples."""
        return _VIEW_STEPS if self.samples > 1 else 1

    @property
    def requested(self) -> bool:
        """True if samples are asked for, whatever the photo shows."""
        return self.samples > 1 or self.complete == "always"


def check_sampling(samples: int, seed: int, guidance: float) -> None:
    """Refuse numbers that nothing can be sampled with.

    Raises:
        ValueError: samples, seed or guidance out of range.
    """
    if not 1 <= samples <= MOST_SAMPLES:
        raise ValueError(f"samples must be between 1 and {MOST_SAMPLES}, got {samples}")
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    if not 0 <= guidance <= 20:
        raise ValueError(f"guidance must be between 0 and 20, got {guidance}")


@dataclass(frozen=True)
class PhotoOptions:
    """Everything that decides a photo's files, apart from the photo and the weights.

    Attributes:
        settings: size and level of detail.
        completion: completion of what the photo does not show.
        everyone: reconstruct each person in the photo, not only the main one.
        formats: mesh formats to write: glb, obj (an archive with material and texture), ply...
        preview: also write a picture of each person: the photo, front, left, back, right, normals.
        walk: also write each person with a skeleton, walking (.walk.glb).
        turntable: also write a film of each person, turning: .turntable.mp4 if humanlrm[video] is installed, else
            .turntable.webp.
    """

    settings: Settings = field(default_factory=Settings)
    completion: Completion = field(default_factory=Completion)
    everyone: bool = False
    formats: tuple[str, ...] = ("glb",)
    preview: bool = True
    walk: bool = False
    turntable: bool = False

    def __post_init__(self) -> None:
        if not self.formats:
            raise ValueError("formats must name at least one format, got none")

    def to_plain(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> "PhotoOptions":
        """Options from what :meth:`to_plain` gave.

        Raises:
            ValueError: an unknown or impossible value.
        """
        return cls.from_flat(dict(values["settings"]) | dict(values["completion"]) | _outer(values))

    @classmethod
    def from_flat(cls, values: Mapping[str, Any]) -> "PhotoOptions":
        """Options from one level of names, as of a form.

        Raises:
            ValueError: an unknown or impossible value.
        """
        parts = {kind: {f.name: values[f.name] for f in fields(kind) if f.name in values} for kind in _PARTS}
        known = {name for part in parts.values() for name in part} | {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"unknown option {', '.join(unknown)}")
        outer = _outer(values)
        if "formats" in outer:
            outer["formats"] = tuple(dict.fromkeys(outer["formats"]))
        return cls(Settings(**parts[Settings]), Completion(**parts[Completion]), **outer)


_PARTS = (Settings, Completion)


def _outer(values: Mapping[str, Any]) -> dict[str, Any]:
    names = ("everyone", "formats", "preview", "walk", "turntable")
    return {name: values[name] for name in names if name in values}


@dataclass(frozen=True)
class Calibration:
    """Cameras of several photos of one person, taken at the same moment (docs/multiview.md).

    Attributes:
        cameras: file that says where the photos were taken from: a transforms.json as nerfstudio writes it. Needed for
            several photos.
        up: axis of the cameras' world that points up: +x, -x, +y, -y, +z or -z (write --up=-z); or "cameras": the mean
            up of the cameras.
        unit: unit of the camera positions: m, cm or mm. With it the size of the person is measured and the standing
            height does not count.
    """

    cameras: Path | None = None
    up: str = "+z"
    unit: str | None = None

    def __post_init__(self) -> None:
        if self.unit is not None and self.unit not in METRES:
            raise ValueError(f"unit must be one of {', '.join(METRES)}, got {self.unit!r}")
        if self.cameras is None and self.unit is not None:
            raise ValueError("--unit is the unit of --cameras; one photo has no scale: give --height-m")
        if self.cameras is None and self.up != "+z":
            raise ValueError("--up is an axis of --cameras; without them the photo's own up counts")

    @property
    def metres(self) -> float | None:
        """Length of the unit; ``None``: unknown."""
        return None if self.unit is None else METRES[self.unit]


def check_photos(count: int, calibration: Calibration, completion: Completion) -> None:
    """Refuse photos, cameras and samples that do not go together.

    Raises:
        ValueError: no photo, several without cameras, or samples of several.
    """
    if count < 1:
        raise ValueError("give a photo; see `humanlrm reconstruct --help`")
    if calibration.cameras is None and count > 1:
        raise ValueError(
            f"{count} photos need --cameras, which says where each was taken from; without it give one photo at a time"
        )
    if calibration.cameras is not None and (completion.requested or completion.uncertainty):
        raise ValueError("--samples, --uncertainty and --complete always are for a single photo, without --cameras")
