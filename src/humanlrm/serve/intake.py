"""Acceptance of a photo: the same checks, limits and order for the REST interface and the page."""

import hashlib
import json
from dataclasses import dataclass

from humanlrm.serve.folder import DataFolder
from humanlrm.serve.metrics import Metrics
from humanlrm.serve.problems import NO_DISK, ProblemError
from humanlrm.serve.settings import ServeSettings
from humanlrm.serve.store import Job, JobStore, KeyReusedError, NewJob, QueueFullError, new_job_id
from humanlrm.serve.uploads import check_photo
from humanlrm.settings import PhotoOptions


@dataclass(frozen=True)
class Intake:
    """Acceptance of photos.

    Attributes:
        settings: of the service.
        store: of the jobs.
        folder: of the photos and results.
        metrics: counters.
    """

    settings: ServeSettings
    store: JobStore
    folder: DataFolder
    metrics: Metrics

    def check_room(self, client: str) -> None:
        """Refuse early what cannot be accepted now.

        Raises:
            ProblemError: the queue, the client's share or the disk is full.
        """
        if not self.folder.has_room:
            raise ProblemError(507, NO_DISK, {"Retry-After": "60"})
        try:
            self.store.check_room(client)
        except QueueFullError as error:
            raise self._full(error) from error

    def accept(self, content: bytes, options: PhotoOptions, client: str, key: str | None = None) -> tuple[Job, bool]:
        """Keep a photo and commit its job.

        Args:
            key: idempotency key.

        Returns:
            the job, and True if it is new.

        Raises:
            ProblemError: the photo or the key is refused, or there is no room.
        """
        check_photo(content)
        plain, job_id = options.to_plain(), new_job_id()
        fingerprint = hashlib.sha256(content + json.dumps(plain, sort_keys=True).encode()).hexdigest()
        self.folder.add_photo(job_id, content)
        accepted = False
        try:
            job, accepted = self.store.accept(NewJob(job_id, client, fingerprint, plain, key))
        except KeyReusedError as error:
            raise ProblemError(422, str(error)) from error
        except QueueFullError as error:
            raise self._full(error) from error
        finally:
            if not accepted:
                self.folder.remove(job_id)
        return job, accepted

    def _full(self, error: QueueFullError) -> ProblemError:
        wait_s = self.metrics.mean_job_s() * error.waiting / self.settings.workers
        return ProblemError(429, f"{error}; try again later", {"Retry-After": str(max(1, round(wait_s)))})
