"""The same service by Ray Serve (extra ``cluster``): one replica answers requests, others reconstruct.

The replica that answers holds the data folder; photos and files travel between machines as messages.
"""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any

from humanlrm.cluster import start_ray
from humanlrm.serve.settings import ServeSettings
from humanlrm.serve.store import Job
from humanlrm.serve.worker import JobError, PhotoHandler, WorkerLostError

_APP, _DEPLOYMENT = "humanlrm", "Reconstruction"
#: Seconds that a replica may take to get ready.
_START_S = 300.0


class RayReplica:
    """A replica that reconstructs. It ends itself if a photo takes too long, and Ray replaces it."""

    def __init__(self, settings: ServeSettings) -> None:
        self._handler, self._timeout_s = PhotoHandler(settings), settings.timeout_s

    def ping(self) -> str:
        """Answer when it is warm."""
        return "ready"

    def reconstruct(self, photo: bytes, options: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
        """Yield each stage with the share of work before it, at last the files by name with seconds and warnings.

        Raises:
            ValueError: the photo cannot be reconstructed.
        """
        watchdog = threading.Timer(self._timeout_s, os._exit, (1,))
        watchdog.daemon = True
        watchdog.start()
        stages: SimpleQueue[tuple[str, float] | None] = SimpleQueue()
        try:
            with TemporaryDirectory() as folder, ThreadPoolExecutor(1) as pool:
                work = pool.submit(self._handler, photo, Path(folder), options, lambda *stage: stages.put(stage))
                work.add_done_callback(lambda _: stages.put(None))
                yield from iter(stages.get, None)
                summary = work.result()
                yield {path.name: path.read_bytes() for path in Path(folder).iterdir()}, summary
        finally:
            watchdog.cancel()


class RayWorker:
    """One of the service's threads; its jobs go to whichever replica is free."""

    def __init__(self, settings: ServeSettings) -> None:
        self._handle: Any = None

    def start(self) -> None:
        from ray import serve  # pyright: ignore[reportMissingImports]

        try:
            self._handle = serve.get_deployment_handle(_DEPLOYMENT, app_name=_APP)
            self._handle.ping.remote().result(timeout_s=_START_S)
        except Exception as error:
            raise WorkerLostError("no replica got ready") from error

    def run(self, job: Job, photo: Path, attempt: Path, report: Callable[[str, float], None]) -> dict[str, Any]:
        messages = self._handle.options(stream=True).reconstruct.remote(photo.read_bytes(), job.options)
        files, summary = {}, {}
        try:
            for first, second in messages:
                if isinstance(first, str):
                    report(first, second)
                else:
                    files, summary = first, second
        except ValueError as error:  # Ray raises what the replica raised, with a traceback as its text
            raise JobError(str(getattr(error, "cause", error))) from error
        except Exception as error:
            raise WorkerLostError("the replica ended or was stuck") from error
        for name, content in files.items():
            (attempt / name).write_bytes(content)
        return summary

    def stop(self) -> None:
        """Replicas end with the cluster."""


def serve_on_ray(settings: ServeSettings, address: str, announce: Callable[[str], None], block: bool = True) -> None:
    """Serve on a Ray cluster until the process is told to stop.

    Args:
        address: of the cluster, e.g. "auto"; "local" starts one on this machine.
        announce: called with the address of the service.
        block: False: return when the service is up; ``ray.serve.shutdown()`` ends it.

    Raises:
        ValueError: Ray is not installed, or there is no cluster at the address.
    """
    # Ray Serve gives its proxy 5 s, which a busy machine does not keep; it is read where the cluster starts.
    os.environ.setdefault("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", str(_START_S))
    start_ray(address, cores=settings.workers + 1)
    from ray import serve  # pyright: ignore[reportMissingImports]

    weights = settings.weights and settings.weights.absolute()
    settings = replace(settings, data=settings.data.absolute(), weights=weights)
    serve.start(http_options={"host": settings.host, "port": settings.port})
    options = {"num_replicas": settings.workers, "ray_actor_options": {"num_cpus": 1}, "max_ongoing_requests": 1}
    reconstruction = serve.deployment(RayReplica, name=_DEPLOYMENT, **options).bind(settings)

    def build() -> Any:
        from humanlrm.serve.app import build_app

        return build_app(settings, RayWorker)

    # One replica: it is the only one that writes the store.
    interface = serve.deployment(serve.ingress(build)(), name="Interface", num_replicas=1)
    serve.run(interface.bind(reconstruction), name=_APP, route_prefix="/")
    announce(f"http://{settings.host}:{settings.port}")
    if block:
        threading.Event().wait()
