"""Time the two-stage pipeline against rtmlib with ONNX Runtime: same networks, same frames, one run.

python benchmarks/pipeline_vs_rtmlib.py BUNDLE --pose-onnx POSE.onnx --det-onnx DET_END2END.onnx VIDEO

Needs `pip install --no-deps rtmlib==0.0.16` and tqdm beside EdgePose. Each measurement is a process of its
own; the contestants take turns, so that a busy machine slows both. Frames are decoded before the clock
starts. The best thread count of each contestant is the one with the highest median.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from frames import read_frames


def edgepose_call(args: argparse.Namespace) -> Any:
    """Give a function of a frame that returns the number of persons."""
    from edgepose import PosePipeline

    pipeline = PosePipeline(args.bundle, threads=args.threads)
    return lambda frame: len(pipeline(frame).boxes)


def rtmlib_call(args: argparse.Namespace) -> Any:
    """Give the same with rtmlib, whose sessions are given the thread count (it offers no option for it)."""
    import onnxruntime

    plain = onnxruntime.InferenceSession

    def session(*a: Any, **k: Any) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = args.threads
        return plain(*a, sess_options=options, **k)

    onnxruntime.InferenceSession = session
    from rtmlib import Custom

    custom = Custom(
        det_class="RTMDet",
        det=args.det_onnx,
        det_input_size=(320, 320),
        pose_class="RTMPose",
        pose=args.pose_onnx,
        pose_input_size=(192, 256),
        backend="onnxruntime",
        device="cpu",
    )
    return lambda frame: len(custom(frame)[0])


def work(args: argparse.Namespace) -> None:
    """Time one contestant and print the result as JSON on the last line."""
    frames = read_frames(args.video, args.frames)
    call = {"edgepose": edgepose_call, "rtmlib": rtmlib_call}[args.worker](args)
    for frame in frames[:10]:
        call(frame)
    persons = 0
    started = time.perf_counter()
    for frame in frames:
        persons += call(frame)
    seconds = time.perf_counter() - started
    print(json.dumps({"fps": len(frames) / seconds, "persons": persons / len(frames)}))


def measure(args: argparse.Namespace, worker: str, threads: int) -> dict[str, float]:
    """Run one measurement in a process of its own."""
    command = [sys.executable, __file__, args.bundle, args.video, "--worker", worker]
    command += [
        "--threads",
        str(threads),
        "--frames",
        str(args.frames),
        "--pose-onnx",
        args.pose_onnx,
        "--det-onnx",
        args.det_onnx,
    ]
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    result: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def main() -> None:
    """Take turns, then print the medians and their ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle")
    parser.add_argument("video")
    parser.add_argument("--pose-onnx", required=True)
    parser.add_argument("--det-onnx", required=True)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worker", choices=("edgepose", "rtmlib"))
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    if args.worker:
        work(args)
        return
    contestants = [(name, threads) for threads in (1, 2) for name in ("edgepose", "rtmlib")]
    samples: dict[tuple[str, int], list[dict[str, float]]] = {c: [] for c in contestants}
    for _ in range(args.rounds):
        for contestant in contestants:
            samples[contestant].append(measure(args, *contestant))
    print(f"{Path(args.video).name}, {args.frames} frames, {args.rounds} rounds, {Path(args.bundle).name}")
    best: dict[str, float] = {}
    for (name, threads), runs in samples.items():
        fps = [run["fps"] for run in runs]
        median = statistics.median(fps)
        best[name] = max(best.get(name, 0.0), median)
        print(
            f"{name:9} {threads} threads  {median:6.1f} frames/s (from {min(fps):.1f} to {max(fps):.1f}), "
            f"{runs[0]['persons']:.2f} persons a frame"
        )
    print(f"ratio of the best: {best['edgepose'] / best['rtmlib']:.2f}")


if __name__ == "__main__":
    main()
