"""The REST interface: jobs under ``/v1/reconstructions``, health and metrics."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Header, Path, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from humanlrm.output_settings import MESH_FORMATS
from humanlrm.serve.form import PhotoForm, options_of
from humanlrm.serve.intake import Intake
from humanlrm.serve.names import file_of, public_name, why_missing
from humanlrm.serve.problems import ProblemError
from humanlrm.serve.store import Job, State
from humanlrm.serve.supervisor import Supervisor
from humanlrm.serve.worker import STAGES

#: Types of the answers by suffix.
_MEDIA_TYPES = {suffix: mesh_format.media_type for suffix, mesh_format in MESH_FORMATS.items()} | {
    ".json": "application/json",
    ".mp4": "video/mp4",
    ".png": "image/png",
    ".webp": "image/webp",
    ".zip": "application/zip",
}
_LONGEST_KEY = 255


class JobWarning(BaseModel):
    code: str
    sentence: str


class JobState(BaseModel):
    """A job, as clients see it."""

    id: str
    state: State
    position: int | None = Field(description="Jobs before this one, while it waits.")
    stage: str | None = Field(description=f"What is being done: {', '.join(STAGES)}.")
    progress: float = Field(description="Share of the work that is done, in [0, 1].")
    reason: str | None = Field(description="Why it failed.")
    people: int | None = Field(description="People and samples that were reconstructed.")
    seconds: dict[str, float] = Field(description="Seconds per stage.")
    warnings: list[JobWarning] = Field(description="What you should know about the result.")
    files: dict[str, str] = Field(description="Addresses of the result's files by name.")
    options: dict[str, Any]
    created_at: str
    finished_at: str | None


class JobPage(BaseModel):
    """Jobs of the client in the order of acceptance."""

    items: list[JobState]
    next: str | None = Field(description="Address of the next page.")


_EXAMPLE = {
    "id": "6c7e0f0de0cf4b0c9a4b4b0e1a8f0b57",
    "state": "done",
    "position": None,
    "stage": None,
    "progress": 1.0,
    "reason": None,
    "people": 1,
    "seconds": {"photo": 0.01, "person": 0.9, "network": 0.2, "views": 0.2, "surface": 1.6, "texture": 1.6},
    "warnings": [],
    "files": {"model.glb": "/v1/reconstructions/6c7e0f0de0cf4b0c9a4b4b0e1a8f0b57/model.glb"},
    "options": {"formats": ["glb"], "everyone": False},
    "created_at": "2026-11-29T12:00:00+00:00",
    "finished_at": "2026-11-29T12:00:05+00:00",
}
_PROBLEM = {
    "description": "Refused, as problem details (RFC 9457).",
    "content": {
        "application/problem+json": {
            "example": {"type": "about:blank", "title": "Too Many Requests", "status": 429, "detail": "..."}
        }
    },
}
_READY = {"ready": True, "workers": 1, "disk": "ok"}
_FORM_EXAMPLE = {"photo": "(the file)", "height_m": 1.75, "formats": "glb,usdz", "turntable": True}
_FORM: dict[str, Any] = {"requestBody": {"content": {"multipart/form-data": {"example": _FORM_EXAMPLE}}}}


def _answer(example: Any, media_type: str = "application/json", **more: Any) -> dict[str, Any]:
    """Description of an answer, by an example."""
    return {"content": {media_type: {"example": example}}, **more}


def _intake(request: Request) -> Intake:
    return request.app.state.intake


def _client(request: Request) -> str:
    return request.app.state.clients(request)


TheIntake = Annotated[Intake, Depends(_intake)]
TheClient = Annotated[str, Depends(_client)]


def _client_with_room(intake: TheIntake, client: TheClient) -> str:
    intake.check_room(client)
    return client


def _owned_job(
    job_id: Annotated[str, Path(examples=[_EXAMPLE["id"]])], request: Request, intake: TheIntake, client: TheClient
) -> Job:
    """A job that the client may see: its own, or any by its unguessable id if no keys are in use."""
    job = intake.store.get(job_id)
    if job is None or (request.app.state.clients.closed and job.client != client):
        raise ProblemError(404, "there is no such job; it may have expired or been deleted")
    return job


OwnedJob = Annotated[Job, Depends(_owned_job)]

jobs = APIRouter(prefix="/v1/reconstructions", tags=["reconstructions"])
operation = APIRouter(tags=["operation"])


@jobs.post(
    "",
    status_code=202,
    response_model=JobState,
    responses={202: _answer(_EXAMPLE), **dict.fromkeys((401, 408, 413, 415, 422, 429, 507), _PROBLEM)},
    openapi_extra=_FORM,
    summary="Reconstruct a photo",
)
async def create(
    form: Annotated[PhotoForm, Form(media_type="multipart/form-data")],  # pyright: ignore[reportInvalidTypeForm]
    response: Response,
    client: Annotated[str, Depends(_client_with_room)],
    intake: TheIntake,
    idempotency_key: Annotated[str | None, Header(max_length=_LONGEST_KEY)] = None,
) -> dict[str, Any]:
    """Accept a photo. The answer comes when the job is on disk: from then on it is not lost.

    The same `Idempotency-Key` with the same photo and options gives the same job.
    """
    try:
        options = options_of(form)
    except ValueError as error:
        raise ProblemError(422, str(error)) from error
    content = await form.photo.read()
    job, _ = await run_in_threadpool(intake.accept, content, options, client, idempotency_key)
    response.headers["Location"] = f"{jobs.prefix}/{job.id}"
    return show_job(job, intake)


@jobs.get(
    "",
    response_model=JobPage,
    responses={200: _answer({"items": [_EXAMPLE], "next": f"{jobs.prefix}?limit=1&after=1"}), 401: _PROBLEM},
    summary="List your jobs",
)
def list_jobs(
    client: TheClient,
    intake: TheIntake,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[int, Query(ge=0, le=2**62)] = 0,
    state: State | None = None,
) -> dict[str, Any]:
    """Jobs of this client in the order of acceptance."""
    page = intake.store.page(client, limit, after, state)
    chosen = "" if state is None else f"&state={state}"
    more = f"{jobs.prefix}?limit={limit}&after={page[-1].sequence}{chosen}" if len(page) == limit else None
    return {"items": [show_job(job, intake) for job in page], "next": more}


@jobs.get("/{job_id}", response_model=JobState, responses={200: _answer(_EXAMPLE), 404: _PROBLEM}, summary="See a job")
def read(job: OwnedJob, intake: TheIntake) -> dict[str, Any]:
    """State, stage, progress; when it is done also seconds, warnings and files."""
    return show_job(job, intake)


@jobs.delete("/{job_id}", status_code=204, responses={404: _PROBLEM}, summary="Delete a job with its photo")
def delete(job: OwnedJob, intake: TheIntake) -> None:
    """Delete a job in any state; what a worker is still making of it is thrown away."""
    intake.store.delete(job.id)
    intake.folder.remove(job.id)


@jobs.get(
    "/{job_id}/{name}", response_class=FileResponse, responses={404: _PROBLEM, 409: _PROBLEM}, summary="Get a file"
)
def download(
    job: OwnedJob,
    name: Annotated[str, Path(examples=["model.glb", "preview.png", "turntable.mp4", "report.json"])],
    intake: TheIntake,
) -> FileResponse:
    """A file of the result: `model.glb`, `preview.png`, `report.json`...; `model.1.glb` is of the second person."""
    if job.state in ("queued", "running"):
        raise ProblemError(409, f"the job is {job.state}; its files exist when it is done")
    path = intake.folder.served_file(job, file_of(name))
    if path is None:
        raise ProblemError(404, why_missing(job, name))
    return FileResponse(path, media_type=_MEDIA_TYPES.get(path.suffix, "application/octet-stream"), filename=name)


@operation.get("/healthz", responses={200: _answer({"status": "ok"})}, summary="Is the process alive?")
def health() -> dict[str, str]:
    """Answer as long as the process does."""
    return {"status": "ok"}


@operation.get(
    "/readyz",
    responses={
        200: _answer(_READY),
        503: _answer(_READY | {"ready": False, "workers": 0}, description="No warm worker, or no disk."),
    },
    summary="Can it work?",
)
def ready(request: Request, intake: TheIntake) -> JSONResponse:
    """Ready when a worker is warm and the disk has room."""
    supervisor: Supervisor = request.app.state.supervisor
    room, warm = intake.folder.has_room, supervisor.ready
    content = {"ready": room and warm > 0, "workers": warm, "disk": "ok" if room else "full"}
    return JSONResponse(content, 200 if content["ready"] else 503)


@operation.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses={200: _answer('humanlrm_jobs_total{state="done"} 12.0', "text/plain")},
    summary="Counters in Prometheus' format",
    dependencies=[Depends(_client)],
)
def metrics(intake: TheIntake) -> Response:
    """Jobs by state, seconds per job and stage, lost workers, answers, queue."""
    return Response(intake.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def show_job(job: Job, intake: Intake) -> dict[str, Any]:
    """A job as clients see it."""
    names = [public_name(name) for name in job.result.get("files", ())]
    return {
        "id": job.id,
        "state": job.state,
        "position": intake.store.position(job) if job.state == "queued" else None,
        "stage": job.stage,
        "progress": job.progress,
        "reason": job.reason,
        "people": job.result.get("people"),
        "seconds": job.result.get("seconds", {}),
        "warnings": job.result.get("warnings", []),
        "files": {name: f"/v1/reconstructions/{job.id}/{name}" for name in names},
        "options": job.options,
        "created_at": _time(job.created_at),
        "finished_at": None if job.finished_at is None else _time(job.finished_at),
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
