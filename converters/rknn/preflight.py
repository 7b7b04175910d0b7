"""What a chip cannot do, node by node: rules before the build, and the compiler's own list after it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgepose.converters.rknn.soc import Soc

MAX_OPSET = 19
_WIDE_POOL = 7

# Operators of the networks that EdgePose converts, which the compiler of 2.5.0 takes on every chip.
_KNOWN = frozenset(
    {
        "Add",
        "AveragePool",
        "BatchNormalization",
        "Clip",
        "Concat",
        "Constant",
        "Conv",
        "Div",
        "Erf",  # of a GELU, which the compiler fuses
        "Expand",
        "Flatten",
        "Gemm",
        "GlobalAveragePool",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "LayerNormalization",
        "LeakyRelu",
        "MatMul",
        "MaxPool",
        "Mul",
        "Pad",
        "Pow",
        "ReduceL2",
        "ReduceMean",
        "Relu",
        "Reshape",
        "Resize",
        "Sigmoid",
        "Slice",
        "Softmax",
        "Split",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Tanh",
        "Transpose",
        "Unsqueeze",
    }
)

# Chips whose compiled networks have every Transpose on the CPU (placement of the compiler, 2.5.0).
_TRANSPOSE_ON_CPU = frozenset({"rk3566", "rk3568"})

# The compiler's table of layers: number, kind, type, place, ..., "Kind:name" at the end.
_LAYER = re.compile(r"^D RKNN: \[[^]]*\] +\d+ +(\w+) +\S+ +(NPU|CPU|GPU) .* (\S+:\S+) *$")
_NOT_WORK = ("InputOperator", "OutputOperator")


@dataclass(frozen=True, slots=True)
class Finding:
    """One node that the NPU does not take as it is. refused: the build is not begun."""

    node: str
    operator: str
    reason: str
    refused: bool

    def __str__(self) -> str:
        return f"{self.operator} {self.node}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the compiled layers run."""

    on_npu: int
    elsewhere: tuple[tuple[str, str], ...]

    def summary(self) -> str:
        """Return one line: how many layers run where, and of which kinds those are that left the NPU."""
        total = self.on_npu + len(self.elsewhere)
        if not self.elsewhere:
            return f"all {total} layers run on the NPU"
        kinds = Counter(kind for kind, _ in self.elsewhere)
        listed = ", ".join(f"{kind} x{count}" for kind, count in sorted(kinds.items()))
        return f"{len(self.elsewhere)} of {total} layers run on the CPU: {listed}"


def check(model: Any, soc: Soc) -> list[Finding]:
    """List the nodes of an ONNX graph that a chip's NPU does not take, refusals first."""
    from onnx import helper

    findings = []
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version > MAX_OPSET:
            reason = f"the compiler takes ONNX opsets up to {MAX_OPSET}"
            findings.append(Finding("(graph)", f"opset {opset.version}", reason, True))
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        if not dims or any(not dim.HasField("dim_value") for dim in dims):
            findings.append(Finding(value.name, "input", "the compiler takes no dynamic shape", True))
    for number, node in enumerate(model.graph.node):
        name = node.name or f"number {number}"
        if node.op_type not in _KNOWN or node.domain not in ("", "ai.onnx"):
            reason = "not known to run on a Rockchip NPU"
            findings.append(Finding(name, node.op_type, reason, True))
        elif node.op_type == "MaxPool":
            kernel: list[int] = next(
                (helper.get_attribute_value(a) for a in node.attribute if a.name == "kernel_shape"), []
            )
            if max(kernel, default=0) >= _WIDE_POOL:
                reason = f"pools of {_WIDE_POOL} and more are computed wrongly"
                findings.append(Finding(name, node.op_type, reason, True))
        elif node.op_type == "Transpose" and soc.name in _TRANSPOSE_ON_CPU:
            findings.append(Finding(name, node.op_type, f"runs on the CPU of {soc.name}", False))
    return sorted(findings, key=lambda finding: not finding.refused)


def refusal(findings: Sequence[Finding]) -> str | None:
    """Return one line with the nodes that forbid the build, or None."""
    refused = [str(finding) for finding in findings if finding.refused]
    if not refused:
        return None
    more = f" and {len(refused) - 5} more (-v lists them)" if len(refused) > 5 else ""
    return "; ".join(refused[:5]) + more


def placement(log_text: str) -> Placement | None:
    """Read the compiler's table of layers from its log; None where there is none."""
    on_npu = 0
    elsewhere = []
    for line in log_text.splitlines():
        match = _LAYER.match(line)
        if not match or match[1] in _NOT_WORK:
            continue
        if match[2] == "NPU":
            on_npu += 1
        else:
            elsewhere.append((match[1], match[3].partition(":")[2]))
    return Placement(on_npu, tuple(elsewhere)) if on_npu or elsewhere else None
