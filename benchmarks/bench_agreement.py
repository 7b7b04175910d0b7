"""Hold `edgepose bench --device host` against an independent timing loop over the same engine.

python benchmarks/bench_agreement.py POSE_BUNDLE [--rounds 15] [--frames 100]

The two take turns, one thread each; the result is the median over the rounds of the ratio of the medians.
An OpenVINO or ONNX bundle is timed with the Python package of OpenVINO; an ncnn bundle with the bare loop of
build/dev/runtime_cpp/edgepose_bench_engines (cmake --preset dev && cmake --build --preset dev). The overhead
of the runner is what it adds to a frame besides preprocessing and decoding, writing results among it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ENGINES = ROOT / "build" / "dev" / "runtime_cpp" / "edgepose_bench_engines"
WARMUP_RUNS = 10


def _bench_ms(bundle: Path, frames: int) -> dict[str, float]:
    """Measure with edgepose bench: median of the network, and what the runner adds to a frame, mean."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "edgepose", "bench", bundle, "--device", "host", "-o", out]
        command += [
            "--threads",
            "1",
            "--persons",
            "1",
            "--frames",
            frames,
            "--no-paced",
            "--warmup-seconds",
            "1",
        ]
        printed = subprocess.run(
            [*map(str, command), "--quiet", "--json"], check=True, stdout=subprocess.PIPE, text=True
        ).stdout
    document = json.loads(printed)
    (burst,) = document["phases"]
    columns = {name: index for index, name in enumerate(document["columns"])}
    networks = [row[columns["pose_ns"]] / 1e6 for row in burst["samples"]]
    others = [
        sum(row[columns[name]] for name in ("pose_preprocess_ns", "pose_decode_ns")) / 1e6
        for row in burst["samples"]
    ]
    frame = burst["seconds"] * 1e3 / burst["frames"] - statistics.mean(others)
    return {"network": statistics.median(networks), "added": frame - statistics.mean(networks)}


def _openvino_loop(bundle: Path, manifest: Any) -> Callable[[int], float]:
    import numpy as np

    from edgepose.converters.to_openvino import refuse_telemetry

    refuse_telemetry()
    import openvino

    files = manifest["models"]["pose"]["files"]
    network = openvino.Core().read_model(bundle / files.get("xml", files.get("onnx")))
    height, width = manifest["models"]["pose"]["preprocess"]["input_hw"]
    network.reshape([1, 3, height, width])
    options = {
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "f32",
        "ENABLE_CPU_PINNING": False,
    }
    request = openvino.compile_model(network, "CPU", options).create_infer_request()
    values = np.random.default_rng(1).standard_normal((1, 3, height, width), np.float32)
    request.set_input_tensor(openvino.Tensor(values))
    for _ in range(WARMUP_RUNS):
        request.infer()

    def loop(runs: int) -> float:
        times = []
        for _ in range(runs):
            start = time.perf_counter()
            request.infer()
            times.append((time.perf_counter() - start) * 1e3)
        return statistics.median(times)

    return loop


def _ncnn_loop(bundle: Path) -> Callable[[int], float]:
    def loop(runs: int) -> float:
        command = [str(ENGINES), str(bundle), str(runs)]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        return float(json.loads(printed)["bare_ms"])

    return loop


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--frames", type=int, default=100)
    arguments = parser.parse_args()
    manifest = json.loads((arguments.bundle / "bundle.json").read_text())
    if list(manifest["models"]) != ["pose"]:
        parser.error("a bundle with a pose network alone is needed")
    ncnn = manifest["backend"] == "ncnn"
    loop = _ncnn_loop(arguments.bundle) if ncnn else _openvino_loop(arguments.bundle, manifest)
    loops, benches = [], []
    for number in range(arguments.rounds):
        ways: list[Callable[[], None]] = [
            lambda: loops.append(loop(arguments.frames)),
            lambda: benches.append(_bench_ms(arguments.bundle, arguments.frames)),
        ]
        for way in ways if number % 2 == 0 else reversed(ways):
            way()
    ratios = [bench["network"] / bare for bench, bare in zip(benches, loops, strict=True)]
    added = [bench["added"] / bare for bench, bare in zip(benches, loops, strict=True)]
    print(f"{manifest['name']} ({manifest['backend']}, {manifest['precision']}), {arguments.rounds} rounds")
    network = statistics.median(bench["network"] for bench in benches)
    print(f"loop {statistics.median(loops):.2f} ms, bench {network:.2f} ms")
    print(f"bench / loop {statistics.median(ratios):.3f} (rounds {min(ratios):.3f} to {max(ratios):.3f})")
    print(f"added by the runner {statistics.median(added):.2%} of the loop's time")


if __name__ == "__main__":
    main()
