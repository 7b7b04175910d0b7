"""What the networks are made of and how far each stage is from the float network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgepose.bundle.folder import golden_keypoints
from edgepose.report import charts
from edgepose.report.golden import box_text, compared
from edgepose.report.inventory import Inventory
from edgepose.report.markup import DASH, Child, Markup, details, el, join, number, share_text, table
from edgepose.report.subject import Report, Subject, section, verdict, within_limits

_PRECISIONS = ("fp32", "fp16", "int8")


def stages(report: Report) -> Markup:
    """Return the table of stages: each against the float network that it was made from."""
    head = [
        "", "network", "stage", "precision", "", "mean px", "limit px", "share of the limit",
        "p95 px", "max px", "depth px", "max abs", "cosine", "recall", "false boxes", "samples", "engine",
    ]  # fmt: skip
    rows = []
    for subject in report.subjects:
        for stage in subject.stages:
            rows.append([subject.badge(), *_stage(stage)])
    return section(
        "verification",
        "Verified against the float network",
        el(
            "p",
            "The stages of a conversion ran on real and random inputs and were compared with the float32 ",
            "torch network; those of a calibration (int8, mixed) ran on held-out pictures and were compared ",
            "with the float network that they were made from. Shifts are in pixels of the network's input.",
            class_="lead",
        ),
        table(head, rows, text_columns=5, class_="stages"),
    )


def _stage(stage: Mapping[str, Any]) -> list[Child]:
    limit = (stage.get("limits") or {}).get("mean_px")
    mean, kept = stage.get("mean_px"), within_limits(stage)
    samples = [stage.get(name) for name in ("real_samples", "random_samples")]
    share = charts.bar(mean / limit) if limit and mean is not None else None
    outcome = None if kept is None else verdict("pass", "kept") if kept else verdict("fail", "over")
    cosine = stage.get("cosine")
    return [
        stage["model"],
        stage.get("stage", DASH),
        stage.get("precision", DASH),
        outcome,
        number(mean),
        DASH if limit is None else f"{limit:g}",
        share,
        *(number(stage.get(name)) for name in ("p95_px", "max_px", "depth_mean_px", "max_abs")),
        DASH if cosine is None else f"{cosine:.7g}",
        number(stage.get("recall")),
        number(stage.get("false_boxes")),
        DASH if None in samples else f"{samples[0]} + {samples[1]}",
        stage.get("engine", DASH),
    ]


def precision_map(report: Report) -> Markup:
    """Return which precision the weights of each layer are stored in."""
    keys = [el("li", el("span", class_=f"key p-{kind}"), kind) for kind in (*_PRECISIONS, "other")]
    parts = [
        _map(subject, role, inventory)
        for subject in report.subjects
        for role, inventory in subject.bundle.inventories.items()
    ]
    return section(
        "precision",
        "Precision map",
        el(
            "p",
            "Layers with weights in the order of the network; the width is the share of the parameters. ",
            "Activations follow the engine, which may compute in a lower precision where the processor can.",
            class_="lead",
        ),
        el("ul", keys, class_="legend"),
        *parts,
    )


def _map(subject: Subject, role: str, inventory: Inventory) -> Markup:
    model = subject.manifest["models"][role]
    title = el("h3", subject.badge(), f" {model['name']} ({role}), {subject.manifest['backend']}")
    if inventory.note:
        return join(title, el("p", inventory.note, class_="note"))
    weighted = [layer for layer in inventory.layers if layer.precision]
    total = sum(layer.parameters for layer in weighted)
    parts = [
        (
            f"p-{layer.precision if layer.precision in _PRECISIONS else 'other'}",
            # A layer of few weights stays visible.
            max(layer.parameters, total / 600),
            f"{layer.name} ({layer.type}): {layer.precision}, {layer.parameters:,} parameters",
        )
        for layer in weighted
    ]
    stored = "; ".join(
        f"{kind}: {sum(1 for layer in weighted if layer.precision == kind)} layers, {count:,} parameters"
        f" ({share_text(count, total)})"
        for kind, count in inventory.precisions().items()
    )
    types: dict[str, list[int]] = {}
    for layer in inventory.layers:
        entry = types.setdefault(layer.type, [0, 0])
        entry[0] += 1
        entry[1] += layer.parameters
    ordered = sorted(types.items(), key=lambda item: -item[1][1])
    return join(
        title,
        charts.strip(parts),
        el("p", stored, class_="muted small"),
        details(
            f"{len(inventory.layers)} layers by type",
            table(["type", "layers", "parameters"], [[n, c, f"{p:,}"] for n, (c, p) in ordered]),
        ),
    )


def golden(report: Report) -> Markup | None:
    """Return the golden pictures: torch's result and what this machine gives; None where nothing was run."""
    if not report.run:
        return None
    cards = [_golden_card(subject) for subject in report.subjects]
    return section(
        "golden",
        "Golden picture",
        el(
            "p",
            "Every bundle carries a picture and the result of the torch network. ",
            "Solid: what the bundle gives on this machine; dashed: what torch gave.",
            class_="lead",
        ),
        el("div", cards, class_="cases"),
    )


def _golden_card(subject: Subject) -> Markup:
    from edgepose.report.pictures import cut

    run = subject.golden
    height, width = run.picture.shape[:2]
    part = cut(run.picture, (0, 0, width, height), padding=0)
    shapes: list[Markup] = []
    threshold = float(subject.manifest["pipeline"].get("keypoint_score_threshold", 0.3))
    threshold_box = float(subject.manifest["pipeline"].get("box_score_threshold", 0.3))
    points = run.points
    if points is not None and run.expected.size:
        person = 0
        for keypoints, kind in ((run.found, "candidate"), (run.expected, "ghost")):
            if keypoints is not None:
                places = [part.place(point) for point in keypoints[person]]
                shapes.append(
                    charts.person(places, points.skeleton, points.keypoints, threshold=threshold, kind=kind)
                )
    for boxes, kinds in ((run.found_boxes, ("where dark", "where")), (run.expected_boxes, ("where ghost",))):
        for x1, y1, x2, y2, score in () if boxes is None else boxes:
            if score >= threshold_box:
                (left, top, _), (right, bottom, _) = part.place((x1, y1, 1)), part.place((x2, y2, 1))
                sides = {"x": left, "y": top, "width": right - left, "height": bottom - top}
                shapes += [el("rect", **sides, class_=kind) for kind in kinds]
    label = "the golden picture with keypoints and boxes"
    picture = el("image", href=part.address, width=part.width_px, height=part.height_px)
    view = f"0 0 {part.width_px} {part.height_px}"
    outcome: Child = run.note
    if run.outcome is not None:
        outcome = join(
            verdict("pass", "reproduced") if run.outcome["passed"] else verdict("fail", "NOT reproduced"),
            " ",
            _differences(run.outcome, golden_keypoints(subject.bundle.path, subject.manifest)),
        )
    return el(
        "div",
        el("p", subject.title()),
        el("p", outcome),
        el("div", el("svg", picture, shapes, viewBox=view, role="img", aria_label=label), class_="golden"),
        class_="case",
    )


def _differences(outcome: Mapping[str, Any], keypoints: str) -> str:
    """Say what `edgepose verify` says: of boxes and keypoints only where there were any."""
    off = {
        what: f", off by {number(outcome[f'{what}_mean_px'])} px, max {number(outcome[f'{what}_max_px'])}"
        for what in compared(outcome)
    }
    boxes = box_text(outcome)
    parts = [
        *([] if boxes is None else [boxes + off.get("box", "")]),
        *([f"{outcome['keypoints_compared']} {keypoints}{off['keypoint']}"] if "keypoint" in off else []),
    ]
    return f"{'; '.join(parts) or 'nothing to compare'}; tolerance of the mean {outcome['tolerance_px']:g} px"
