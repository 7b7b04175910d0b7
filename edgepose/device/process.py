"""Run a client program (adb, ssh) or a local one, with a time limit, handing over its lines as they come."""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from edgepose.errors import DeviceError

_STDERR_LINES = 20
_END_SECONDS = 5.0
_LOOK_SECONDS = 0.5  # how soon a cancellation is noticed


class TimeLimit(Exception):
    """The program was ended because it took too long."""


class Cancelled(BaseException):
    """Another thread asked for the end of the program; no Exception, so that nothing swallows it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """exit_code is negative where a signal ended the program; stderr holds the last lines."""

    exit_code: int
    stderr: str


def run_lines(
    argv: Sequence[str],
    *,
    timeout_s: float,
    on_line: Callable[[str], None],
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: Path | None = None,
    silence_s: float | None = None,
    cancel: threading.Event | None = None,
) -> Ended:
    """Run a program and call on_line(line) for each line of its output, in this thread.

    silence_s: give up where nothing was printed for so long. cancel: give up once it is set. The program and
    its children are ended when this function is left in any way. Errors: TimeLimit; Cancelled; DeviceError
    where the program is not there or cannot be run; what on_line raises.
    """
    source: IO[bytes] | int = stdin.open("rb") if stdin else subprocess.DEVNULL
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise DeviceError(f"the program {argv[0]} is not installed", hint=_INSTALL.get(argv[0])) from error
    except OSError as error:
        raise DeviceError(
            f"{argv[0]} cannot be run: {error.strerror}", hint=_HINTS.get(error.errno or 0)
        ) from error
    finally:
        if not isinstance(source, int):
            source.close()
    assert process.stdout is not None and process.stderr is not None
    lines: queue.Queue[bytes | None] = queue.Queue(1000)
    last: deque[bytes] = deque(maxlen=_STDERR_LINES)
    stop = threading.Event()
    readers = [
        threading.Thread(target=_read, args=(process.stdout, lines, stop), daemon=True),
        threading.Thread(target=_collect, args=(process.stderr, last), daemon=True),
    ]
    heard = time.monotonic()
    deadline = heard + timeout_s
    reading_s = 0.1  # what a program still says that is given up interests nobody
    try:
        for reader in readers:
            reader.start()
        while True:
            if cancel is not None and cancel.is_set():
                raise Cancelled
            limit = deadline if silence_s is None else min(deadline, heard + silence_s)
            wait = limit - time.monotonic()
            try:
                line = lines.get(timeout=min(max(0.0, wait), _LOOK_SECONDS))
            except queue.Empty:
                if wait <= 0:
                    raise TimeLimit from None
                continue
            heard = time.monotonic()
            if line is None:
                break
            on_line(line.decode("utf-8", "replace").replace("\r\n", "\n"))
        exit_code = process.wait(timeout=max(0.1, deadline - time.monotonic()))
        reading_s = _END_SECONDS
    except subprocess.TimeoutExpired:
        raise TimeLimit from None
    finally:
        stop.set()
        _end(process)
        for reader, stream in zip(readers, (process.stdout, process.stderr), strict=True):
            if reader.ident is None:  # the system gave no thread for it
                stream.close()
            else:
                reader.join(reading_s)
    return Ended(exit_code, b"".join(last).decode("utf-8", "replace").strip())


def _collect(stream: IO[bytes], last: deque[bytes]) -> None:
    with stream:
        last.extend(stream)


def _read(stream: IO[bytes], lines: queue.Queue[bytes | None], stop: threading.Event) -> None:
    with stream:
        for line in iter(stream.readline, b""):
            while not stop.is_set():
                try:
                    lines.put(line, timeout=0.2)
                    break
                except queue.Full:
                    continue
    while not stop.is_set():
        try:
            lines.put(None, timeout=0.2)
            return
        except queue.Full:
            continue


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and what it started; nothing happens where it is over."""
    if process.poll() is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.wait(_END_SECONDS)
            return
        except subprocess.TimeoutExpired:
            continue


_NO_PROGRAM = "is it a program for this machine, and may it be executed?"
_HINTS = {
    errno.ENOEXEC: _NO_PROGRAM,
    errno.EACCES: _NO_PROGRAM,
    errno.EAGAIN: "too many processes are running: see ulimit -u",
}
_INSTALL = {
    "adb": "Debian: apt-get install adb; otherwise Android's platform tools",
    "ssh": "Debian: apt-get install openssh-client",
}
