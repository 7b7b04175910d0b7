"""How a device is reached: run programs there, move files. One class a connection: local, adb, ssh."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgepose.errors import DeviceError

COMMAND_SECONDS = 30.0
# A slow link: 0.2 MB/s, and a minute for everything else.
_PUSH_SECONDS = 60.0
_PUSH_BYTES_PER_SECOND = 200_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program on the device ended; stderr holds its last lines."""

    exit_code: int
    stderr: str


class Transport(Protocol):
    """A device that can be reached. Methods raise DeviceError, or DeviceLostError where it went away."""

    address: str
    cancel: threading.Event | None  # once it is set, every method ends with process.Cancelled

    def connect(self) -> None:
        """Check that the device answers."""
        ...

    def close(self) -> None:
        """Let go of the connection, whatever became of it; connect() makes a new one."""
        ...

    def run(self, argv: Sequence[str], *, timeout_s: float = COMMAND_SECONDS) -> str:
        """Run a program and return its output. Another exit code than 0 is a DeviceError."""
        ...

    def stream(
        self, argv: Sequence[str], *, folder: str, timeout_s: float, on_line: Callable[[str], None]
    ) -> Outcome:
        """Run a program in a folder and hand over each line of its output, with its end, as it comes."""
        ...

    def push(self, source: Path, target: str) -> None:
        """Copy a file to the device; target appears complete or not at all."""
        ...

    def pull(self, source: str, target: Path) -> None:
        """Copy a file from the device."""
        ...

    def facts(self) -> dict[str, str]:
        """Return what the device says about itself: model, system, serial."""
        ...


def push_seconds(source: Path) -> float:
    """Return how long copying a file may take."""
    return _PUSH_SECONDS + source.stat().st_size / _PUSH_BYTES_PER_SECOND


def quoted(argv: Sequence[str]) -> str:
    """Return a command line for a POSIX shell."""
    return " ".join(shlex.quote(word) for word in argv)


def failed(argv: Sequence[str], outcome: Outcome, where: str) -> DeviceError:
    """Make the error for a program that ended with another code than 0."""
    reason = " ".join(outcome.stderr.split()) or "no message"
    hint = None
    if "No space left" in reason or "Disk quota" in reason:
        hint = "free some space on the device"
    elif "Permission denied" in reason or "Read-only" in reason:
        hint = "choose a folder that may be written: the profile's member folder"
    return DeviceError(f"{where}: {argv[0]} ended with code {outcome.exit_code}: {reason}", hint=hint)
