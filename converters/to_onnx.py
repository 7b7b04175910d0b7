"""The torch network to the one canonical ONNX graph that every target is made from."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepose import interrupts, log
from edgepose.artifact import Artifact, LineageEntry, ModelSpec, OneStageHead
from edgepose.bundle.manifest import ROLE_OF_TASK
from edgepose.converters.base import Context, tool_failure, tool_versions
from edgepose.errors import ConversionError
from edgepose.hashing import sha256_file

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from edgepose.converters.samples import Sample

    Array = NDArray[np.float32]

OPSET = 17

# The largest float16 over a factor of 16, for inputs wilder than the samples.
SAFE_SUM_OF_SQUARES = 65504 / 16


@dataclass(frozen=True, slots=True)
class References:
    """What the torch float32 network gives: per sample, the outputs in head order, each [1, ...]."""

    outputs: list[list[Array]]
    sums_of_squares: Mapping[str, float]


def run_reference(network: torch.nn.Module, spec: ModelSpec, samples: Sequence[Sample]) -> References:
    """Run the torch network on every sample, and measure the largest sum of squares in each ScaleNorm.

    Errors: ConversionError where the network itself gives NaN or infinity.
    """
    import numpy as np

    measured: dict[str, float] = {}
    hooks = []
    for name, module in _scale_norms(network):

        def measure(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], name: str = name) -> None:
            largest = float(inputs[0].detach().double().square().sum(dim=-1).max())
            measured[name] = max(measured.get(name, 0.0), largest)

        hooks.append(module.register_forward_pre_hook(measure))
    try:
        outputs = [run_torch(network, sample.tensor) for sample in samples]
    finally:
        for hook in hooks:
            hook.remove()
    for index, output_name in enumerate(spec.output_names):
        if not all(np.isfinite(arrays[index]).all() for arrays in outputs):
            raise ConversionError(
                f"{spec.name}: the network itself puts out NaN or infinity in {output_name}",
                hint="the weights are damaged, or the training diverged",
            )
    return References(outputs, measured)


def run_torch(network: torch.nn.Module, tensor: Array) -> list[Array]:
    """Run the network on one input; return its outputs as arrays."""
    import torch

    with torch.inference_mode():
        result = network(torch.from_numpy(tensor))
    return [t.numpy() for t in (result if isinstance(result, tuple) else (result,))]


def choose_prescale(sum_of_squares: float) -> float:
    """Return the largest 2**-k, k >= 0, that brings a sum of squares below the safe limit."""
    if not math.isfinite(sum_of_squares):
        raise ValueError("the sum of squares is not finite")
    if sum_of_squares < SAFE_SUM_OF_SQUARES:
        return 1.0
    k = math.ceil(math.log2(sum_of_squares / SAFE_SUM_OF_SQUARES) / 2)
    while sum_of_squares * 4.0**-k >= SAFE_SUM_OF_SQUARES:
        k += 1
    return float(2.0**-k)


def export_canonical(
    network: torch.nn.Module,
    spec: ModelSpec,
    *,
    checkpoint_sha256: str,
    references: References,
    context: Context,
) -> Artifact:
    """Write ROLE.onnx (opset 17, any batch, half-precision-safe ScaleNorm) and, for RTMO, ROLE.dcc.

    The network's prescale attributes are set. Errors: ConversionError, ConfigurationError (full disk).
    """
    role = ROLE_OF_TASK[spec.task]
    prescales = {}
    for name, module in _scale_norms(network):
        module.prescale = prescales[name] = choose_prescale(references.sums_of_squares.get(name, 0.0))
    raw, path = context.work_dir / "exported.onnx", context.work_dir / f"{role}.onnx"
    height, width = spec.preprocess.input_hw
    input_shapes = {spec.input_names[0]: (-1, 3, height, width)}
    output_shapes = {
        name: (-1, *array.shape[1:])
        for name, array in zip(spec.output_names, references.outputs[0], strict=True)
    }
    started = time.monotonic()
    _export(network, spec, raw, context)
    exported = time.monotonic()
    _simplify(raw, path, {**input_shapes, **output_shapes}, context)
    versions = tool_versions(["torch", "onnxsim"])
    # The unsimplified file is not hashed: its doc strings name the folder of this installation.
    lineage = (
        LineageEntry(
            step="export",
            tool="torch",
            version=versions["torch"],
            arguments={"opset": OPSET, "dynamo": False, "dynamic_axes": ["batch"], "prescale": prescales},
            inputs={f"{role}.checkpoint": checkpoint_sha256},
            outputs={},
            seconds=exported - started,
        ),
        LineageEntry(
            step="simplify",
            tool="onnxsim",
            version=versions["onnxsim"],
            arguments={},
            inputs={},
            outputs={path.name: sha256_file(path)},
            seconds=time.monotonic() - exported,
        ),
    )
    files = {"onnx": path}
    if isinstance(spec.head, OneStageHead):
        from edgepose.converters.dcc_file import write_dcc_file

        files["dcc"] = context.work_dir / f"{role}.dcc"
        write_dcc_file(network.dcc_weights(), files["dcc"])
        outputs = {files["dcc"].name: sha256_file(files["dcc"])}
        lineage = (dataclasses.replace(lineage[0], outputs=outputs), *lineage[1:])
    return Artifact(
        spec=spec,
        format="onnx",
        precision="fp32",
        files=files,
        input_shapes=input_shapes,
        output_shapes=output_shapes,
        lineage=lineage,
    )


def run_onnx(path: Path, spec: ModelSpec, samples: Sequence[Sample]) -> list[list[Array]]:
    """Run an ONNX file with onnxruntime on every sample. Errors: ConversionError."""
    _refuse_telemetry()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return [session.run(list(spec.output_names), {spec.input_names[0]: s.tensor}) for s in samples]
    except Exception as error:
        raise ConversionError(
            f"{spec.name}: onnxruntime cannot run the exported graph: {_first_line(error)}"
        ) from error


def _export(network: torch.nn.Module, spec: ModelSpec, path: Path, context: Context) -> None:
    import torch

    height, width = spec.preprocess.input_hw
    names = [*spec.input_names, *spec.output_names]
    try:
        with _collected_chatter("torch.onnx"), interrupts.deferred():
            torch.onnx.export(
                network,
                (torch.zeros(1, 3, height, width),),
                str(path),
                dynamo=False,
                opset_version=OPSET,
                input_names=list(spec.input_names),
                output_names=list(spec.output_names),
                dynamic_axes={name: {0: "batch"} for name in names},
            )
    except Exception as error:
        # Twice, for what tracing makes constant and for the places in the code that it notes.
        weights = sum(tensor.numel() * tensor.element_size() for tensor in network.parameters())
        raise tool_failure(
            "the export to ONNX", error, folder=context.work_dir, writes_bytes=2 * weights
        ) from error


def _simplify(raw: Path, path: Path, dims: dict[str, tuple[int, ...]], context: Context) -> None:
    _refuse_telemetry()
    with _collected_chatter("onnxsim"):
        import onnx
        import onnxsim

        from edgepose.converters.onnx_passes import fix_output_dims, fold_space_to_depth, strip_origin

    try:
        with _collected_chatter("onnxsim"):
            model = onnx.load(str(raw))
            strip_origin(model)
            fix_output_dims(model, dims)
            model, checked = onnxsim.simplify(model)
            if not checked:
                raise ValueError("the simplified graph is not equal to the exported one")
            fold_space_to_depth(model)
            strip_origin(model)
            fix_output_dims(model, dims)
            onnx.checker.check_model(model)
            onnx.save(model, str(path))
    except Exception as error:
        raise tool_failure(
            "simplifying the ONNX graph",
            error,
            folder=context.work_dir,
            writes_bytes=2 * raw.stat().st_size,
        ) from error


def _refuse_telemetry() -> None:
    """Keep onnxruntime, which onnxsim imports, from reporting to its maker and from leaving a file behind."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def _scale_norms(network: torch.nn.Module) -> list[tuple[str, Any]]:
    from edgepose.nets.gau import ScaleNorm

    return [(name, module) for name, module in network.named_modules() if isinstance(module, ScaleNorm)]


@contextlib.contextmanager
def _collected_chatter(tool: str) -> Iterator[None]:
    """Keep what a tool writes, also from C++, and its warnings from the terminal.

    They are shown with -vv, where the tool fails with -v.
    """
    show = log.debug
    # The lock keeps messages and the progress bar out of the file for the while.
    with (
        log.stream_lock(),
        tempfile.TemporaryFile() as stream,
        warnings.catch_warnings(record=True) as caught,
    ):
        saved: list[tuple[int, int]] = []
        try:
            with interrupts.deferred():  # a signal in between would leave stderr at the file
                for number in filter(_is_open, (1, 2)):
                    saved.append((os.dup(number), number))
                    os.dup2(stream.fileno(), number)
            warnings.simplefilter("always")
            yield
        except Exception:
            show = log.info
            raise
        finally:
            with interrupts.deferred():
                sys.stdout.flush()
                sys.stderr.flush()
                for copy, number in saved:
                    os.dup2(copy, number)
                    os.close(copy)
            stream.seek(0)
            text = stream.read().decode(errors="replace")
            for line in [*(_first_line(warning.message) for warning in caught), *text.strip().splitlines()]:
                show(f"{tool}: {line}")


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _first_line(value: object) -> str:
    return next(iter(str(value).strip().splitlines()), type(value).__name__)
