"""Films of a person: turning, or moving in front of a camera that walks around once."""

import math
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from humanlrm.files import atomic_write
from humanlrm.mesh.preview import render_turn
from humanlrm.mesh.surface import TexturedMesh
from humanlrm.output_settings import missing_extra
from humanlrm.rig.motion import Movement
from humanlrm.rig.skin import RiggedPerson

_FRAMES_PER_S, _TURN_S = 15, 6.0
_SIZE_PX = 384


def film(path: Path, mesh: TexturedMesh, person: RiggedPerson | None, movements: list[Movement]) -> Path:
    """Write a film of one turn around the person; motions follow one another and repeat.

    Raises:
        ValueError: .mp4 without the packages that write it.
    """
    if (reason := missing_extra(path.suffix.lower())) is not None:
        raise ValueError(reason)
    meshes = [mesh] if person is None or not movements else _moving(person, movements)
    count = max(len(meshes), round(_TURN_S * _FRAMES_PER_S))
    count = math.ceil(count / len(meshes)) * len(meshes)
    frames = render_turn([meshes[k % len(meshes)] for k in range(count)], _SIZE_PX)
    with atomic_write(path) as partial:
        _encode(partial, path.suffix.lower(), frames)
    return path


def _moving(person: RiggedPerson, movements: list[Movement]) -> list[TexturedMesh]:
    """The person's mesh in each frame of the motions."""
    out = []
    for movement in movements:
        times = np.arange(0, movement.times_s[-1], 1 / _FRAMES_PER_S)
        for frame in np.searchsorted(movement.times_s, times - 1e-6):
            out.append(person.moved(movement.rotations[frame], movement.hips[frame]))
    return out


def _encode(path: Path, suffix: str, frames: list[UInt8[np.ndarray, "S S 3"]]) -> None:
    pictures = [Image.fromarray(frame) for frame in frames]
    if suffix == ".mp4":
        import imageio.v3

        data = imageio.v3.imwrite(
            "<bytes>", np.stack(frames), extension=".mp4", plugin="pyav", codec="libx264", fps=_FRAMES_PER_S
        )
        path.write_bytes(data)
        return
    options = {"save_all": True, "append_images": pictures[1:], "duration": round(1000 / _FRAMES_PER_S), "loop": 0}
    if suffix == ".webp":
        pictures[0].save(path, "WEBP", quality=80, method=4, **options)
    else:
        pictures[0].save(path, "GIF", **options)
