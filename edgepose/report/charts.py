"""Figures of the report as inline SVG. Shapes only: words stand in the HTML beside them, so that they stay
readable on a phone."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgepose.report.layouts import Panel
from edgepose.report.markup import Markup, el, join, number

# Steps of a drift in pixels of the network's input, and of an error against labels in pixels of the picture.
DRIFT_STEPS_PX = (0.1, 0.25, 0.5, 1.0, 2.0)
ERROR_STEPS_PX = (1.0, 2.0, 4.0, 8.0, 16.0)
BIAS_SHOWN_PX = 0.25
_BIAS_SCALE = 16.0
_BIAS_MAX = 24.0
_BARS = 60  # of a distribution


def step_of(value: float | None, steps: Sequence[float]) -> int | None:
    """Return which step a value is in, 0 to len(steps); None without a value."""
    if value is None or not math.isfinite(value):
        return None
    return sum(value >= step for step in steps)


def skeleton(
    panel: Panel,
    links: Sequence[Sequence[int]],
    names: Sequence[str],
    values: Sequence[float | None],
    *,
    steps: Sequence[float],
    unit: str,
    bias: Sequence[Sequence[float | None]] | None = None,
) -> Markup:
    """Draw joints, coloured and sized by their values; arrows show a mean shift (bias), enlarged."""
    places = panel.places
    margin = 8.0
    dense = len(places) > 30
    limbs = [
        el("line", x1=places[a][0], y1=places[a][1], x2=places[b][0], y2=places[b][1], class_="limb")
        for a, b in links
        if a in places and b in places
    ]
    joints, arrows = [], []
    for joint, (x, y) in places.items():
        step = step_of(values[joint], steps)
        radius = (1.3 if dense else 2.6) + (0 if step is None else step * (0.35 if dense else 0.55))
        measured = "not measured" if step is None else f"{number(values[joint])} {unit}"
        joints.append(
            el(
                "circle",
                el("title", f"{names[joint]}: {measured}"),
                cx=x,
                cy=y,
                r=radius,
                class_="joint none" if step is None else f"joint s{step}",
            )
        )
        shift = bias[joint] if bias else None
        if shift and shift[0] is not None and shift[1] is not None:
            length = math.hypot(shift[0], shift[1])
            if length >= BIAS_SHOWN_PX:
                scale = min(_BIAS_SCALE, _BIAS_MAX / length)
                arrows.append(_arrow(x, y, x + shift[0] * scale, y + shift[1] * scale))
    box = f"{-margin:g} {-margin:g} {panel.width + 2 * margin:g} {panel.height + 2 * margin:g}"
    figure = el(
        "svg", limbs, joints, arrows, viewBox=box, role="img", aria_label=f"{panel.title}: {unit} by joint"
    )
    return el("figure", figure, el("figcaption", panel.title), class_="panel")


def _arrow(x1: float, y1: float, x2: float, y2: float) -> Markup:
    angle = math.atan2(y2 - y1, x2 - x1)
    tips = [
        f"{x2 - 3.5 * math.cos(angle + side):.1f},{y2 - 3.5 * math.sin(angle + side):.1f}"
        for side in (0.5, -0.5)
    ]
    head = el("polygon", points=f"{x2:.1f},{y2:.1f} {tips[0]} {tips[1]}")
    return el("g", el("line", x1=x1, y1=y1, x2=x2, y2=y2), head, class_="bias")


def legend(steps: Sequence[float], unit: str) -> Markup:
    """Explain the colours of the steps."""
    names = [f"below {steps[0]:g}", *(f"from {step:g}" for step in steps)]
    items = [
        el("li", _dot(f"joint s{number_}", 3 + number_ * 0.6), f" {name}")
        for number_, name in enumerate(names)
    ]
    return el("ul", items, el("li", _dot("joint none", 3), " not measured"), el("li", unit), class_="legend")


def _dot(kind: str, radius: float) -> Markup:
    return el(
        "svg",
        el("circle", cx=8, cy=8, r=radius * 1.1, class_=kind),
        viewBox="0 0 16 16",
        class_="dot",
        aria_hidden="true",
    )


def bar(share: float, kind: str = "") -> Markup:
    """Draw a bar that is full at its limit (share 1); what exceeds it is marked."""
    width = 100 * max(0.0, min(1.0, share))
    over = " over" if share > 1 else ""
    shapes = [
        el("rect", x=0, y=0, width=100, height=8, class_="track"),
        el("rect", x=0, y=0, width=width, height=8, class_=f"fill {kind}{over}"),
    ]
    return _flat(shapes, 8, "bar")


def interval(
    low: float,
    estimate: float,
    high: float,
    *,
    axis: tuple[float, float],
    limit: float | None = None,
    kind: str = "",
) -> Markup:
    """Draw an estimate in its interval on an axis, with a limit as a vertical line."""

    def x(value: float) -> float:
        return 100 * (min(max(value, axis[0]), axis[1]) - axis[0]) / max(axis[1] - axis[0], 1e-12)

    shapes = [
        el("line", x1=0, x2=100, y1=8, y2=8, class_="axis"),
        el("rect", x=x(low), y=5, width=max(0.6, x(high) - x(low)), height=6, class_=f"span {kind}"),
        el("rect", x=max(0.0, x(estimate) - 0.5), y=2, width=1.0, height=12, class_=f"mark {kind}"),
    ]
    if limit is not None:
        shapes.append(el("line", x1=x(limit), x2=x(limit), y1=0, y2=16, class_="limit"))
    return _flat(shapes, 16, "interval")


def strip(parts: Sequence[tuple[str, float, str]]) -> Markup:
    """Draw parts side by side, (class, width, tooltip), in the proportion of their widths."""
    total = sum(width for _, width, _ in parts) or 1.0
    shapes, x = [], 0.0
    for kind, width, tip in parts:
        share = 100 * width / total
        shapes.append(
            el("rect", el("title", tip), x=round(x, 3), y=0, width=round(share, 3), height=20, class_=kind)
        )
        x += share
    return _flat(shapes, 20, "strip")


def columns(bars: Sequence[tuple[float, str, str]]) -> Markup:
    """Draw values as columns on a logarithmic scale: (value, class, tooltip); a value of 0 has no column."""
    logs = [math.log10(value) for value, _, _ in bars if value > 0]
    low, high = (min(logs) - 0.3, max(logs)) if logs else (0.0, 1.0)
    step = 100 / max(1, len(bars))
    shapes = []
    for place, (value, kind, tip) in enumerate(bars):
        if value > 0:
            height = 58 * (math.log10(value) - low) / max(high - low, 1e-9)
            shapes.append(
                el(
                    "rect", el("title", tip), x=round(place * step, 3), y=round(60 - height, 2),
                    width=round(0.85 * step, 3), height=round(height, 2), class_=f"fill {kind}",
                )
            )  # fmt: skip
    return _flat([*shapes, el("line", x1=0, x2=100, y1=60, y2=60, class_="axis")], 61, "columns-chart")


def density(values: Sequence[float], axis: tuple[float, float], *, kind: str) -> Markup:
    """Draw how values are distributed on an axis, with lines at the median and the 95th percentile.

    What is beyond the axis is in its last bar.
    """
    low, high = axis
    counts = [0] * _BARS
    for value in values:
        place = (value - low) / max(high - low, 1e-12)
        counts[min(_BARS - 1, max(0, int(place * _BARS)))] += 1
    top = max(counts) or 1
    step = 100 / _BARS
    bars = [
        el(
            "rect",
            x=n * step,
            y=round(28 - 26 * c / top, 2),
            width=step,
            height=round(26 * c / top, 2),
            class_=f"fill {kind}",
        )
        for n, c in enumerate(counts)
        if c
    ]
    ordered = sorted(values)
    lines = []
    for share, name in ((0.5, "median"), (0.95, "p95")):
        value = ordered[min(len(ordered) - 1, int(share * len(ordered)))]
        x = 100 * min(1.0, max(0.0, (value - low) / max(high - low, 1e-12)))
        lines.append(el("line", el("title", name), x1=x, x2=x, y1=0, y2=28, class_=f"quantile {name}"))
    baseline = el("line", x1=0, x2=100, y1=28, y2=28, class_="axis")
    return _flat([*bars, baseline, *lines], 29, "density")


def _flat(shapes: Sequence[Markup], height: int, kind: str) -> Markup:
    """An image that fills its cell's width; strokes keep their thickness."""
    return el(
        "svg", join(shapes), viewBox=f"0 0 100 {height}", preserveAspectRatio="none", class_=f"flat {kind}",
        aria_hidden="true",
    )  # fmt: skip


def person(
    keypoints: Sequence[Sequence[float]],
    links: Sequence[Sequence[int]],
    names: Sequence[str],
    *,
    threshold: float,
    kind: str,
    unit_px: float = 1.0,
) -> Markup:
    """Draw one person in pixels of the drawing; points below the threshold are left out."""
    radius = unit_px * (2.2 if len(names) < 60 else 1.2)
    seen = {k for k, (_, _, score) in enumerate(keypoints) if score >= threshold}
    parts: list[Markup] = []
    lines = [(keypoints[a], keypoints[b]) for a, b in links if a in seen and b in seen]
    for layer in ("halo", "line"):
        parts += [
            el("line", x1=float(a[0]), y1=float(a[1]), x2=float(b[0]), y2=float(b[1]), class_=layer)
            for a, b in lines
        ]
    for k in sorted(seen):
        x, y = float(keypoints[k][0]), float(keypoints[k][1])
        parts.append(el("circle", el("title", names[k]), cx=x, cy=y, r=radius))
    return el("g", parts, class_=f"person {kind}")
