"""The result document of a measurement: writing it, reading it, saying it in words (docs/devices.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgepose import __version__
from edgepose.bench.journal import Journal, PhaseSamples, phase_seconds
from edgepose.bench.statistics import PERCENTILES, summarise
from edgepose.bench.validity import check
from edgepose.device.local import LocalTransport
from edgepose.device.profile import DeviceProfile
from edgepose.errors import UsageError, reading
from edgepose.text_table import aligned
from edgepose.writers import atomic_path

FORMAT = "edgepose-bench-result"
FORMAT_VERSION = 1

Document = dict[str, Any]

_MAX_NS = 2**63  # of the runner's numbers

# What comparing results and histories need of every document.
_MEMBERS = {
    "bundle": ("name", "backend", "precision", "digest"),
    "device": ("name",),
    "engine": ("threads", "affinity"),
}


def make_document(
    journal: Journal,
    *,
    bundle: Mapping[str, Any],
    profile: DeviceProfile,
    device: Mapping[str, Any],
    runner: Mapping[str, Any],
    plan: Mapping[str, Any],
    command: list[str],
) -> Document:
    """Put the result document of a run together. bundle is its bundle.json."""
    invalid, warnings = check(journal, features=profile.features, max_temperature_c=profile.max_temperature_c)
    start, mode = journal.start, mode_of(bundle)
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "created_by": f"edgepose {__version__}",
        "command": command,
        "valid": not invalid,
        "invalid": invalid,
        "warnings": warnings,
        "emulated": bool(start["facts"]["emulated"]),
        "bundle": {
            "name": bundle["name"],
            "digest": bundle["manifest_sha256"],
            "backend": bundle["backend"],
            "precision": bundle["precision"],
            "pipeline": bundle["pipeline"]["type"],
            "models": {role: model["name"] for role, model in bundle["models"].items()},
            **({} if mode == bundle["precision"] else {"mode": mode}),
        },
        "device": {
            "name": profile.name,
            "title": profile.title,
            "transport": profile.transport,
            "verified_profile": profile.verified,
            **device,
            "facts": start["facts"],
        },
        "runner": {**runner, "version": start["runner"]},
        "engine": {
            "backend": start["backend"],
            "device": start["device"],
            "threads": start["threads"],
            "affinity": start["affinity"],
        },
        "plan": dict(plan),
        "load_ns": start["load_ns"],
        "cold_ns": journal.cold_ns,
        "warmup": journal.warmup,
        "rss_peak_bytes": journal.end.get("rss_peak_bytes"),
        "golden": journal.golden,
        "columns": journal.columns,
        "phases": [
            _phase(phase, plan, journal) | _energy(phase, journal)
            for name, phase in journal.phases.items()
            if name != "warmup" and phase.rows
        ],
        "warmup_samples": [row[1] for row in journal.phases.get("warmup", PhaseSamples("")).rows],
        "states": journal.states,
        "results": journal.results,
    }


def write_document(document: Document, path: Path) -> None:
    """Write a result, complete or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(document, allow_nan=False) + "\n", encoding="utf-8")


def read_document(path: Path) -> Document:
    """Read a result. Errors: UsageError for a file that is none."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file", hint="edgepose bench writes results") from None
    except IsADirectoryError:
        raise UsageError(
            f"{path}: a folder, not a result", hint="name one of the .json files in it"
        ) from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: no JSON ({error})", hint="edgepose bench writes results") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise UsageError(f"{path}: no result of edgepose bench", hint="edgepose bench writes results")
    if document.get("format_version") != FORMAT_VERSION:
        version = document.get("format_version")
        raise UsageError(
            f"{path}: format_version is {version!r}, this EdgePose reads {FORMAT_VERSION}",
            hint="use the EdgePose that wrote it, or a newer one",
        )
    with reading(str(path), FORMAT, hint="measure again with edgepose bench"):
        json.dumps(document, allow_nan=False)  # Python reads NaN and infinity; what is written here has none
        _check_members(document)
        pictures(document)
    return document


def _check_members(document: Document) -> None:
    """Look at what comparisons read. Errors: those that errors.reading() reports."""
    for member, names in _MEMBERS.items():
        for name in names:
            document[member][name]
    if not isinstance(document["created"], str):
        raise TypeError("created is no text")
    for name in ("valid", "emulated"):
        if not isinstance(document[name], bool):
            raise TypeError(f"{name} is neither true nor false")
    document["valid"] or document["invalid"][0]["message"]
    columns = document["columns"]
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise TypeError("columns is no list of names")
    total = columns.index("total_ns") if "total_ns" in columns else None
    for phase in document["phases"]:
        if not isinstance(phase["name"], str):
            raise TypeError("the name of a phase is no text")
        phase["persons"]
        for row in phase["samples"]:
            if len(row) != len(columns) or not all(type(value) is int for value in row):
                raise ValueError(f"a sample of {phase['name']} is not {len(columns)} whole numbers")
            if not all(abs(value) < _MAX_NS for value in row) or (total is not None and row[total] <= 0):
                raise ValueError(f"a sample of {phase['name']} has an impossible time")


def samples(document: Document, phase: str, column: str = "total_ns") -> list[int]:
    """Return one column of one phase, or nothing where the result lacks either."""
    if column not in document["columns"]:
        return []
    index = document["columns"].index(column)
    for entry in document["phases"]:
        if entry["name"] == phase:
            return [row[index] for row in entry["samples"]]
    return []


def pictures(document: Document) -> list[str]:
    """Return the checksums of the pictures that were measured with; nothing for the golden picture."""
    return [picture["sha256"] for picture in document.get("plan", {}).get("pictures", [])]


def mode_of(manifest: Mapping[str, Any]) -> str:
    """Return the mode of a bundle's calibration (auto+int8 where its networks differ), else its precision.

    The precision of what the modes mixed and auto make is mixed.
    """
    steps = [entry["arguments"] for entry in manifest["lineage"] if entry["step"] == "quantise"]
    modes = [mode for mode in ("auto", "int8", "mixed") if any(mode == step.get("mode") for step in steps)]
    return "+".join(modes) or str(manifest["precision"])


def bundle_parts(document: Document) -> tuple[str, str, str]:
    """Return name, backend and mode of the bundle, which is its precision where the result names no other."""
    bundle = document["bundle"]
    return str(bundle["name"]), str(bundle["backend"]), str(bundle.get("mode", bundle["precision"]))


def device_text(document: Document) -> str:
    """Return the name of the device, and its address where that tells it from others of its profile."""
    name, address = document["device"]["name"], document["device"].get("address")
    # A result that an app wrote has no address.
    return str(name) if address in (None, LocalTransport.address) else f"{name} ({address})"


def describe(document: Document) -> list[str]:
    """Say a result in lines of text. The times of an emulated run are not shown."""
    device, engine = document["device"], document["engine"]
    name, backend, mode = bundle_parts(document)
    lines = [
        f"{name}  ({backend}, {mode}) on {device_text(document)}: {device['title']}",
        f"  {device['facts']['processor'] or device['facts']['machine']}, {engine['threads']} "
        f"thread{'s' * (engine['threads'] != 1)}, processors {_ranges(engine['affinity'])}",
    ]
    golden = document["golden"]
    shift = max(golden.get("keypoint_max_px", 0.0), golden.get("box_max_px", 0.0))
    found = f"{'right' if golden.get('passed') else 'WRONG'}, off by up to {shift:.3g} px"
    lines.append(f"  golden picture  {found if golden else 'not compared'}")
    lines.append(f"  peak memory     {(document['rss_peak_bytes'] or 0) / 1e6:.1f} MB")
    if document["emulated"]:
        lines.append("  EMULATED: the times are no measurement of a device and are not shown")
        return lines
    if document["cold_ns"] is not None:  # a run can end before its first frame
        lines.append(
            f"  load {document['load_ns'] / 1e6:.1f} ms, first frame {document['cold_ns'] / 1e6:.1f} ms, "
            f"warm-up {document['warmup'].get('frames', 0)} frames"
        )
    if document["phases"]:
        lines += ["", *_table(document)]
    drawn = [phase for phase in document["phases"] if "energy_mj" in phase]
    lines += [
        f"energy  {phase['name']}: {phase['power_w']:.2f} W, {phase['energy_mj']:.1f} mJ a frame"
        for phase in drawn
    ]
    if document["invalid"]:
        lines += [
            "",
            "INVALID:",
            *(f"  {finding['rule']}: {finding['message']}" for finding in document["invalid"]),
        ]
    lines += [f"note: {finding['message']}" for finding in document["warnings"]]
    return lines


def _energy(phase: PhaseSamples, journal: Journal) -> dict[str, float]:
    """Return mean power and energy of a frame, where the device tells what it draws from its battery.

    It is the power of the whole device, the screen among it. A charging battery tells something else, and a
    resumed run has two clocks.
    """
    begin_ns, end_ns = phase.rows[0][0], phase.rows[-1][0] + phase.rows[-1][1]
    states = [s for s in journal.states if "power_w" in s and begin_ns <= s["at_ns"] <= end_ns]
    if journal.sessions != 1 or not states or any(s.get("battery") != "Discharging" for s in states):
        return {}
    power_w = sum(float(state["power_w"]) for state in states) / len(states)
    return {"power_w": power_w, "energy_mj": power_w * 1000 * phase_seconds(phase) / len(phase.rows)}


def _phase(phase: PhaseSamples, plan: Mapping[str, Any], journal: Journal) -> dict[str, Any]:
    columns = journal.columns
    planned: Mapping[str, Any] = next((p for p in plan["phases"] if p["name"] == phase.name), {})
    used = [
        (index, name)
        for index, name in enumerate(columns)
        if name != "at_ns" and any(row[index] for row in phase.rows)
    ]
    seconds = phase_seconds(phase)
    return {
        "name": phase.name,
        "mode": planned.get("mode"),
        "persons": planned.get("persons"),
        "fps_asked": planned.get("fps"),
        "frames": len(phase.rows),
        "dropped": phase.dropped,
        "complete": phase.complete,
        "seconds": seconds,
        "fps": len(phase.rows) / seconds if seconds else None,
        "summary": {name: summarise([row[index] for row in phase.rows]) for index, name in used},
        "samples": phase.rows,
    }


def _table(document: Document) -> list[str]:
    percentiles = [f"p{p} ms" for p in PERCENTILES]
    heads = ["phase", "persons", "frames", *percentiles, "max ms", "p50 95 %", "detector", "pose"]
    rows = [heads]
    for phase in document["phases"]:
        total = phase["summary"]["total_ns"]
        median = total["p50"]
        rows.append(
            [
                phase["name"],
                str(phase["persons"] or "found"),
                str(phase["frames"]),
                *(f"{total[f'p{p}']['value'] / 1e6:.2f}" for p in PERCENTILES),
                f"{total['max'] / 1e6:.2f}",
                f"{median['low'] / 1e6:.2f}-{median['high'] / 1e6:.2f}",
                *(_stage(phase, name) for name in ("detector_ns", "pose_ns")),
            ]
        )
    return aligned(rows, texts=len(heads))


def _stage(phase: Mapping[str, Any], name: str) -> str:
    stage = phase["summary"].get(name)
    return f"{stage['p50']['value'] / 1e6:.2f}" if stage else "-"


def _ranges(numbers: list[int]) -> str:
    """Write [0, 1, 2, 5] as 0-2,5."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)
