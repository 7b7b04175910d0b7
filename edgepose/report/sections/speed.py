"""Latency as measured by `edgepose bench`, and the facts of the device."""

from __future__ import annotations

from typing import Any

from edgepose.bench.plan import persons_text
from edgepose.bench.result import device_text
from edgepose.report import charts
from edgepose.report.documents import Document, reading
from edgepose.report.markup import DASH, Child, Markup, details, el, join, number, table
from edgepose.report.subject import Report, Subject, section, verdict

_PERCENTILES = ("p50", "p90", "p95", "p99")
# What a phone says about itself, by the name of its member.
_PHONE = {"manufacturer": "manufacturer", "model": "model", "android": "Android"}


def speed(report: Report) -> Markup | None:
    """Return latency distributions and device facts of every benchmark; None without one."""
    benches = list(report.each("bench"))
    if not benches:
        return None
    high_ms = _axis_end_ms(benches)
    lead = el(
        "p",
        f"Time of a frame; every sample counts. All axes go from 0 to {high_ms:.1f} ms; slower frames are ",
        "in the last bar. Lines: median, and the 95th percentile dashed.",
        class_="lead",
    )
    parts = [
        _bench(subject, document, device_name(report, document), (0.0, high_ms))
        for subject, document in benches
    ]
    return section("speed", "Speed", lead if high_ms else None, *parts)


def device_name(report: Report, document: Document) -> str:
    """Return the name of a benchmark's device, with its address only where others of the page need it.

    A page may be published, and an address is a serial number or a login.
    """
    with reading("bench", document):
        name = document.content["device"]["name"]
    namesakes = set()
    for _, other in report.each("bench"):
        with reading("bench", other):
            if other.content["device"]["name"] == name:
                namesakes.add(device_text(other.content))
    return device_text(document.content) if len(namesakes) > 1 else str(name)


def _total_ms(document: Document, phase: dict[str, Any]) -> list[float]:
    index = document.content["columns"].index("total_ns")
    return [float(row[index]) / 1e6 for row in phase["samples"]]


def _axis_end_ms(benches: list[tuple[Subject, Document]]) -> float:
    """The largest 99th percentile, so that one outlier does not squeeze everything; 0 without any times."""
    ends = [0.0]
    for _, document in benches:
        with reading("bench", document):
            if document.content["emulated"]:
                continue
            for phase in document.content["phases"]:
                ends.append(max(1e-3, phase["summary"]["total_ns"]["p99"]["value"] / 1e6))
    return max(ends) * 1.15


def _bench(subject: Subject, document: Document, where: str, axis: tuple[float, float]) -> Markup:
    with reading("bench", document):
        content = document.content
        device, engine, facts = content["device"], content["engine"], content["device"]["facts"]
        title = join(subject.badge(), f" {content['bundle']['name']} on {where}: {device['title']}")
        cold_ns, peak = content["cold_ns"], content["rss_peak_bytes"]
        known: list[tuple[str, Child]] = [
            ("engine", f"{engine['backend']} on {engine['device']}, {engine['threads']} threads"),
            ("processors used", ", ".join(str(n) for n in engine["affinity"])),
            ("load", f"{number(content['load_ns'] / 1e6, 1)} ms"),
            ("first frame", None if cold_ns is None else f"{number(cold_ns / 1e6, 1)} ms"),
            ("peak memory", f"{number(peak / 1e6, 1)} MB" if peak else None),
            *((words, _plain(device[name])) for name, words in _PHONE.items() if name in device),
            *((name.replace("_", " "), _plain(value)) for name, value in facts.items()),
        ]
        times = {"load", "first frame"} if content["emulated"] else set()
        facts_table = table(
            ["fact", "value"],
            [[n, v] for n, v in known if v is not None and n not in times],
            class_="compare",
        )
        findings = [
            el("li", f"{f['rule']}: {f['message']}") for f in (*content["invalid"], *content["warnings"])
        ]
        if content["emulated"]:
            body: Child = el(
                "p", "EMULATED: its times are no measurement of a device and are not shown.", class_="note"
            )
        elif content["phases"]:
            body = _phases(subject, document, axis)
        else:
            body = el("p", "Nothing was measured.", class_="note")
        outcome = verdict("pass", "valid") if content["valid"] else verdict("fail", "INVALID measurement")
        return join(
            el("h3", title),
            el("p", outcome, f" · {document.source}", class_="muted"),
            el("ul", findings) if findings else None,
            body,
            details("Device facts", facts_table),
        )


def _phases(subject: Subject, document: Document, axis: tuple[float, float]) -> Markup:
    rows: list[list[Child]] = []
    for phase in document.content["phases"]:
        total = phase["summary"]["total_ns"]
        median = total["p50"]
        stages = [
            f"{name.removesuffix('_ns').replace('_', ' ')} {number(stage['p50']['value'] / 1e6, 2)}"
            for name, stage in phase["summary"].items()
            if name != "total_ns"
        ]
        rows.append(
            [
                join(
                    phase["name"],
                    el("br"),
                    el(
                        "span",
                        f"{persons_text(phase['persons'])}, {phase['frames']} frames{_energy(phase)}",
                        class_="muted",
                    ),
                ),
                el("div", charts.density(_total_ms(document, phase), axis, kind=subject.key)),
                *(number(total[p]["value"] / 1e6, 2) for p in _PERCENTILES),
                number(total["max"] / 1e6, 2),
                f"{number(median['low'] / 1e6, 2)} to {number(median['high'] / 1e6, 2)}",
                ", ".join(stages),
            ]
        )
    head = [
        "phase",
        "distribution",
        *(f"{p} ms" for p in _PERCENTILES),
        "max ms",
        "p50 interval",
        "medians of the stages, ms",
    ]
    return table(head, rows, text_columns=2, class_="speed")


def _energy(phase: dict[str, Any]) -> str:
    energy_mj = phase.get("energy_mj")
    return "" if energy_mj is None else f", {number(energy_mj, 1)} mJ a frame"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_plain(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(_plain(inner) for inner in value)
    return DASH if value is None else str(value)
