"""Measure the runtime itself: crowds, tail latency, what the networks do not cost, start, memory, size.

python benchmarks/runtime.py crowd BUNDLE VIDEO        1 to 16 persons in a picture: median, 99th percentile
python benchmarks/runtime.py overhead BUNDLE VIDEO     what everything but the networks costs a person
python benchmarks/runtime.py runner BUNDLE VIDEO --runner build/dev/runtime_cpp/edgepose_run
                                                       start to first pose, peak memory, size of the program
python benchmarks/runtime.py memory BUNDLE VIDEO --count 1000000     memory over many recycled frames

BUNDLE is a detector with a pose network. The persons are those of VIDEO.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from frames import Image, read_frames
from numpy.typing import NDArray

from edgepose import PosePipeline


def percentile(values: list[float], share: float) -> float:
    """Return the value below which this share lies."""
    return float(np.percentile(values, 100 * share))


def montage(pipeline: PosePipeline, frame: Image, count: int) -> tuple[Image, NDArray[np.float32]]:
    """Tile the frame's best person; the picture has the frame's size."""
    x1, y1, x2, y2 = np.round(pipeline(frame).boxes[0, :4]).astype(int)
    person = frame[max(y1 - 8, 0) : y2 + 8, max(x1 - 8, 0) : x2 + 8]
    height, width = person.shape[:2]
    columns = frame.shape[1] // width
    if columns * (frame.shape[0] // height) < count:
        sys.exit(f"{count} persons of {width}x{height} px do not fit the picture")
    picture = np.full_like(frame, 114)
    boxes = []
    for i in range(count):
        x, y = (i % columns) * width, (i // columns) * height
        picture[y : y + height, x : x + width] = person
        boxes.append((x + 8, y + 8, x + width - 8, y + height - 8))
    return picture, np.array(boxes, np.float32)


def crowd(args: argparse.Namespace) -> None:
    """Time the detector and the poses of 1 to 16 persons, in turns.

    Beside them plain arithmetic in one thread, 12 ms or about one person's time: what its 99th percentile is
    above its median, this machine adds to anything.
    """
    frame = read_frames(args.video, 1)[0]
    counts = (1, 2, 4, 8, 16)
    totals: dict[int, list[float]] = {count: [] for count in counts}
    with PosePipeline(args.bundle, threads=args.threads) as pipeline:
        pictures = {count: montage(pipeline, frame, count) for count in counts}
        numbers, repeats = np.linspace(0, 1, 1 << 15), 0
        plain: list[float] = []
        for index in range(args.count + 5):
            for count, (picture, boxes) in pictures.items():
                started = time.perf_counter()
                pipeline.detect(picture)
                pipeline(picture, boxes=boxes)
                if index >= 5:
                    totals[count].append((time.perf_counter() - started) * 1e3)
            started = time.perf_counter()
            if index < 5:  # how often that is
                repeats = 0
                while time.perf_counter() - started < 0.012:
                    np.exp(numbers)
                    repeats += 1
                continue
            for _ in range(repeats):
                np.exp(numbers)
            plain.append((time.perf_counter() - started) * 1e3)
    single = statistics.median(totals[1])
    for count, values in totals.items():
        median = statistics.median(values)
        print(
            f"{count:2d} persons: median {median:6.2f} ms, {median / single:.2f} times one, "
            f"p99 {percentile(values, 0.99):6.2f} ms, {percentile(values, 0.99) / median:.2f} times that"
        )
    median = statistics.median(plain)
    print(
        f"plain arithmetic: median {median:6.2f} ms, p99 {percentile(plain, 0.99):6.2f} ms, "
        f"{percentile(plain, 0.99) / median:.2f} times that"
    )


def overhead(args: argparse.Namespace) -> None:
    """Sum the stages that are not networks, with tracking and smoothing."""
    frames = read_frames(args.video, args.count)
    with PosePipeline(args.bundle, threads=args.threads, smooth=True) as pipeline:
        rest, persons, networks, totals = [], [], [], []
        for index, frame in enumerate(frames):
            found = pipeline(frame, time_s=index / 10)
            t = found.timings_ms
            networks.append(t["detector"] + t["pose"])
            totals.append(t["total"])
            rest.append(t["total"] - networks[-1])
            persons.append(len(found))
    rest, persons, networks, totals = rest[5:], persons[5:], networks[5:], totals[5:]
    print(
        f"{np.mean(persons):.2f} persons a frame; networks {np.median(networks):.2f} ms, all the rest "
        f"{np.median(rest):.3f} ms a frame, {np.median(rest) / np.mean(persons):.3f} ms a person, "
        f"{np.median(rest) / np.median(totals):.1%} of the frame"
    )


# A process starts with the peak memory of the one that starts it, so a small one has to.
_MEASURE = """
import os, sys, time
started = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ,
                       file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
_, status, usage = os.wait4(child, 0)
seconds = time.perf_counter() - started
print(os.waitstatus_to_exitcode(status), seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
"""


def runner(args: argparse.Namespace) -> None:
    """Run the stand-alone program in processes of its own."""
    frame = read_frames(args.video, 1)[0]
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "frame.bgr"
        raw.write_bytes(frame.tobytes())
        stripped = Path(folder) / "stripped"
        shutil.copy(args.runner, stripped)
        subprocess.run(["strip", stripped], check=True)
        size = f"{frame.shape[1]}x{frame.shape[0]}"
        command = [args.runner, args.bundle, str(raw), "--raw", size, "--threads", str(args.threads)]
        seconds, cpu, rss = [], [], []
        for _ in range(args.rounds):
            measure = [sys.executable, "-I", "-S", "-c", _MEASURE, *command]
            answer = subprocess.run(measure, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
            if answer[0] != "0":
                sys.exit(f"{args.runner} exited with {answer[0]}")
            for values, number in zip((seconds, cpu, rss), answer[1:], strict=True):
                values.append(float(number))
        print(
            f"process start to first poses: median {statistics.median(seconds) * 1e3:.0f} ms, fastest "
            f"{min(seconds) * 1e3:.0f} ms, processor time {min(cpu) * 1e3:.0f} ms; "
            f"peak memory {max(rss) / 1024:.1f} MiB ({max(rss) * 1.024 / 1e3:.1f} MB); "
            f"{stripped.stat().st_size / 1e6:.2f} MB stripped"
        )


def resident_mib() -> float:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def memory(args: argparse.Namespace) -> None:
    """Process recycled frames with tracking and watch the resident memory."""
    frames = read_frames(args.video, 100)
    with PosePipeline(args.bundle, threads=args.threads, smooth=True, detect_every=5) as pipeline:
        marks: list[float] = []
        for index in range(args.count):
            pipeline(frames[index % len(frames)], time_s=index / 10)
            if index % max(1, args.count // 10) == args.count // 10 - 1:
                marks.append(resident_mib())
    print(f"resident after each tenth of {args.count} frames, MiB:", *(f"{mark:.1f}" for mark in marks))


def main() -> None:
    """Run one measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    kinds: dict[str, Any] = {"crowd": crowd, "overhead": overhead, "runner": runner, "memory": memory}
    parser.add_argument("what", choices=kinds)
    parser.add_argument("bundle")
    parser.add_argument("video")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--runner", default="build/dev/runtime_cpp/edgepose_run")
    args = parser.parse_args()
    kinds[args.what](args)


if __name__ == "__main__":
    main()
