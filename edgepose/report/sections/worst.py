"""The persons with the farthest points, as pictures: reference and candidate side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgepose.errors import UsageError
from edgepose.report import charts
from edgepose.report.documents import reading
from edgepose.report.markup import Markup, el, join, number
from edgepose.report.pictures import cut, find_picture
from edgepose.report.subject import Report, section

# Six of some 25 kB each: the page stays small, and the seventh rarely shows another kind of failure.
_SHOWN = 6
_PANEL_PX = 150


def worst(report: Report) -> Markup | None:
    """Return the worst cases of every evaluation; without a folder of pictures, a note."""
    groups: list[Markup] = []
    found = [(s, kind, d) for s in report.subjects for kind, d in report.evidence(s)]
    for subject, kind, document in found:
        with reading(kind, document):
            entries = document.content["worst"][:_SHOWN]
            skeleton = document.content["skeleton"]
            threshold = float(subject.manifest["pipeline"].get("keypoint_score_threshold", 0.3))
            if not entries:
                continue
            if report.images is None:
                listed = [el("li", _words(entry)) for entry in entries]
                groups += [el("h3", subject.title()), el("ul", listed)]
                continue
            key = f"{subject.key}{len(groups)}"
            cards = [
                _case(f"{key}-{number_}", entry, skeleton, report.images, threshold)
                for number_, entry in enumerate(entries)
            ]
            groups += [el("h3", subject.title()), el("div", cards, class_="cases")]
    if not groups:
        return None
    hint = None if report.images else el("p", "Give --images DIR to see the pictures.", class_="note")
    return section(
        "worst",
        "Worst cases",
        el(
            "p",
            el("span", class_="swatch reference"), "reference or label ",
            el("span", class_="swatch candidate"), "candidate; the circle marks the farthest point.",
            class_="lead",
        ),
        hint,
        *groups,
    )  # fmt: skip


def _words(entry: Mapping[str, Any]) -> str:
    distance = number(entry["distance_px"], 2)
    return f"{entry['image']}: {entry['keypoint']} is {distance} px from the {entry['against']}"


def _case(
    key: str, entry: Mapping[str, Any], skeleton: Mapping[str, Any], folder: Path, threshold: float
) -> Markup:
    words = el("p", _words(entry))
    try:
        image = find_picture(folder, str(entry["image"]))
    except UsageError as error:
        return el("div", words, el("p", error.message, class_="note"), class_="case")
    names, links = skeleton["keypoints"], skeleton["links"]
    part = cut(image, entry["box_xyxy"])
    other, found = ([part.place(point) for point in entry[side]] for side in ("other", "candidate"))
    # A label's third value says whether it is there (1, 2), not how sure it is.
    level = 0.5 if entry["against"] == "label" else threshold
    joint = names.index(entry["keypoint"])
    # Marks keep their size on the screen, where a panel is some 150 px wide.
    unit = part.width_px / _PANEL_PX
    ghost = charts.person(other, links, names, threshold=level, kind="ghost", unit_px=unit)
    panels = [
        (
            entry["against"],
            [charts.person(other, links, names, threshold=level, kind="reference", unit_px=unit)],
            other[joint],
        ),
        (
            "candidate",
            [ghost, charts.person(found, links, names, threshold=threshold, kind="candidate", unit_px=unit)],
            found[joint],
        ),
    ]
    view = f"0 0 {part.width_px} {part.height_px}"
    drawn = []
    for number_, (title, people, place) in enumerate(panels):
        # The second panel shows the first one's picture again, so that it is in the page once.
        base = (
            el("image", id=f"picture-{key}", href=part.address, width=part.width_px, height=part.height_px)
            if number_ == 0
            else el("use", href=f"#picture-{key}")
        )
        rings = [
            el("circle", cx=place[0], cy=place[1], r=9 * unit, class_=kind)
            for kind in ("where dark", "where")
        ]
        svg = el(
            "svg", base, people, rings, viewBox=view, role="img", aria_label=f"{title} on {entry['image']}"
        )
        drawn.append(el("figure", svg, el("figcaption", title)))
    return el("div", words, el("div", join(drawn), class_="pair"), class_="case")
