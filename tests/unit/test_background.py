"""Work in the background: in order, complete, and with its errors."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from edgepose import interrupts
from edgepose.background import Background


def test_everything_is_done_in_order() -> None:
    seen: list[int] = []
    with Background[int](seen.append, waiting=2) as background:
        for number in range(100):
            background.put(number)
    assert seen == list(range(100))


def test_an_error_of_the_work_reaches_the_caller() -> None:
    def fail(number: int) -> None:
        if number == 3:
            raise ValueError("three")

    with pytest.raises(ValueError, match="three"), Background[int](fail, waiting=2) as background:
        for number in range(1000):
            background.put(number)


def test_an_error_in_the_last_item_is_not_lost() -> None:
    def fail(number: int) -> None:
        raise OSError("full")

    with pytest.raises(OSError, match="full"), Background[int](fail) as background:
        background.put(1)


@pytest.mark.parametrize("fails", [False, True])
def test_a_signal_does_not_leave_while_the_work_goes_on(fails: bool) -> None:
    """What the caller cleans up next, such as a video's encoder, is in use until then."""
    in_work = threading.Event()

    def work(number: int) -> None:
        in_work.set()
        time.sleep(0.2)  # until the caller waits for the end
        os.kill(os.getpid(), signal.SIGINT)  # the second one, where the body failed by the first
        time.sleep(0.3)
        in_work.clear()

    with interrupts.answered(), pytest.raises(KeyboardInterrupt):
        try:
            with Background[int](work) as background:
                background.put(1)
                in_work.wait(5)
                if fails:
                    raise KeyboardInterrupt
        finally:
            assert not in_work.is_set()
        time.sleep(5)


def test_what_waits_is_dropped_after_an_error_of_the_caller() -> None:
    seen: list[int] = []
    begun, go = threading.Event(), threading.Event()

    def work(number: int) -> None:
        begun.set()
        go.wait(10)
        seen.append(number)

    with pytest.raises(KeyboardInterrupt), Background[int](work, waiting=8) as background:
        for number in range(5):
            background.put(number)
        assert begun.wait(10)
        threading.Timer(0.2, go.set).start()
        raise KeyboardInterrupt
    assert seen == [0]
