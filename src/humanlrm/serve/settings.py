"""Settings of the service: plain values, checked when they are made. They also feed the command line."""

from dataclasses import dataclass
from pathlib import Path

#: Largest upload, bytes, and largest picture, pixels.
MAX_UPLOAD_BYTES, MAX_UPLOAD_PIXELS = 20_000_000, 80_000_000
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class ServeSettings:
    """Settings of the service.

    Attributes:
        data: folder of jobs and results. Nothing outside of it is served.
        host: address to listen at. The default is reachable from this machine only.
        port: port to listen at; 0 takes a free one.
        workers: processes that reconstruct; one per device, or one per two cores. With --ray: replicas.
        weights: folder of other weights than the shipped ones.
        device: processor of the network: cpu, cuda or mps.
        threads: threads of each worker.
        queue: jobs that may wait; further ones are refused (429).
        per_client: unfinished jobs that one client may have; a client is an API key, or else an address.
        timeout_s: seconds after which a job's worker counts as stuck and is replaced.
        upload_s: seconds that an upload may take.
        keep_hours: age at which finished jobs are removed.
        keep_gb: total size of the results, gigabytes; above it the oldest are removed.
        reserve_mb: free disk space, megabytes, below which no job is accepted or started.
        forget: delete a photo as soon as its job has ended.
        api_keys: file of API keys, one per line. Without it everybody who reaches the port may use the service.
        page: offer the page at /.
    """

    data: Path = Path("humanlrm-data")
    host: str = "127.0.0.1"
    port: int = 7860
    workers: int = 1
    weights: Path | None = None
    device: str = "cpu"
    threads: int = 2
    queue: int = 100
    per_client: int = 50
    timeout_s: float = 600
    upload_s: float = 60
    keep_hours: float = 24
    keep_gb: float = 10
    reserve_mb: float = 200
    forget: bool = False
    api_keys: Path | None = None
    page: bool = True

    def __post_init__(self) -> None:
        for name in ("workers", "threads", "queue", "per_client", "timeout_s", "upload_s", "keep_hours", "keep_gb"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port must be between 0 and 65535, got {self.port}")
        if self.reserve_mb < 0:
            raise ValueError(f"reserve_mb must not be negative, got {self.reserve_mb}")

    @property
    def allowed_hosts(self) -> list[str]:
        """Names by which the service may be called.

        On the loopback address only its own: a web page elsewhere cannot reach it by a name that it redirects.
        """
        return [*_LOOPBACK, "[::1]"] if self.host in _LOOPBACK else ["*"]

    def read_keys(self) -> tuple[str, ...]:
        """API keys; empty: none is needed.

        Raises:
            ValueError: the file is missing, holds no key, or one of less than 16 characters.
        """
        from humanlrm.files import read_lines

        if self.api_keys is None:
            return ()
        keys = tuple(read_lines(self.api_keys))
        if not keys or min(map(len, keys)) < 16:
            raise ValueError(f"{self.api_keys}: expected API keys of at least 16 characters, one per line")
        return keys
