"""Methods to compare with: floors that ignore the photo or people, an oracle, and any program that writes a mesh."""

import shlex
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from scipy.ndimage import distance_transform_edt

from humanlrm.data.importers.io.mesh_files import read_mesh
from humanlrm.evaluate.case import IMAGE_PX, SIDES, Case, ColoredSurface, Method, place_in_mask
from humanlrm.evaluate.plan import check_program
from humanlrm.frame import VIEW_SPAN, project_ndc
from humanlrm.mesh.clean import clean
from humanlrm.mesh.extract import extract_surface
from humanlrm.mesh.preview import YAW_DEG, orbit_camera
from humanlrm.mesh.surface import TriangleSurface, vertex_normals
from humanlrm.people.procedural.bodies import rig
from humanlrm.photo.crop import SubjectCrop

#: Radius of the limbs of an inflated silhouette, at most (box units).
_MAX_RADIUS = 0.16
_LATTICE = 128
#: A program that takes longer has failed, seconds.
_PROGRAM_TIMEOUT_S = 1800
_MESH_SUFFIXES = (".glb", ".obj", ".ply", ".off", ".stl")


def inflated_silhouette(shown: SubjectCrop) -> TriangleSurface:
    """The mask inflated to the front and to the back, orthographic.

    Half thickness sqrt(d (2r - d)) at distance d from the outline, as if each limb were round with radius r.
    """
    mask = shown.alpha[0].numpy() > 0.5
    unit = VIEW_SPAN / len(mask)
    inside = np.minimum(np.asarray(distance_transform_edt(mask)) * unit, _MAX_RADIUS)
    outside = np.asarray(distance_transform_edt(~mask)) * unit
    thickness = torch.from_numpy((np.sqrt(inside * (2 * _MAX_RADIUS - inside)) - outside).astype(np.float32))

    def sdf(points):
        grid = torch.stack([points[:, 0], -points[:, 1]], -1)[None, None] * (2 / VIEW_SPAN)
        half = torch.nn.functional.grid_sample(thickness[None, None], grid, align_corners=False)[0, 0, 0]
        return points[:, 2].abs() - half

    return clean(extract_surface(sdf, _LATTICE))


def inflated(case: Case) -> ColoredSurface:
    """:func:`inflated_silhouette` with the photo on the front and its mirror image on the back."""
    surface = inflated_silhouette(case.shown)
    return ColoredSurface(surface, photo_colors(surface, case.shown))


def mean_body(case: Case) -> ColoredSurface:
    """anny's average adult at rest, facing the camera, placed in the mask, colored like :func:`inflated`."""
    surface = place_in_mask(_average_adult(), case.mask)
    return ColoredSurface(surface, photo_colors(surface, case.shown))


@cache
def _average_adult() -> TriangleSurface:
    """The largest closed part, without the eyes; metres."""
    return clean(TriangleSurface(rig().vertices.astype(np.float32), rig().faces))


def visual_hull(case: Case) -> ColoredSurface:
    """The inside of the true silhouettes from ``SIDES``, each vertex in the color of the true picture that it faces.

    It is an oracle, not a floor: it sees the person from all four sides.
    """
    pictures = case.truth.pictures
    cameras = [orbit_camera(YAW_DEG[side], IMAGE_PX) for side in SIDES]
    maps = [_signed_px(picture.mask) for picture in pictures]

    def sdf(points):
        distances = []
        for camera, field in zip(cameras, maps, strict=True):
            at = camera.project(points)
            grid = (at[None, None, :, :2] / IMAGE_PX) * 2 - 1
            px = torch.nn.functional.grid_sample(field, grid, padding_mode="border", align_corners=False)[0, 0, 0]
            distances.append(px * at[:, 2] / camera.K[0, 0])
        return torch.stack(distances).amax(0)

    surface = clean(extract_surface(sdf, _LATTICE))
    normals, points = vertex_normals(surface), torch.from_numpy(surface.vertices)
    eyes = np.stack([camera.c2w[:3, 3].numpy() for camera in cameras])
    facing = (normals @ eyes.T).argmax(1)
    colors = np.zeros_like(surface.vertices)
    for index, (camera, picture) in enumerate(zip(cameras, pictures, strict=True)):
        chosen = facing == index
        colors[chosen] = _nearest_person(picture.rgb, picture.mask, camera.project(points[chosen])[:, :2].numpy())
    return ColoredSurface(surface, colors)


def _signed_px(mask: Bool[np.ndarray, "S S"]) -> torch.Tensor:
    """Pixels to the silhouette's border, negative inside, as a map for ``grid_sample``."""
    signed = np.asarray(distance_transform_edt(~mask)) - np.asarray(distance_transform_edt(mask))
    return torch.from_numpy(signed.astype(np.float32))[None, None]


def photo_colors(surface: TriangleSurface, shown: SubjectCrop) -> Float[np.ndarray, "V 3"]:
    """The person's pixel nearest to the projection of each vertex, whether the vertex is hidden or not."""
    ndc = project_ndc(torch.from_numpy(surface.vertices)).numpy()
    at_px = (ndc * np.array([1, -1]) + 1) / 2 * shown.alpha.shape[-1]
    return _nearest_person(shown.rgb.permute(1, 2, 0).numpy(), shown.alpha[0].numpy() > 0.5, at_px)


def _nearest_person(
    rgb: Float[np.ndarray, "S S 3"], mask: Bool[np.ndarray, "S S"], at_px: Float[np.ndarray, "P 2"]
) -> Float[np.ndarray, "P 3"]:
    column, row = np.clip(np.floor(at_px).astype(int), 0, len(mask) - 1).T
    if not mask.any():
        return rgb[row, column]
    row, column = np.asarray(distance_transform_edt(~mask, return_distances=False, return_indices=True))[:, row, column]
    return rgb[row, column]


def program(template: str | None) -> Method:
    """Any program, e.g. ``"tool {image} -o {out}"``.

    ``{image}`` is a PNG of the photo whose alpha channel is the person's mask, ``{out}`` a GLB file to write (another
    suffix may follow: ``{out}.obj``). The mesh is upright, +Y up, +Z toward the camera, in any unit: it is placed in
    the mask. No shell is involved.

    Raises:
        ValueError: no template, or a placeholder is missing.
    """
    checked = check_program(template)

    def run(case: Case) -> ColoredSurface:
        shown = case.shown
        with tempfile.TemporaryDirectory() as folder:
            image, out = Path(folder) / "photo.png", Path(folder) / "person"
            alpha = (shown.photo_alpha[..., None] * 255).round().astype(np.uint8)
            Image.fromarray(np.concatenate([shown.photo_rgb, alpha], axis=-1)).save(image)
            written = out if "{out}." in checked else out.with_suffix(".glb")
            words = [
                word.replace("{image}", str(image)).replace("{out}", str(written)) for word in shlex.split(checked)
            ]
            done = subprocess.run(
                words, capture_output=True, encoding="utf-8", errors="replace", timeout=_PROGRAM_TIMEOUT_S, check=False
            )
            meshes = [p for p in Path(folder).iterdir() if p.stem == out.name and p.suffix in _MESH_SUFFIXES]
            if done.returncode or not meshes:
                output = (done.stderr or done.stdout).strip().splitlines()
                raise ValueError(f"{words[0]} wrote no mesh (exit code {done.returncode}): {' '.join(output[-1:])}")
            mesh = read_colored_mesh(meshes[0])
        return ColoredSurface(place_in_mask(mesh.surface, case.mask), mesh.colors)

    return run


def read_colored_mesh(path: Path) -> ColoredSurface:
    """A mesh file in its own units with all its parts, seams welded; a texture is read at the vertices.

    Raises:
        ValueError: the file cannot be read as a triangle mesh.
    """
    mesh = read_mesh(path, colorless=True)
    height, width = mesh.texture.shape[:2]
    u, v = mesh.uv[mesh.uv_faces.ravel()].T
    column, row = np.floor(u * width).astype(int), np.floor((1 - v) * height).astype(int)
    # A vertex on a seam takes the last of its texels.
    colors = np.full((len(mesh.vertices), 3), 0.5, np.float32)
    colors[mesh.faces.ravel()] = mesh.texture[row.clip(0, height - 1), column.clip(0, width - 1)] / np.float32(255)
    return ColoredSurface(TriangleSurface(mesh.vertices.astype(np.float32), mesh.faces.astype(np.int32)), colors)


BASELINES: dict[str, Method] = {"inflated": inflated, "mean-body": mean_body, "visual-hull": visual_hull}
