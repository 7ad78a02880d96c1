"""What all commands share: the terminal, and options that mean the same everywhere."""

import importlib.util
import os
import subprocess
from pathlib import Path

import torch
from rich.console import Console

#: Of several processes that torchrun started, only the first speaks.
console = Console(quiet=os.environ.get("RANK", "0") != "0")
errors = Console(stderr=True)
#: What the extra "train" brings.
_TRAIN = ("anny", "igl", "webdataset", "tensorboard", "accelerate")


def needs_train() -> None:
    """Before any work is done.

    Raises:
        ValueError: the extra "train" is not installed.
    """
    lacking = [name for name in _TRAIN if importlib.util.find_spec(name) is None]
    if lacking:
        raise ValueError(
            f"this needs {', '.join(lacking)}, which are not installed: pip install 'humanlrm[train]', "
            "or in a clone pip install -e '.[train]'"
        )


def check_writable(path: Path) -> None:
    """Before any work is done.

    Raises:
        ValueError: a file cannot be written there.
    """
    there = path.parent
    while not there.exists():
        there = there.parent
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ValueError(f"cannot write {path}: {there} is no folder that may be written to")
    if path.is_dir():
        raise ValueError(f"cannot write {path}: it is a folder")


def asset_pack(given: Path | None) -> Path | None:
    """The asset pack: as given, or where $HUMANLRM_ASSETS says."""
    return given or (Path(os.environ["HUMANLRM_ASSETS"]) if "HUMANLRM_ASSETS" in os.environ else None)


def check_device(name: str) -> None:
    """Before any work is done."""
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"device {name!r} is not available here ({str(error).splitlines()[0]}); try cpu") from error


def check_bf16(asked: bool, device: str) -> bool:
    """Whether to compute in bfloat16: as asked, unless float32 is faster on this device, which is said."""
    from humanlrm.train.throughput import bf16_pays

    if asked and not bf16_pays(device):
        console.print("--bf16: this device multiplies float32 matrices faster; going on in float32", style="yellow")
        return False
    return asked


def commit() -> str:
    """The commit of this checkout, "unknown" without one."""
    found = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or "unknown"
