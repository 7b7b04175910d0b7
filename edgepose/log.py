"""Messages for people, on stderr: warnings always, progress of the work with -v, details with -vv."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable
from functools import cache
from typing import TextIO

QUIET, NORMAL, VERBOSE, DEBUG = -1, 0, 1, 2

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MAX_CHARACTERS = 2000

_level = NORMAL
_lock = threading.RLock()
_status_line: tuple[Callable[[], None], Callable[[], None]] | None = None


def set_level(level: int) -> None:
    """Set how much is written: QUIET (errors only), NORMAL (warnings), VERBOSE or DEBUG."""
    global _level
    _level = max(QUIET, min(DEBUG, level))


def level() -> int:
    """Return the current level."""
    return _level


def error(message: str, hint: str | None = None) -> None:
    """Write an error line, and its hint on a second line."""
    lines = [f"error: {_one_line(message)}"]
    if hint:
        lines.append(f"hint: {_one_line(hint)}")
    _write("\n".join(lines))


def warning(message: str) -> None:
    """Write a warning line, unless quiet."""
    if _level >= NORMAL:
        _write(f"warning: {_one_line(message)}")


@cache
def warning_once(message: str) -> None:
    """Write a warning, once in this process although the work may come by its reason several times."""
    warning(message)


def notice(message: str) -> None:
    """Write a line that most users want, such as which files were made, unless quiet."""
    if _level >= NORMAL:
        _write(message)


def info(message: str) -> None:
    """Write a line about the progress of the work, with -v."""
    if _level >= VERBOSE:
        _write(message)


def debug(message: str) -> None:
    """Write a detail, with -vv."""
    if _level >= DEBUG:
        _write(message)


def set_status_line(clear: Callable[[], None] | None, draw: Callable[[], None] | None) -> None:
    """Register the functions that remove and redraw a progress bar around each message; None removes them."""
    global _status_line
    with _lock:
        _status_line = (clear, draw) if clear and draw else None


def stream_lock() -> threading.RLock:
    """Return the lock that whoever writes to stderr holds."""
    return _lock


def _one_line(text: str) -> str:
    """Make one line of what may hold anything that a file can hold: control characters become blanks."""
    line = _CONTROL.sub(" ", text).strip()
    return line if len(line) <= _MAX_CHARACTERS else line[:_MAX_CHARACTERS] + "..."


def _write(text: str, stream: TextIO | None = None) -> None:
    target = stream or sys.stderr
    with _lock:
        if _status_line:
            _status_line[0]()
        try:
            print(text, file=target, flush=True)
        except (OSError, ValueError):
            return  # a closed stderr must not turn a message into a second failure
        if _status_line:
            _status_line[1]()
