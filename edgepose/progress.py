"""A progress bar on a terminal's stderr; without a terminal, a line at the start and the end with -v."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
import unicodedata
from types import TracebackType
from typing import TextIO

from edgepose import log

_REDRAW_SECONDS = 0.1
_BAR_CELLS = 24


class Progress:
    """Show how far a long task is; a context manager.

    A task is a list of stages (`stages` in number, when known), each with or without a known `total`:

        with Progress("converting", stages=2) as progress:
            progress.stage("export to ONNX")
            ...
            progress.stage("compare", total=8)
            for ...: progress.advance()

    A thread draws, so that advance() costs next to nothing and a stage without steps still shows its time.
    """

    def __init__(
        self,
        title: str,
        *,
        total: int | None = None,
        stages: int | None = None,
        unit: str = "",
        stream: TextIO | None = None,
    ) -> None:
        self._title = title
        self._stages = stages
        self._stage_index = 0
        self._stage_name = ""
        self._total = total
        self._unit = unit
        self._done = 0
        self._stream = stream if stream is not None else sys.stderr
        self._shown = log.level() > log.QUIET and _is_terminal(self._stream)
        self._started_s = self._stage_started_s = time.monotonic()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Progress:
        self._started_s = self._stage_started_s = time.monotonic()
        log.info(f"{self._title}: started")
        if self._shown:
            log.set_status_line(self._clear, self._draw)
            self._thread = threading.Thread(target=self._redraw, name="edgepose-progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._thread:
            self._stop.set()
            self._thread.join()
            self._thread = None
            with log.stream_lock():
                self._clear()
                log.set_status_line(None, None)
        end = "finished" if error_type is None else "stopped"
        log.info(f"{self._title}: {end} after {time.monotonic() - self._started_s:.1f} s")

    def stage(self, name: str, *, total: int | None = None) -> None:
        """Begin the next stage; total is its number of steps, when known."""
        with log.stream_lock():
            self._stage_index += 1
            self._stage_name = name
            self._total = total
            self._done = 0
            self._stage_started_s = time.monotonic()
        log.info(f"{self._title}: {name}")

    def advance(self, steps: int = 1) -> None:
        """Count steps of the current stage as done."""
        self._done += steps

    @property
    def done(self) -> int:
        """The steps done in the current stage."""
        return self._done

    def line(self, columns: int = 80, *, now_s: float | None = None) -> str:
        """Compose the status line, shorter than `columns`; now_s is on time.monotonic()'s clock."""
        now = time.monotonic() if now_s is None else now_s
        elapsed_s = now - self._stage_started_s
        parts = [self._title]
        if self._stage_name:
            count = f"{self._stage_index}/{self._stages} " if self._stages else ""
            parts.append(f"{count}{self._stage_name}")
        if self._total:
            fraction = min(1.0, self._done / self._total)
            filled = int(fraction * _BAR_CELLS)
            parts.append(f"[{'#' * filled}{'-' * (_BAR_CELLS - filled)}] {self._done}/{self._total}")
        elif self._done:
            parts.append(str(self._done))
        if self._unit and self._done and elapsed_s > 0:
            parts.append(f"{self._done / elapsed_s:.1f} {self._unit}/s")
        if self._total and 0 < self._done < self._total:
            parts.append(f"{_clock((self._total - self._done) * elapsed_s / self._done)} left")
        else:
            parts.append(_clock(now - self._started_s))
        return _fitted("  ".join(parts), columns - 1)

    def _redraw(self) -> None:
        while not self._stop.wait(_REDRAW_SECONDS):
            with log.stream_lock():
                self._draw()

    def _draw(self) -> None:
        self._put(f"\r\x1b[2K{self.line(_columns(self._stream))}")

    def _clear(self) -> None:
        self._put("\r\x1b[2K")

    def _put(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._stop.set()  # the terminal went away: the work goes on without a bar


def _columns(stream: TextIO) -> int:
    """Return the width of the terminal that shows the stream, which need not be that of stdout."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return shutil.get_terminal_size().columns


def _fitted(text: str, columns: int) -> str:
    """Return the beginning of a text that fits; East Asian characters take two columns."""
    for end, character in enumerate(text):
        columns -= 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if columns < 0:
            return text[:end]
    return text


def _is_terminal(stream: TextIO) -> bool:
    """Tell whether the stream is a terminal that can clear a line."""
    try:
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:
        return False


def _clock(seconds: float) -> str:
    whole = max(0, round(seconds))
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
