"""Two bundles measured in turns on one device: what changes with time meets both alike."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgepose import log
from edgepose.bench.compare import identity, judged, other_settings, ran, require_same_persons
from edgepose.bench.plan import BenchOptions
from edgepose.bench.result import Document, samples
from edgepose.bench.session import Session
from edgepose.bench.statistics import MIN_FEW, median_of_few
from edgepose.errors import DeviceLostError, EdgePoseError, UsageError

_PHASE = "burst"
_MIN_FRAMES = 20

# Makes the session for a bundle with these options and this folder for results.
Opener = Callable[[Path, BenchOptions, Path], Session]


def compare_in_turns(
    bundles: tuple[Path, Path], opener: Opener, options: BenchOptions, *, rounds: int, margin: float
) -> dict[str, Any]:
    """Measure A and B in `rounds` pairs, A B, B A, A B ..., and compare B with A as compare_results does.

    options.frames and options.seconds are those of all rounds together. A ratio is the median over the rounds
    of the ratio of the medians. Errors: UsageError (too few rounds, an emulated device), DeviceError.
    """
    if rounds < MIN_FEW:
        raise UsageError(f"{rounds} rounds say too little", hint=f"--rounds {MIN_FEW} or more")
    part = replace(
        options,
        frames=max(_MIN_FRAMES, -(-options.frames // rounds)),
        seconds=options.seconds / rounds,
        persons=options.persons[:1],
        paced_fps=None,
        soak_s=0.0,
        keep_files=True,
    )
    documents: tuple[list[Document], list[Document]] = ([], [])
    with tempfile.TemporaryDirectory(prefix="edgepose-turns-") as scratch:
        sessions: list[Session] = []
        try:
            for number in range(rounds):
                log.info(f"round {number + 1} of {rounds}")
                for side in (0, 1) if number % 2 == 0 else (1, 0):
                    sessions = [opener(bundles[side], part, Path(scratch))]
                    document = sessions[0].run()[1]
                    if document["emulated"]:
                        raise UsageError("the processor is emulated", hint="its times cannot be compared")
                    documents[side].append(document)
                if number == 0:
                    require_same_persons(documents[0][0], documents[1][0], _PHASE, ("A", "B"))
        except DeviceLostError as error:
            # Its samples go with the folder here: turns that were interrupted cannot go on.
            raise DeviceLostError(error.message, hint="check the connection, then compare anew") from error
        finally:
            for session in sessions:
                _remove_files(session)
    return _comparison(bundles, documents, margin)


def _remove_files(session: Session) -> None:
    try:
        session.remove_files()
    except EdgePoseError as error:
        log.warning(f"files may be left on the device: {error.message}")


def _comparison(
    bundles: tuple[Path, Path], documents: tuple[list[Document], list[Document]], margin: float
) -> dict[str, Any]:
    first, second = documents[0][0], documents[1][0]
    stages = {}
    for column in first["columns"]:
        pairs = [
            (samples(a, _PHASE, column), samples(b, _PHASE, column)) for a, b in zip(*documents, strict=True)
        ]
        if column == "at_ns" or not all(ran(a) and ran(b) for a, b in pairs):
            continue
        ratios = [statistics.median(b) / statistics.median(a) for a, b in pairs]
        stages[column.removesuffix("_ns")] = {**judged(median_of_few(ratios), margin), "rounds": ratios}
    sides = [identity(side[0], str(path)) for side, path in zip(documents, bundles, strict=True)]
    notes = []
    for side, name, rounds in zip(sides, "AB", documents, strict=True):
        broken = _broken_rules(rounds)
        side["valid"] = not broken
        side["total_ns"] = [samples(document, _PHASE) for document in rounds]
        notes += [
            f"{name} is INVALID in {count} of {len(rounds)} rounds: {rule}" for rule, count in broken.items()
        ]
    return {
        "format": "edgepose-bench-comparison",
        "a": sides[0],
        "b": sides[1],
        "phase": f"{_PHASE}, {len(documents[0])} rounds in turns",
        "margin": margin,
        "stages": stages,
        "verdict": stages["total"]["verdict"],
        "notes": notes + other_settings(first, second),
    }


def _broken_rules(rounds: Sequence[Document]) -> dict[str, int]:
    """Count the rules that rounds broke; each is short, for all of them together are the measurement."""
    rules = [finding["rule"] for document in rounds for finding in document["invalid"]]
    return {rule: rules.count(rule) for rule in dict.fromkeys(rules) if rule != "short"}
