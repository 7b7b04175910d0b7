"""Runs in the toolkit's own environment: python worker.py JOB.json RESULT.json. Never imported by EdgePose.

The toolkit logs to both streams, so the answer goes into a file, written under another name and renamed.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Step = Callable[[str, Callable[[], Any]], Any]


class StepError(Exception):
    """A call of the toolkit that answered with a failure."""


def main() -> int:
    """Do the job; the exit status is 0 where a result was written, good or bad."""
    job_path, result_path = Path(sys.argv[1]), Path(sys.argv[2])
    job = json.loads(job_path.read_text(encoding="utf-8"))
    result: dict[str, Any] = {"ok": False, "step": "import", "seconds": {}}
    try:
        _work(job, result)
        result["ok"] = True
    except StepError as error:
        result["message"] = str(error)
    except Exception as error:
        traceback.print_exc()
        result["message"] = f"{type(error).__name__}: {error}".strip()
    temporary = result_path.with_name(result_path.name + ".tmp")
    temporary.write_text(json.dumps(result), encoding="utf-8")
    os.replace(temporary, result_path)  # noqa: PTH105
    return 0


def _work(job: dict[str, Any], result: dict[str, Any]) -> None:
    def step(name: str, call: Callable[[], Any]) -> Any:
        result["step"] = name
        started = time.monotonic()
        value = call()
        spent = result["seconds"].get(name, 0.0) + time.monotonic() - started
        result["seconds"][name] = round(spent, 3)
        if isinstance(value, int) and value != 0:
            raise StepError(f"{name} answered {value}")
        return value

    if job["kind"] == "compile":
        _compile(job, step)
    elif job["kind"] == "observe":
        result["found"] = _observe(job, step)
    else:
        for trial in job["trials"]:
            _try(job, trial, step)


def _compile(job: dict[str, Any], step: Step) -> None:
    """Compile an ONNX network as half precision, and simulate it."""
    with _toolkit(job, step) as rknn:
        _load(rknn, job, step)
        step("build", lambda: rknn.build(do_quantization=False))
        _finish(rknn, job, step)


def _observe(job: dict[str, Any], step: Step) -> dict[str, Any]:
    """Run an ONNX network on the calibration samples: the toolkit leaves its graph, its data and its ranges.

    Returns the nodes of that graph, which has the names that layers are chosen by, and the tensors with
    ranges.
    """
    import onnx
    from ruamel.yaml import YAML

    with _toolkit(job, step) as rknn:
        _load(rknn, job, step)
        step(
            "hybrid_quantization_step1",
            lambda: rknn.hybrid_quantization_step1(dataset=job["dataset"], proposal=False),
        )
    stem = Path(job["model"]).stem
    graph = onnx.load(f"{stem}.model").graph
    ranges = YAML(typ="safe").load(Path(f"{stem}.quantization.cfg"))["quantize_parameters"]
    return {
        "nodes": [[node.op_type, node.name, list(node.input), list(node.output)] for node in graph.node],
        "tensors": list(ranges),
    }


def _try(job: dict[str, Any], trial: dict[str, Any], step: Step) -> None:
    """Quantise what _observe() left, but for the layers that stay in half precision; simulate the result."""
    stem = job["stem"]
    # As text: the toolkit refuses ranges that another program has written again.
    text = Path(f"{stem}.quantization.cfg").read_text(encoding="utf-8")
    head, found, rest = text.partition("custom_quantize_layers: {}\n")
    if head or not found:
        raise StepError(f"{stem}.quantization.cfg does not begin with custom_quantize_layers")
    chosen = "".join(f"    {json.dumps(name)}: float16\n" for name in trial["float_tensors"])
    Path("trial.cfg").write_text(
        (f"custom_quantize_layers:\n{chosen}" if chosen else found) + rest, encoding="utf-8"
    )
    # An object that has run step 1 refuses step 2.
    with _toolkit(job, step) as rknn:
        step(
            "hybrid_quantization_step2",
            lambda: rknn.hybrid_quantization_step2(
                model_input=f"{stem}.model",
                data_input=f"{stem}.data",
                model_quantization_cfg="trial.cfg",
            ),
        )
        _finish(rknn, {**job, **trial}, step)


@contextlib.contextmanager
def _toolkit(job: dict[str, Any], step: Step) -> Iterator[Any]:
    from rknn.api import RKNN

    rknn = RKNN(verbose=True)
    try:
        # No mean and no standard deviation: inputs are what the one C++ preprocessing makes.
        step("config", lambda: rknn.config(target_platform=job["soc"]))
        yield rknn
    finally:
        rknn.release()


def _load(rknn: Any, job: dict[str, Any], step: Step) -> None:
    step(
        "load_onnx",
        lambda: rknn.load_onnx(
            model=job["model"],
            inputs=[job["input_name"]],
            input_size_list=[job["input_dims"]],
            outputs=job["output_names"],
        ),
    )


def _finish(rknn: Any, job: dict[str, Any], step: Step) -> None:
    if job["rknn"]:
        step("export_rknn", lambda: rknn.export_rknn(job["rknn"]))
    if job["samples"]:
        step("init_runtime", lambda: rknn.init_runtime())
        step("inference", lambda: _simulate(rknn, job))


def _simulate(rknn: Any, job: dict[str, Any]) -> None:
    """Run every sample in the simulator; store the outputs as "SAMPLE/OUTPUT"."""
    import numpy as np

    arrays: dict[str, Any] = {}
    with np.load(job["samples"], allow_pickle=False) as samples:
        for index in range(len(samples.files)):
            outputs = rknn.inference(inputs=[samples[str(index)]], data_format=["nchw"])
            if outputs is None or len(outputs) != len(job["output_names"]):
                raise StepError(f"the simulator gave no outputs for sample {index}")
            for number, output in enumerate(outputs):
                arrays[f"{index}/{number}"] = np.asarray(output, np.float32)
    np.savez(job["outputs"], **arrays)


if __name__ == "__main__":
    sys.exit(main())
