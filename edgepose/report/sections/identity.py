"""What distinguishes the bundles: differences, constants, lineage, files, licences."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from edgepose.report.diff import constants, diff_bundles
from edgepose.report.diff_text import changed_members, group_changes, value_text
from edgepose.report.markup import DASH, Child, Markup, details, el, join, size, table
from edgepose.report.subject import Report, Subject, section

_MAX_ROWS = 30
_SHORT = 12
# An INT8 step lists every sample that it was shown.
_MAX_ARGUMENTS = 300


def differences(report: Report) -> Markup | None:
    """Return what each further bundle changes against the first."""
    first, *others = report.subjects
    if not others:
        return None
    return section("differences", "What differs", *(_difference(first, other) for other in others))


def _difference(a: Subject, b: Subject) -> Markup:
    document = diff_bundles(a.bundle, b.bundle)
    title = el("h3", a.badge(), " to ", b.badge(), " ", b.bundle.label)
    if document["identical"]:
        return join(title, el("p", "Identical, byte for byte."))
    rows: list[list[Child]] = [["constants", c["name"], *_pair(c)] for c in document["constants"]]
    for role, layers in document["layers"].items():
        if layers["note"]:
            continue
        for sign in ("added", "removed"):
            if layers[sign]:
                rows.append(
                    [
                        f"layers of {role}",
                        f"{len(layers[sign])} {sign}: {_some(x['name'] for x in layers[sign])}",
                        None,
                        None,
                    ]
                )
        for name, old, new, names in group_changes(layers["changed"]):
            rows.append(
                [
                    f"layers of {role}",
                    f"{name} of {len(names)} layers: {_some(names)}",
                    value_text(old),
                    value_text(new),
                ]
            )
        other_weights = layers["weights_changed"]
        if other_weights:
            rows.append(
                [
                    f"layers of {role}",
                    f"{len(other_weights)} with other weights or constants: {_some(other_weights)}",
                    None,
                    None,
                ]
            )
    for row in document["figures"]:
        rows += [["figures", f"{row['model']} {c['name']}", *_pair(c)] for c in row["changes"]]
    for file in document["sizes"]["files"]:
        sizes = [None if file[side] is None else size(file[side]) for side in "ab"]
        what = f"{file['name']} differs" if None not in sizes else file["name"]
        rows.append(["files", what, *(DASH if text is None else text for text in sizes)])
    total = document["sizes"]["total"]
    rows.append(["size", "all files", size(total["a"]), size(total["b"])])
    for change in document["tools"]:
        if change["a"] is None or change["b"] is None:
            versions = [None if change[side] is None else change[side]["version"] for side in "ab"]
            rows.append(["tools", change["name"], *(value_text(v) for v in versions)])
        else:
            rows += [
                ["tools", f"{change['name']} {name}", value_text(old), value_text(new)]
                for name, old, new in changed_members(change["a"], change["b"])
            ]
    rows += [["licence", c["name"], *_pair(c)] for c in document["license"]]
    notes = {layers["note"] for layers in document["layers"].values() if layers["note"]}
    head: list[Child] = ["", "what", a.badge(), b.badge()]
    hidden = rows[_MAX_ROWS:]
    return join(
        title,
        el("p", "Constants are the same." if not document["constants"] else None),
        [el("p", note, class_="note") for note in sorted(notes)],
        table(head, rows[:_MAX_ROWS], text_columns=2, class_="compare"),
        details(f"{len(hidden)} more", table(head, hidden, text_columns=2, class_="compare"))
        if hidden
        else None,
    )


def _pair(change: Mapping[str, Any]) -> tuple[str, str]:
    return value_text(change["a"]), value_text(change["b"])


def _some(names: Any) -> str:
    listed = list(names)
    return ", ".join(listed[:4]) + (", ..." if len(listed) > 4 else "")


def all_constants(report: Report) -> Markup:
    """Return every constant of every bundle; those that differ stand out."""
    tables = [constants(subject.manifest) for subject in report.subjects]
    names = list(dict.fromkeys(name for one in tables for name in one))
    rows: list[list[Child]] = []
    for name in names:
        values = [json.dumps(one[name], ensure_ascii=False) if name in one else DASH for one in tables]
        differs = len(set(values)) > 1
        rows.append(
            [
                el("span", f"{name} *", class_="changed") if differs else name,
                *(_folded(value) for value in values),
            ]
        )
    head: list[Child] = ["constant", *(subject.badge() for subject in report.subjects)]
    return section(
        "constants",
        "Constants",
        el("p", "Everything but the weights that decides a result; * marks what differs.", class_="lead"),
        details(f"{len(rows)} constants", table(head, rows, class_="compare"), open_=False),
    )


def _folded(value: str) -> Child:
    return value if len(value) <= 60 else details(value[:50] + "...", el("p", value))


def lineage(report: Report) -> Markup:
    """Return how each bundle came to be, its files and the terms of the weights."""
    return section("lineage", "Lineage, files, licence", *(_lineage(subject) for subject in report.subjects))


def _lineage(subject: Subject) -> Markup:
    manifest = subject.manifest
    files = [
        [name, size(file["bytes"]), el("code", file["sha256"])] for name, file in manifest["files"].items()
    ]
    notes = [el("li", note) for note in manifest["license"]["notes"]]
    return join(
        el("h3", subject.title()),
        el(
            "p",
            f"Made by {manifest['created_by']}. Weights: {manifest['license']['weights']}. Digest ",
            el("code", subject.bundle.digest),
        ),
        el("ul", notes) if notes else None,
        el("ol", (_step(entry) for entry in manifest["lineage"]), class_="lineage"),
        details(f"{len(files)} files", table(["file", "size", "SHA-256"], files)),
    )


def _step(entry: Mapping[str, Any]) -> Markup:
    arguments = ", ".join(f"{n}={json.dumps(v, ensure_ascii=False)}" for n, v in entry["arguments"].items())
    return el(
        "li",
        el("strong", entry["step"]),
        f" with {entry['tool']} {entry['version']} ",
        "on synthetic people " if entry["arguments"].get("synthetic") is True else None,
        el("code", arguments) if len(arguments) <= _MAX_ARGUMENTS else None,
        details("arguments", el("code", arguments)) if len(arguments) > _MAX_ARGUMENTS else None,
        el("br"),
        el("span", _digests(entry["inputs"]), " → ", _digests(entry["outputs"]), class_="muted mono"),
    )


def _digests(files: Mapping[str, str]) -> str:
    listed: Sequence[str] = [f"{name} {digest[:_SHORT]}" for name, digest in files.items()]
    return ", ".join(listed) or "…"
