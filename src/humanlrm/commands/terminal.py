"""The terminal, and checks that several commands make before any work is done."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console

#: Of several processes that torchrun started, only the first prints.
console = Console(quiet=os.environ.get("RANK", "0") != "0")
errors = Console(stderr=True)
#: Packages of the extra "train".
_TRAIN = ("anny", "igl", "webdataset", "tensorboard", "accelerate")


def say(line: object, style: str | None = None) -> None:
    """Print one line as it is: no markup, no colors of its own, not broken at the terminal's width."""
    console.print(str(line), style=style, highlight=False, soft_wrap=True, markup=False)


def complain(line: object) -> None:
    """Print one red line to stderr, as it is."""
    errors.print(str(line), style="red", highlight=False, soft_wrap=True, markup=False)


def needs_train() -> None:
    """Check that the extra "train" is installed.

    Raises:
        ValueError: a package of it is missing.
    """
    lacking = [name for name in _TRAIN if importlib.util.find_spec(name) is None]
    if lacking:
        raise ValueError(
            f"this needs {', '.join(lacking)}, which are not installed: pip install 'humanlrm[train]', "
            "or in a clone pip install -e '.[train]'"
        )


def check_writable(path: Path) -> None:
    """Check that a file can be written.

    Raises:
        ValueError: its folder cannot be written to, or it is a folder itself.
    """
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise ValueError(f"cannot write {path}: {folder} is no folder that may be written to")
    if path.is_dir():
        raise ValueError(f"cannot write {path}: it is a folder")


def asset_pack(folder: Path | None) -> Path | None:
    """The asset pack's folder: the option's, or else that of $HUMANLRM_ASSETS."""
    return folder or (Path(os.environ["HUMANLRM_ASSETS"]) if "HUMANLRM_ASSETS" in os.environ else None)


def check_device(name: str) -> None:
    """Check that tensors can be made on a device.

    Raises:
        ValueError: the device is not available.
    """
    import torch

    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"device {name!r} is not available here ({str(error).splitlines()[0]}); try cpu") from error


def check_bf16(bf16: bool, device: str) -> bool:
    """The option ``bf16``, or False, with a warning, where float32 is faster on this device."""
    from humanlrm.train.throughput import bf16_pays

    if bf16 and not bf16_pays(device):
        say("--bf16: this device multiplies float32 matrices faster; going on in float32", style="yellow")
        return False
    return bf16


def commit() -> str:
    """The commit of this checkout, "unknown" without one or without git."""
    words = ["git", "rev-parse", "--short=12", "HEAD"]
    try:
        found = subprocess.run(words, cwd=Path(__file__).parent, capture_output=True, encoding="utf-8", check=False)
    except OSError:
        return "unknown"
    return found.stdout.strip() or "unknown"


def peak_memory_mib() -> float | None:
    """Largest memory that this process has held; None on Windows, which does not tell it to Python."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kilobytes on Linux, bytes on macOS
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
