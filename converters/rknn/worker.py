"""Runs in the toolkit's own environment: python worker.py JOB.json RESULT.json. Never imported by EdgePose.

The toolkit logs to both streams, so the answer goes into a file, written under another name and renamed.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any


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
    from rknn.api import RKNN

    def step(name: str, call: Callable[[], Any]) -> Any:
        result["step"] = name
        started = time.monotonic()
        value = call()
        result["seconds"][name] = round(time.monotonic() - started, 3)
        if isinstance(value, int) and value != 0:
            raise StepError(f"{name} answered {value}")
        return value

    rknn = RKNN(verbose=True)
    try:
        _build(rknn, job, step)
        step("export_rknn", lambda: rknn.export_rknn(job["rknn"]))
        if job["samples"]:
            step("init_runtime", lambda: rknn.init_runtime())
            step("inference", lambda: _simulate(rknn, job))
    finally:
        rknn.release()


def _build(rknn: Any, job: dict[str, Any], step: Callable[[str, Callable[[], Any]], Any]) -> None:
    # No mean and no standard deviation: inputs are what the one C++ preprocessing makes.
    step("config", lambda: rknn.config(target_platform=job["soc"], **job["config"]))
    step(
        "load_onnx",
        lambda: rknn.load_onnx(
            model=job["model"],
            inputs=[job["input_name"]],
            input_size_list=[job["input_dims"]],
            outputs=job["output_names"],
        ),
    )
    step("build", lambda: rknn.build(do_quantization=False))


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
