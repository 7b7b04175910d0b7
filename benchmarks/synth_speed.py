"""Measure how many synthetic pictures a second one core renders.

python benchmarks/synth_speed.py [--images 60] [--persons 3] [--size 640x480]

The process is bound to one core where the system allows it. Figures by the wall clock, and by processor time,
which other work on the machine disturbs less. Pictures are rendered and labelled, not written.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"


def main() -> None:
    """Print the figures as one JSON document."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--persons", type=int, default=3)
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--shot", choices=["group", "close", "wide", "high", "crowd"])
    arguments = parser.parse_args()
    width, height = (int(side) for side in arguments.size.split("x"))

    import numpy as np

    from edgepose.synth import render_scene, render_video

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    options = {"size_hw": (height, width), "persons": arguments.persons, "shot": arguments.shot}
    for seed in range(10):  # fill the caches of noise, textures and faces
        render_scene(seed, **options)
    wall, processor = [], []
    for seed in range(1000, 1000 + arguments.images):
        wall_s, processor_s = time.perf_counter(), time.process_time()
        render_scene(seed, **options)
        wall.append(time.perf_counter() - wall_s)
        processor.append(time.process_time() - processor_s)
    started_s = time.process_time()
    frames = sum(1 for _ in render_video(1, seconds=2, size_hw=(height, width), persons=arguments.persons))
    video_s = time.process_time() - started_s
    result = {
        "pictures_per_s_wall": round(len(wall) / sum(wall), 1),
        "pictures_per_s_processor": round(len(processor) / sum(processor), 1),
        "median_ms_wall": round(statistics.median(wall) * 1e3, 1),
        "median_ms_processor": round(statistics.median(processor) * 1e3, 1),
        "video_frames_per_s_processor": round(frames / video_s, 1),
        "pictures": arguments.images,
        "persons": arguments.persons,
        "size": arguments.size,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
