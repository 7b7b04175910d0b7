"""What INT8 does to each layer, where calibration measured it (docs/bundle-format.md)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from edgepose.errors import BundleError
from edgepose.report import charts
from edgepose.report.markup import Child, Markup, details, el, join, number, table
from edgepose.report.subject import Report, Subject, section, verdict

_SHOWN = 15


def sensitivity(report: Report) -> Markup | None:
    """Return the chart and the table of every calibrated network; None where none was measured."""
    parts: list[Markup] = []
    for subject in report.subjects:
        for stage in subject.stages:
            try:
                parts += _network(subject, stage)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                # The validator leaves these members free.
                raise BundleError(
                    f"{subject.bundle.path}: its record of a calibration cannot be read ({error!r})",
                    hint="make the bundle again with this version's edgepose convert",
                ) from error
    if not parts:
        return None
    return section(
        "sensitivity",
        "INT8 sensitivity",
        el(
            "p",
            "The error at the network's outputs when one layer alone is INT8, on held-out samples. ",
            "Layers from left to right in the order of execution; the scale is logarithmic.",
            class_="lead",
        ),
        *parts,
    )


def _network(subject: Subject, stage: Mapping[str, Any]) -> list[Markup]:
    agreement, budget, record = stage.get("agreement"), stage.get("budget"), stage.get("sensitivity")
    if not agreement and not record:
        return []
    title = el("h3", subject.badge(), f" {stage['model']} ({stage.get('stage', '?')})")
    lines: list[Child] = []
    if agreement:
        words = f"Against the float network: mean {number(agreement['mean_px'])} px, p95 "
        words += f"{number(agreement['p95_px'])} px, similarity {number(agreement['similarity'], 4)}."
        lines.append(el("p", words))
    if agreement and budget:
        allowed = (
            f"at least {number(budget['similarity'], 4)} and p95 at most {number(budget['p95_px'], 2)} px"
        )
        kept = agreement["similarity"] >= budget["similarity"] and agreement["p95_px"] <= budget["p95_px"]
        if "mean_px" in budget:
            allowed += f", mean at most {number(budget['mean_px'], 2)} px"
            kept = kept and agreement["mean_px"] <= budget["mean_px"]
        outcome = verdict("pass", "within the budget") if kept else verdict("fail", "over the budget")
        lines.append(el("p", outcome, f": similarity {allowed}."))
    if record and record["layers"]:
        lines.append(_layers(record))
    return [title, *(join(line) for line in lines)]


def _layers(record: Mapping[str, Any]) -> Markup:
    layers: Sequence[Mapping[str, Any]] = record["layers"]
    bad = set(record["bad_layers"])
    # Null is an error without bounds: the outputs overflow. It has no column.
    bars = [
        (error, "over" if layer["layer"] in bad else "", f"{layer['layer']} ({layer['kind']}): {error:.2e}")
        for layer in layers
        if math.isfinite(error := _error(layer["alone_int8"]))
    ]
    ordered = sorted(layers, key=lambda layer: -_error(layer["alone_int8"]))
    head = [
        "layer", "kind", "output error", "mean px", "p95 px", record["similarity"],
        "error with it left in float", "error of the layer itself",
    ]  # fmt: skip
    rows = [_row(layer, bad) for layer in ordered]
    everything = record["all_int8"]
    caption = (
        f"{record['samples']} samples; all layers in INT8: error {_spelled(everything)}, "
        f"p95 {number(everything['p95_px'])} px. {len(bad)} layers stand out."
    )
    hidden = rows[_SHOWN:]
    return join(
        charts.columns(bars),
        el("p", caption, class_="muted small"),
        table(head, rows[:_SHOWN], text_columns=2),
        details(f"{len(hidden)} more layers", table(head, hidden, text_columns=2)) if hidden else None,
    )


def _error(agreement: Mapping[str, Any]) -> float:
    value = agreement["output_error"]
    return math.inf if value is None else float(value)


def _spelled(agreement: Mapping[str, Any]) -> str:
    error = _error(agreement)
    return f"{error:.2e}" if math.isfinite(error) else "overflows"


def _row(layer: Mapping[str, Any], bad: set[str]) -> list[Child]:
    alone, left, own = layer["alone_int8"], layer["left_float"], layer["layer_error"]
    name = layer["layer"]
    return [
        el("strong", verdict("fail", name)) if name in bad else name,
        layer["kind"],
        _spelled(alone),
        number(alone["mean_px"]),
        number(alone["p95_px"]),
        number(alone["similarity"], 4),
        number(None) if left is None else _spelled(left),
        number(None) if own is None else f"{own:.2e}",
    ]
