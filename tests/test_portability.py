"""The package imports and writes the same on Linux, macOS and Windows."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
#: Modules and names that Windows lacks.
POSIX_MODULES = {"resource", "fcntl", "pwd", "grp", "termios", "tty", "pty", "posix", "syslog", "readline", "curses"}
POSIX_NAMES = {
    "os": {"fork", "forkpty", "getuid", "geteuid", "getgid", "getpgid", "setsid", "killpg", "chown", "mkfifo", "nice"}
    | {"sched_getaffinity", "sched_setaffinity", "getloadavg", "uname", "sysconf", "wait", "O_DIRECTORY"},
    "signal": {"SIGHUP", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCHLD", "SIGPIPE", "alarm", "setitimer"}
    | {"pause", "sigwait", "pthread_kill"},
}
IMPORT_ALL = """
import builtins, importlib, pkgutil
import humanlrm

posix, plain = {posix!r}, builtins.__import__

def windows_import(name, globals=None, *rest, **options):
    if name in posix and (globals or {{}}).get("__name__", "").startswith("humanlrm"):
        raise ModuleNotFoundError(f"No module named {{name!r}} on Windows", name=name)
    return plain(name, globals, *rest, **options)

builtins.__import__ = windows_import
for module in pkgutil.walk_packages(humanlrm.__path__, "humanlrm."):
    importlib.import_module(module.name)
"""


def place(path: Path, node: ast.expr | ast.stmt) -> str:
    return f"{path.relative_to(ROOT)}:{node.lineno}"


def test_every_module_imports_without_the_modules_of_posix():
    code = IMPORT_ALL.format(posix=sorted(POSIX_MODULES))
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]


def posix_only(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    guarded = {id(node) for attempt in ast.walk(tree) if isinstance(attempt, ast.Try) for node in ast.walk(attempt)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and id(node) not in guarded:
            yield from (f"{place(path, node)} {alias.name}" for alias in node.names if alias.name in POSIX_MODULES)
        if isinstance(node, ast.ImportFrom) and (node.module in POSIX_MODULES):
            yield f"{place(path, node)} {node.module}"
        if isinstance(node, ast.Attribute) and node.attr in POSIX_NAMES.get(getattr(node.value, "id", ""), ()):
            yield f"{place(path, node)} {ast.unparse(node)}"
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and node.value.startswith(("/dev/", "/proc/"))
        ):
            yield f"{place(path, node)} {node.value}"


def test_no_source_uses_what_windows_lacks():
    assert [line for path in SOURCES for line in posix_only(path)] == []


def opens_text_in_the_locales_encoding(call: ast.Call) -> bool:
    """Whether a call reads or writes text without an encoding; the default differs between systems."""
    options = {option.arg: option.value for option in call.keywords}
    if "encoding" in options:
        return False
    if isinstance(call.func, ast.Attribute):
        owner = call.func.value.id if isinstance(call.func.value, ast.Name) else ""
        if call.func.attr in ("read_text", "write_text"):
            return True
        if owner == "subprocess":
            return "text" in options or "universal_newlines" in options
        if call.func.attr not in ("open", "fdopen") or owner in ("Image", "tarfile", "zipfile"):
            return False
        modes = call.args[1:2] if owner == "os" else call.args[:1]
    elif isinstance(call.func, ast.Name) and call.func.id == "open":
        modes = call.args[1:2]
    else:
        return False
    mode = options.get("mode", modes[0] if modes else None)
    return not (isinstance(mode, ast.Constant) and "b" in str(mode.value))


@pytest.mark.parametrize("folder", ["src", "tests", "benchmarks", "examples"])
def test_text_files_have_an_encoding(folder):
    offenders = [
        place(path, node)
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and opens_text_in_the_locales_encoding(node)
    ]
    assert offenders == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [("open(path)", True), ("open(path, 'rb')", False), ("path.open('w')", True), ("path.open('wb')", False),
     ("path.read_text()", True), ("path.write_text(text, encoding='utf-8')", False), ("os.fdopen(handle, 'wb')", False),
     ("subprocess.run(words, text=True)", True), ("Image.open(path)", False), ("open(path, mode='rb')", False)],
)  # fmt: skip
def test_the_check_of_encodings_knows_text_from_bytes(source, expected):
    call = ast.parse(source, mode="eval").body
    assert isinstance(call, ast.Call)
    assert opens_text_in_the_locales_encoding(call) == expected
