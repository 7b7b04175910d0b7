"""Run a float ncnn network on samples and keep what the quantiser needs to know of its activations."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepose.artifact import Artifact
from edgepose.calibration.ncnn_layers import QuantisableLayer, quantisable_layers
from edgepose.calibration.ncnn_model import read_model
from edgepose.calibration.observers import Histogram
from edgepose.errors import CalibrationError
from edgepose.extras import missing_package

Floats = NDArray[np.float32]

PATCHES_PER_SAMPLE = 24
MAX_PATCHES = 1536
_SEED = 20261121


@dataclass(slots=True)
class BlobStatistics:
    """One blob over all samples: its distribution, and the smallest and largest value of each channel."""

    histogram: Histogram = field(default_factory=Histogram)
    channel_lowest: Floats = field(default_factory=lambda: np.zeros(0, np.float32))
    channel_highest: Floats = field(default_factory=lambda: np.zeros(0, np.float32))


@dataclass(frozen=True, slots=True)
class ActivationStatistics:
    """What collect() found: blobs by name and, if asked for, columns [n, features] of each layer's input."""

    samples: int
    blobs: dict[str, BlobStatistics]
    patches: dict[str, Floats]


class WheelNetwork:
    """A network in ncnn's own Python package, which can return every blob; one thread, float32 storage."""

    def __init__(self, param: Path, weights: Path, *, keep_blobs: bool, int8: bool = False) -> None:
        try:
            import ncnn
        except ImportError as error:
            raise missing_package("ncnn", purpose="read the activations of an ncnn network") from error
        self._ncnn: Any = ncnn
        self._net: Any = ncnn.Net()
        options = self._net.opt
        options.num_threads = 1
        options.lightmode = not keep_blobs
        options.use_vulkan_compute = False
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
        options.use_bf16_storage = False
        options.use_int8_inference = int8
        if self._net.load_param(str(param)) != 0 or self._net.load_model(str(weights)) != 0:
            raise CalibrationError(f"ncnn cannot load {param.name}")

    def run(self, tensor: str, sample: Floats, blobs: Sequence[str]) -> list[Floats]:
        """Return blobs of a run on one input [1, ...]. Errors: CalibrationError."""
        # Mat ignores strides; and layers that work in place crash on memory that is not ncnn's own.
        values = np.ascontiguousarray(sample[0], dtype=np.float32)
        extractor = self._net.create_extractor()
        extractor.input(tensor, self._ncnn.Mat(values).clone())
        found = []
        for blob in blobs:
            status, mat = extractor.extract(blob)
            if status != 0:
                raise CalibrationError(f"ncnn failed at the blob {blob}")
            found.append(np.array(mat, dtype=np.float32))
        return found


def collect(artifact: Artifact, samples: Iterable[Floats], *, patches: bool = True) -> ActivationStatistics:
    """Observe the inputs of the quantisable layers in one pass over samples [1, 3, H, W].

    patches: also keep random columns of each layer's input, at most MAX_PATCHES; every plan but "plain" needs
    them.
    The same samples in the same order give the same result.
    Errors: CalibrationError (no samples, a sample of another shape, NaN), MissingDependencyError.
    """
    wanted = quantisable_layers(read_model(artifact.files["param"], artifact.files["bin"]))
    blobs = list(
        dict.fromkeys(layer.blob for layer in wanted if layer.input_is_static or layer.takes_patches)
    )
    network = WheelNetwork(artifact.files["param"], artifact.files["bin"], keep_blobs=True)
    name = artifact.spec.input_names[0]
    tensor, expected = artifact.tensor_names.get(name, name), (1, *artifact.input_shapes[name][1:])
    statistics = {blob: BlobStatistics() for blob in blobs}
    reservoirs = {layer.name: _Reservoir(layer) for layer in wanted if patches and layer.takes_patches}
    count = 0
    for sample in samples:
        if sample.shape != expected:
            raise CalibrationError(
                f"calibration sample {count} is {sample.shape}, the network takes {expected}"
            )
        values = dict(zip(blobs, network.run(tensor, sample, blobs), strict=True))
        for blob, array in values.items():
            try:
                _observe(statistics[blob], array)
            except CalibrationError as error:
                raise CalibrationError(
                    f"calibration sample {count}, blob {blob} of {artifact.spec.name}: {error.message}"
                ) from error
        for layer in wanted:
            if layer.name in reservoirs:
                reservoirs[layer.name].add(values[layer.blob])
        count += 1
    if count == 0:
        raise CalibrationError("there is no calibration sample", hint="give pictures that show people")
    return ActivationStatistics(
        count, statistics, {name: reservoir.columns() for name, reservoir in reservoirs.items()}
    )


def _observe(statistics: BlobStatistics, array: Floats) -> None:
    statistics.histogram.update(array)
    # A Gemm's input is [rows, features]; elsewhere the first axis is the channel.
    rows = array if array.ndim == 2 else array.reshape(len(array), -1).T
    lowest, highest = rows.min(axis=0), rows.max(axis=0)
    if statistics.channel_lowest.size == 0:
        statistics.channel_lowest, statistics.channel_highest = lowest, highest
    else:
        statistics.channel_lowest = np.minimum(lowest, statistics.channel_lowest)
        statistics.channel_highest = np.maximum(highest, statistics.channel_highest)


class _Reservoir:
    """A uniform random choice of bounded size among all columns that were offered; the same in every run."""

    def __init__(self, layer: QuantisableLayer) -> None:
        digest = hashlib.sha256(f"{_SEED}/{layer.name}".encode()).digest()
        self._generator = np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:8], "little")))
        self._layer = layer
        self._kept = np.empty((MAX_PATCHES, layer.weight.shape[1]), np.float32)
        self._seen = 0

    def add(self, blob: Floats) -> None:
        offered = self._layer.patches(blob, PATCHES_PER_SAMPLE, self._generator)
        first = min(len(offered), max(0, MAX_PATCHES - self._seen))
        self._kept[self._seen : self._seen + first] = offered[:first]
        for index in range(first, len(offered)):
            place = int(self._generator.integers(self._seen + index + 1))
            if place < MAX_PATCHES:
                self._kept[place] = offered[index]
        self._seen += len(offered)

    def columns(self) -> Floats:
        kept: Floats = self._kept[: self._seen].copy()
        return kept
