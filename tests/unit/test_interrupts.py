"""Signals: raised where the code below can take it, held back where it can't."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from edgepose import interrupts
from edgepose.cli import main as frame

EXCEPTIONS = [
    (signal.SIGINT, KeyboardInterrupt),
    (signal.SIGTERM, interrupts.Terminated),
    (signal.SIGHUP, interrupts.Terminated),
]


@pytest.fixture(autouse=True)
def hangups() -> Iterator[None]:
    """Whoever starts the tests with nohup ignores SIGHUP in them, too."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def _send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "exception"), EXCEPTIONS)
def test_a_signal_is_raised_and_remembered(number: int, exception: type[BaseException]) -> None:
    before = signal.getsignal(number)
    with interrupts.answered():
        assert interrupts.caught() is None
        with pytest.raises(exception):
            _send(number)
            time.sleep(5)
        assert interrupts.caught() == number
    assert signal.getsignal(number) is before


def test_a_hangup_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupts.answered():
            _send(signal.SIGHUP)
            assert interrupts.caught() is None
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(("number", "exception"), EXCEPTIONS)
def test_a_deferred_signal_comes_after_the_block(number: int, exception: type[BaseException]) -> None:
    done = False
    with interrupts.answered(), pytest.raises(exception):
        with interrupts.deferred():
            _send(number)
            time.sleep(0.3)
            done = True
        time.sleep(5)
    assert done


def test_a_signal_that_is_deferred_twice_is_raised_once() -> None:
    with interrupts.answered():
        with interrupts.deferred():
            for _ in range(3):
                _send(signal.SIGINT)
                time.sleep(0.02)
        with pytest.raises(KeyboardInterrupt):
            time.sleep(5)
        time.sleep(0.3)


def test_a_signal_waits_until_an_import_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_to_import.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(0.3)\nvalue = 7\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    value = None
    with interrupts.answered(), pytest.raises(interrupts.Terminated):
        from slow_to_import import value  # type: ignore[import-not-found]

        time.sleep(5)
    assert value == 7


def test_no_signal_comes_after_the_command() -> None:
    with interrupts.answered(), interrupts.deferred():
        _send(signal.SIGINT)
    time.sleep(0.2)  # pytest would end on it


def test_another_thread_can_run_a_command() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def work() -> None:
        with interrupts.answered():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


@pytest.mark.parametrize(("number", "code", "word"), [(2, 130, "interrupted"), (15, 143, "terminated")])
def test_what_fails_after_a_signal_failed_because_of_it(
    number: int,
    code: int,
    word: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    @click.command()
    def info() -> None:
        try:
            _send(number)
            time.sleep(5)
        except BaseException:
            raise AttributeError("module 'numpy' has no attribute 'multiply'") from None

    monkeypatch.setattr(frame.importlib, "import_module", lambda name: type("Module", (), {"info": info}))
    assert frame.main(["info"]) == code
    assert capsys.readouterr().err == f"error: {word}\n"


def test_a_signal_within_the_import_of_torch_leaves_one_line() -> None:
    program = (
        "import importlib, os, signal, sys, threading, types\n"
        "from edgepose.cli import main as frame\n"
        "import click\n"
        "@click.command()\n"
        "def info():\n"
        "    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "    import torch\n"
        "    print(torch.zeros(1).item())\n"
        "    signal.pause()\n"
        "load = lambda name: types.SimpleNamespace(info=info)\n"
        "frame.importlib = types.SimpleNamespace(import_module=load)\n"
        "sys.exit(frame.main(['info']))\n"
    )
    outcome = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=120
    )
    assert (outcome.returncode, outcome.stderr) == (130, "error: interrupted\n")
    assert outcome.stdout in ("0.0\n", "")  # it is raised behind the import, now and then before the print
