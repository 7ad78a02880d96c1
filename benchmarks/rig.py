"""Cost of the rig as a share of photo to GLB, edges that stretch, charts of the atlas, and pictures of moving people.

    python -m benchmarks.rig [--photos examples/avatar.jpg ...] [--runs 3] [--sheet docs/rig.webp]

Both times are measured in one run: from the photo to the GLB, and what the rig adds to it (skeleton, cuts, weights,
skin in the file). Edges: share of the mesh's edges that are over three times as long in a frame of a motion as at rest,
the mean over the frames of walk and wave. Charts and texels: number of charts, and texels per length on head and hands
in those of the rest. The sheet shows each person walking and waving, from two sides.
"""

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from PIL import Image

from humanlrm.body.parts import head_membership
from humanlrm.mesh.preview import YAW_DEG, contact_sheet, render_views
from humanlrm.mesh.surface import TexturedMesh
from humanlrm.output_settings import OutputSettings
from humanlrm.reconstruct import Reconstruction, Reconstructor
from humanlrm.rig.clips import CLIPS
from humanlrm.rig.motion import transfer
from humanlrm.rig.skin import RiggedPerson

_AVATAR = Path(__file__).parents[1] / "examples" / "avatar.jpg"
#: Frames of each motion on the sheet, and the two sides.
_FRAMES = {"walk": (0, 8, 25), "wave": (4,)}
_SIDES_DEG = {"front quarter": 35.0, "back quarter": 215.0}
_STRETCHED = 3.0


@dataclass(frozen=True)
class Rig:
    """Measure the rig.

    Attributes:
        photos: photos of people.
        runs: timed runs of the first photo, after one that warms up.
        sheet: picture of all people in motion.
    """

    photos: tuple[Path, ...] = (_AVATAR,)
    runs: int = 3
    sheet: Path | None = None

    def run(self) -> None:
        reconstructor = Reconstructor()
        rows = []
        for place, photo in enumerate(self.photos):
            if place == 0:
                print(time_share(reconstructor, photo, self.runs))
            person = reconstructor(photo)
            rigged = person.rigged()
            print(f"{photo.name}: {stretched_share(rigged):.2%} of edges stretch beyond {_STRETCHED:.0f}x")
            density = head_density(person)
            print(f"{photo.name}: {chart_count(person.mesh)} charts, head {density:.2f}x the texels per length")
            for sentence in rigged.contacts:
                print(f"{photo.name}: {sentence}")
            rows.append(motion_row(rigged))
        if self.sheet is not None:
            Image.fromarray(np.concatenate(rows)).save(self.sheet, quality=80)


def time_share(reconstructor: Reconstructor, photo: Path, runs: int) -> str:
    """Medians of both times, and their ratio."""
    whole, added = [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(runs + 1):
            start = time.process_time()
            person = reconstructor(photo)
            person.save(Path(folder) / "plain.glb")
            plain = time.process_time()
            person.save(Path(folder) / "rig.glb", OutputSettings(rig=True))
            rigged = time.process_time()
            person.save(Path(folder) / "plain.glb")
            whole.append(plain - start)
            # Writing the file is in both.
            added.append(rigged - plain - (time.process_time() - rigged))
    a, b = statistics.median(whole[1:]), statistics.median(added[1:])
    return f"photo to GLB {a:.2f} s of processor, rig {b:.2f} s more: {b / a:.0%}, median of {runs} runs"


def stretched_share(person: RiggedPerson) -> float:
    """Mean share of long edges over the frames of the motions."""
    faces = person.mesh.faces
    rest = _edge_lengths(person.mesh.vertices, faces)
    shares = []
    for name in _FRAMES:
        movement = transfer(person, CLIPS[name]())
        for frame in range(0, len(movement.times_s), 4):
            moved = _edge_lengths(person.vertices_in(movement.rotations[frame], movement.hips[frame]), faces)
            shares.append(float((moved > _STRETCHED * np.maximum(rest, 1e-4)).mean()))
    return float(np.mean(shares))


def chart_count(mesh: TexturedMesh) -> int:
    """Connected parts of the cut mesh."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    start, stop = mesh.faces.ravel(), np.roll(mesh.faces, -1, axis=1).ravel()
    count = len(mesh.vertices)
    return int(connected_components(coo_matrix((np.ones(len(start)), (start, stop)), (count, count)))[0])


def head_density(person: Reconstruction) -> float:
    """Texels per length on the head, in those of what is no head."""
    mesh = person.mesh
    uv, places = mesh.uv[mesh.faces], mesh.vertices[mesh.faces]
    d1, d2 = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    texels = np.abs(d1[:, 0] * d2[:, 1] - d1[:, 1] * d2[:, 0])
    area = np.linalg.norm(np.cross(places[:, 1] - places[:, 0], places[:, 2] - places[:, 0]), axis=1)
    head = head_membership(person.landmarks)(places.mean(axis=1)) > 0.5
    return float(np.sqrt(texels[head].sum() / area[head].sum() / (texels[~head].sum() / area[~head].sum())))


def motion_row(person: RiggedPerson, size_px: int = 320) -> np.ndarray:
    """The person in frames of the motions, from two sides."""
    pictures = []
    YAW_DEG.update(_SIDES_DEG)
    for name, frames in _FRAMES.items():
        movement = transfer(person, CLIPS[name]())
        for frame in frames:
            mesh = person.moved(movement.rotations[frame], movement.hips[frame])
            pictures += [
                view[:, size_px // 5 : -size_px // 5] for view in render_views(mesh, tuple(_SIDES_DEG), size_px)
            ]
    return contact_sheet(pictures, gutter_px=0)


def _edge_lengths(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vertices[faces] - vertices[np.roll(faces, -1, axis=1)], axis=-1)


if __name__ == "__main__":
    tyro.cli(Rig, description=__doc__).run()
