"""The gate's document for continuous integration: JUnit XML, and Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from edgepose.verify.text import cell, check_rows, describe, video_line, what_decides

_SIGNS = {"PASS": "✅", "FAIL": "❌", "INCONCLUSIVE": "❔"}


def junit(document: Mapping[str, Any]) -> str:
    """Return JUnit XML with a test case for each check; what does not pass is a failure of that type."""
    checks = document["checks"]
    failures = sum(check["verdict"] != "PASS" for check in checks)
    # GitLab takes cases of one class and name for one, and a job may gate a network at several precisions.
    gated = ".".join(document["candidate"][part] for part in ("name", "backend", "precision"))
    suite = ElementTree.Element(
        "testsuite",
        name=f"edgepose gate {gated}",
        tests=str(len(checks)),
        failures=str(failures),
        errors="0",
        skipped="0",
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in (
        ("verdict", document["verdict"]),
        ("candidate", document["candidate"]["digest"]),
        ("reference", document["reference"]["digest"]),
        ("data", document["data"]["digest"]),
    ):
        ElementTree.SubElement(properties, "property", name=name, value=str(value))
    for check in checks:
        name = f"{check['name']}[{check['keypoint']}]" if check["keypoint"] else check["name"]
        case = ElementTree.SubElement(suite, "testcase", classname=f"edgepose.gate.{gated}", name=name)
        if check["verdict"] != "PASS":
            failure = ElementTree.SubElement(
                case, "failure", type=check["verdict"], message=f"{check['title']}: {check['verdict']}"
            )
            causes = "\n".join(f"cause: {cause['message']}" for cause in document["diagnosis"])
            failure.text = f"{_figures(check)}\n{causes}".strip()
    root = ElementTree.Element("testsuites", tests=str(len(checks)), failures=str(failures))
    root.append(suite)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def markdown(document: Mapping[str, Any]) -> str:
    """Return a comment for a pull request: verdict, checks, causes, and every joint folded away."""
    data = document["data"]
    lines = [
        f"### {_SIGNS[document['verdict']]} Accuracy gate: {document['verdict']}",
        "",
        _escaped(document["summary"]),
        "",
        *_table(check_rows(document)),
        "",
    ]
    if document["diagnosis"]:
        lines += ["**Cause**", "", *(f"- {_escaped(c['message'])}" for c in document["diagnosis"]), ""]
    lines += [
        f"{_escaped(describe(document['candidate']))} against {_escaped(describe(document['reference']))} "
        f"({document['reference']['kind']}) on {data['images']} pictures, {document['drift']['persons']} "
        f"persons; intervals at {100 * document['settings']['confidence']:g}%, "
        f"{document['settings']['samples']} resamplings.",
        "",
        *([_escaped(video_line(document["video"])), ""] if document["video"] else []),
        "<details><summary>Drift of every joint</summary>",
        "",
        *_table(
            [
                ("joint", "n", "mean px", "p95 px", "max px", "mean input px", "bias input px"),
                *(
                    (
                        row["name"], str(row["compared"]), cell(row["mean_px"]), cell(row["p95_px"]),
                        cell(row["max_px"]), cell(row["mean_input_px"]),
                        ", ".join(cell(value) for value in row["bias_input_px"]),
                    )
                    for row in document["drift"]["per_keypoint"]
                ),
            ]
        ),
        "",
        "</details>",
        "",
    ]  # fmt: skip
    return "\n".join(lines)


def _figures(check: Mapping[str, Any]) -> str:
    low, high = check["interval"]
    text = (
        f"estimate {cell(check['estimate'])} {check['unit']}, between {cell(low)} and {cell(high)}, "
        f"limit {check['limit']:g}"
    )
    return text + (f"; {what_decides(check)} would decide" if what_decides(check) else "")


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    head, *body = rows
    rule = "|---|" + "---:|" * (len(head) - 1)
    return [_row(head), rule, *(_row(row) for row in body)]


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(_escaped(text) for text in cells) + " |"


def _escaped(text: str) -> str:
    """Keep text from acting as Markdown or HTML: names come from files."""
    for sign in ("\\", "|", "<", ">", "`", "*", "[", "]"):
        text = text.replace(sign, f"\\{sign}" if sign not in "<>" else ("&lt;" if sign == "<" else "&gt;"))
    return " ".join(text.split())
