"""The front door: a photo in, a textured, watertight, metric person out.

Extraction, texture, completion and several views are imported by the stages that need them, so that a program which
only prepares its work starts at once.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from humanlrm.body.height import standing_height
from humanlrm.body.parts import detail_membership
from humanlrm.encoding import encode_reframed
from humanlrm.files import plain_values, sha256
from humanlrm.model.lrm import HumanLRM
from humanlrm.model.pretrained import SHIPPED, from_pretrained
from humanlrm.model.triplane import Triplane
from humanlrm.photo.blazepose import PoseDetector
from humanlrm.photo.crop import SubjectCrop
from humanlrm.photo.load import PhotoSource, load_photo, with_mask
from humanlrm.photo.segment import segment
from humanlrm.photo.visibility import measure_visibility, visibility_remarks
from humanlrm.reconstruction import Reconstruction, StageTimer
from humanlrm.settings import Calibration, Completion, Selection, Settings, check_photos

__all__ = ["Calibration", "Completion", "Reconstruction", "Reconstructor", "Selection", "Settings"]


class Reconstructor:
    """From photos to people. Load once, call often.

    Args:
        weights: folder of ``config.json`` and ``model.safetensors``; its folders ``poses``, ``views`` and ``latents``
            hold the denoisers of landmarks, layered views and latent triplanes. Weights without ``poses`` and
            ``latents`` give estimates only.
        device: where the network runs: cpu, cuda or mps.
        threads: threads of the detector; 0: as many as the machine has cores.

    Raises:
        CheckpointError: the weights are incomplete, damaged or do not fit.
    """

    def __init__(self, weights: str | Path = SHIPPED, device: str | torch.device = "cpu", threads: int = 0) -> None:
        from humanlrm.completion import open_priors

        self.model = from_pretrained(Path(weights), device)
        self.priors = open_priors(Path(weights), device)
        self.detector = PoseDetector(threads, careful=True)
        self._weights_sha256 = sha256(Path(weights) / "model.safetensors")

    def _provenance(self, *settings: object) -> dict[str, Any]:
        """Origin of a person, for the files: weights and settings."""
        return {"weights_sha256": self._weights_sha256, "settings": plain_values(*settings)}

    @torch.no_grad()
    def __call__(
        self,
        photos: PhotoSource | Sequence[PhotoSource],
        cameras: str | Path | Calibration | None = None,
        settings: Settings | None = None,
        completion: Completion | None = None,
        selection: Selection | None = None,
    ) -> Reconstruction:
        """Reconstruct the main person of a photo, or the person of several calibrated photos.

        Args:
            photos: a file, its bytes, an open binary file, a Pillow image or an array of 8-bit numbers; with
                ``cameras`` several files.
            cameras: where several photos were taken from (docs/multiview.md).
            selection: the person of a single photo, if not the main one.

        Returns:
            the person; further samples of the same photo are its ``alternatives``.

        Raises:
            PhotoError: a photo cannot be read or shows nobody.
            EmptySurfaceError: nothing solid was reconstructed.
            ValueError: photos and cameras do not belong together; samples are asked of weights without a denoiser.
        """
        settings, completion = settings or Settings(), completion or Completion()
        sources = cast(list[PhotoSource], list(photos) if isinstance(photos, list | tuple) else [photos])
        if not isinstance(cameras, Calibration):
            cameras = Calibration(None if cameras is None else Path(cameras))
        check_photos(len(sources), cameras, completion)
        if cameras.cameras is not None:
            return self._reconstruct_views(sources, cameras, settings)
        from humanlrm.completion import complete, complete_views
        from humanlrm.photo.upright import turn_upright

        timer = StageTimer()
        with timer("photo"):
            photo = load_photo(sources[0])
            if selection is not None and selection.mask is not None:
                photo = with_mask(photo, selection.mask)
        with timer("person"):
            upright = turn_upright(photo, self.detector, selection or Selection())
            person = segment(upright.photo, self.detector, selection, upright.poses)
            subject = person.crop(upright.photo, self.model.config.image_px)
            hidden = measure_visibility(subject)
        with timer("network"):
            subject, estimate = encode_reframed(self.model, subject)
            completed = complete(self.model, self.priors, subject, estimate, completion)
        remarks = (*person.remarks, *visibility_remarks(hidden, completed.subject.truncated, completed.sampled))
        samples = []
        for k, triplane in enumerate(completed.triplanes):
            stages = StageTimer(timer.seconds)
            with stages("views"):
                prior = None if completed.whole else self.priors.views
                draw = completion.seed + k, completion.steps
                whole, views = complete_views(self.model, prior, completed.subject, triplane, *draw)
            sample = build_person(self.model, completed.subject, whole, settings, stages, views)
            sample = replace(sample, hidden=hidden, sampled=completed.sampled, warnings=remarks)
            sample = replace(sample, confidence=person.confidence, people_seen=person.people_seen)
            sample = replace(sample, provenance=self._provenance(settings, completion))
            samples.append(completed.with_uncertainty(sample))
        return replace(samples[0], alternatives=tuple(samples[1:]))

    def _reconstruct_views(
        self, photos: Sequence[PhotoSource], calibration: Calibration, settings: Settings
    ) -> Reconstruction:
        """One person of several calibrated photos."""
        from humanlrm.multiview import fuse, read_views
        from humanlrm.texture.bake import bake

        files = [Path(photo) for photo in photos if isinstance(photo, str | Path)]
        if len(files) < len(photos):
            raise ValueError("photos with cameras must be files: cameras are found by file name")
        timer = StageTimer()
        with timer("photos"):
            views = read_views(files, calibration, self.detector)
        with timer("network"):
            person = fuse(self.model, views, self.detector)
        with timer("surface"):
            surface = person.surface(settings.resolution, settings.faces)
        with timer("texture"):
            detail = detail_membership(person.landmarks)
            mesh = bake(surface, person.color, person.projections(), settings.texture_px, detail=detail)
        scale = person.metres_per_unit(calibration.metres, settings.height_m)
        first, *others = (view.subject for view in person.views)
        provenance = self._provenance(settings)
        return Reconstruction(
            mesh, first, person.landmarks, scale, timer.seconds, other_views=tuple(others), provenance=provenance
        )


@torch.no_grad()
def build_person(
    model: HumanLRM,
    subject: SubjectCrop,
    triplane: Triplane,
    settings: Settings,
    timer: StageTimer,
    views: Any = None,
) -> Reconstruction:
    """The textured, metric mesh of a triplane.

    Args:
        views: ``GeneratedViews`` of what the photo does not show. ``None``: the field colors it.

    Raises:
        ValueError: the field has no surface inside the box.
    """
    from humanlrm.extraction import color_of, extract, fit_photo, photo_of
    from humanlrm.texture.bake import bake

    with timer("surface"):
        body = extract(model, triplane, settings.resolution, settings.faces)
        surface = fit_photo(body, triplane, subject.others)
    with timer("texture"):
        corrected = triplane.inputs.landmarks
        landmarks = (subject.landmarks[..., :3] if corrected is None else corrected[0]).cpu().numpy()
        color, detail = color_of(model, triplane, subject), detail_membership(landmarks)
        generated = () if views is None else views.pictures(subject.crop)
        mesh = bake(surface, color, [photo_of(subject)], settings.texture_px, generated, detail)
    # Without a landmark head a point may be missing; then the mesh's own height has to do, though people may sit.
    complete_skeleton = corrected is not None or bool((subject.landmarks[:, 3] > 0).all())
    height = standing_height(landmarks) if complete_skeleton else float(np.ptp(mesh.vertices[:, 1]))
    return Reconstruction(mesh, subject, landmarks, settings.height_m / height, timer.seconds)
