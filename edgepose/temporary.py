"""Work that writes into the folder for temporary files, and what one that takes no more is reported as."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from edgepose.errors import ConfigurationError


@contextmanager
def temporary_space() -> Iterator[None]:
    """Let a full disk, or a file that is too large, name the folder for temporary files.

    Many a write names no file, and -o is elsewhere. For work that writes nowhere else.
    Errors: ConfigurationError.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        remedy = "see ulimit -f" if error.errno == errno.EFBIG else "free some space there"
        raise ConfigurationError(
            f"{tempfile.gettempdir()}, the folder for temporary files: {error.strerror}",
            hint=f"{remedy}, or set TMPDIR to a folder on another disk",
        ) from error
