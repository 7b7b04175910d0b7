"""Run an artifact with the C++ engine that ships in the runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgepose.artifact import Artifact
from edgepose.core import core_errors, load_core
from edgepose.errors import MissingDependencyError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]


def tensors(artifact: Artifact, *, inputs: bool) -> list[tuple[str, str, list[int]]]:
    """List the inputs or outputs as (our name, the format's name, dims), in the order of the spec."""
    names = artifact.spec.input_names if inputs else artifact.spec.output_names
    shapes = artifact.input_shapes if inputs else artifact.output_shapes
    return [(name, artifact.tensor_names.get(name, name), list(shapes[name])) for name in names]


def open_engine(artifact: Artifact) -> Any:
    """Open an artifact: one thread, at the artifact's precision.

    Errors: MissingDependencyError (a backend that this build lacks), EngineError.
    """
    require_backend(artifact.format)
    with core_errors():
        return load_core().Engine(
            artifact.format,
            {role: str(path) for role, path in artifact.files.items() if role != "dcc"},
            tensors(artifact, inputs=True),
            tensors(artifact, inputs=False),
            threads=1,
            device="CPU",
            precision=artifact.precision,
        )


def run_engine(artifact: Artifact, samples: Sequence[Array]) -> list[list[Array]]:
    """Run every sample [1, ...] alone; return copies of its outputs. Errors: as open_engine."""
    engine = open_engine(artifact)
    with core_errors():
        return [[output.copy() for output in engine.run([sample])] for sample in samples]


def require_backend(target: str) -> None:
    """Check that the C++ runtime has the engine of a target. Errors: MissingDependencyError."""
    available = load_core().available_backends()
    if target not in available:
        raise MissingDependencyError(
            f"this build of EdgePose has no {target} engine, so it cannot verify such a bundle",
            hint=f"it has: {', '.join(available)}; reinstall edgepose from a wheel that has it",
        )


def engine_label(target: str) -> str:
    """Name the engine and the runtime that ran, for reports."""
    return f"{target} engine of the C++ runtime {load_core().version()}"
