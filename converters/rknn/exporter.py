"""ONNX to RKNN, compiled and then run in the simulator by rknn-toolkit2 in its own environment."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepose import log
from edgepose.artifact import Artifact, LineageEntry
from edgepose.bundle.manifest import ROLE_OF_TASK
from edgepose.converters.base import Context, tool_failure
from edgepose.converters.rknn import client, environment, graph, preflight
from edgepose.converters.rknn.soc import Soc, check_precision, resolve_soc
from edgepose.errors import ConversionError, EdgePoseError
from edgepose.hashing import sha256_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

_OUTPUTS = "simulated.npz"


class RknnExporter:
    """Fixes the shapes, checks every node against the chip, compiles, and simulates context.inputs."""

    name = "rknn"
    source = "onnx"
    target = "rknn"
    tools = ("onnx", "onnxsim")

    def __init__(self, soc: str | None) -> None:
        self._soc: Soc = resolve_soc(soc)

    @property
    def label(self) -> str:
        """The target with the chip, as bundles are named."""
        return f"rknn-{self._soc.name}"

    @property
    def simulator(self) -> str:
        """What ran in place of the device, for reports."""
        version = environment.toolkit_version()
        return f"rknn-simulator (not hardware), rknn-toolkit2 {version}, {self._soc.name}"

    def check(self, precision: str) -> None:
        """Check the precision and the toolkit's environment. Errors: UsageError, MissingDependencyError."""
        check_precision(self._soc, precision)
        environment.require()

    def settings(self) -> Mapping[str, str]:
        """Return what the result depends on beside the graph and the precision."""
        return {"soc": self._soc.name, "toolkit": environment.lock_digest()}

    def run(self, artifact: Artifact, context: Context) -> Artifact:
        """Write ROLE.rknn. Errors: ConversionError, MissingDependencyError, OSError."""
        started = time.monotonic()
        made_by = environment.require()
        spec = artifact.spec
        role = ROLE_OF_TASK[spec.task]
        source = artifact.files["onnx"]
        path, prepared = context.work_dir / f"{role}.rknn", context.work_dir / "prepared.onnx"
        dims = (1, 3, *spec.preprocess.input_hw)
        changed = prepare(artifact, prepared, self._soc)
        job = {
            "kind": "compile",
            "model": str(prepared),
            "soc": self._soc.name,
            "input_name": spec.input_names[0],
            "input_dims": list(dims),
            "output_names": list(spec.output_names),
            "rknn": str(path),
            "samples": store_inputs(context.inputs, context.work_dir),
            "outputs": str(context.work_dir / _OUTPUTS),
        }
        answer = client.run_job(
            job,
            title=f"{spec.name} for {self._soc.name}",
            environment=made_by,
            work_dir=context.work_dir,
            children=context.children,
        )
        layers = placement(answer, spec.name, self._soc)
        entry = LineageEntry(
            step="compile",
            tool="rknn-toolkit2",
            version=made_by.version,
            arguments={
                "target_platform": self._soc.name,
                "passes": changed,
                "layers": layers.summary(),
                "not_on_npu": [f"{kind} {name}" for kind, name in layers.elsewhere],
            },
            inputs={f"{role}.onnx": sha256_file(source)},
            outputs={path.name: sha256_file(path)},
            seconds=time.monotonic() - started,
        )
        return Artifact(
            spec=spec,
            format=self.target,
            precision=context.precision,
            files={"rknn": path},
            input_shapes=artifact.input_shapes,
            output_shapes=artifact.output_shapes,
            lineage=(*artifact.lineage, entry),
        )

    def simulated(self, artifact: Artifact, context: Context) -> list[list[Array]]:
        """Return what the simulator gave for context.inputs in run(). Errors: ConversionError."""
        return read_outputs(context.work_dir / _OUTPUTS, artifact, len(context.inputs))


def prepare(artifact: Artifact, target: Path, soc: Soc) -> dict[str, int]:
    """Write the graph of an ONNX artifact as the compiler needs it; return what the passes changed.

    Errors: ConversionError (a node that the chip does not take, by name), OSError.
    """
    import onnx

    spec = artifact.spec
    source = artifact.files["onnx"]
    dims = (1, 3, *spec.preprocess.input_hw)
    try:
        model, changed = graph.prepare(onnx.load(str(source)), spec.input_names[0], dims)
        findings = preflight.check(model, soc)
        for finding in findings:
            log.info(f"{spec.name}: {finding}")
        reason = preflight.refusal(findings)
        if reason:
            raise ConversionError(f"{spec.name} cannot run on {soc.name}: {reason}")
        if findings:
            nodes = "1 node is" if len(findings) == 1 else f"{len(findings)} nodes are"
            log.notice(
                f"{spec.name}: {nodes} known beforehand to leave the NPU of {soc.name} (-v: which); "
                "the build says how many do"
            )
        onnx.save(model, str(target))
    except EdgePoseError:
        raise
    except Exception as error:
        raise tool_failure(
            "preparing the graph for RKNN",
            error,
            folder=target.parent,
            writes_bytes=source.stat().st_size,
        ) from error
    return changed


def placement(answer: client.Answer, name: str, soc: Soc) -> preflight.Placement:
    """Return where the layers of a network were placed. Errors: ConversionError."""
    layers = preflight.placement(answer.log_text)
    if layers is None:
        raise ConversionError(
            f"{name}: rknn-toolkit2's log has no table of layers", hint=f"its log: {answer.log_file}"
        )
    for kind, layer in layers.elsewhere:
        log.info(f"{name}: {kind} {layer} runs on the CPU of {soc.name}")
    return layers


def store_inputs(inputs: Sequence[Array], folder: Path) -> str:
    """Write samples [1, 3, H, W] for the worker; return the file."""
    import numpy as np

    path = folder / "inputs.npz"
    arrays: dict[str, Any] = {str(index): array for index, array in enumerate(inputs)}
    np.savez(path, **arrays)
    return str(path)


def read_outputs(path: Path, artifact: Artifact, count: int) -> list[list[Array]]:
    """Return what the simulator gave for `count` samples, each output [1, ...]. Errors: ConversionError."""
    import numpy as np

    shapes = [artifact.output_shapes[name][1:] for name in artifact.spec.output_names]
    with np.load(path, allow_pickle=False) as stored:
        return [
            [_shaped(stored[f"{index}/{n}"], shape, artifact) for n, shape in enumerate(shapes)]
            for index in range(count)
        ]


def _shaped(array: Array, shape: tuple[int, ...], artifact: Artifact) -> Array:
    if array.size != math.prod(shape):
        raise ConversionError(
            f"{artifact.spec.name}: the simulator gives an output of {array.shape}, expected {(1, *shape)}"
        )
    return array.reshape(1, *shape)
