"""OpenVINO networks in int8: ranges are nncf's; rounding, where it helps, and the choice of layers ours."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepose import __version__, log
from edgepose.artifact import Artifact, LineageEntry, Precision
from edgepose.calibration.agreement import output_error
from edgepose.calibration.base import Calibrator, NetworkQuantiser, PrecisionMap, check_samples
from edgepose.calibration.openvino_layers import (
    HALF_STEPS,
    BetterConvolution,
    better_convolutions,
    passed_through,
)
from edgepose.calibration.plan import DEFAULT_OBSERVER, Plan
from edgepose.converters.base import require, tool_versions
from edgepose.converters.engine import run_engine
from edgepose.converters.to_openvino import number_operations, refuse_telemetry
from edgepose.errors import CalibrationError, UsageError
from edgepose.hashing import sha256_file

Floats = NDArray[np.float32]

_FAKE = "FakeQuantize"
# What a value costs to read and to write, in multiplications.
_WRITING = 16
# Of those of the calibration, to choose between the ways to quantise one layer.
_DECIDING_SAMPLES = 6
_CONVOLUTIONS = ("Convolution", "GroupConvolution")
# Behind these no values of the input are left: a shape is none.
_ENDS = (*_CONVOLUTIONS, "ShapeOf")
_PRODUCTS = (*_CONVOLUTIONS, "MatMul")


class OpenvinoCalibrator(Calibrator):
    """Quantises OpenVINO networks with nncf.quantize, once for all precision maps."""

    format = source = label = "openvino"
    tools = ("openvino", "nncf")

    def observe(self, artifact: Artifact, samples: Sequence[Floats], plan: Plan) -> OpenvinoQuantiser:
        """Let nncf run the float network on the samples. Errors: CalibrationError, MissingDependencyError."""
        require(self.tools, purpose="calibrate an OpenVINO network")
        check_samples(samples)
        if plan.observer != DEFAULT_OBSERVER:
            log.notice(
                f"{artifact.spec.name}: the plan's observer {plan.observer} has no effect on OpenVINO, "
                "whose ranges are nncf's"
            )
        return OpenvinoQuantiser(artifact, samples, plan)


class OpenvinoQuantiser(NetworkQuantiser):
    """nncf's network with all layers in int8, from which layers go back to float by leaving out their
    FakeQuantize operations: what nncf's ignored scopes do, without calibrating again for every choice.
    """

    def __init__(self, artifact: Artifact, samples: Sequence[Floats], plan: Plan) -> None:
        refuse_telemetry()  # for nncf, too
        import openvino

        self._artifact, self._plan, self._count = artifact, plan, len(samples)
        self._float = openvino.Core().read_model(str(artifact.files["xml"]))
        self._full = _quantise(self._float, samples, plan)
        operations = {op.get_friendly_name(): op for op in self._full.get_ordered_ops()}
        self._kinds: dict[str, str] = {
            name: op.get_type_name() for name, op in operations.items() if _fakes(op)
        }
        self._heads = {name for name in self._kinds if _feeds_output(operations[name])}
        self._work = {name: _work(operations[name]) for name in self._kinds}
        # Its input is rounded in front of them.
        self._passed = {
            name: passed_through(operations[name]) & self._kinds.keys()
            for name, kind in self._kinds.items()
            if kind in _PRODUCTS
        }
        self._better: dict[str, BetterConvolution] = {}
        if plan.rounding or plan.equalisation:
            proposals = better_convolutions(self._full, self._float, self._kinds, samples, plan)
            self._better = self._choose(proposals, samples[1::2][:_DECIDING_SAMPLES])

    def _choose(
        self, proposals: dict[str, list[BetterConvolution]], samples: Sequence[Floats]
    ) -> dict[str, BetterConvolution]:
        """Take what brings the network's outputs nearest: a layer's own error says too little of them."""
        references = run_engine(self._artifact, samples)
        chosen: dict[str, BetterConvolution] = {}
        for name, found in proposals.items():
            ways = [{name: proposal} for proposal in found]
            if not any(proposal.factors is None for proposal in found):
                ways.insert(0, {})  # as nncf has it
            errors = []
            for way in ways if len(ways) > 1 else ():
                self._better = way
                (made,) = self.outputs([{name: "int8"}], samples)
                errors.append(output_error(references, made))
            chosen.update(ways[int(np.argmin(errors)) if errors else 0])
        return chosen

    def names(self) -> list[str]:
        """List the operations that nncf quantises, in the order of execution."""
        return list(self._kinds)

    def worthwhile(self) -> list[str]:
        """List the convolutions and products, without the heads: those with no convolution behind them.

        A sum in int8 saves next to nothing, and costs as much accuracy as a convolution.
        """
        return [name for name, kind in self._kinds.items() if kind in _PRODUCTS and name not in self._heads]

    def work(self, name: str) -> float:
        """Return the number of multiplications, and for each value written that of 16 more."""
        return self._work[name]

    def kind(self, name: str) -> str:
        """Return the type of an operation. Errors: UsageError."""
        if name not in self._kinds:
            raise UsageError(f"{self._artifact.spec.name} has no layer {name!r} that can become int8")
        return self._kinds[name]

    def write(self, precision_map: PrecisionMap, out_dir: Path) -> Artifact:
        """Write the network; what the map does not name stays float."""
        from openvino._offline_transformations import compress_quantize_weights_transformation

        started = time.monotonic()
        for name in precision_map:
            self.kind(name)
        chosen = [name for name in self._kinds if precision_map.get(name) == "int8"]
        rounded = {*chosen, *(other for name in chosen for other in self._passed.get(name, ()))}
        model = self._full.clone()
        originals = {op.get_friendly_name(): op for op in self._float.get_ordered_ops()}
        for operation in model.get_ordered_ops():
            name = operation.get_friendly_name()
            if name in self._kinds and name not in rounded:
                _leave_float(operation, originals)
            elif name in self._better:
                _replace(operation, self._better[name], originals, bias=self._plan.bias_correction)
        model.validate_nodes_and_infer_types()
        compress_quantize_weights_transformation(model)
        if self._plan.fp16_weights:
            _halve_float_weights(model)
        files = self._save(model, out_dir, compress=False)
        precision: Precision = "int8" if len(chosen) == len(self._kinds) else "mixed"
        entry = LineageEntry(
            step="quantise",
            tool="nncf",
            version=tool_versions(["nncf"])["nncf"],
            arguments={
                "edgepose": __version__,
                "plan": self._plan.to_json(),
                "samples": self._count,
                "int8_layers": {name: self._steps(name) for name in chosen},
            },
            inputs={path.name: sha256_file(path) for path in self._artifact.files.values()},
            outputs={path.name: sha256_file(path) for path in files.values()},
            seconds=time.monotonic() - started,
        )
        return replace(
            self._artifact, precision=precision, files=files, lineage=(*self._artifact.lineage, entry)
        )

    def _steps(self, name: str) -> list[str]:
        """Name the steps of the plan that are ours, not nncf's, and were kept for a layer."""
        better = self._better.get(name)
        if better is None:
            return []
        kept = {
            "equalisation": better.factors is not None,
            "rounding": better.is_searched,
            "bias_correction": self._plan.bias_correction,
        }
        return [step for step, is_kept in kept.items() if is_kept]

    def half(self, out_dir: Path) -> Artifact:
        """Write the network with all layers float and its weights as half precision."""
        files = self._save(self._float.clone(), out_dir, compress=True)
        return replace(self._artifact, precision="fp16", files=files)

    def _save(self, model: Any, out_dir: Path, *, compress: bool) -> dict[str, Path]:
        import openvino

        out_dir.mkdir(parents=True, exist_ok=True)
        files = {role: out_dir / path.name for role, path in self._artifact.files.items()}
        number_operations(model)
        openvino.save_model(model, str(files["xml"]), compress_to_fp16=compress)
        return files


def _quantise(model: Any, samples: Sequence[Floats], plan: Plan) -> Any:
    with _silence():
        import nncf
        from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix

        try:
            return nncf.quantize(
                model.clone(),
                nncf.Dataset(list(samples)),
                # Unsymmetric activations suit what a Swish makes; weights are symmetric.
                preset=nncf.QuantizationPreset.MIXED
                if plan.zero_points
                else nncf.QuantizationPreset.PERFORMANCE,
                subset_size=len(samples),
                advanced_parameters=AdvancedQuantizationParameters(
                    disable_bias_correction=not plan.bias_correction,
                    # Processors without VNNI add two products in 16 bits, which full weights overflow: the
                    # points would shift there unseen. Weights of 7 bits give the same points everywhere.
                    overflow_fix=OverflowFix.ENABLE,
                    # The weights stay float behind FakeQuantize until the layers are chosen.
                    backend_params={"compress_weights": False},
                ),
            )
        except Exception as error:
            # nncf's own errors have no base class of their own.
            if not isinstance(error, RuntimeError | ValueError) and type(error).__module__ != "nncf.errors":
                raise
            reason = str(error).strip().splitlines()
            raise CalibrationError(f"nncf failed: {reason[0] if reason else type(error).__name__}") from error


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep nncf's banner and bars from stdout, where our results go; its log says nothing below errors."""
    import logging

    logger = logging.getLogger("nncf")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


def _fakes(operation: Any) -> list[int]:
    """Return the inputs of an operation that come from a FakeQuantize."""
    return [
        index
        for index in range(operation.get_input_size())
        if operation.input_value(index).get_node().get_type_name() == _FAKE
        and operation.get_type_name() != _FAKE
    ]


def _work(operation: Any) -> float:
    """Estimate the work of a convolution or a product with weights on one sample; 1 for other operations."""
    fake = operation.input_value(1).get_node() if operation.get_type_name() in _PRODUCTS else None
    if fake is None or fake.get_type_name() != _FAKE or not fake.input_value(0).get_partial_shape().is_static:
        return 1.0
    sides = [side.get_length() for side in list(operation.get_output_partial_shape(0))[1:] if side.is_static]
    values = float(np.prod(sides))
    rows = int(sides[-1] if operation.get_type_name() == "MatMul" else sides[0])
    return values * (float(np.prod(fake.input_value(0).get_shape())) / rows + _WRITING)


def _leave_float(operation: Any, originals: dict[str, Any]) -> None:
    """Read the inputs as they were, and take back what nncf did to the bias behind the operation."""
    for index in _fakes(operation):
        fake = operation.input_value(index).get_node()
        operation.input(index).replace_source_output(fake.input_value(0))
    for bias, original in _biases(operation, originals):
        bias.replace_source_output(_constant(original, original.data.copy()))


def _replace(operation: Any, better: BetterConvolution, originals: dict[str, Any], *, bias: bool) -> None:
    """Take the integers of a search, and make up in the bias for what they lack."""
    inputs, weights = (operation.input_value(index).get_node() for index in range(2))
    low, high = np.float32(better.lowest), np.float32(better.highest)
    if better.factors is not None:
        # Dividing by the factors costs nothing: the steps of an input may differ by channel.
        shape = (1, -1, 1, 1)
        spans = (low * better.factors.reshape(shape), high * better.factors.reshape(shape))
        half = (HALF_STEPS * better.steps).reshape(-1, 1, 1, 1)
        _set_range(inputs, *spans, low, high)
        _set_range(weights, -half, half, -half, half)
    weights.input(0).replace_source_output(_constant(weights.input_value(0).get_node(), better.weight))
    if bias:
        for target, original in _biases(operation, originals):
            corrected = original.data + better.missing.reshape(1, -1, 1, 1)
            target.replace_source_output(_constant(original, corrected.astype(np.float32)))


def _set_range(fake: Any, *ends: Any) -> None:
    for index, values in enumerate(ends, start=1):
        constant = _constant(fake.input_value(index).get_node(), np.asarray(values, np.float32))
        fake.input(index).replace_source_output(constant)


def _biases(operation: Any, originals: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Return the inputs for the bias behind an operation, each with the constant of the float network."""
    found = []
    for reader in operation.output(0).get_target_inputs():
        after = reader.get_node()
        original = originals.get(after.get_friendly_name())
        if after.get_type_name() != "Add" or original is None:
            continue
        for index in range(2):
            constants = after.input_value(index).get_node(), original.input_value(index).get_node()
            if all(constant.get_type_name() == "Constant" for constant in constants):
                found.append((after.input(index), constants[1]))
    return found


def _constant(like: Any, values: Floats) -> Any:
    """Make a constant with another one's name."""
    from openvino import opset13

    constant = opset13.constant(values)
    constant.set_friendly_name(like.get_friendly_name())
    return constant.output(0)


def _halve_float_weights(model: Any) -> None:
    """Store the float weights of products as half, which save_model does not in a quantised network.

    A weight that leaves the range of half precision stays as it is.
    """
    from openvino import opset13

    for operation in model.get_ordered_ops():
        if operation.get_type_name() not in _PRODUCTS:
            continue
        weight = operation.input_value(1).get_node()
        if weight.get_type_name() != "Constant" or weight.get_element_type().get_type_name() != "f32":
            continue
        with np.errstate(over="ignore"):
            half = weight.data.astype(np.float16)
        if np.isfinite(half).all():
            constant = opset13.constant(half)
            constant.set_friendly_name(weight.get_friendly_name())
            back = opset13.convert(constant, "f32")
            back.set_friendly_name(f"{weight.get_friendly_name()}/float")
            operation.input(1).replace_source_output(back.output(0))


def _feeds_output(operation: Any) -> bool:
    """Tell whether no convolution lies between an operation and the network's outputs, on some way."""
    waiting, seen = [operation], set()
    while waiting:
        current = waiting.pop()
        for output in current.outputs():
            for reader in output.get_target_inputs():
                after = reader.get_node()
                name = after.get_friendly_name()
                if after.get_type_name() == "Result":
                    return True
                if after.get_type_name() not in _ENDS and name not in seen:
                    seen.add(name)
                    waiting.append(after)
    return False
