"""What every calibrator is, and where it is found."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from edgepose.artifact import Artifact
from edgepose.calibration.agreement import Outputs, written_outputs
from edgepose.calibration.plan import Plan
from edgepose.converters.base import SOC_TARGETS
from edgepose.errors import CalibrationError, UsageError

LayerPrecision = Literal["int8", "float"]
PrecisionMap = Mapping[str, LayerPrecision]

# Where the calibrator of a bundle's format lives. A new format is one line here.
CALIBRATORS = {
    "ncnn": "edgepose.calibration.ncnn_int8:NcnnCalibrator",
    "openvino": "edgepose.calibration.openvino_int8:OpenvinoCalibrator",
    "rknn": "edgepose.calibration.rknn_int8:RknnCalibrator",
}


class NetworkQuantiser(Protocol):
    """One float network with its observed ranges; writes it with any of its layers in int8."""

    def names(self) -> list[str]:
        """List the layers that can become int8, in the order of execution."""
        ...

    def worthwhile(self) -> list[str]:
        """List those that are worth it in general: fast in int8, and not the network's heads."""
        ...

    def kind(self, name: str) -> str:
        """Return the type of a layer. Errors: UsageError."""
        ...

    def work(self, name: str) -> float:
        """Return how much a layer computes, relative to the others; 1 where that is not known."""
        return 1.0

    def layer_error(self, name: str) -> float | None:
        """Return the error of a layer's own output in int8, where that is known."""
        return None

    def outputs(
        self, maps: Sequence[PrecisionMap], samples: Sequence[NDArray[np.float32]]
    ) -> Iterator[list[Outputs]]:
        """Run the network on samples [1, 3, H, W] with each of the maps in turn; what they write is not kept.

        Here with the C++ engine. Errors: UsageError, CalibrationError, EngineError.
        """
        return written_outputs(self.write, maps, samples)

    def write(self, precision_map: PrecisionMap, out_dir: Path) -> Artifact:
        """Write the network; what the map does not name stays float. Equal arguments give equal bytes.

        The last entry of its lineage says how. Errors: UsageError, CalibrationError, OSError.
        """
        ...

    def half(self, out_dir: Path) -> Artifact:
        """Write the network with all layers float and its weights as half precision."""
        ...


class Calibrator(Protocol):
    """Observes float networks of format `source`, and quantises them as `format`.

    label: the format as bundles are named. tools: the import names (of extras.PACKAGES) that it needs.
    simulator: what runs in place of a device, for reports; None where the C++ engine runs the result here.
    search_samples: how many held-out samples a search looks at first; None for all. max_mean_px: a limit of
    the mean shift beside the network's own budget. takes_plan: observe() looks at the plan. has_half: the
    device computes in half precision too, so that layers can stay out of int8.
    """

    format: str
    source: str
    label: str
    tools: tuple[str, ...]
    simulator: str | None = None
    search_samples: int | None = None
    max_mean_px: float | None = None
    takes_plan: bool = True
    has_half: bool = True

    def check(self, mode: str) -> None:
        """Check the mode, and what is not among `tools`, before any work. Errors: EdgePoseError."""
        return

    def observe(
        self, artifact: Artifact, samples: Sequence[NDArray[np.float32]], plan: Plan
    ) -> NetworkQuantiser:
        """Run the float network on samples [1, 3, H, W]. Errors: CalibrationError, EngineError."""
        ...


def check_samples(samples: Sequence[NDArray[np.float32]]) -> None:
    """Refuse no samples, and samples whose values are not finite. Errors: CalibrationError."""
    if not samples:
        raise CalibrationError("there is no calibration sample", hint="give pictures that show people")
    for index, sample in enumerate(samples):
        if not np.isfinite(sample).all():
            raise CalibrationError(f"calibration sample {index} has values that are NaN or infinite")


def calibrator(format_name: str, soc: str | None = None) -> Calibrator:
    """Return the calibrator of a bundle's format. Errors: UsageError (none, or the chip)."""
    if format_name not in CALIBRATORS:
        raise UsageError(
            f"{format_name} networks cannot be calibrated", hint=f"choose from: {', '.join(CALIBRATORS)}"
        )
    module, _, attribute = CALIBRATORS[format_name].partition(":")
    made = getattr(importlib.import_module(module), attribute)
    return cast(Calibrator, made(soc) if format_name in SOC_TARGETS else made())
