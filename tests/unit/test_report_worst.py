"""The pictures of `edgepose report` of the persons who moved most."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from report_documents import V1, eval_document, save

from edgepose.report.build import ReportRequest, build_report
from edgepose.report.pictures import cut


@pytest.mark.parametrize("against", ["reference", "label"])
def test_each_panel_of_a_worst_case_shows_the_person_that_it_names(tmp_path: Path, against: str) -> None:
    image = np.full((60, 60, 3), 90, np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    document = eval_document(V1 / "pose")
    (entry,) = document["worst"]
    entry["against"] = against
    if against == "label":  # a label's third value: 0 not labelled, 1 hidden, 2 in sight
        for point, value in zip(entry["other"], (2, 1, 0), strict=True):
            point[2] = value
    path = save(tmp_path / "e.json", document)
    page = build_report(ReportRequest([V1 / "pose"], images=tmp_path, evals=[path], run=False))
    part = cut(image, entry["box_xyxy"])

    def place(side: str, joint: int) -> list[float]:
        return [round(value, 2) for value in part.place(entry[side][joint])[:2]]

    def drawn(kind: str, figure: str) -> list[list[float]]:
        """Return the points of persons, or the rings about a point, in a panel."""
        found = re.findall(rf'<g class="person {kind}">(.*?)</g>', figure) or re.findall(
            rf'<circle [^>]*class="{kind}"[^>]*>', figure
        )
        circles = [circle for group in found for circle in re.findall(r"<circle [^>]*>", group)]
        return [[float(v) for v in re.findall(r'\bc[xy]="([^"]*)"', circle)] for circle in circles]

    first, second = re.findall(r"<figure>.*?</figure>", page)
    others = [place("other", joint) for joint in range(3 if against == "reference" else 2)]
    found = [place("candidate", joint) for joint in range(2)]  # it is not sure of the third
    assert f"<figcaption>{against}</figcaption>" in first and f'aria-label="{against} on a.png"' in first
    assert (drawn("reference", first), drawn("candidate", first)) == (others, [])
    assert drawn("where", first) == [place("other", 1)]
    assert "<figcaption>candidate</figcaption>" in second and 'aria-label="candidate on a.png"' in second
    assert (drawn("ghost", second), drawn("candidate", second)) == (others, found)
    assert drawn("where", second) == [place("candidate", 1)]
    assert others[1] != found[1]
