"""Put the page together: open the bundles, measure what was asked for, and join the parts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.resources import files
from pathlib import Path

from edgepose import __version__
from edgepose.errors import UsageError
from edgepose.report.bundles import open_bundle
from edgepose.report.documents import Document, owner_of, read_document
from edgepose.report.golden import run_golden
from edgepose.report.markup import Markup, el, join
from edgepose.report.sections import accuracy, identity, network, sensitivity, speed, summary, worst
from edgepose.report.subject import LETTERS, Report, Subject

DEFAULT_MAX_IMAGES = 24

_SECTIONS: tuple[Callable[[Report], Markup | None], ...] = (
    summary.summary,
    summary.gates,
    accuracy.accuracy,
    accuracy.joints,
    worst.worst,
    speed.speed,
    network.stages,
    network.precision_map,
    sensitivity.sensitivity,
    network.golden,
    identity.differences,
    identity.all_constants,
    identity.lineage,
)


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """What to report on. images and data: pictures, and their COCO annotations, to compare the bundles on."""

    bundles: Sequence[Path]
    images: Path | None = None
    data: Path | None = None
    max_images: int = DEFAULT_MAX_IMAGES
    evals: Sequence[Path] = ()
    gates: Sequence[Path] = ()
    benches: Sequence[Path] = ()
    run: bool = True


def build_report(request: ReportRequest) -> str:
    """Return the page. Errors: those of PosePipeline and evaluate; UsageError for what does not fit."""
    if len(request.bundles) > len(LETTERS):
        raise UsageError(
            f"{len(request.bundles)} bundles are too many for one page",
            hint=f"give at most {len(LETTERS)}",
        )
    if request.images is not None and not request.images.is_dir():
        raise UsageError(
            f"{request.images}: no such folder", hint="--images names the folder of the pictures"
        )
    documents = [
        (kind, read_document(kind, path))
        for kind, paths in (("eval", request.evals), ("gate", request.gates), ("bench", request.benches))
        for path in paths
    ]
    opened = [open_bundle(path) for path in request.bundles]
    digests = [bundle.digest for bundle in opened]
    placed = [(kind, owner_of(kind, document, digests), document) for kind, document in documents]
    subjects = [
        Subject(letter, bundle, run_golden(bundle, run=request.run))
        for letter, bundle in zip(LETTERS, opened, strict=False)
    ]
    for kind, index, document in placed:
        subject = subjects[index]
        {"eval": subject.evals, "gate": subject.gates, "bench": subject.benches}[kind].append(document)
    note = _evaluate(request, subjects) if request.images is not None and request.run else None
    return render(Report(subjects, request.images, note, request.run))


def _evaluate(request: ReportRequest, subjects: Sequence[Subject]) -> str | None:
    """Compare the bundles that no file is about: with the first one that finds joints here, and with labels.

    Returns what the reader must know where that is not the first bundle.
    """
    from edgepose.verify.evaluation import EvalRequest, evaluate

    assert request.images is not None
    reference = next((subject for subject in subjects if subject.golden.points is not None), None)
    if reference is None:
        return "Nothing was compared on the pictures: no bundle finds keypoints on this machine."
    for subject in subjects:
        is_reference = subject is reference
        known = subject.evals or subject.gates
        if known or subject.golden.points is None or (is_reference and request.data is None):
            continue
        content = evaluate(
            EvalRequest(
                bundle=subject.bundle.path,
                images=request.images,
                data=request.data,
                reference=None if is_reference else reference.bundle.path,
                boxes=None if is_reference or not reference.is_one_stage else "detected",
                max_images=request.max_images,
            )
        )
        subject.evals.append(Document("measured for this page", content))
    first = subjects[0].letter
    if reference.letter == first:
        return None
    return f"{first} finds no keypoints here: on the pictures {reference.letter} is the reference."


def render(report: Report) -> str:
    """Return the page of a report."""
    parts = [part for make in _SECTIONS if (part := make(report)) is not None]
    style, script = _asset("page.css"), _asset("page.js")
    names = " · ".join(dict.fromkeys(subject.bundle.name for subject in report.subjects))
    made = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    # Nothing is loaded and no other script runs, whatever a document contains.
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        f"script-src 'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
    )
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", http_equiv="Content-Security-Policy", content=policy),
        el("meta", name="color-scheme", content="light dark"),
        el("title", f"EdgePose report: {names}"),
        el("style", Markup(style)),
    )
    links = [el("li", el("a", title, href=f"#{key}")) for key, title in _headings(parts)]
    body = el(
        "body",
        el(
            "header",
            el("div", el("h1", "EdgePose report"), el("p", *_bundle_line(report), class_="lead")),
            el("button", "Theme: auto", id="theme", type="button", hidden=True),
        ),
        el("nav", el("ul", links), aria_label="Contents"),
        el("main", parts),
        el("footer", f"Made {made} by edgepose {__version__} report. This file loads nothing from anywhere."),
        el("script", Markup(script)),
    )
    return f"<!doctype html>\n{el('html', head, body, lang='en')}\n"


def _bundle_line(report: Report) -> list[Markup]:
    return [join(" " if number else "", subject.title()) for number, subject in enumerate(report.subjects)]


def _headings(parts: Sequence[Markup]) -> list[tuple[str, Markup]]:
    """Find the heading of each part: each begins with <section><h2 id="KEY">TITLE</h2>."""
    found = []
    for part in parts:
        key, _, rest = part.removeprefix('<section><h2 id="').partition('">')
        found.append((key, Markup(rest.partition("</h2>")[0])))
    return found


def _asset(name: str) -> str:
    return files("edgepose.report").joinpath(name).read_text(encoding="utf-8")
