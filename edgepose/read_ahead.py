"""A thread that decodes the frames of a source while others are worked on."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType

from edgepose.media import Frame, Source

_END_S = 2.0  # how long the end of a command waits for a reader
_READ_AHEAD_FRAMES = 4


class ReadAhead:
    """Decode frames in a thread, a few ahead, while others are worked on; a context manager and iterator.

    What is live does not wait: where nobody takes its frames in time, the oldest are dropped, and counted in
    `dropped`. limit: how many frames are given at most.
    """

    def __init__(self, source: Source, *, frames: int = _READ_AHEAD_FRAMES, limit: int | None = None) -> None:
        self._source = source
        self._limit = limit
        self.dropped = 0
        self._queue: queue.Queue[Frame | BaseException | None] = queue.Queue(frames)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="edgepose-reader", daemon=True)

    def __enter__(self) -> ReadAhead:
        self._thread.start()
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        give_up = time.monotonic() + _END_S
        while self._thread.is_alive():
            # It waits for a pipe or a camera: the daemon thread is left alone with its source.
            if time.monotonic() > give_up:
                return
            try:
                self._queue.get_nowait()
            except queue.Empty:
                self._thread.join(0.05)
        self._source.close()

    def __iter__(self) -> Iterator[Frame]:
        given = 0
        while given != self._limit:
            item = self._queue.get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            given += 1
            if given == self._limit:
                self._stop.set()  # what comes later is not dropped, it is not asked for
            yield item

    def _read(self) -> None:
        try:
            live = self._source.kind == "camera"
            for count, frame in enumerate(self._source, start=1):
                self._put(frame, drop_oldest=live)
                if self._stop.is_set() or (count == self._limit and not live):
                    break
            self._put(None)
        except BaseException as error:  # handed to the consumer, which raises it
            self._put(error)

    def _put(self, item: Frame | BaseException | None, *, drop_oldest: bool = False) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0 if drop_oldest else 0.1)
                return
            except queue.Full:
                if not drop_oldest:
                    continue
                with suppress(queue.Empty):
                    self._queue.get_nowait()
                    self.dropped += 1
