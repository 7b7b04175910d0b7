"""The errors that a user can meet, each with the exit code of the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal


class EdgePoseError(Exception):
    """Report a failure that the user can act on: one line, a hint and an exit code."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(EdgePoseError):
    """A wrong argument, or a file named by the user that cannot be read as what it should be."""

    exit_code = 2


class ConfigurationError(EdgePoseError):
    """The surroundings do not allow the work: no space, no permission, a contradictory setting."""

    exit_code = 3


class MissingDependencyError(EdgePoseError):
    """A package, tool or engine that this work needs is not installed."""

    exit_code = 4


class ConversionError(EdgePoseError):
    """A network cannot be converted, or the converted network is off."""

    exit_code = 5


class CheckpointError(ConversionError):
    """A checkpoint cannot be loaded: damaged, unsafe, of an unknown family, or with other keys or shapes."""


class CalibrationError(EdgePoseError):
    """Calibration data or a calibration run is unusable."""

    exit_code = 6


class BundleError(EdgePoseError):
    """A bundle is incomplete, invalid, damaged or changed since it was written."""

    exit_code = 7


class VerificationError(BundleError):
    """A bundle does not reproduce its golden results."""


class DeviceError(EdgePoseError):
    """A device cannot be reached or failed in the middle."""

    exit_code = 8


class DeviceLostError(DeviceError):
    """The connection to a device broke while something ran there."""


class EngineError(EdgePoseError):
    """An inference engine refused a model or failed while it ran."""

    exit_code = 9


class LimitError(EdgePoseError):
    """A limit or a gate was not met."""

    exit_code = 10


class InconclusiveError(EdgePoseError):
    """A gate cannot decide with the data it was given."""

    exit_code = 11


INTERRUPTED_EXIT_CODE = 130
TERMINATED_EXIT_CODE = 143
BUG_EXIT_CODE = 1

# The C++ codes (status.h) and the error that each becomes; "internal" is a bug and stays a RuntimeError.
CORE_CODES: dict[int, tuple[str, type[EdgePoseError] | None]] = {
    0: ("ok", None),
    1: ("invalid_argument", UsageError),
    2: ("invalid_bundle", BundleError),
    3: ("checksum_mismatch", BundleError),
    4: ("unsupported", MissingDependencyError),
    5: ("backend_failure", EngineError),
    6: ("io", ConfigurationError),
    7: ("internal", None),
}


@contextmanager
def reading(source: str, form: str, *, hint: str) -> Iterator[None]:
    """Report what a document of that form lacks, or holds in its place, as a wrong file, not as a bug."""
    try:
        yield
    except (
        LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError, StopIteration
    ) as error:  # fmt: skip
        raise UsageError(
            f"{source}: is no complete {form} document ({type(error).__name__}: {error})", hint=hint
        ) from error


def lack_of(error: object) -> Literal["memory", "threads"] | None:
    """Return what an error says that the system did not give; torch and Python say it in a RuntimeError."""
    if isinstance(error, MemoryError):
        return "memory"
    text = str(error) if isinstance(error, RuntimeError) else ""
    if "can't allocate memory" in text:
        return "memory"
    return "threads" if "can't start new thread" in text else None


def from_core(code: int, message: str, hint: str | None = None) -> Exception:
    """Make the exception that stands for a C++ status."""
    error = CORE_CODES[code][1]
    return error(message, hint=hint) if error else RuntimeError(message)
