"""A service in a process of its own on this machine, for tests, benchmarks and notebooks."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import httpx

#: Seconds between looks at a service that starts.
_POLL_S = 0.2


class LocalService:
    """``humanlrm serve`` on a free port, until the block ends.

    Args:
        data: folder of jobs.
        options: further options of the command.
        environment: variables of the process; ``None``: this process's.
        timeout_s: seconds that the start may take.

    Raises:
        RuntimeError: it does not start.
    """

    def __init__(
        self,
        data: Path,
        options: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        timeout_s: float = 300,
    ) -> None:
        self._command = [sys.executable, "-m", "humanlrm.cli", "serve", "--port", "0", "--data", str(data), *options]
        self.data = data
        self._environment, self._timeout_s, self._log = environment, timeout_s, data.with_name(f"{data.name}.log")
        self.process: subprocess.Popen[bytes] | None = None
        self.address = ""

    def __enter__(self) -> "LocalService":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def log(self) -> str:
        """Lines that the service has printed since its first start."""
        return self._log.read_text(encoding="utf-8") if self._log.exists() else ""

    def start(self, wait_until_ready: bool = True) -> None:
        """Start, and wait until the port is open and a worker is warm."""
        before, deadline_s = len(self.log), time.monotonic() + self._timeout_s
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log, env=self._environment)
        self.address = ""
        while not (self.address and (not wait_until_ready or self._is_ready())):
            if self.process.poll() is not None or time.monotonic() > deadline_s:
                self.stop()
                raise RuntimeError(f"the service did not start: {self.log[before:][-2000:]}")
            time.sleep(_POLL_S)
            lines = [line for line in self.log[before:].splitlines() if line.startswith("http://")]
            self.address = lines[0].split()[0] if lines else ""

    def stop(self) -> None:
        """Tell it to stop, as a terminal does, and wait for its end."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=60)

    def kill(self) -> None:
        """End it at once, in whatever it does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.address}/readyz", trust_env=False, timeout=5).status_code == 200
        except httpx.TransportError:
            return False
