"""Accuracy against labels, and drift per joint on a drawn skeleton."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from edgepose.bench.plan import persons_text
from edgepose.report import charts
from edgepose.report.documents import Document, reading
from edgepose.report.layouts import panels_of
from edgepose.report.markup import DASH, Child, Markup, details, el, join, number, table
from edgepose.report.subject import Report, Subject, section
from edgepose.verify.text import describe

_FIGURES = ("AP", "AP50", "AP75", "APM", "APL", "AR")
_BARS = 24


def accuracy(report: Report) -> Markup | None:
    """Return AP, AR, PCK and errors, where an evaluation had labels."""
    labelled: list[tuple[Subject, Document]] = []
    for subject, document in report.each("eval"):
        with reading("eval", document):
            if document.content["accuracy"]:
                labelled.append((subject, document))
    if not labelled:
        return None
    rows, intervals, errors = [], [], []
    for subject, document in labelled:
        with reading("eval", document):
            content, found = document.content, document.content["accuracy"]
            data, settings = content["data"], content["settings"]
            flipped = ", flip test" if settings.get("flip_test") else ""
            for part, figures in found["parts"].items():
                values = (number(figures[name], 2) for name in _FIGURES)
                rows.append([subject.badge(), f"{part}{flipped}", *values])
            low, high = found["AP_interval"]
            ap = next(iter(found["parts"].values()))["AP"]
            intervals.append((subject, [_finite(value) for value in (low, ap, high)], flipped))
            error, pck = found["error_px"], found["pck"]
            errors.append(
                [
                    subject.badge(),
                    f"{data['annotations']}: {data['images']} pictures, {data['persons']} persons, "
                    f"{settings['boxes']} boxes{flipped}",
                    *(number(pck[share], 1) for share in ("0.05", "0.1", "0.2")),
                    *(number(error[name], 2) for name in ("mean", "p95", "max")),
                    error["compared"],
                    number(found.get("unmatched_persons")),  # results from before it was counted lack it
                ]
            )
    error_head = [
        "", "data", "PCK 5 %", "PCK 10 %", "PCK 20 %", "mean px", "p95 px", "max px", "keypoints",
        "persons not found",
    ]  # fmt: skip
    return section(
        "accuracy",
        "Accuracy",
        el("p", "COCO's keypoint figures in percent; errors in pixels of the picture.", class_="lead"),
        table(["", "part", *_FIGURES], rows, text_columns=2),
        el("h3", "AP and its interval (bootstrap over pictures)"),
        _intervals(intervals),
        table(error_head, errors, text_columns=2),
    )


def _finite(value: Any) -> float | None:
    """Return a figure that may be None. Errors: TypeError, ValueError, OverflowError."""
    if value is not None and not math.isfinite(value):
        raise ValueError(f"{value} is no figure")
    return None if value is None else float(value)


def _intervals(rows: Sequence[tuple[Subject, Sequence[float | None], str]]) -> Markup:
    ends = [value for _, values, _ in rows for value in values if value is not None]
    if not ends:
        return el("p", "No AP could be measured.", class_="note")
    margin = max(0.5, 0.08 * (max(ends) - min(ends)))
    axis = (math.floor(min(ends) - margin), math.ceil(max(ends) + margin))
    body: list[list[Child]] = []
    for subject, (low, ap, high), flipped in rows:
        figure = f"{number(ap, 2)}{flipped}"
        if ap is None or low is None or high is None:
            body.append([subject.badge(), figure, DASH, None])
        else:
            plot = charts.interval(low, ap, high, axis=axis, kind=subject.key)
            body.append([subject.badge(), figure, f"{number(low, 2)} to {number(high, 2)}", plot])
    return table(["", "AP", "interval", f"from {axis[0]} to {axis[1]}"], body, class_="plot")


def joints(report: Report) -> Markup:
    """Return drift, error or golden shift of every joint on a skeleton, the best evidence of each bundle."""
    parts = [
        part
        for subject in report.subjects
        for part in _measured(subject, report.evidence(subject)) or [_golden(subject)]
    ]
    note = el("p", report.note, class_="note") if report.note else None
    return section("joints", "Drift per joint", note, el("div", parts, class_="columns"))


def _measured(subject: Subject, evidence: Sequence[tuple[str, Document]]) -> list[Markup]:
    drawn = []
    for kind, document in evidence:
        with reading(kind, document):
            skeleton, data = document.content["skeleton"], document.content["data"]
            drift, found = document.content["drift"], document.content["accuracy"]
            names, links = skeleton["keypoints"], skeleton["links"]
            if drift:
                rows = drift["per_keypoint"]
                beside = "".join(f"; {words}" for words in beside_the_shift(drift))
                against = (
                    f"Shift from {describe(drift['reference'])} over {data['images']} pictures, "
                    f"{drift['compared']} confident keypoints of {drift['persons']} persons{beside}; "
                    f"{document.source}. "
                    f"Arrows: where joints shift on average, from {charts.BIAS_SHOWN_PX} px on."
                )
                columns = ("compared", "mean_input_px", "p95_input_px", "mean_px", "p95_px", "max_px")
                drawn.append(
                    _joints(
                        subject, names, links, rows, "mean_input_px", columns, against,
                        steps=charts.DRIFT_STEPS_PX, unit="px of the network's input",
                    )
                )  # fmt: skip
            elif found and kind == "eval":
                against = (
                    f"Error against the labels of {data['annotations']} ({data['images']} pictures); "
                    f"{document.source}."
                )
                measures = ("compared", "mean_px", "p95_px", "max_px", "pck_0.1")
                drawn.append(
                    _joints(
                        subject, names, links, found["per_keypoint"], "mean_px", measures, against,
                        steps=charts.ERROR_STEPS_PX, unit="px of the picture",
                    )
                )  # fmt: skip
    return drawn


def beside_the_shift(drift: Mapping[str, Any]) -> list[str]:
    """Say what the shift of the joints does not: persons lost and added, and the shift in depth."""
    # Documents from before these were compared lack them.
    lost, added, depth = (drift.get(name) for name in ("unmatched_persons", "added_persons", "depth_mm"))
    words = [f"{persons_text(lost)} not found again"] if lost else []
    words += [f"{persons_text(added)} added"] if added else []
    if depth:
        mean, p95, worst = (number(depth[name]) for name in ("mean", "p95", "max"))
        words.append(f"depth {mean} mm mean, {p95} p95, {worst} worst")
    return words


def _golden(subject: Subject) -> Markup:
    run = subject.golden
    if run.points is None or not run.expected.size:
        finds_none = "It finds boxes, not keypoints."
        if run.points is not None:
            finds_none = "The network finds no person in the golden picture."
        why = run.note or finds_none
        return el("div", el("h3", subject.title()), el("p", why, class_="note"))
    names, values = run.points.keypoints, run.per_keypoint_px()
    rows = [{"name": n, "mean_px": v} for n, v in zip(names, values, strict=True)]
    against = (
        f"Shift from torch on the golden picture only ({len(run.expected)} persons): a sign of life, "
        "no measurement. With --images the bundles are compared on your pictures."
    )
    return _joints(
        subject, names, run.points.skeleton, rows, "mean_px", ("mean_px",), against,
        steps=charts.DRIFT_STEPS_PX, unit="px of the picture",
    )  # fmt: skip


def _joints(
    subject: Subject,
    names: Sequence[str],
    links: Sequence[Sequence[int]],
    rows: Sequence[Mapping[str, Any]],
    value: str,
    columns: Sequence[str],
    against: str,
    *,
    steps: Sequence[float],
    unit: str,
) -> Markup:
    values = [row[value] for row in rows]
    bias = [row.get("bias_input_px") or (None, None) for row in rows]
    if len(rows) != len(names):
        raise ValueError(f"{len(rows)} rows for {len(names)} keypoints")
    panels = panels_of(names)
    if panels is None:
        figure = _bars(names, values, steps)
    else:
        drawings = [
            charts.skeleton(panel, links, names, values, steps=steps, unit=unit, bias=bias)
            for panel in panels
        ]
        figure = join(charts.legend(steps, unit), el("div", drawings, class_="panels"))
    ordered = sorted(rows, key=lambda row: -(row[value] if row[value] is not None else -1.0))
    body = [[row["name"], *(number(row[column]) for column in columns)] for row in ordered]
    head = ["joint", *(column.replace("_", " ") for column in columns)]
    return el(
        "div",
        el("h3", subject.title()),
        el("p", against, class_="muted"),
        figure,
        details("Table of the joints, largest first", table(head, body)),
    )


def _bars(names: Sequence[str], values: Sequence[float | None], steps: Sequence[float]) -> Markup:
    """Show joints without a known place as bars, the largest first."""
    measured = sorted(((v, n) for v, n in zip(values, names, strict=True) if v is not None), reverse=True)
    if not measured:
        return el("p", "No joint was measured.", class_="note")
    top = max(measured[0][0], 1e-9)
    rows = [
        [name, number(value), charts.bar(value / top, f"s{charts.step_of(value, steps)}")]
        for value, name in measured[:_BARS]
    ]
    note = f"The {len(rows)} joints with the largest values; this set of keypoints has no drawing."
    return join(el("p", note, class_="muted"), table(["joint", "px", "share of the largest"], rows))
