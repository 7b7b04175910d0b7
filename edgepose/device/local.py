"""This machine as a device."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from edgepose.device.process import Ended, TimeLimit, run_lines
from edgepose.device.transport import COMMAND_SECONDS, Outcome, failed
from edgepose.errors import DeviceError
from edgepose.paths import cache_dir

# What the engines load; a name without a slash is looked for where the system keeps its libraries.
_LIBRARIES = ("EDGEPOSE_RKNN_LIBRARY", "EDGEPOSE_ONNXRUNTIME_LIBRARY")


class LocalTransport:
    """Runs programs here; "copying" a file links it where that is possible."""

    address = "this machine"
    cancel: threading.Event | None = None

    def connect(self) -> None:
        """Do nothing: this machine is there."""

    def close(self) -> None:
        """Do nothing."""

    def run(self, argv: Sequence[str], *, timeout_s: float = COMMAND_SECONDS) -> str:
        """Run a program and return its output."""
        lines: list[str] = []
        ended = self._run(argv, timeout_s=timeout_s, on_line=lines.append, folder=None)
        if ended.exit_code != 0:
            raise failed(argv, Outcome(ended.exit_code, ended.stderr), self.address)
        return "".join(lines)

    def stream(
        self, argv: Sequence[str], *, folder: str, timeout_s: float, on_line: Callable[[str], None]
    ) -> Outcome:
        """Run a program in a folder."""
        ended = self._run(argv, timeout_s=timeout_s, on_line=on_line, folder=Path(folder))
        return Outcome(ended.exit_code, ended.stderr)

    def push(self, source: Path, target: str) -> None:
        """Link or copy a file."""
        part = Path(f"{target}.part")
        part.unlink(missing_ok=True)
        try:
            os.link(source.resolve(), part)
        except OSError:
            shutil.copy(source, part)
        part.replace(target)

    def pull(self, source: str, target: Path) -> None:
        """Copy a file."""
        shutil.copyfile(source, target)

    def facts(self) -> dict[str, str]:
        """Return nothing: the runner's own facts say it all."""
        return {}

    def _run(
        self, argv: Sequence[str], *, timeout_s: float, on_line: Callable[[str], None], folder: Path | None
    ) -> Ended:
        try:
            return run_lines(
                argv,
                timeout_s=timeout_s,
                on_line=on_line,
                folder=folder,
                environment=_environment(),
                cancel=self.cancel,
            )
        except TimeLimit:
            raise DeviceError(
                f"{Path(argv[0]).name} took longer than {timeout_s:.0f} s and was ended",
                hint="does the network hang? try edgepose run",
            ) from None


def _environment() -> dict[str, str]:
    """Return the variables for a program that runs in another folder: relative paths begin at this one."""
    environment = dict(os.environ)
    for name in _LIBRARIES:
        if "/" in environment.get(name, ""):
            environment[name] = str(Path(environment[name]).absolute())
    if environment.get("EDGEPOSE_CACHE"):
        environment["EDGEPOSE_CACHE"] = str(cache_dir())
    return environment
