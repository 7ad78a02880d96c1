"""The service put together: store, workers, REST interface and page in one ASGI app."""

import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.middleware.trustedhost import TrustedHostMiddleware

from humanlrm import __version__
from humanlrm.serve.api import jobs, operation
from humanlrm.serve.clients import Clients
from humanlrm.serve.folder import DataFolder
from humanlrm.serve.intake import Intake
from humanlrm.serve.metrics import Metrics
from humanlrm.serve.problems import add_problem_handlers
from humanlrm.serve.settings import ServeSettings
from humanlrm.serve.store import JobStore
from humanlrm.serve.supervisor import Supervisor
from humanlrm.serve.uploads import BodyLimit
from humanlrm.serve.worker import JobWorker, ProcessWorker

#: Seconds that open requests get when the service is stopped.
_FAREWELL_S = 3


def build_app(settings: ServeSettings, start_worker: Callable[[ServeSettings], JobWorker] = ProcessWorker) -> FastAPI:
    """The app. Its workers start and stop with it.

    Raises:
        ValueError: the data folder is in use, or the file of keys is unusable.
    """
    clients = Clients(settings.read_keys())
    folder = DataFolder(settings)
    store = JobStore(folder.path / "jobs.sqlite3", settings.queue, settings.per_client)
    metrics = Metrics(store)
    intake = Intake(settings, store, folder, metrics)
    supervisor = Supervisor(settings, store, folder, metrics, start_worker)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        supervisor.start()
        yield
        await run_in_threadpool(supervisor.stop)
        store.close()
        folder.close()

    title = "humanlrm: one photo of a person in, a textured 3D person out"
    app = FastAPI(title=title, version=__version__, lifespan=lifespan, docs_url="/docs", redoc_url=None)
    add_problem_handlers(app)

    @app.middleware("http")
    async def count(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await answer(request)
        metrics.requests.labels(request.method, response.status_code).inc()
        return response

    app.add_middleware(BodyLimit, timeout_s=settings.upload_s)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=settings.allowed_hosts)
    app.state.intake, app.state.clients, app.state.supervisor = intake, clients, supervisor
    app.include_router(jobs)
    app.include_router(operation)
    if settings.page:
        from humanlrm.serve.page import mount_page

        app = mount_page(app, intake, clients)
    return app


def serve(settings: ServeSettings, announce: Callable[[str], None]) -> None:
    """Serve until the process is told to stop.

    Args:
        announce: called with the address when the port is open.

    Raises:
        ValueError: see :func:`build_app`.
        OSError: the port is in use.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        app = build_app(settings)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        announce(f"http://{host}:{listener.getsockname()[1]}")
        config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=_FAREWELL_S)
        uvicorn.Server(config).run(sockets=[listener])
