"""The virtual environment that rknn-toolkit2 needs of its own: made once, checked, never mixed with ours."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgepose import log
from edgepose.cache import remove_stale
from edgepose.errors import ConfigurationError, MissingDependencyError
from edgepose.hashing import sha256_bytes, sha256_json
from edgepose.interrupts import deferred
from edgepose.paths import cache_dir

if TYPE_CHECKING:
    from edgepose.progress import Progress

TOOLKIT = "rknn-toolkit2"
SETUP_COMMAND = "edgepose setup rknn"
NEEDED_MB = 1500

# The toolkit has compiled modules for these only.
_PYTHONS = ((3, 12), (3, 11), (3, 10))
_MACHINES = ("x86_64", "aarch64")
_STAMP = "environment.json"
_INSTALL_TIMEOUT_S = 1800.0
_CHECK_TIMEOUT_S = 120.0

# The toolkit imports torch for classes that it derives from and for a decorator; networks that come as ONNX
# need nothing else of it. Anything more is an AttributeError that names it.
_TORCH_STUB = {
    "torch/__init__.py": (
        '"""Stands in for torch, which rknn-toolkit2 imports and does not need for ONNX networks."""\n\n'
        '__version__ = "2.4.0"\n\n\n'
        "class no_grad:\n"
        "    def __enter__(self):\n        return self\n\n"
        "    def __exit__(self, *error):\n        return None\n\n"
        "    def __call__(self, function):\n        return function\n"
    ),
    "torch/nn/__init__.py": '"""Stands in for torch.nn."""\n\n\nclass Module:\n    pass\n',
}

# ENOSPC and EDQUOT, as Python's tools print them.
_FULL = ("[Errno 28]", "[Errno 122]")
_SPACE_HINT = "free some space, or let EDGEPOSE_CACHE name a folder on another disk"

_CHECK = "from rknn.api import RKNN; import numpy; assert numpy.__version__.startswith('1.26.')"


@dataclass(frozen=True, slots=True)
class Environment:
    """The environment's state. python: its interpreter, which exists where the state is "ready"."""

    state: Literal["ready", "stale", "absent"]
    folder: Path
    version: str
    reason: str = ""
    megabytes: int | None = None

    @property
    def python(self) -> Path:
        """The interpreter of the environment."""
        return self.folder / "bin" / "python"


def lock_file() -> Path:
    """Return the list of exact versions that the package ships."""
    return Path(__file__).with_name("requirements.lock")


def toolkit_version() -> str:
    """Return the version of the toolkit that the lock file asks for."""
    for line in lock_file().read_text(encoding="ascii").splitlines():
        if line.startswith(f"{TOOLKIT}=="):
            return line.partition("==")[2].strip()
    raise RuntimeError(f"{lock_file().name} does not name {TOOLKIT}")


def find() -> Environment:
    """Tell whether the environment is there and is the one that this version of EdgePose wants."""
    folder = cache_dir("rknn", "environment")
    version = toolkit_version()
    stamp = folder / _STAMP
    try:
        noted = json.loads(stamp.read_text(encoding="utf-8"))
        wanted, made_for, megabytes = noted["key"], noted["python"], int(noted["megabytes"])
    except FileNotFoundError:
        if not folder.exists():
            return Environment("absent", folder, version)
        return Environment("stale", folder, version, f"{_STAMP} is missing")
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Environment("stale", folder, version, f"{_STAMP} cannot be read: {error}")
    found = Environment("ready", folder, version, megabytes=megabytes)
    if wanted != lock_digest():
        return _stale(found, "it was made from another list of versions")
    # bin/python is a link to the interpreter that made it, which an upgrade of the system can remove.
    if not found.python.exists():
        return _stale(found, f"the Python {made_for} that made it is gone")
    if not (folder / "lib" / f"python{made_for}" / "site-packages" / "rknn").is_dir():
        return _stale(found, f"{TOOLKIT} was removed from it")
    return found


def require() -> Environment:
    """Return the environment. Errors: MissingDependencyError where it is absent or stale."""
    found = find()
    if found.state == "absent":
        raise MissingDependencyError(
            f"{TOOLKIT} {found.version} is not set up (it needs an environment of its own)",
            hint=SETUP_COMMAND,
        )
    if found.state == "stale":
        raise MissingDependencyError(
            f"the environment of {TOOLKIT} is stale: {found.reason}", hint=SETUP_COMMAND
        )
    return found


def set_up(*, force: bool = False, progress: Progress | None = None) -> Environment:
    """Make the environment, or leave a good one alone; a failed or killed run leaves the old state.

    Errors: MissingDependencyError (no fitting Python, or pip failed), ConfigurationError (disk, machine).
    """
    found = find()
    if found.state == "ready" and not force:
        return found
    root = found.folder.parent
    python = _interpreter()
    try:
        root.mkdir(parents=True, exist_ok=True)
        remove_stale(root, _INSTALL_TIMEOUT_S)
        _check_space(root)
        work = Path(tempfile.mkdtemp(prefix=".tmp-environment-", dir=root))
    except OSError as error:
        raise ConfigurationError(
            f"cannot write {root}: {error.strerror or error}",
            hint="let EDGEPOSE_CACHE name a folder that can be written",
        ) from error
    try:
        _fill(work, python, progress)
        old = root / f".tmp-old-{os.getpid()}-{time.monotonic_ns()}"
        with deferred():  # a signal between both would lose the old one
            if found.folder.exists():
                found.folder.rename(old)
            work.rename(found.folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return require()


def _fill(work: Path, python: tuple[str, str], progress: Progress | None) -> None:
    command, version = python
    pip_log = work.parent / "setup.log"
    if progress:
        progress.stage(f"make an environment for Python {version}")
    # Without pip: ours installs into it.
    made = _run([command, "-m", "venv", "--without-pip", str(work)], pip_log, _CHECK_TIMEOUT_S)
    if any(full in made for full in _FULL):
        raise ConfigurationError(f"cannot make an environment in {work.parent}: {made}", hint=_SPACE_HINT)
    if made:
        raise MissingDependencyError(
            f"Python {version} cannot make a virtual environment: {made}",
            hint=f"apt-get install python{version}-venv",
        )
    if progress:
        progress.stage(f"download and install {TOOLKIT} {toolkit_version()}, about 400 MB")
    pip = [sys.executable, "-m", "pip", "--python", str(work / "bin" / "python"), "install"]
    options = ["--no-deps", "--no-compile", "--only-binary=:all:", "--no-input", "--progress-bar=off"]
    failed = _run([*pip, *options, "-r", str(lock_file())], pip_log, _INSTALL_TIMEOUT_S)
    if any(full in failed for full in _FULL):
        raise ConfigurationError(
            f"pip cannot install {TOOLKIT}: {failed}",
            hint=f"{_SPACE_HINT}; pip unpacks in {tempfile.gettempdir()}, or where TMPDIR says",
        )
    if failed:
        hint = f"its log: {pip_log}"
        if "no such option: --python" in failed or "No module named pip" in failed:
            ours = sys.executable
            hint = f"pip 22.3 or newer is needed: {ours} -m ensurepip; {ours} -m pip install --upgrade pip"
        raise MissingDependencyError(f"pip cannot install {TOOLKIT}: {failed}", hint=hint)
    packages = work / "lib" / f"python{version}" / "site-packages"
    for name, text in _TORCH_STUB.items():
        path = packages / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    if progress:
        progress.stage("check that it loads")
    broken = _run([str(work / "bin" / "python"), "-I", "-c", _CHECK], pip_log, _CHECK_TIMEOUT_S)
    if broken:
        raise MissingDependencyError(f"{TOOLKIT} does not load: {broken}", hint=f"its log: {pip_log}")
    stamp = {"key": lock_digest(), "python": version, "megabytes": round(_bytes(work) / 1e6)}
    (work / _STAMP).write_text(json.dumps(stamp) + "\n", encoding="ascii")
    work.chmod(0o755)


def _run(argv: list[str], log_path: Path, timeout_s: float) -> str:
    """Run a program with its output in a log file; return "" or why it failed."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    with log_path.open("w", encoding="utf-8") as stream:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        try:
            code = child.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            return f"not done after {timeout_s:.0f} s"
        finally:
            if child.poll() is None:
                with contextlib.suppress(OSError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()
    if code == 0:
        return ""
    text = log_path.read_text(encoding="utf-8", errors="replace")
    log.info(text.rstrip())
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or [f"exit status {code}"])[-1].removeprefix("ERROR: ")


def _interpreter() -> tuple[str, str]:
    """Choose the Python that the environment is made with: this one where the toolkit supports it."""
    machine = platform.machine()
    if sys.platform != "linux" or machine not in _MACHINES:
        raise ConfigurationError(
            f"{TOOLKIT} does not exist for {sys.platform} on {machine}",
            hint="convert on Linux (x86_64 or aarch64); the bundle can be copied",
        )
    if sys.version_info[:2] in _PYTHONS:
        # Of a virtual environment, the Python that it was made from: ours may be removed some day.
        base = getattr(sys, "_base_executable", sys.executable)
        return base, f"{sys.version_info.major}.{sys.version_info.minor}"
    for major, minor in _PYTHONS:
        found = shutil.which(f"python{major}.{minor}")
        if found:
            return found, f"{major}.{minor}"
    supported = ", ".join(f"{major}.{minor}" for major, minor in reversed(_PYTHONS))
    raise MissingDependencyError(
        f"{TOOLKIT} {toolkit_version()} runs on Python {supported} and none of them is installed",
        hint="install python3.11 (or 3.12) with its venv module",
    )


def lock_digest() -> str:
    """Return the digest of all that the environment is made from."""
    return sha256_json({"lock": sha256_bytes(lock_file().read_bytes()), "stub": _TORCH_STUB})


def _stale(found: Environment, reason: str) -> Environment:
    return Environment("stale", found.folder, found.version, reason, found.megabytes)


def _check_space(root: Path) -> None:
    free_mb = shutil.disk_usage(root).free // 1_000_000
    if free_mb < NEEDED_MB:
        raise ConfigurationError(
            f"not enough space in {root}: {NEEDED_MB} MB needed, {free_mb} MB free",
            hint=_SPACE_HINT,
        )


def _bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            total += path.stat().st_size
    return total
