"""Compare two builds of edgepose_bench in turns: python benchmarks/runners.py A B BUNDLE..."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
from pathlib import Path

from edgepose.bench.plan import Phase, Plan


def median_ms(runner: Path, bundle: Path, plan: Path) -> float:
    """Return the median time of a frame."""
    command = [runner.resolve(), bundle, "--plan", plan]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    rows: list[list[int]] = []
    for event in map(json.loads, done.stdout.splitlines()):
        if event["event"] == "samples" and event["phase"] == "burst":
            rows += event["rows"]
    return statistics.median(row[1] for row in rows) / 1e6


def main() -> None:
    """Print the median over the rounds of B's time over A's."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("a", type=Path)
    parser.add_argument("b", type=Path)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "plan.json"
        for bundle in args.bundles:
            kind = json.loads((bundle / "bundle.json").read_text())["pipeline"]["type"]
            persons = 1 if kind in ("top_down", "pose") else 0
            for threads in args.threads:
                phase = Phase("burst", "closed", persons, args.frames, 20.0)
                plan.write_text(json.dumps(Plan((phase,), threads=threads, warmup_seconds=0.5).to_json()))
                times: tuple[list[float], list[float]] = ([], [])
                for number in range(args.rounds):
                    for side in (0, 1) if number % 2 else (1, 0):
                        times[side].append(median_ms((args.a, args.b)[side], bundle, plan))
                ratio = statistics.median(b / a for a, b in zip(*times, strict=True))
                best = " and ".join(f"{min(side):.2f}" for side in times)
                print(f"{bundle.name}, threads {threads}: best {best} ms, ratio {ratio:.3f}", flush=True)


if __name__ == "__main__":
    main()
