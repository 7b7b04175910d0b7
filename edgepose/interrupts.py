"""Ctrl-C, SIGTERM and SIGHUP as exceptions that are raised only where the code below them can take it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_RETRY_SECONDS = 0.05

_caught: int | None = None
_deferrals = 0
_counting = threading.Lock()
_retry: threading.Timer | None = None


class Terminated(BaseException):
    """SIGTERM or SIGHUP; not an Exception, so that clean-up runs and nothing swallows it."""


@contextlib.contextmanager
def answered() -> Iterator[None]:
    """Raise KeyboardInterrupt at SIGINT and Terminated at SIGTERM and SIGHUP, unless that is ignored (nohup).

    Does nothing outside the main thread.
    """
    global _caught
    _caught = None
    previous = {}
    try:
        with contextlib.suppress(ValueError):  # not the main thread
            numbers = [signal.SIGINT, signal.SIGTERM]
            if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
                numbers.append(signal.SIGHUP)
            for number in numbers:
                previous[number] = signal.signal(number, _handle)
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        if _retry is not None:
            _retry.cancel()


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Hold a signal back until the block is done: for libraries whose C++ calls Python and can't unwind,
    and for what must not be left half done.
    """
    global _deferrals
    with _counting:
        _deferrals += 1
    try:
        yield
    finally:
        with _counting:
            _deferrals -= 1


def caught() -> int | None:
    """Return the signal of the running command, if one came.

    A library may turn the exception into one of its own: what fails after a signal failed because of it.
    """
    return _caught


def forget() -> None:
    """Drop the signal that was caught: it was answered, and what fails from here on fails by itself."""
    global _caught
    _caught = None


def _handle(number: int, frame: FrameType | None) -> None:
    global _caught, _retry
    _caught = number
    if _deferrals or _importing(frame):
        if _retry is not None:
            _retry.cancel()  # pressed twice, it is raised once
        _retry = threading.Timer(_RETRY_SECONDS, os.kill, (os.getpid(), number))
        _retry.daemon = True
        _retry.start()
        return
    raise KeyboardInterrupt if number == signal.SIGINT else Terminated


def _importing(frame: FrameType | None) -> bool:
    """Tell whether a module is being imported: NumPy and torch do not survive half an import."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
