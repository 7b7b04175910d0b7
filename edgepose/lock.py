"""Locks between processes, on files in the cache: the system releases them when a process dies."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgepose import log
from edgepose.errors import ConfigurationError

_POLL_S = 0.1


@contextmanager
def locked(path: Path, *, waiting: str) -> Iterator[None]:
    """Hold the one right to what a lock file stands for; it stays behind.

    waiting: is said once where another process holds it. Errors: ConfigurationError.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise unusable(path, error) from error
    try:
        told = False
        while not _try_lock(descriptor, path):
            if not told:
                log.notice(waiting)
                told = True
            time.sleep(_POLL_S)
        yield
    finally:
        os.close(descriptor)


def unusable(path: Path, error: OSError) -> ConfigurationError:
    """Make the error for a file or folder of the cache that cannot be read or written."""
    return ConfigurationError(
        f"cannot use {path}: {error.strerror or error}",
        hint="check the space and the permissions, or let EDGEPOSE_CACHE name another folder",
    )


def _try_lock(descriptor: int, path: Path) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK):  # some file systems lock nothing
            raise unusable(path, error) from error
    return True
