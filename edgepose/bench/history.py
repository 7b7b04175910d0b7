"""Results over time: a folder of them, put in series, and where a series changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgepose import log
from edgepose.bench.compare import judged, persons_of
from edgepose.bench.plan import persons_text
from edgepose.bench.result import Document, bundle_parts, device_text, pictures, read_document, samples
from edgepose.bench.statistics import median_ratio, summarise
from edgepose.errors import UsageError

_LEVELS = ("FASTER", "SLOWER")


def read_history(folder: Path, *, phase: str, margin: float) -> list[dict[str, Any]]:
    """Return the series of a folder's results: of equal bundle names, devices, threads, persons and so on.

    Each entry is compared with the first one since the last change, so that a creeping change is found too.
    INVALID and emulated results are listed and not compared. Errors: UsageError where there is no result.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder", hint="edgepose bench writes its results into one: -o")
    documents = sorted(_documents(folder), key=lambda pair: (pair[1]["created"], pair[0].name))
    series: dict[tuple[Any, ...], dict[str, Any]] = {}
    references: dict[tuple[Any, ...], list[int]] = {}
    for path, document in documents:
        values = samples(document, phase)
        if not values:
            continue
        about = _about(document, phase)
        key = tuple(map(str, about.values()))
        entry: dict[str, Any] = {
            "file": path.name,
            "created": document["created"],
            "digest": document["bundle"]["digest"],
            "valid": document["valid"],
            "emulated": document["emulated"],
        }
        if not document["emulated"]:
            entry["p50"] = summarise(values)["p50"]
        if document["valid"]:
            entry |= _change(values, references.get(key), margin)
            if key not in references or entry.get("verdict") in _LEVELS:
                references[key] = values
        series.setdefault(key, {**about, "entries": []})["entries"].append(entry)
    if not series:
        raise UsageError(
            f"{folder}: holds no result with a phase {phase!r}", hint="edgepose bench writes them"
        )
    return list(series.values())


def describe_history(series: list[dict[str, Any]]) -> list[str]:
    """Say the series in lines of text."""
    lines: list[str] = []
    for one in series:
        threads = f"{one['threads']} thread{'s' * (one['threads'] != 1)}"
        engine = "" if one["engine_device"] in ("", "CPU") else f", {one['engine_device']}"
        count = len(one["pictures"])
        own = f", {count} picture{'s' * (count != 1)} of --input" if count else ""
        lines.append(f"{one['bundle']} on {one['device']}{engine}, {threads}, {one['persons']}{own}")
        for entry in one["entries"]:
            words = [f"  {entry['created']}"]
            if entry["emulated"]:
                words.append("EMULATED")
            else:
                p50 = entry["p50"]
                words.append(
                    f"p50 {p50['value'] / 1e6:8.2f} ms  ({p50['low'] / 1e6:.2f}-{p50['high'] / 1e6:.2f})"
                )
                if not entry["valid"]:
                    words.append("INVALID")
            if "ratio" in entry:
                words.append(
                    f"x {entry['ratio']:.3f} ({entry['low']:.3f}-{entry['high']:.3f})  {entry['verdict']}"
                )
            lines.append("  ".join(words))
    return lines


def slower(series: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the series whose newest valid result is slower than what was before."""
    found = []
    for one in series:
        valid = [entry for entry in one["entries"] if entry["valid"]]
        if valid and valid[-1].get("verdict") == "SLOWER":
            found.append(one)
    return found


def _documents(folder: Path) -> Iterator[tuple[Path, Document]]:
    for path in folder.iterdir():  # where glob() would take a folder that may not be read for an empty one
        if path.suffix != ".json":
            continue
        try:
            yield path, read_document(path)
        except (UsageError, OSError) as error:
            log.warning(f"left out: {error}")


def _about(document: Document, phase: str) -> dict[str, Any]:
    name, backend, mode = bundle_parts(document)
    return {
        "bundle": f"{name} ({backend}, {mode})",
        "device": device_text(document),
        "engine_device": document["engine"].get("device", ""),
        "threads": document["engine"]["threads"],
        "affinity": document["engine"]["affinity"],
        "phase": phase,
        "persons": persons_text(persons_of(document, phase)),
        "pictures": pictures(document),
    }


def _change(values: list[int], reference: list[int] | None, margin: float) -> dict[str, Any]:
    if reference is None:
        return {}
    return judged(median_ratio(values, reference), margin)
