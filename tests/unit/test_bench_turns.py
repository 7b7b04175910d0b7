"""Two bundles in turns: the order of the runs, and what follows from their times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgepose.bench.interleave import compare_in_turns
from edgepose.bench.plan import BenchOptions
from edgepose.errors import UsageError


class Bench:
    """Gives the burst of each run the next of the bundle's times, and remembers the order."""

    def __init__(self, times: dict[str, list[int]], **members: Any) -> None:
        self.times = {name: iter(values) for name, values in times.items()}
        self.members = members
        self.order: list[str] = []
        self.options: list[BenchOptions] = []
        self.removed = 0

    def open(self, bundle: Path, options: BenchOptions, results: Path) -> Any:
        self.options.append(options)
        self.order.append(bundle.name)
        bench = self

        class Session:
            def run(self) -> tuple[Path, dict[str, Any]]:
                return results, bench.document(bundle.name, next(bench.times[bundle.name]))

            def remove_files(self) -> None:
                bench.removed += 1

        return Session()

    def document(self, name: str, total: int) -> dict[str, Any]:
        return {
            "columns": ["at_ns", "total_ns", "pose_ns", "detector_ns"],
            "emulated": False,
            "valid": True,
            "invalid": [],
            "created": "2026",
            "bundle": {"name": name, "backend": "ncnn", "precision": "fp32", "digest": name},
            "device": {"name": "host"},
            "engine": {"threads": 1, "affinity": [0]},
            "phases": [
                {"name": "burst", "persons": 1, "samples": [[n, total, total // 2, 0] for n in range(9)]}
            ],
            **self.members,
        }


def compared(bench: Bench, *, rounds: int = 6, frames: int = 1024, margin: float = 0.05) -> dict[str, Any]:
    options = BenchOptions(frames=frames, seconds=60.0, persons=(2, 4), paced_fps=30.0, soak_s=5.0)
    return compare_in_turns((Path("A"), Path("B")), bench.open, options, rounds=rounds, margin=margin)


def test_the_order_changes_from_round_to_round() -> None:
    # The machine gets slower from round to round, and the ratio stays.
    slower = [1000 * n for n in range(1, 7)]
    bench = Bench({"A": slower, "B": [3 * n // 2 for n in slower]})
    found = compared(bench)
    assert "".join(bench.order) == "ABBAABBAABBA"
    assert (found["verdict"], set(found["stages"])) == ("SLOWER", {"total", "pose"})
    total = found["stages"]["total"]
    assert (total["ratio"], total["low"], total["high"], total["rounds"]) == (1.5, 1.5, 1.5, [1.5] * 6)
    assert (found["a"]["file"], found["b"]["file"], found["a"]["digest"], found["b"]["digest"]) == tuple(
        "ABAB"
    )
    assert (found["a"]["valid"], found["notes"], bench.removed) == (True, [], 1)
    part = bench.options[0]
    assert (part.frames, part.seconds, part.persons, part.paced_fps, part.soak_s) == (
        171,
        10.0,
        (2,),
        None,
        0,
    )


def test_other_numbers_of_persons_are_told_after_the_first_round() -> None:
    bench = Bench({"A": [1000] * 6, "B": [1000] * 6})
    document = bench.document

    def of(name: str, total: int) -> dict[str, Any]:
        made = document(name, total)
        made["phases"][0]["persons"] = 2 if name == "A" else 0
        return made

    bench.document = of  # type: ignore[method-assign]
    with pytest.raises(UsageError, match="A has 2 persons in burst, B has persons as found"):
        compared(bench)
    assert bench.order == ["A", "B"] and bench.removed == 1


def test_the_verdict_is_that_of_the_interval_over_the_rounds() -> None:
    times = {"A": [1000] * 6, "B": [900, 900, 900, 900, 900, 900]}
    assert compared(Bench(times))["verdict"] == "FASTER"
    assert compared(Bench({**times, "B": [900, 1100, 900, 1100, 900, 1100]}))["verdict"] == "INCONCLUSIVE"
    found = compared(Bench({**times, "B": [990, 1000, 1010, 990, 1000, 1010]}))
    assert (found["verdict"], found["stages"]["total"]["low"], found["stages"]["total"]["high"]) == (
        "SAME", 0.99, 1.01,
    )  # fmt: skip


def test_each_round_has_enough_frames() -> None:
    bench = Bench({"A": [1000] * 6, "B": [1000] * 6})
    compared(bench, frames=60)
    assert {options.frames for options in bench.options} == {20}


def test_rules_that_rounds_broke_are_counted_but_for_their_shortness() -> None:
    short, hot = {"rule": "short", "message": ""}, {"rule": "hot", "message": ""}
    same = {"A": [1000] * 6, "B": [1000] * 6}
    found = compared(Bench(same, valid=False, invalid=[short, hot]))
    assert found["notes"] == [f"{name} is INVALID in 6 of 6 rounds: hot" for name in "AB"]
    assert not found["a"]["valid"]
    assert compared(Bench(same, valid=False, invalid=[short]))["a"]["valid"]
    with pytest.raises(UsageError, match="the processor is emulated"):
        compared(Bench(same, emulated=True))
    with pytest.raises(UsageError, match="5 rounds say too little"):
        compared(Bench(same), rounds=5)
