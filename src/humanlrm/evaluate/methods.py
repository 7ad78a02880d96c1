"""Our model as a method: from one photo, from several views, and on sampled landmarks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from humanlrm.camera import Cameras
from humanlrm.completion import POSES, complete_views, open_view_prior
from humanlrm.diffusion.pose_prior import k_medoids, pose_condition, sample_poses
from humanlrm.encoding import correct_estimate, encode, encode_poses
from humanlrm.evaluate.baselines import BASELINES, program
from humanlrm.evaluate.case import IMAGE_PX, SIDES, Case, ColoredSurface, Method, SeveralMethod
from humanlrm.evaluate.geometry import align, nearest, ordered_samples
from humanlrm.evaluate.plan import BEST, FOUR, MEAN, OURS, PROGRAM, SAMPLED, TEXTURED, TWO
from humanlrm.evaluate.renderer import Picture
from humanlrm.extraction import color_of, fitted_surface, photo_of
from humanlrm.mesh.preview import YAW_DEG, orbit_camera
from humanlrm.mesh.surface import TriangleSurface, vertex_normals
from humanlrm.model.lrm import HumanLRM
from humanlrm.model.pose_denoiser import PoseDenoiser
from humanlrm.model.pretrained import SHIPPED, from_pretrained, pose_denoiser_from_pretrained
from humanlrm.model.triplane import Triplane
from humanlrm.model.view_denoiser import ViewDenoiser
from humanlrm.multiview import fuse
from humanlrm.photo.blazepose import PoseDetector
from humanlrm.photo.calibrated import CaptureView
from humanlrm.photo.crop import SubjectCrop
from humanlrm.settings import MOST_SAMPLES
from humanlrm.texture.bake import color_vertices
from humanlrm.texture.spread import FieldColor
from humanlrm.views import Inputs

_POINTS_PER_CHUNK = 65_536
#: Sampled people of the mean and of the best.
_SEVERAL = 4
#: Samples of the surfaces among which the best is chosen.
_BEST_POINTS = 5_000


def open_method(name: str, weights: Path | None, resolution: int, template: str | None) -> Method | SeveralMethod:
    """A method by name; ours read their weights now.

    Raises:
        ValueError: "command" without a command, damaged weights, or weights without landmarks.
    """
    if name == PROGRAM:
        return program(template)
    if name not in OURS:
        return BASELINES[name]
    folder = weights or SHIPPED
    model = from_pretrained(folder)
    if name == TEXTURED:
        return lrm_textured(model, resolution, open_view_prior(folder))
    if name in (SAMPLED, MEAN, BEST):
        denoiser = pose_denoiser_from_pretrained(folder / POSES)
        several = lrm_sampled(model, denoiser, resolution, 1 if name == SAMPLED else _SEVERAL)
        return best_of(several) if name == BEST else several
    if name in (FOUR, TWO):
        return lrm_of_several(model, resolution, SIDES if name == FOUR else ("front", "back"))
    return lrm(model, resolution)


def lrm(model: HumanLRM, resolution: int = 128) -> Method:
    """The field's zero level with the field's colors at the vertices; no texture is baked."""

    @torch.no_grad()
    def run(case: Case) -> ColoredSurface:
        return _colored(model, encode(model, _inputs(model, case.shown)), resolution)

    return run


def lrm_textured(model: HumanLRM, resolution: int = 128, prior: ViewDenoiser | None = None) -> Method:
    """The surface in the colors that are saved, at the vertices as those of the other methods."""
    model = _with_landmarks(model)

    @torch.no_grad()
    def run(case: Case) -> ColoredSurface:
        planes = encode(model, _inputs(model, case.shown))
        planes, views = complete_views(model, prior, case.shown, planes)
        surface = fitted_surface(model, planes, resolution)
        generated = () if views is None else views.pictures(case.shown.crop)
        color, photos = color_of(model, planes, case.shown), [photo_of(case.shown)]
        return ColoredSurface(surface, color_vertices(surface, color, photos, generated))

    return run


def lrm_sampled(model: HumanLRM, denoiser: PoseDenoiser, resolution: int = 128, count: int = 1) -> SeveralMethod:
    """The surfaces on the ``count`` most typical sampled landmarks, the most typical one first."""
    model = _with_landmarks(model)

    @torch.no_grad()
    def run(case: Case) -> tuple[ColoredSurface, ...]:
        inputs = _inputs(model, case.shown)
        sampled = sample_poses(denoiser, pose_condition(model, inputs), MOST_SAMPLES)
        poses = k_medoids(correct_estimate(model, sampled, inputs.image), count)[0]
        return tuple(_colored(model, triplane, resolution) for triplane in encode_poses(model, inputs, poses))

    return run


def best_of(several: SeveralMethod) -> Method:
    """The person who is nearest to the truth (Chamfer distance after scale and translation): an oracle."""

    def chamfer(made: ColoredSurface, case: Case) -> float:
        samples = ordered_samples(made.surface, _BEST_POINTS, seed=1)
        moved = align(samples.points, case.truth.samples.thinned(_BEST_POINTS), "scale+translation", workers=1)
        return nearest(moved.samples(samples), case.truth.samples, workers=1).chamfer

    return lambda case: min(several(case), key=lambda made: chamfer(made, case))


def lrm_of_several(model: HumanLRM, resolution: int = 128, sides: tuple[str, ...] = SIDES) -> Method:
    """Our model given the true pictures from several ``SIDES`` with their masks and cameras (``humanlrm.multiview``).

    Landmarks are detected in the pictures.
    """
    detector = PoseDetector(careful=True)

    @torch.no_grad()
    def run(case: Case) -> ColoredSurface:
        pictures = dict(zip(SIDES, case.truth.pictures, strict=True))
        person = fuse(model, [_posed_view(side, pictures[side]) for side in sides], detector)
        surface = person.surface(resolution)
        colors = colors_at_vertices(surface, person.field.color)
        back = np.linalg.inv(person.from_world)
        vertices = (surface.vertices @ back[:3, :3].T + back[:3, 3]).astype(np.float32)
        return ColoredSurface(TriangleSurface(vertices, surface.faces), colors)

    return run


def _posed_view(side: str, picture: Picture) -> CaptureView:
    camera = orbit_camera(YAW_DEG[side], IMAGE_PX)
    double = Cameras(camera.K.double(), camera.w2c.double(), camera.size_px)
    rgb = (picture.rgb * 255 + 0.5).astype(np.uint8)
    return CaptureView(rgb, picture.mask.astype(np.uint8) * np.uint8(255), double)


def _inputs(model: HumanLRM, shown: SubjectCrop) -> Inputs:
    return inputs_at(shown, model.config.image_px)


def inputs_at(shown: SubjectCrop, size_px: int) -> Inputs:
    """The crop at a network's resolution."""
    inputs = shown.inputs
    if inputs.image.shape[-1] != size_px:
        image = torch.nn.functional.interpolate(inputs.image, size=(size_px, size_px), mode="area")
        inputs = replace(inputs, image=image)
    return inputs


def _with_landmarks(model: HumanLRM) -> HumanLRM:
    if model.landmark_head is None:
        raise ValueError("textures and samples need a model with a landmark head; measure the method humanlrm")
    return model


def _colored(model: HumanLRM, planes: Triplane, resolution: int) -> ColoredSurface:
    surface = fitted_surface(model, planes, resolution)
    return ColoredSurface(
        surface, colors_at_vertices(surface, lambda p, n: model.field.color(planes, p[None], n[None])[0])
    )


def colors_at_vertices(surface: TriangleSurface, color: FieldColor) -> np.ndarray:
    """The field's colors, some vertices at a time."""
    vertices, normals = (torch.from_numpy(a) for a in (surface.vertices, vertex_normals(surface)))
    chunks = zip(vertices.split(_POINTS_PER_CHUNK), normals.split(_POINTS_PER_CHUNK), strict=True)
    return torch.cat([color(points, normal) for points, normal in chunks]).numpy()
