"""Counters of the service in Prometheus' text format."""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from humanlrm.serve.store import JobStore


class Metrics:
    """Counters since the service was started, and gauges of the store.

    Attributes:
        jobs: jobs that ended, by state.
        job_seconds: from the start of a job to its committed result.
        stage_seconds: by stage.
        lost_workers: workers that were replaced.
        requests: answers by method and status.
    """

    def __init__(self, store: JobStore) -> None:
        self._registry = CollectorRegistry()
        where: Any = {"registry": self._registry}
        self.jobs = Counter("humanlrm_jobs", "Jobs that ended", ["state"], **where)
        self.job_seconds = Histogram("humanlrm_job_seconds", "Seconds of a job that is done", **where)
        self.stage_seconds = Histogram("humanlrm_stage_seconds", "Seconds of a stage", ["stage"], **where)
        self.lost_workers = Counter("humanlrm_lost_workers", "Workers that ended or were stuck", **where)
        self.requests = Counter("humanlrm_requests", "Answers", ["method", "status"], **where)
        waiting = Gauge("humanlrm_queued_jobs", "Jobs that wait", **where)
        running = Gauge("humanlrm_running_jobs", "Jobs that run", **where)
        waiting.set_function(lambda: store.count("queued"))
        running.set_function(lambda: store.count("running"))

    def mean_job_s(self) -> float:
        """Mean seconds of a job; 10 before the first has ended."""
        values = {sample.name: sample.value for metric in self.job_seconds.collect() for sample in metric.samples}
        count = values.get("humanlrm_job_seconds_count", 0)
        return values["humanlrm_job_seconds_sum"] / count if count else 10.0

    def text(self) -> bytes:
        return generate_latest(self._registry)
