"""Contents of a person's files: rest pose, skeleton and motions, levels of detail, in the format of each file."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from humanlrm import __version__
from humanlrm.mesh.export import check_suffix, write_model
from humanlrm.mesh.export.model import JointClip, Joints, PersonModel
from humanlrm.mesh.export.place import MetricPlacement, metric_placement
from humanlrm.mesh.surface import TexturedMesh
from humanlrm.output_settings import PLANS, OutputSettings
from humanlrm.rig.build import rig
from humanlrm.rig.motion import Movement, load_motion, transfer
from humanlrm.rig.skeleton import JOINTS, PARENTS
from humanlrm.rig.skin import RiggedPerson
from humanlrm.rig.vrm import vrm_extension

#: First of the joints' nodes in a glTF file; the mesh's node comes before them.
_FIRST_JOINT = 1
_COPYRIGHT = "Rights to the photo and of the person shown are theirs; made with humanlrm (Apache-2.0)"


@dataclass(frozen=True)
class Deliverable:
    """A person on the way to files.

    Attributes:
        mesh: box units.
        landmarks: box units; not a number where they are missing.
        metres_per_unit: metric scale.
        attributes: one number per vertex of the mesh.
        provenance: how the person was made.
    """

    mesh: TexturedMesh
    landmarks: Float[np.ndarray, "J 3"]
    metres_per_unit: float
    attributes: Mapping[str, Float[np.ndarray, "U"]]
    provenance: Mapping[str, Any]

    @cached_property
    def rigged(self) -> RiggedPerson:
        """The person with a skeleton.

        Raises:
            ValueError: landmarks are missing.
        """
        return rig(self.mesh, self.landmarks)


def write(path: Path, person: Deliverable, output: OutputSettings) -> list[Path]:
    """Write the person's files and the film; return their paths, the asked one first.

    Raises:
        ValueError: an unknown suffix, or a format that cannot hold what is asked for; a BVH file that cannot be used.
    """
    for file in output.files(path):
        check_suffix(file)
        output.check(file)
    if output.albedo:
        from humanlrm.texture.albedo import remove_light

        person = replace(person, mesh=remove_light(person.mesh, person.landmarks))
    facts = {"generator": f"humanlrm {__version__}", "copyright": _COPYRIGHT, **person.provenance}
    facts |= {"output": output.words(), "light": "removed by estimate" if output.albedo else "as in the photo"}
    if output.purpose is None or PLANS[output.purpose].level_faces == ():
        written = [_write_one(file, person, output, None, facts) for file in output.files(path)]
    else:
        written = _write_levels(path, person, output, facts)
    if output.turntable is not None:
        from humanlrm.rig.turntable import film

        rigged = person.rigged.in_pose(output.pose) if output.needs_rig(path) else None
        mesh = person.mesh if rigged is None else rigged.mesh
        written.append(film(output.turntable, mesh, rigged, _movements(rigged, output)))
    return written


def _write_levels(path: Path, person: Deliverable, output: OutputSettings, facts: Mapping[str, Any]) -> list[Path]:
    """One file per level of detail: the first has the asked name, the others a number."""
    from humanlrm.mesh.lowpoly import bake_lowpoly

    written, size_px = [], len(person.mesh.texture)
    for level, faces in enumerate(PLANS[output.purpose or "game"].level_faces):
        baked = bake_lowpoly(person.mesh, faces, max(size_px >> level, 256))
        lower = replace(person, mesh=baked.mesh, attributes={})
        for file in output.files(path):
            named = file if level == 0 else file.with_suffix(f".lod{level}{file.suffix}")
            written.append(_write_one(named, lower, output, baked.normal_map, {**facts, "level": level}))
    return written


def _write_one(
    path: Path,
    person: Deliverable,
    output: OutputSettings,
    normal_map: UInt8[np.ndarray, "N N 3"] | None,
    facts: Mapping[str, Any],
) -> Path:
    mesh, attributes, rigged = person.mesh, person.attributes, None
    vrm = path.suffix.lower() == ".vrm"
    if output.needs_rig(path):
        attributes = {name: values[person.rigged.source] for name, values in attributes.items()}
        rigged = person.rigged.in_pose("t" if vrm and output.pose == "photo" else output.pose)
        mesh = rigged.mesh
    placement = metric_placement(mesh, metres_per_unit=person.metres_per_unit)
    metric = replace(mesh, vertices=placement.apply(mesh.vertices).astype(np.float32))
    model = PersonModel(
        metric,
        "person",
        normal_map=normal_map,
        attributes=attributes,
        provenance=facts,
        image=output.texture_format,
        base=output.base,
        print_height_mm=output.height_mm,
    )
    if rigged is not None and (output.rigged or vrm):
        model = replace(
            model, joints=joints_of(rigged, placement), clips=clips_of(_movements(rigged, output), placement)
        )
    if vrm:
        author = output.author or "unknown"
        model = replace(model, extensions=vrm_extension(path.stem, author, _FIRST_JOINT, __version__))
    return write_model(path, model)


def _movements(person: RiggedPerson | None, output: OutputSettings) -> list[Movement]:
    return [] if person is None else [transfer(person, load_motion(motion)) for motion in output.animate]


def joints_of(person: RiggedPerson, placement: MetricPlacement) -> Joints:
    """Skeleton and skin for files, in metres."""
    positions = placement.apply(person.skeleton.positions)
    return Joints(JOINTS, PARENTS, positions, person.weights.joints, person.weights.weights)


def clips_of(movements: list[Movement], placement: MetricPlacement) -> tuple[JointClip, ...]:
    """Motions for files, in metres; equal names are numbered."""
    names: list[str] = []
    for movement in movements:
        count = sum(name.partition(" ")[0] == movement.name for name in names)
        names.append(movement.name if count == 0 else f"{movement.name} {count + 1}")
    return tuple(
        JointClip(name, movement.times_s, movement.quaternions, placement.apply(movement.hips))
        for name, movement in zip(names, movements, strict=True)
    )
