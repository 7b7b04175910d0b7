"""Locks between processes."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import Any

import pytest

from edgepose.errors import ConfigurationError
from edgepose.lock import locked


@pytest.mark.parametrize(
    ("number", "works"), [(errno.ENOSYS, True), (errno.ENOLCK, True), (errno.EIO, False)]
)
def test_a_file_system_that_locks_nothing(
    number: int, works: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    if works:
        with locked(tmp_path / "x.lock", waiting=""):
            return
    with pytest.raises(ConfigurationError, match="cannot use"), locked(tmp_path / "x.lock", waiting=""):
        pass
