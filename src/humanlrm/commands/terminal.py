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


#: What comes with an extra.
_EXTRAS = {"train": ("anny", "igl", "webdataset", "tensorboard", "accelerate"), "cluster": ("ray",)}


def needs(extra: str) -> None:
    """Before any work is done.

    Raises:
        ValueError: the extra is not installed.
    """
    lacking = [name for name in _EXTRAS[extra] if importlib.util.find_spec(name) is None]
    if lacking:
        raise ValueError(
            f"this needs {', '.join(lacking)}, which are not installed: pip install 'humanlrm[{extra}]', "
            f"or in a clone pip install -e '.[{extra}]'"
        )


def check_folder(*files: Path | None) -> None:
    """Before any work is done.

    Raises:
        ValueError: a file could not be written where it is wanted.
    """
    for path in files:
        there = path.parent if path is not None else Path()
        while path is not None and not there.exists():
            there = there.parent
        if not there.is_dir() or not os.access(there, os.W_OK):
            raise ValueError(f"cannot write {path}: {there} is no folder that may be written to")
        if path is not None and path.is_dir():
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
