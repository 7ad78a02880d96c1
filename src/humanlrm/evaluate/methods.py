"""Methods that are measured: our model, any program that writes a mesh, and the floors of ``baselines.py``."""

import shlex
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from humanlrm.body.parts import anatomy_from_landmarks
from humanlrm.camera import Cameras
from humanlrm.completion import POSES
from humanlrm.diffusion.pose_prior import k_medoids, pose_condition, sample_poses
from humanlrm.encoding import correct_estimate, encode
from humanlrm.evaluate.baselines import inflated, mean_body, visual_hull
from humanlrm.evaluate.case import IMAGE_PX, SIDES, Case, ColoredSurface, Method, SeveralMethod
from humanlrm.evaluate.geometry import align, nearest, ordered_samples
from humanlrm.evaluate.placing import place_in_mask
from humanlrm.evaluate.renderer import Picture
from humanlrm.evaluate.scan_files import read_mesh
from humanlrm.extraction import color_of, fitted_surface, photo_of
from humanlrm.mesh.preview import YAW_DEG, orbit_camera
from humanlrm.mesh.surface import TriangleSurface, vertex_normals
from humanlrm.model.lrm import HumanLRM, Model
from humanlrm.model.pose_denoiser import PoseDenoiser
from humanlrm.model.pretrained import SHIPPED, from_pretrained, pose_denoiser_from_pretrained
from humanlrm.model.triplane import Triplane
from humanlrm.multiview import fuse
from humanlrm.photo.blazepose import PoseDetector
from humanlrm.photo.calibrated import CaptureView
from humanlrm.photo.crop import SubjectCrop
from humanlrm.settings import MOST_SAMPLES
from humanlrm.texture.bake import color_vertices
from humanlrm.texture.observations import FieldColor
from humanlrm.views import Inputs

#: A program that takes longer has failed, seconds.
_PATIENCE_S = 1800
_CHUNK = 65_536
#: Our model with the colours that are saved; given four views, or the front and the back alone; one sampled person
#: (``humanlrm.completion``), four of them, and of the four the one nearest to the truth.
TEXTURED, FOUR, TWO = "humanlrm-textured", "humanlrm-four", "humanlrm-two"
SAMPLED, MEAN, BEST = "humanlrm-sampled", "humanlrm-mean-of-4", "humanlrm-best-of-4"
OURS = ("humanlrm", TEXTURED, FOUR, TWO, SAMPLED, MEAN, BEST)
_SEVERAL = 4
#: Samples of the surfaces among which the best is chosen.
_FEW_POINTS = 5_000

FLOORS: dict[str, Method] = {"inflated": inflated, "mean-body": mean_body, "visual-hull": visual_hull}


def _given(model: Model, shown: SubjectCrop) -> Inputs:
    """At the model's resolution."""
    inputs, size_px = shown.inputs, model.config.image_px
    if inputs.image.shape[-1] != size_px:
        image = torch.nn.functional.interpolate(inputs.image, size=(size_px, size_px), mode="area")
        inputs = replace(inputs, image=image)
    return inputs


@torch.no_grad()
def _planes(model: Model, shown: SubjectCrop) -> Triplane:
    return encode(model, _given(model, shown))


def lrm_surface(model: Model, resolution: int = 128) -> Callable[[SubjectCrop], TriangleSurface]:
    """Our model's surface alone."""
    return lambda shown: fitted_surface(model, _planes(model, shown), resolution)


def lrm(model: Model, resolution: int = 128) -> Method:
    """Our model: the field's zero level with the field's colours at the vertices (no texture is baked)."""

    @torch.no_grad()
    def run(case: Case) -> ColoredSurface:
        planes = _planes(model, case.shown)
        surface = fitted_surface(model, planes, resolution)
        return _colored(surface, lambda p, n: model.field.color(planes, p[None], n[None])[0])

    return run


def lrm_textured(model: HumanLRM, resolution: int = 128) -> Method:
    """Our model's surface in the colours that are saved: the photo's where it shows the person, and what is made of the
    field's elsewhere. At the vertices, as those of the other methods."""

    @torch.no_grad()
    def run(case: Case) -> ColoredSurface:
        planes = _planes(model, case.shown)
        surface, marks = fitted_surface(model, planes, resolution), planes.inputs.landmarks
        assert marks is not None
        color, photos = color_of(model, planes, case.shown), [photo_of(case.shown)]
        colors = color_vertices(surface, color, photos, anatomy_from_landmarks(marks[0].numpy()))
        return ColoredSurface(surface, colors)

    return run


def lrm_sampled(model: Model, denoiser: PoseDenoiser, resolution: int = 128, count: int = 1) -> SeveralMethod:
    """Our model on sampled landmarks, the ``count`` most typical ones, as :class:`Reconstructor` gives them: all of
    them, the most typical one first."""
    model = _with_landmarks(model)

    @torch.no_grad()
    def run(case: Case) -> tuple[ColoredSurface, ...]:
        inputs = _given(model, case.shown)
        found = correct_estimate(
            model, sample_poses(denoiser, pose_condition(model, inputs), MOST_SAMPLES), inputs.image
        )
        samples = [
            encode(model, inputs, landmarks_override=p[None], estimate=False) for p in k_medoids(found, count)[0]
        ]
        return tuple(
            _colored(fitted_surface(model, s, resolution), lambda p, n, s=s: model.field.color(s, p[None], n[None])[0])
            for s in samples
        )

    return run


def best_of(several: SeveralMethod) -> Method:
    """Of several people the one that is nearest to the truth (Chamfer distance after scale and translation): an
    oracle."""
    return lambda case: min(several(case), key=lambda made: _apart(made.surface, case))


def _with_landmarks(model: Model) -> HumanLRM:
    if not isinstance(model, HumanLRM):
        raise ValueError("textures and samples are measured of models of the small family only")
    return model


def _apart(surface: TriangleSurface, case: Case) -> float:
    samples = ordered_samples(surface, _FEW_POINTS, seed=1)
    moved = align(samples.points, case.truth.samples.thinned(_FEW_POINTS), "scale+translation", workers=1)
    found = nearest(moved.samples(samples), case.truth.samples, workers=1)
    return float(found.to_truth.mean() + found.to_prediction.mean())


def _colored(surface: TriangleSurface, color: FieldColor) -> ColoredSurface:
    """The field's colours at the vertices, some at a time."""
    at, normals = (torch.from_numpy(a) for a in (surface.vertices, vertex_normals(surface)))
    parts = [color(p, n) for p, n in zip(at.split(_CHUNK), normals.split(_CHUNK), strict=True)]
    return ColoredSurface(surface, torch.cat(parts).numpy())


def lrm_of_several(model: Model, resolution: int = 128, sides: tuple[str, ...] = SIDES) -> Method:
    """Our model given several views instead of one (``humanlrm.multiview``): the true pictures from some of ``SIDES``
    with their masks and cameras, as the oracle visual hull gets them; landmarks are detected in them."""
    detector = PoseDetector(careful=True)

    @torch.no_grad()
    def run(case: Case) -> ColoredSurface:
        pictures = dict(zip(SIDES, case.truth.pictures, strict=True))
        person = fuse(model, [_posed_picture(side, pictures[side]) for side in sides], detector)
        found = _colored(person.surface(resolution), person.field.color)
        back = np.linalg.inv(person.from_world)
        vertices = (found.surface.vertices @ back[:3, :3].T + back[:3, 3]).astype(np.float32)
        return replace(found, surface=TriangleSurface(vertices, found.surface.faces))

    return run


def _posed_picture(side: str, picture: Picture) -> CaptureView:
    camera = orbit_camera(YAW_DEG[side], IMAGE_PX)
    double = Cameras(camera.K.double(), camera.w2c.double(), camera.size_px)
    rgb = (picture.rgb * 255 + 0.5).astype(np.uint8)
    return CaptureView(rgb, picture.mask.astype(np.uint8) * np.uint8(255), double)


def command(template: str) -> Method:
    """Any program, e.g. ``"tool {image} -o {out}"``.

    ``{image}`` is a PNG of the photo whose alpha channel is the person's mask, ``{out}`` a GLB file to write (another
    suffix may follow: ``{out}.obj``). The mesh is upright, +Y up, +Z toward the camera, in any unit: it is placed so
    that its height in the picture and its middle are the mask's. No shell is involved.

    Raises:
        ValueError: a placeholder is missing.
    """
    if "{image}" not in template or "{out}" not in template:
        raise ValueError(f"the command must contain {{image}} and {{out}}, got {template!r}")

    def run(case: Case) -> ColoredSurface:
        shown = case.shown
        with tempfile.TemporaryDirectory() as folder:
            image, out = Path(folder) / "photo.png", Path(folder) / "person"
            alpha = (shown.photo_alpha[..., None] * 255).round().astype(np.uint8)
            Image.fromarray(np.concatenate([shown.photo_rgb, alpha], axis=-1)).save(image)
            suffix = "" if "{out}." in template else ".glb"
            words = [w.replace("{image}", str(image)).replace("{out}", f"{out}{suffix}") for w in shlex.split(template)]
            done = subprocess.run(words, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
            made = [path for path in Path(folder).iterdir() if path.stem == out.name and path.suffix in _MESHES]
            if done.returncode or not made:
                said = (done.stderr or done.stdout).strip().splitlines()
                raise ValueError(f"{words[0]} wrote no mesh (exit code {done.returncode}): {' '.join(said[-1:])}")
            mesh = read_mesh(made[0])
        surface = TriangleSurface(mesh.vertices, mesh.faces)
        return ColoredSurface(place_in_mask(surface, shown.alpha[0].numpy() > 0.5), mesh.colors)

    return run


_MESHES = (".glb", ".obj", ".ply", ".off", ".stl")


def check_methods(names: tuple[str, ...]) -> None:
    """Before any work.

    Raises:
        ValueError: an unknown name, or none.
    """
    known = (*OURS, "command", *FLOORS)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ValueError(f"unknown method {', '.join(unknown) or '(none inputs)'}; there are {', '.join(known)}")


def open_method(name: str, weights: Path | None, resolution: int, template: str | None) -> Method | SeveralMethod:
    """A method by name; ours read their weights now.

    Raises:
        ValueError: unknown, "command" without a command, or damaged weights.
    """
    check_methods((name,))
    if name in OURS:
        folder = weights or SHIPPED
        model = from_pretrained(folder)
        if name == TEXTURED:
            return lrm_textured(_with_landmarks(model), resolution)
        if name in (SAMPLED, MEAN, BEST):
            denoiser = pose_denoiser_from_pretrained(folder / POSES)
            several = lrm_sampled(model, denoiser, resolution, 1 if name == SAMPLED else _SEVERAL)
            return best_of(several) if name == BEST else several
        if name in (FOUR, TWO):
            return lrm_of_several(model, resolution, SIDES if name == FOUR else ("front", "back"))
        return lrm(model, resolution)
    if name == "command":
        if template is None:
            raise ValueError("the method command needs --command 'tool {image} -o {out}'")
        return command(template)
    return FLOORS[name]
