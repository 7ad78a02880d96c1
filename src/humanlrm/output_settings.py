"""Settings of a person's files: plain values, checked when they are made. They also feed the command line."""

from dataclasses import dataclass, fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

PoseName = Literal["photo", "a", "t"]
#: Motions of our own, and films.
CLIP_NAMES = ("walk", "idle", "wave")
FILM_SUFFIXES = (".gif", ".webp", ".mp4")


class MeshFormat(NamedTuple):
    """Facts about a mesh format, which ``mesh.export.save`` writes.

    Attributes:
        media_type: of the service's answers.
        beside: endings of the files that are written beside it.
        heat_map: a heat map of the uncertainty fits its texture.
        rig: it holds a skeleton.
    """

    media_type: str
    beside: tuple[str, ...] = ()
    heat_map: bool = False
    rig: bool = False

    @property
    def endings(self) -> tuple[str, ...]:
        """Endings of all files that may be written beside it."""
        return (*self.beside, HEAT_MAP) if self.heat_map else self.beside


#: Ending of a heat map's file.
HEAT_MAP = ".uncertainty.png"
#: Mesh formats by suffix.
MESH_FORMATS: dict[str, MeshFormat] = {
    ".glb": MeshFormat("model/gltf-binary", heat_map=True, rig=True),
    ".gltf": MeshFormat("model/gltf+json", (".bin", ".color.png"), heat_map=True, rig=True),
    ".obj": MeshFormat("model/obj", (".mtl", ".png"), heat_map=True),
    ".ply": MeshFormat("application/octet-stream"),
    ".vrm": MeshFormat("model/gltf-binary", heat_map=True, rig=True),
    ".usdz": MeshFormat("model/vnd.usdz+zip", heat_map=True),
    ".stl": MeshFormat("model/stl"),
    ".3mf": MeshFormat("model/3mf"),
}


class Plan(NamedTuple):
    """Settings that a purpose stands for.

    Attributes:
        suffixes: files that are written; the first one is the default format.
        settings: of the reconstruction.
        level_faces: triangles of each level of detail; empty: the mesh as it is reconstructed.
        rig: with a skeleton.
        base, height_mm: of prints.
    """

    suffixes: tuple[str, ...]
    settings: dict[str, int]
    level_faces: tuple[int, ...] = ()
    rig: bool = False
    base: bool = False
    height_mm: float | None = None


Purpose = Literal["ar", "game", "print"]
#: Phones take 100,000 triangles and 2048 px with ease; games want few triangles and the look of many.
PLANS: dict[str, Plan] = {
    "ar": Plan((".glb", ".usdz"), {"faces": 30_000, "texture_px": 2048}),
    "game": Plan((".glb",), {"faces": 100_000, "texture_px": 2048}, (12_000, 5_000, 2_000), rig=True),
    "print": Plan((".stl",), {"faces": 200_000}, base=True, height_mm=150.0),
}


def missing_extra(suffix: str) -> str | None:
    """Why files of a suffix (small letters) cannot be written: an extra that is not installed; ``None``: they can."""
    if suffix == ".usdz" and find_spec("pxr") is None:
        return "a .usdz needs usd-core: pip install 'humanlrm[usd]'"
    if suffix == ".mp4" and (find_spec("av") is None or find_spec("imageio") is None):
        return "an .mp4 needs PyAV: pip install 'humanlrm[video]'; .gif and .webp need nothing"
    return None


@dataclass(frozen=True)
class OutputSettings:
    """Files of a person: rig, pose, motion, levels of detail (docs/rig.md).

    Attributes:
        purpose: ar (also writes .usdz; 2048 px), game (rig, levels of 12,000, 5,000 and 2,000 triangles with normal
            maps baked from 100,000) or print (.stl, 200,000 triangles, 150 mm high, on a base).
        rig: give the person a skeleton (humanoid names of VRM) and skin weights; for .glb, .gltf and .vrm. Limbs that
            touch the body in the photo are cut free.
        pose: rest pose of the file: that of the photo, a symmetric A-pose, or a T-pose. A .vrm stands in T.
        animate: motions in the file: walk, idle, wave, or BVH files with the joint names of CMU, Mixamo or VRM.
        turntable: also write a film of the person, turning or moving: .gif or .webp, or .mp4 with humanlrm[video].
        albedo: estimate the photo's light and take it out of the texture, for relighting.
        texture_format: png or webp, inside of .glb, .gltf and .vrm.
        base: .stl and .3mf: put the person on a disc.
        without_base: leave out the disc that print brings.
        height_mm: .stl and .3mf: height of the print in millimetres; else the person's own.
        author: of the person, in a .vrm.
    """

    purpose: Purpose | None = None
    rig: bool = False
    pose: PoseName = "photo"
    animate: tuple[str, ...] = ()
    turntable: Path | None = None
    albedo: bool = False
    texture_format: Literal["png", "webp"] = "png"
    base: bool = False
    without_base: bool = False
    height_mm: float | None = None
    author: str | None = None

    def __post_init__(self) -> None:
        choices = {"purpose": (None, *PLANS), "pose": ("photo", "a", "t"), "texture_format": ("png", "webp")}
        for name, known in choices.items():
            if (value := getattr(self, name)) not in known:
                words = ", ".join(word for word in known if word is not None)
                raise ValueError(f"{'for' if name == 'purpose' else name} must be one of {words}; got {value!r}")
        if self.base and self.without_base:
            raise ValueError("--base and --without-base exclude each other")
        if self.height_mm is not None and not 5 <= self.height_mm <= 5000:
            raise ValueError(f"height_mm must be between 5 and 5000, got {self.height_mm}")
        for motion in self.animate:
            if motion not in CLIP_NAMES and not motion.lower().endswith(".bvh"):
                raise ValueError(f"animate takes {', '.join(CLIP_NAMES)} or a .bvh file, got {motion!r}")
        if self.turntable is not None and self.turntable.suffix.lower() not in FILM_SUFFIXES:
            raise ValueError(f"turntable must end in {', '.join(FILM_SUFFIXES)}, got {self.turntable}")

    @property
    def rigged(self) -> bool:
        """True if the file holds a skeleton."""
        return self.rig or bool(self.animate)

    def needs_rig(self, path: Path) -> bool:
        """True if a skeleton is needed, for the file or for the pose of its mesh."""
        return self.rigged or self.pose != "photo" or path.suffix.lower() == ".vrm"

    def words(self) -> dict[str, Any]:
        """Settings that differ from what is usual, as plain values."""
        usual = OutputSettings()
        changed = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            name: str(value) if isinstance(value, Path) else value
            for name, value in changed.items()
            if value != getattr(usual, name) and name != "turntable"
        }

    def completed(self) -> "OutputSettings":
        """With all that the purpose sets."""
        if self.purpose is None:
            return self
        plan = PLANS[self.purpose]
        height_mm = plan.height_mm if self.height_mm is None else self.height_mm
        base = (self.base or plan.base) and not self.without_base
        return replace(self, rig=self.rig or plan.rig, base=base, height_mm=height_mm)

    def files(self, path: Path) -> list[Path]:
        """The asked file, and others that the purpose brings."""
        beside = () if self.purpose is None else PLANS[self.purpose].suffixes
        others = [path.with_suffix(suffix) for suffix in beside if len(beside) > 1]
        return [path, *(other for other in others if other.suffix != path.suffix.lower())]

    def check(self, output: Path) -> None:
        """Refuse what a format cannot hold, files whose extra is not installed, and motions that are not there.

        Raises:
            ValueError: a rig for a file that has none; a missing extra; a BVH file that does not exist.
        """
        suffix = output.suffix.lower()
        for path in filter(None, (output, self.turntable)):
            if (reason := missing_extra(path.suffix.lower())) is not None:
                raise ValueError(reason)
        for motion in self.animate:
            if motion not in CLIP_NAMES and not Path(motion).is_file():
                raise ValueError(f"{motion} does not exist; give the path of a BVH file")
        holders = [name for name, mesh_format in MESH_FORMATS.items() if mesh_format.rig]
        if self.rigged and suffix not in holders and not (self.purpose and suffix == ".usdz"):
            raise ValueError(f"{output.suffix} files hold no rig; write {', '.join(holders)}")
