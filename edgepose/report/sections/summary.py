"""The bundles beside each other, and the verdict of the gate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from edgepose.report import charts
from edgepose.report.documents import Document, Kind, reading
from edgepose.report.golden import box_text, compared
from edgepose.report.markup import DASH, Child, Markup, details, el, join, number, share_text, size, table
from edgepose.report.sections.accuracy import beside_the_shift
from edgepose.report.sections.speed import device_name
from edgepose.report.subject import Report, Subject, section, verdict, within_limits
from edgepose.verify.text import describe, what_decides

# The worst first.
_KINDS = {"FAIL": "fail", "INCONCLUSIVE": "unsure", "PASS": "pass"}


def summary(report: Report) -> Markup:
    """Return the comparison of the bundles, one column each."""
    rows: list[tuple[str, Callable[[Subject], Child]]] = [
        ("bundle", lambda s: s.bundle.name),
        ("backend, precision", lambda s: f"{s.manifest['backend']}, {s.manifest['precision']}"),
        ("networks", lambda s: ", ".join(m["name"] for m in s.manifest["models"].values())),
        ("size of the model files", lambda s: size(_model_bytes(s))),
        ("parameters stored as", _stored),
        ("against the float network", _verified),
        ("farthest mean shift", _worst_stage),
        ("golden picture, here", _golden),
        ("accuracy (AP)", lambda s: _ap(report, s)),
        ("drift from the reference", lambda s: _drift(report, s)),
        ("gate", _gate),
        ("median latency", lambda s: _latency(report, s)),
        ("weights' licence", lambda s: s.manifest["license"]["weights"]),
        ("digest", lambda s: el("code", s.bundle.digest[:16])),
    ]
    body = []
    for name, cell in rows:
        cells = [cell(subject) for subject in report.subjects]
        if any(c is not None for c in cells):
            body.append([name, *(DASH if c is None else c for c in cells)])
    head: list[Child] = ["", *(subject.badge() for subject in report.subjects)]
    return section("summary", "At a glance", table(head, body, class_="compare"))


def _model_bytes(subject: Subject) -> int:
    files = subject.manifest["files"]
    return sum(file["bytes"] for name, file in files.items() if name not in subject.bundle.golden_files)


def _stored(subject: Subject) -> Child:
    counts: dict[str, int] = {}
    for inventory in subject.bundle.inventories.values():
        for kind, count in inventory.precisions().items():
            counts[kind] = counts.get(kind, 0) + count
    total = sum(counts.values())
    return ", ".join(f"{kind} {share_text(c, total)}" for kind, c in counts.items()) if total else None


def _verified(subject: Subject) -> Child:
    outcomes = [kept for stage in subject.stages if (kept := within_limits(stage)) is not None]
    if not outcomes:
        return None
    if all(outcomes):
        return verdict("pass", f"{len(outcomes)} stages within limits")
    return verdict("fail", f"{outcomes.count(False)} of {len(outcomes)} stages over a limit")


def _worst_stage(subject: Subject) -> Child:
    stages = [stage for stage in subject.stages if isinstance(stage.get("mean_px"), int | float)]
    if not stages:
        return None
    worst = max(stages, key=lambda stage: float(stage["mean_px"]))
    return f"{number(float(worst['mean_px']))} input px ({worst['model']}, {worst.get('stage', '?')})"


def _golden(subject: Subject) -> Child:
    outcome = subject.golden.outcome
    if outcome is None:
        return subject.golden.note
    words, measured = [], compared(outcome)
    if measured:
        words += [
            f"{figure} {number(max(float(outcome[f'{what}_{figure}_px']) for what in measured))} px"
            for figure in ("mean", "max")
        ]
    if outcome["detections_matched"] != outcome["detections_expected"] or outcome["detections_unexpected"]:
        words.append(str(box_text(outcome)))
    return verdict("pass" if outcome["passed"] else "fail", ", ".join(words) or "nothing to compare")


def _lines(lines: Iterable[Child]) -> Child:
    """Put each on a line of its own; None without any."""
    return join(*(join(el("br") if index else None, line) for index, line in enumerate(lines))) or None


# What something is called, and its digest.
_Named = tuple[str, str]


def _told_apart(found: Iterable[_Named]) -> dict[_Named, str]:
    """Return the words that tell each from the others, with the digest where only that differs; {} of one."""
    different = set(found)
    if len(different) < 2:
        return {}
    count = Counter(words for words, _ in different)
    return {
        (words, digest): words if count[words] == 1 else f"{words} ({digest[:8]})"
        for words, digest in different
    }


def _data(kind: Kind, document: Document) -> _Named:
    with reading(kind, document):
        data, boxes = document.content["data"], document.content["settings"]["boxes"]
        return f"{data['annotations']}, {data['images']} pictures, {boxes} boxes", data["digest"]


def _ap(report: Report, subject: Subject) -> Child:
    data = _told_apart(_data("eval", document) for one in report.subjects for document in _labelled(one))
    return _lines(_ap_line(document, data.get(_data("eval", document))) for document in _labelled(subject))


def _labelled(subject: Subject) -> list[Document]:
    found = []
    for document in subject.evals:
        with reading("eval", document):
            if document.content["accuracy"]:
                found.append(document)
    return found


def _ap_line(document: Document, data: str | None) -> str:
    with reading("eval", document):
        accuracy = document.content["accuracy"]
        part, figures = next(iter(accuracy["parts"].items()))
        low, high = accuracy["AP_interval"]
        flipped = "; flip test" if document.content["settings"].get("flip_test") else ""
        on = f"; {data}" if data else ""
        within = "" if low is None or high is None else f"; {number(low, 2)} to {number(high, 2)}"
        return f"{number(figures['AP'], 2)} ({part}{flipped}{within}{on})"


def _drift(report: Report, subject: Subject) -> Child:
    shown = [entry for one in report.subjects for entry in _drifting(one)]
    references = _told_apart(_reference(*entry) for entry in shown)
    data = _told_apart(_data(*entry) for entry in shown)
    lines = []
    for kind, document in _drifting(subject):
        with reading(kind, document):
            drift = document.content["drift"]
            mean, p95 = drift["input_px"]["mean"], drift["input_px"]["p95"]
            words = [f"{number(mean)} input px mean, {number(p95)} p95", *beside_the_shift(drift)]
            words += [f"from {references[_reference(kind, document)]}"] if references else []
            words += [data[_data(kind, document)]] if data else []
            lines.append("; ".join(words))
    return _lines(lines)


def _drifting(subject: Subject) -> list[tuple[Kind, Document]]:
    """Return the evaluations that were against a reference, or else the gates."""
    for kind, documents in (("eval", subject.evals), ("gate", subject.gates)):
        found = []
        for document in documents:
            with reading(kind, document):
                if document.content["drift"]:
                    found.append((kind, document))
        if found:
            return found
    return []


def _reference(kind: Kind, document: Document) -> _Named:
    with reading(kind, document):
        reference = document.content["drift"]["reference"]
        return describe(reference), reference["digest"]


def _gate(subject: Subject) -> Child:
    found = []
    for document in subject.gates:
        with reading("gate", document):
            found.append((_KINDS[document.content["verdict"]], document.content["verdict"]))
    if not found:
        return None
    kind, words = worst = min(found, key=lambda entry: list(_KINDS).index(entry[1]))
    count = f" ({found.count(worst)} of {len(found)})" if len(found) > 1 else ""
    return verdict(kind, f"{words}{count}")


def _latency(report: Report, subject: Subject) -> Child:
    return _lines(_latency_line(document, device_name(report, document)) for document in subject.benches)


def _latency_line(document: Document, device: str) -> Child:
    with reading("bench", document):
        if document.content["emulated"]:
            return f"emulated: no measurement ({device})"
        words = f"nothing was measured ({device})"
        if document.content["phases"]:
            phase = document.content["phases"][0]
            total = phase["summary"]["total_ns"]["p50"]["value"]
            words = f"{number(total / 1e6, 2)} ms ({device}, {phase['name']})"
        return words if document.content["valid"] else verdict("fail", f"INVALID: {words}")


def gates(report: Report) -> Markup | None:
    """Return what `edgepose gate` said."""
    parts = [_gate_of(subject, document) for subject, document in report.each("gate")]
    return section("gate", "Gate", *parts) if parts else None


def _gate_of(subject: Subject, document: Document) -> Markup:
    with reading("gate", document):
        content = document.content
        kind = _KINDS[content["verdict"]]
        reference = content["reference"]
        against = f"{reference['name']} ({reference['backend']}, {reference['precision']})"
        banner = el(
            "div", verdict(kind, content["verdict"]), el("p", content["summary"]), class_=f"banner {kind}"
        )
        causes = [
            el("li", el("strong", c["cause"].replace("_", " ")), ": ", c["message"])
            for c in content["diagnosis"]
        ]
        rows = [_check(check) for check in sorted(content["checks"], key=_urgency)]
        head = [
            "check",
            "estimate",
            "interval",
            "limit",
            "verdict",
            "estimate and interval; the line is the limit",
        ]
        shown, hidden = rows[:14], rows[14:]
        return join(
            el("h3", subject.title()),
            el("p", f"against {against}; {document.source}", class_="muted"),
            banner,
            el("ul", causes) if causes else None,
            table(head, shown),
            details(f"{len(hidden)} more checks", table(head, hidden)) if hidden else None,
            _ap_and_scores(content),
        )


def _ap_and_scores(content: Mapping[str, Any]) -> Markup | None:
    """Return the accuracy of both sides, and how the scores moved."""
    rows: list[list[Child]] = []
    found, scores, video = content["accuracy"], content["scores"], content["video"]
    if found:
        for name in ("AP", "AP50", "AP75", "AR"):
            rows.append([name, *(number(found[side][name], 2) for side in ("reference", "candidate"))])
    if scores:
        sides = [number(scores[f"{side}_mean"]) for side in ("reference", "candidate")]
        rows.append(["mean keypoint score", *sides])
    if video:
        jitter = [number(video[side]["jitter_input_px"]) for side in ("reference", "candidate")]
        rows.append(["jitter on the video, input px", *jitter])
        rows.append(["lag on the video, frames", None, number(video["lag_frames"])])
        rows.append(["identity switches on the video", None, number(video["id_switches"], 0)])
    return table(["", "reference", "candidate"], rows) if rows else None


def _urgency(check: Mapping[str, Any]) -> tuple[int, float]:
    """Order checks: failed, undecided, passed; in each the nearest to its limit first."""
    rank = {"FAIL": 0, "INCONCLUSIVE": 1}.get(str(check["verdict"]), 2)
    high, limit = (check["interval"] or (None, None))[1], check["limit"]
    return rank, -float(high) / float(limit) if high is not None and limit else 0.0


def _check(check: Mapping[str, Any]) -> list[Child]:
    kind = _KINDS.get(str(check["verdict"]), "unsure")
    unit = f" {check['unit']}" if check["unit"] else ""
    low, high = check["interval"] or (None, None)
    joint, title = check["keypoint"], str(check["title"])
    title += f" ({joint})" if joint and joint not in title else ""
    limit, estimate = check["limit"], check["estimate"]
    words = str(check["verdict"])
    if what_decides(check):
        words += f", about {what_decides(check)} would decide"
    plot: Child = None
    if low is not None and high is not None and limit is not None and estimate is not None:
        # The limit stands at the same place in every row whose interval is not far beyond it.
        axis = (1.05 * min(0.0, low, 1.5 * limit), 1.05 * max(0.0, high, 1.5 * limit) or 1.0)
        plot = charts.interval(low, estimate, high, axis=axis, limit=limit, kind=kind)
    interval = DASH if low is None else f"{number(low)} to {number(high)}"
    return [title, f"{number(estimate)}{unit}", interval, number(limit), verdict(kind, words), plot]
