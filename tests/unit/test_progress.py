"""The progress bar and the messages around it."""

from __future__ import annotations

import fcntl
import io
import os
import struct
import termios
import time
from collections.abc import Iterator

import pytest

from edgepose import log
from edgepose.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def normal_level(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TERM", "xterm")
    yield
    log.set_level(log.NORMAL)


def test_no_terminal_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    with Progress("work", total=3, stream=stream) as progress:
        progress.advance(2)
    assert progress.done == 2
    assert stream.getvalue() == "" and capsys.readouterr().err == ""


def test_verbose_tells_start_stages_and_end(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_level(log.VERBOSE)
    with Progress("work", stages=1, stream=io.StringIO()) as progress:
        progress.stage("first")
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["work: started", "work: first"] and lines[2].startswith("work: finished after")
    with pytest.raises(ValueError), Progress("work", stream=io.StringIO()):
        raise ValueError
    assert "work: stopped after" in capsys.readouterr().err


def test_a_terminal_gets_a_bar_that_vanishes() -> None:
    stream = Terminal()
    with Progress("work", total=4, stream=stream) as progress:
        progress.advance()
        deadline = time.monotonic() + 5
        while "1/4" not in stream.getvalue() and time.monotonic() < deadline:
            time.sleep(0.02)
    assert "work" in stream.getvalue() and "1/4" in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[2K")


def test_the_bar_is_as_wide_as_the_terminal_that_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # stdout's, which may be a file
    reader, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 24, 30, 0, 0))
    with os.fdopen(terminal, "w") as stream, Progress("a long title of the work", total=4, stream=stream):
        line = os.read(reader, 1000).decode().removeprefix("\r\x1b[2K").partition("\r")[0]
    os.close(reader)
    assert line.startswith("a long title") and len(line) == 29


def test_wide_characters_take_two_columns() -> None:
    progress = Progress("歩行者の動画", total=4)
    assert progress.line(11) == "歩行者の動"
    assert progress.line(12) == "歩行者の動" and progress.line(13) == "歩行者の動画"


def test_a_terminal_that_clears_no_line_has_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()
    with Progress("work", total=4, stream=stream):
        time.sleep(0.15)
    assert stream.getvalue() == ""


def test_quiet_has_no_bar() -> None:
    log.set_level(log.QUIET)
    stream = Terminal()
    with Progress("work", total=4, stream=stream):
        time.sleep(0.15)
    assert stream.getvalue() == ""


def test_the_line_shows_stage_rate_and_time_left() -> None:
    with Progress("run", stages=3, unit="frames", stream=io.StringIO()) as progress:
        progress.stage("poses", total=100)
        progress.advance(25)
        line = progress.line(120, now_s=progress._stage_started_s + 10)
    assert "1/3 poses" in line and "25/100" in line and "2.5 frames/s" in line and "0:30 left" in line
    assert line.count("#") == 6
    assert len(progress.line(40)) < 40


def test_messages_do_not_mix_with_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    with Progress("work", total=4):
        log.warning("look out")
    assert "\r\x1b[2Kwarning: look out\n" in stream.getvalue()


def test_levels(capsys: pytest.CaptureFixture[str]) -> None:
    for level, expected in ((-1, "e"), (0, "ewn"), (1, "ewni"), (2, "ewnid")):
        log.set_level(level)
        log.error("e")
        log.warning("w")
        log.notice("n")
        log.info("i")
        log.debug("d")
        got = "".join(line[-1] for line in capsys.readouterr().err.splitlines())
        assert got == expected


def test_a_closed_stderr_is_no_second_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr("sys.stderr", closed)
    log.error("nobody hears this")
    with Progress("work", total=1) as progress:
        progress.advance()
    assert progress.done == 1
