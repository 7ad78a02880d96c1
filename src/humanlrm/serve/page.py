"""The page: Gradio, mounted on the service's app. It hands photos to the same queue as the REST interface."""

import asyncio
import html
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from humanlrm.results import writable_formats
from humanlrm.serve.clients import Clients
from humanlrm.serve.folder import STEM
from humanlrm.serve.intake import Intake
from humanlrm.serve.problems import ProblemError
from humanlrm.serve.store import Job
from humanlrm.serve.variants import LOOKS, write_variant
from humanlrm.serve.worker import STAGES
from humanlrm.settings import Completion, PhotoOptions, Settings

#: People or samples that are shown beside each other.
_VIEWERS = 4
_POLL_S = 0.3
#: A viewer that is not in the page (False) shows nothing when it gets its model and appears at once (Gradio 6.31).
_ABSENT = "hidden"
#: The viewer's angles of the camera, degrees, from which a person is seen from the front and from behind; its distance
#: in standing heights.
_FRONT_DEG, _BACK_DEG, _LEVEL_DEG, _CAMERA_DISTANCE = 90, -90, 88, 1.5
_EXAMPLES = Path(__file__).parent / "examples"
_CSS = """
.gradio-container {max-width: 1280px !important; width: 100% !important; margin: auto}
#status progress {width: 100%; height: 0.6em}
#status ol {display: flex; flex-wrap: wrap; gap: 0.2em 1em; list-style: none; padding: 0; margin: 0.4em 0}
#status .now {font-weight: 600}
#status .later {opacity: 0.5}
#status .failed {border-left: 4px solid #c0392b; padding: 0.4em 0.8em; background: rgba(192, 57, 43, 0.08)}
"""
#: On a phone the status is below the form.
_SCROLL_TO_STATUS = "() => document.querySelector('#status').scrollIntoView({behavior: 'smooth', block: 'nearest'})"
_TITLE = """# humanlrm
One photo of a person in, a textured 3D person out. The photo stays on this machine. Only upload photos of people who
agree to it."""


def mount_page(app: FastAPI, intake: Intake, clients: Clients) -> FastAPI:
    """Put the page at ``/``. If API keys are in use it asks for one as the password."""
    # Uploads and copies of the page stay in the data folder; nothing is reported to anybody.
    cache = intake.folder.path / "page"
    os.environ |= {"GRADIO_TEMP_DIR": str(cache), "GRADIO_ANALYTICS_ENABLED": "False"}
    import gradio as gr
    from gradio.themes import Default

    return gr.mount_gradio_app(
        app,
        build_page(intake),
        path="/",
        server_name=intake.settings.host,
        server_port=intake.settings.port,
        footer_links=[],
        auth=(lambda _, key: clients.recognize(key) is not None) if clients.closed else None,
        auth_message="Any name; the password is your API key.",
        allowed_paths=[str(intake.folder.jobs)],
        max_file_size="20mb",
        ssr_mode=False,
        enable_monitoring=False,
        theme=Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        css=_CSS,
    )


@dataclass
class _Widgets:
    """Widgets of the page that are read or changed later."""

    inputs: list[Any]
    start: Any
    status: Any
    job: Any
    look: Any
    front: Any
    back: Any
    viewers: list[Any]
    files: Any

    @property
    def options(self) -> list[Any]:
        return [self.job, self.look]

    @property
    def shown(self) -> list[Any]:
        return [*self.viewers, self.files]


def build_page(intake: Intake) -> Any:
    """Widgets and what they do."""
    import gradio as gr

    pages = PageHandlers(intake)
    with gr.Blocks(title="humanlrm", analytics_enabled=False, delete_cache=(600, 3600)) as blocks:
        gr.Markdown(_TITLE)
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                inputs, start = _build_form()
            with gr.Column(scale=3, min_width=320):
                widgets = _build_result(inputs, start)
        widgets.start.click(None, js=_SCROLL_TO_STATUS)
        # The viewer gets its model from an event of its own: a second update while it loads its code stops it.
        widgets.start.click(
            pages.reconstruct,
            widgets.inputs,
            [widgets.status, widgets.job, widgets.look],
            concurrency_limit=None,
            show_progress="hidden",
        ).then(pages.show_result, widgets.job, widgets.shown)
        widgets.look.input(pages.show, widgets.options, widgets.viewers)
        for button, angle_deg in ((widgets.front, _FRONT_DEG), (widgets.back, _BACK_DEG)):
            button.click(partial(pages.show, angle_deg=angle_deg), widgets.options, widgets.viewers)
    return blocks


def _build_form() -> tuple[list[Any], Any]:
    """Photo and options, in the order of :meth:`PageHandlers.reconstruct`."""
    import gradio as gr

    photo = gr.Image(
        label="Photo", sources=["upload", "webcam"], type="filepath", image_mode=None, height=360, elem_id="photo"
    )
    gr.Examples(sorted(map(str, _EXAMPLES.glob("*.jpg"))), photo, label="Examples", elem_id="examples")
    height_m = gr.Slider(0.5, 2.3, Settings.height_m, step=0.01, label="Standing height, metres")
    start = gr.Button("Reconstruct", variant="primary", elem_id="start")
    with gr.Accordion("More", open=False):
        complete = gr.Radio(["auto", "always", "never"], value="auto", label="Complete what the photo does not show")
        samples = gr.Slider(1, _VIEWERS, 1, step=1, label="Samples: different people who fit the photo")
        uncertainty = gr.Checkbox(label="Uncertainty: how sure each place of the surface is")
        everyone = gr.Checkbox(label="Everyone: each person in the photo")
        walk = gr.Checkbox(label="Walk: a skeleton, and a person who walks")
        turntable = gr.Checkbox(label="Film of the person turning")
        texture_px = gr.Slider(256, 4096, Settings.texture_px, step=256, label="Texture, pixels")
        resolution = gr.Radio([64, 128, 256, 512], value=Settings.resolution, label="Lattice cells per side")
        formats = gr.CheckboxGroup(list(writable_formats()), value=["glb"], label="Formats")
    options = [height_m, complete, samples, uncertainty, everyone, walk, turntable, texture_px, resolution, formats]
    return [photo, *options], start


def _build_result(inputs: list[Any], start: Any) -> _Widgets:
    import gradio as gr

    status = gr.HTML("<p>Drop a photo, then press “Reconstruct”.</p>", elem_id="status")
    look = gr.Radio(LOOKS, value=LOOKS[0], label="Look")
    with gr.Row():
        front, back = (gr.Button(side, size="sm", min_width=80) for side in ("Front", "Back"))
    with gr.Row():
        viewers = [
            gr.Model3D(
                label=f"Person {place + 1}",
                height=480,
                clear_color=(0.93, 0.93, 0.93, 1.0),
                visible=True if place == 0 else _ABSENT,
                min_width=240,
                elem_id=f"viewer-{place}",
            )
            for place in range(_VIEWERS)
        ]
    files = gr.Files(label="Downloads", interactive=False, visible=False, elem_id="downloads")
    return _Widgets(inputs, start, status, gr.State(), look, front, back, viewers, files)


class PageHandlers:
    """Actions of the page's buttons."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def reconstruct(self, photo: str | None, *values: Any) -> AsyncIterator[tuple[str, str | None, str]]:
        """Hand the photo to the queue; show its progress. Status, id of a job that is done, and look."""
        if photo is None:
            yield _failure("Give a photo first."), None, LOOKS[0]
            return
        try:
            job = await run_in_threadpool(self._accept, Path(photo), values)
        except (ProblemError, ValueError) as error:
            yield _failure(str(error)), None, LOOKS[0]
            return
        while job.state in ("queued", "running"):
            position = self._intake.store.position(job) if job.state == "queued" else 0
            yield _progress(job, position), None, LOOKS[0]
            await asyncio.sleep(_POLL_S)
            current = self._intake.store.get(job.id)
            if current is None:
                yield _failure("The job was deleted."), None, LOOKS[0]
                return
            job = current
        if job.state == "failed":
            yield _failure(job.reason or "It failed."), None, LOOKS[0]
        else:
            yield _success(job), job.id, LOOKS[0]

    def show_result(self, job_id: str | None) -> list[Any]:
        """The viewers and the downloads of a job that is done."""
        import gradio as gr

        job = None if job_id is None else self._intake.store.get(job_id)
        if job is None:
            return [gr.skip() for _ in range(_VIEWERS + 1)]
        folder = self._intake.folder.result(job.id)
        files = gr.Files([str(folder / name) for name in job.result["files"]], visible=True)
        return [*self.show(job.id, LOOKS[0], _FRONT_DEG), files]

    def show(self, job_id: str | None, look: str, angle_deg: float | None = None) -> list[Any]:
        """The viewers with a look, and the camera moved if an angle is given."""
        import gradio as gr

        job = None if job_id is None else self._intake.store.get(job_id)
        if job is None:
            return [gr.skip() for _ in range(_VIEWERS)]
        folder = self._intake.folder.result(job.id)
        models = [folder / f"{STEM}.glb", *(folder / f"{STEM}.{number}.glb" for number in range(1, _VIEWERS))]
        distance_m = _CAMERA_DISTANCE * job.options["settings"]["height_m"]
        moved: dict[str, Any] = {} if angle_deg is None else {"camera_position": (angle_deg, _LEVEL_DEG, distance_m)}
        try:
            return [
                gr.Model3D(self._variant(job, model, look), visible=True, **moved)
                if model.is_file()
                else gr.Model3D(None, visible=_ABSENT)
                for model in models
            ]
        except ValueError as error:
            raise gr.Error(str(error)) from error

    def _variant(self, job: Job, model: Path, look: str) -> str:
        folder = self._intake.folder.jobs / job.id / "page"
        return str(write_variant(model, model.with_suffix(".uncertainty.png"), look, folder))

    def _accept(self, photo: Path, values: tuple[Any, ...]) -> Job:
        height_m, complete, samples, uncertainty, everyone, walk, turntable, texture_px, resolution, formats = values
        settings = Settings(float(height_m), int(resolution), int(texture_px))
        completion = Completion(complete, int(samples), uncertainty=bool(uncertainty))
        kinds = tuple(dict.fromkeys(["glb", *formats]))
        moving = {"walk": bool(walk), "turntable": bool(turntable)}
        options = PhotoOptions(settings, completion, bool(everyone), kinds, **moving)
        self._intake.check_room("page")
        content = photo.read_bytes()
        if self._intake.settings.forget and photo.is_relative_to(self._intake.folder.path):
            photo.unlink()
        return self._intake.accept(content, options, "page")[0]


def _failure(reason: str) -> str:
    return f'<p class="failed" role="alert">{html.escape(reason)}</p>'


def _progress(job: Job, position: int) -> str:
    """Place in the queue, or the stages: those that are done, the one that is being done, and those that follow."""
    if job.state == "queued":
        return f'<p>Waiting; {position} before you</p><progress value="0"></progress>'
    stage = job.stage or STAGES[0]
    place = STAGES.index(stage)
    marks = [("done-stage", "✓ "), ("now", "▸ "), ("later", "")]
    items = [(*marks[(k >= place) + (k > place)], name) for k, name in enumerate(STAGES)]
    rows = "".join(f'<li class="{kind}">{mark}{html.escape(name)}</li>' for kind, mark, name in items)
    return f'<p>Working: {html.escape(stage)}</p><progress value="{job.progress:.3f}"></progress><ol>{rows}</ol>'


def _success(job: Job) -> str:
    seconds = sum(job.result["seconds"].values())
    warnings = "".join(f"<li>{html.escape(warning['sentence'])}</li>" for warning in job.result["warnings"])
    people = job.result["people"]
    who = "1 person" if people == 1 else f"{people} people"
    return f'<p class="done">Done: {who} in {seconds:.1f} s.</p>' + (f"<ul>{warnings}</ul>" if warnings else "")
