"""Is one result faster than another? Ratios of medians with intervals, and a verdict against a margin."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, Literal

from edgepose.bench.plan import persons_text
from edgepose.bench.result import Document, bundle_parts, device_text, pictures, samples
from edgepose.bench.statistics import median_ratio
from edgepose.errors import UsageError

Verdict = Literal["FASTER", "SLOWER", "SAME", "INCONCLUSIVE"]


def verdict(low: float, high: float, margin: float) -> Verdict:
    """Judge the interval of a ratio: beyond the margin, within it, or too wide to say."""
    if high < 1 / (1 + margin):
        return "FASTER"
    if low > 1 + margin:
        return "SLOWER"
    if low >= 1 / (1 + margin) and high <= 1 + margin:
        return "SAME"
    return "INCONCLUSIVE"


def judged(ratio: tuple[float, float, float], margin: float) -> dict[str, Any]:
    """Return a ratio, the ends of its interval and the verdict, as comparisons and histories hold them."""
    estimate, low, high = ratio
    return {"ratio": estimate, "low": low, "high": high, "verdict": verdict(low, high, margin)}


def compare_results(
    first: Document, second: Document, *, phase: str, margin: float, names: tuple[str, str] = ("A", "B")
) -> dict[str, Any]:
    """Compare B with A, stage by stage; ratios above 1 mean that B takes longer.

    Errors: UsageError for emulated results, for a phase that one lacks, for other numbers of persons.
    """
    for document, name in zip((first, second), names, strict=True):
        if document["emulated"]:
            raise UsageError(
                f"{name}: measured on an emulated processor", hint="its times cannot be compared"
            )
        if not samples(document, phase):
            have = ", ".join(entry["name"] for entry in document["phases"]) or "none"
            raise UsageError(f"{name}: has no phase {phase!r}", hint=f"it has: {have}")
    require_same_persons(first, second, phase, names)
    stages = {}
    for column in first["columns"]:
        a, b = samples(first, phase, column), samples(second, phase, column)
        if column == "at_ns" or not (ran(a) and ran(b)):
            continue
        stages[column.removesuffix("_ns")] = judged(median_ratio(b, a), margin)
    return {
        "format": "edgepose-bench-comparison",
        "a": identity(first, names[0]),
        "b": identity(second, names[1]),
        "phase": phase,
        "margin": margin,
        "stages": stages,
        "verdict": stages["total"]["verdict"],
        "notes": _notes(first, second, names),
    }


def require_same_persons(first: Document, second: Document, phase: str, names: tuple[str, str]) -> None:
    """Refuse to compare the work for other numbers of persons. Errors: UsageError."""
    persons = [persons_of(document, phase) for document in (first, second)]
    if persons[0] != persons[1]:
        in_words = [persons_text(count) for count in persons]
        raise UsageError(
            f"{names[0]} has {in_words[0]} in {phase}, {names[1]} has {in_words[1]}",
            hint="measure both with the same --persons; a one-stage network takes those that it finds",
        )


def describe_comparison(comparison: dict[str, Any]) -> list[str]:
    """Say a comparison in lines of text."""
    lines = [
        f"A  {_title(comparison['a'])}",
        f"B  {_title(comparison['b'])}",
        f"{comparison['phase']}: time of B / time of A, with 95 % interval",
    ]
    for name, stage in comparison["stages"].items():
        lines.append(
            f"  {name:<20} {stage['ratio']:.3f}  {stage['low']:.3f}-{stage['high']:.3f}  {stage['verdict']}"
        )
    lines.append(f"B is {comparison['verdict']} (margin {100 * comparison['margin']:g}%)")
    return lines + [f"note: {note}" for note in comparison["notes"]]


def ran(values: Sequence[int]) -> bool:
    """Tell whether a stage ran in most frames: only then has its median time a ratio."""
    return bool(values) and statistics.median(values) > 0


def persons_of(document: Document, phase: str) -> Any:
    """Return the number of persons that a phase was measured with; 0: those found."""
    return next(entry["persons"] for entry in document["phases"] if entry["name"] == phase)


def identity(document: Document, name: str) -> dict[str, Any]:
    """Return what a comparison says about one of its sides."""
    return {
        "file": name,
        "bundle": ".".join(bundle_parts(document)),
        "digest": document["bundle"]["digest"],
        "device": device_text(document),
        "threads": document["engine"]["threads"],
        "created": document["created"],
        "valid": document["valid"],
    }


def _title(identity: dict[str, Any]) -> str:
    state = "" if identity["valid"] else "  INVALID"
    threads = f"{identity['threads']} thread{'s' * (identity['threads'] != 1)}"
    where = f"on {identity['device']}, {threads}"
    return f"{identity['bundle']} {where}, {identity['created']}{state}"


def other_settings(first: Document, second: Document) -> list[str]:
    """Return a line for each setting in which two results differ."""
    notes = []
    for what, values in {
        "device": [device_text(document) for document in (first, second)],
        "engine device": [document["engine"].get("device") for document in (first, second)],
        "threads": [document["engine"]["threads"] for document in (first, second)],
        "processors": [document["engine"]["affinity"] for document in (first, second)],
    }.items():
        if values[0] != values[1]:
            notes.append(f"other {what}: {values[0]} and {values[1]}")
    if pictures(first) != pictures(second):
        notes.append("other pictures")
    return notes


def _notes(first: Document, second: Document, names: tuple[str, str]) -> list[str]:
    notes = [
        f"{name} is INVALID: {document['invalid'][0]['message']}"
        for document, name in zip((first, second), names, strict=True)
        if not document["valid"]
    ]
    return notes + other_settings(first, second)
