"""The border to the C++ runtime: loading `edgepose._core`, and its errors as EdgePose's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edgepose.errors import MissingDependencyError, from_core


def load_core() -> Any:
    """Import the compiled runtime. Errors: MissingDependencyError (not built, or a library is absent)."""
    try:
        from edgepose import _core
    except ImportError as error:
        raise MissingDependencyError(
            f"the compiled runtime edgepose._core cannot be loaded ({error})",
            hint="install EdgePose from its folder with: pip install .",
        ) from error
    return _core


@contextmanager
def core_errors() -> Iterator[None]:
    """Turn the C++ runtime's errors into EdgePose's."""
    core = load_core()
    try:
        yield
    except core.CoreError as error:
        raise from_core(error.code, error.message, error.hint or None) from error
