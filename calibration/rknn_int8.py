"""RKNN networks in int8: ranges by rknn-toolkit2, the choice of blocks ours, its simulator the judge."""

from __future__ import annotations

import shutil
import tempfile
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepose import __version__, log
from edgepose.artifact import Artifact, LineageEntry, Precision
from edgepose.bundle.manifest import ROLE_OF_TASK
from edgepose.calibration.agreement import Outputs
from edgepose.calibration.base import Calibrator, NetworkQuantiser, PrecisionMap, check_samples
from edgepose.calibration.plan import Plan
from edgepose.calibration.rknn_blocks import Block, blocks
from edgepose.converters.base import Children, require
from edgepose.converters.rknn import client, environment
from edgepose.converters.rknn.exporter import RknnExporter, placement, prepare, read_outputs, store_inputs
from edgepose.converters.rknn.soc import check_precision, resolve_soc
from edgepose.errors import UsageError
from edgepose.hashing import sha256_file

Floats = NDArray[np.float32]

_STEM = "prepared"

# What one process of the toolkit tries; its start takes as long as some trials, and its time is limited.
_TRIALS = 8


class RknnCalibrator(Calibrator):
    """Quantises for one chip, with the heads in half precision where the chip has that."""

    format = "rknn"
    source = "onnx"
    tools = ("onnx", "onnxsim")
    # The simulator takes 20 to 50 ms a sample; a search tries some tens of choices.
    search_samples = 32
    max_mean_px = 0.5
    takes_plan = False

    def __init__(self, soc: str | None) -> None:
        self._soc = resolve_soc(soc)
        exporter = RknnExporter(self._soc.name)
        self.label, self.simulator, self.has_half = exporter.label, exporter.simulator, self._soc.fp16

    def check(self, mode: str) -> None:
        """Check the mode and the toolkit's environment. Errors: UsageError, MissingDependencyError."""
        check_precision(self._soc, mode)
        environment.require()

    def observe(self, artifact: Artifact, samples: Sequence[Floats], plan: Plan) -> RknnQuantiser:
        """Let the toolkit run an ONNX artifact on the samples; the plan's steps are not the toolkit's.

        Errors: CalibrationError, ConversionError, MissingDependencyError.
        """
        require(self.tools, purpose="calibrate a network for RKNN")
        check_samples(samples)
        return RknnQuantiser(artifact, samples, self._soc.name)


class RknnQuantiser(NetworkQuantiser):
    """What the toolkit's first step left, from which its second makes any choice of blocks."""

    def __init__(self, artifact: Artifact, samples: Sequence[Floats], soc: str) -> None:
        self._artifact, self._count = artifact, len(samples)
        self._soc = resolve_soc(soc)
        self._environment = environment.require()
        self._folder = Path(tempfile.mkdtemp(prefix="edgepose-rknn-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        model = self._folder / f"{_STEM}.onnx"
        self._passes = prepare(artifact, model, self._soc)
        spec = artifact.spec
        job = {
            "kind": "observe",
            "model": str(model),
            "input_name": spec.input_names[0],
            "input_dims": [1, 3, *spec.preprocess.input_hw],
            "dataset": self._store(samples),
        }
        found = self._run(job).found
        self._blocks = blocks(
            [tuple(node) for node in found["nodes"]], set(found["tensors"]), spec.output_names
        )
        # Without half precision there is no choice: everything is int8.
        self._choice = [
            name for name, block in self._blocks.items() if not (block.is_head and self._soc.fp16)
        ]

    def names(self) -> list[str]:
        """List the blocks that can become int8, in the order of execution."""
        return list(self._choice)

    def worthwhile(self) -> list[str]:
        """List all of names(): the heads are not among them."""
        return self.names()

    def kind(self, name: str) -> str:
        """Return what a block mostly is. Errors: UsageError."""
        if name not in self._choice:
            raise UsageError(f"{self._artifact.spec.name} has no layer {name!r} that can become int8")
        return self._blocks[name].kind

    def outputs(self, maps: Sequence[PrecisionMap], samples: Sequence[Floats]) -> Iterator[list[Outputs]]:
        """Simulate the samples with each of the maps in turn. Errors: UsageError, ConversionError."""
        inputs = store_inputs(samples, self._folder)
        for begin in range(0, len(maps), _TRIALS):
            batch = maps[begin : begin + _TRIALS]
            paths = [self._folder / f"simulated-{number}.npz" for number in range(len(batch))]
            trials = [self._trial(m, outputs=path) for m, path in zip(batch, paths, strict=True)]
            self._run({"kind": "try", "stem": _STEM, "samples": inputs, "trials": trials})
            for path in paths:
                yield read_outputs(path, self._artifact, len(samples))
                path.unlink()

    def write(self, precision_map: PrecisionMap, out_dir: Path) -> Artifact:
        """Write ROLE.rknn; what the map does not name is in half precision."""
        started = time.monotonic()
        out_dir.mkdir(parents=True, exist_ok=True)
        spec = self._artifact.spec
        role = ROLE_OF_TASK[spec.task]
        path = out_dir / f"{role}.rknn"
        answer = self._run(
            {
                "kind": "try",
                "stem": _STEM,
                "samples": None,
                "trials": [self._trial(precision_map, rknn=path)],
            }
        )
        chosen = [name for name in self._choice if precision_map.get(name) == "int8"]
        precision: Precision = "int8" if len(chosen) == len(self._blocks) else "mixed" if chosen else "fp16"
        layers = placement(answer, spec.name, self._soc)
        log.notice(f"note: {spec.name}: {layers.summary()}")
        entry = LineageEntry(
            step="quantise",
            tool="rknn-toolkit2",
            version=self._environment.version,
            arguments={
                "edgepose": __version__,
                "target_platform": self._soc.name,
                "quantized_dtype": "w8a8",
                "passes": self._passes,
                "samples": self._count,
                "int8_layers": {name: [] for name in chosen},
                "fp16_layers": [name for name in self._blocks if name not in chosen],
                "layers": layers.summary(),
                "not_on_npu": [f"{kind} {name}" for kind, name in layers.elsewhere],
            },
            inputs={f"{role}.onnx": sha256_file(self._artifact.files["onnx"])},
            outputs={path.name: sha256_file(path)},
            seconds=time.monotonic() - started,
        )
        return replace(
            self._artifact,
            format="rknn",
            precision=precision,
            files={"rknn": path},
            tensor_names={},
            lineage=(*self._artifact.lineage, entry),
        )

    def half(self, out_dir: Path) -> Artifact:
        """Write the network in half precision."""
        return self.write({}, out_dir)

    def _trial(
        self, precision_map: PrecisionMap, *, outputs: Path | None = None, rknn: Path | None = None
    ) -> dict[str, Any]:
        for name in precision_map:
            self.kind(name)
        floats: list[Block] = [
            block for name, block in self._blocks.items() if precision_map.get(name) != "int8"
        ]
        return {
            "float_tensors": [tensor for block in floats for tensor in block.tensors],
            "outputs": str(outputs) if outputs else None,
            "rknn": str(rknn) if rknn else None,
        }

    def _store(self, samples: Sequence[Floats]) -> str:
        """Write the samples as the toolkit reads them: one file each, and a list."""
        paths = [self._folder / f"sample-{index}.npy" for index in range(len(samples))]
        for path, sample in zip(paths, samples, strict=True):
            np.save(path, sample)
        dataset = self._folder / "dataset.txt"
        dataset.write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
        return str(dataset)

    def _run(self, job: Mapping[str, Any]) -> client.Answer:
        return client.run_job(
            {**job, "soc": self._soc.name, "output_names": list(self._artifact.spec.output_names)},
            title=f"{self._artifact.spec.name} for {self._soc.name}",
            environment=self._environment,
            work_dir=self._folder,
            children=Children(),
        )
