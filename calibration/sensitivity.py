"""What int8 does to each layer: when it alone is int8, and when it alone stays float."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepose.artifact import Artifact, SimccHead
from edgepose.calibration.agreement import Agreement, compare, figures_json, rounded
from edgepose.calibration.base import NetworkQuantiser, PrecisionMap
from edgepose.converters.engine import run_engine
from edgepose.errors import CalibrationError
from edgepose.text_table import aligned

Floats = NDArray[np.float32]

# A layer is named bad where its own error is this many times the median layer's.
BAD_FACTOR = 20.0


@dataclass(frozen=True, slots=True)
class LayerSensitivity:
    """One layer: the damage done by it alone in int8, and what is left when it alone stays float.

    layer_error: mean square error of its output on calibration columns, relative to the output; None where it
    was not measured. left_float is None where only the layer itself was asked about.
    """

    layer: str
    kind: str
    alone_int8: Agreement
    left_float: Agreement | None
    layer_error: float | None


@dataclass(frozen=True, slots=True)
class SensitivityReport:
    """All layers in the order of execution, and the network with all of them in int8."""

    similarity_name: str
    samples: int
    all_int8: Agreement
    layers: tuple[LayerSensitivity, ...]

    def worst_first(self) -> list[LayerSensitivity]:
        """Sort the layers by the error that each alone causes at the network's outputs."""
        return sorted(self.layers, key=lambda layer: (-layer.alone_int8.output_error, layer.layer))

    def bad_layers(self) -> list[str]:
        """Name the layers that stand out: their error is over BAD_FACTOR times the median of all."""
        median = float(np.median([layer.alone_int8.output_error for layer in self.layers]))
        return [
            layer.layer for layer in self.worst_first() if layer.alone_int8.output_error > BAD_FACTOR * median
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the report as a bundle keeps it: layers in the order of execution, figures rounded."""
        return {
            "similarity": self.similarity_name,
            "samples": self.samples,
            "all_int8": figures_json(self.all_int8),
            "layers": [
                {
                    "layer": layer.layer,
                    "kind": layer.kind,
                    "alone_int8": figures_json(layer.alone_int8),
                    "left_float": None if layer.left_float is None else figures_json(layer.left_float),
                    "layer_error": None if layer.layer_error is None else rounded(layer.layer_error),
                }
                for layer in self.layers
            ],
            "bad_layers": self.bad_layers(),
        }

    def table(self) -> str:
        """Return a text table, worst layer first."""
        header = (
            "layer",
            "kind",
            "output error",
            "mean px",
            "p95 px",
            self.similarity_name,
            "if float: error",
            "p95 px",
        )
        rows = [header, *(_row(layer) for layer in self.worst_first())]
        rows.append(("(all int8)", "", *_figures(self.all_int8), "", ""))
        return "\n".join(aligned(rows, texts=2))


def sensitivity(
    artifact: Artifact,
    quantiser: NetworkQuantiser,
    samples: Sequence[Floats],
    *,
    layers: Sequence[str],
    leave_out: bool = True,
    advance: Callable[[], None] | None = None,
) -> SensitivityReport:
    """Measure named layers of a float artifact on samples [1, 3, H, W], with the C++ decoder.

    The samples should not be those of the calibration. leave_out: also measure each layer as the only float
    one of those named. advance is called after each layer.
    Errors: CalibrationError (no layer, no sample), UsageError, EngineError.
    """
    if not layers or not samples:
        raise CalibrationError("the sensitivity needs at least one layer and one sample")
    references = run_engine(artifact, samples)
    chosen = [list(layers)]
    for name in layers:
        chosen.append([name])
        if leave_out:
            chosen.append([other for other in layers if other != name])
    maps: list[PrecisionMap] = [dict.fromkeys(names, "int8") for names in chosen]
    figures = (compare(artifact.spec, references, made) for made in quantiser.outputs(maps, samples))
    every = next(figures)
    found = []
    for name in layers:
        found.append(
            LayerSensitivity(
                layer=name,
                kind=quantiser.kind(name),
                alone_int8=next(figures),
                left_float=next(figures) if leave_out else None,
                layer_error=quantiser.layer_error(name),
            )
        )
        if advance:
            advance()
    name = "OKS" if isinstance(artifact.spec.head, SimccHead) else "IoU"
    return SensitivityReport(name, len(samples), every, tuple(found))


def _row(layer: LayerSensitivity) -> tuple[str, ...]:
    left = layer.left_float
    after = ("", "") if left is None else (f"{left.output_error:.2e}", f"{left.p95_px:.2f}")
    return (layer.layer, layer.kind, *_figures(layer.alone_int8), *after)


def _figures(agreement: Agreement) -> tuple[str, ...]:
    return (
        f"{agreement.output_error:.2e}",
        f"{agreement.mean_px:.3f}",
        f"{agreement.p95_px:.2f}",
        f"{agreement.similarity:.4f}",
    )
