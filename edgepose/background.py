"""Do work behind the caller's back, in order, in one thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

from edgepose import interrupts

T = TypeVar("T")


class Background(Generic[T]):
    """Call `work` on each item put in, in order, in a thread; a context manager that ends when all is done.

    An exception of the work is raised by the next put() or at the end; after an exception in the `with` body
    the items that wait are dropped.
    """

    def __init__(self, work: Callable[[T], None], *, waiting: int = 4) -> None:
        self._work = work
        self._queue: queue.Queue[T | None] = queue.Queue(waiting)
        self._error: BaseException | None = None
        self._dropping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="edgepose-writer", daemon=True)

    def __enter__(self) -> Background[T]:
        self._thread.start()
        return self

    def put(self, item: T) -> None:
        """Hand over an item; wait while too many are."""
        if self._error:
            raise self._error
        self._queue.put(item)

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._dropping.set()
        # What the caller leaves next may be what the work still uses: a video's encoder, for one.
        with interrupts.deferred():
            self._queue.put(None)
            self._thread.join()
        if self._error and error is None:
            raise self._error

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._dropping.is_set():
                continue
            try:
                self._work(item)
            except BaseException as error:  # handed to the caller, who raises it
                self._error = error
                self._dropping.set()
