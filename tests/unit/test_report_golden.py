"""The golden picture of `edgepose report`: what is drawn as whose, and what is said of the difference."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles.make_bundles import sign
from report_documents import V1

from edgepose.hashing import sha256_file
from edgepose.report.build import ReportRequest, build_report

SCALE = 8  # the golden picture is 40 px wide, drawn as 320


def with_golden(folder: Path, kind: str, **members: Any) -> Path:
    """Copy a bundle whose torch network gave something else."""
    shutil.copytree(V1 / kind, folder)
    path = folder / "golden.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | members))
    manifest = json.loads((folder / "bundle.json").read_text())
    del manifest["manifest_sha256"]
    manifest["files"]["golden.json"] = {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
    (folder / "bundle.json").write_bytes(sign(manifest))
    return folder


def card(page: str) -> str:
    return page.partition('<h2 id="golden">')[2].partition("</section>")[0]


def at_a_glance(page: str) -> str:
    return re.sub("<[^>]+>", " ", page.partition("golden picture, here")[2].partition("</tr>")[0]).strip()


def boxes(page: str, kind: str) -> list[list[float]]:
    """Return the rectangles of a class: x, y, width, height in pixels of the golden picture."""
    rects = re.findall(rf'<rect [^>]*class="{kind}"', card(page))
    sides = ("x", "y", "width", "height")
    return [[float(re.findall(rf' {side}="([^"]*)"', rect)[0]) / SCALE for side in sides] for rect in rects]


def test_boxes_of_this_machine_are_solid_and_those_of_torch_dashed(tmp_path: Path) -> None:
    rows = json.loads((V1 / "detect" / "golden.json").read_text())["detections"]  # what the fake engine finds
    torch_rows = [[1.0, 2.0, 11.0, 22.0, 0.95, 0], [1.0, 2.0, 11.0, 22.0, 0.5, 0]]
    page = build_report(ReportRequest([with_golden(tmp_path / "b", "detect", detections=torch_rows)]))
    found = [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2, *_ in rows]
    np.testing.assert_allclose(boxes(page, "where"), found, atol=0.01)
    assert boxes(page, "where ghost") == [[1, 2, 10, 20]]  # not the one below the threshold
    assert "✗ NOT reproduced" in card(page)


def test_what_was_not_run_is_not_drawn(tmp_path: Path) -> None:
    page = build_report(ReportRequest([V1 / "detect"], run=False))
    assert card(page) == "" and "Golden picture" not in page and 'class="where' not in page
    assert at_a_glance(page) == "not run: --no-run"


def test_the_picture_shows_torch_alone_where_the_engine_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgepose.errors import EngineError
    from edgepose.report import golden

    def missing(*_: Any, **__: Any) -> None:
        raise EngineError("no such engine")

    monkeypatch.setattr(golden, "PosePipeline", missing)
    page = build_report(ReportRequest([V1 / "detect"]))
    assert "not run here: no such engine" in card(page)
    assert boxes(page, "where") == [] and len(boxes(page, "where ghost")) == 10


ELSEWHERE = [[1.0, 2.0, 11.0, 22.0, 0.95, 0]]


@pytest.mark.parametrize(
    ("kind", "members", "said", "short"),
    [
        (
            "detect",
            {},
            "10 of 10 boxes found, 0 not expected, off by 0.000 px, max 0.000; tolerance",
            "✓ mean 0.000 px, max 0.000 px",
        ),
        (
            "detect",
            {"detections": ELSEWHERE},
            "0 of 1 boxes found, 10 not expected; tolerance",
            "✗ 0 of 1 boxes found, 10 not expected",
        ),
        (
            "pose",
            {},
            "</span> 4 keypoints, off by 0.000 px, max 0.000; tolerance",
            "✓ mean 0.000 px, max 0.000 px",
        ),
        (
            "top_down",
            {"detections": ELSEWHERE},
            "0 of 1 boxes found, 10 not expected; 4 keypoints, off by 0.000 px, max 0.000; tolerance",
            "✗ mean 0.000 px, max 0.000 px, 0 of 1 boxes found, 10 not expected",
        ),
        (
            "pose_3d",
            {"depths": [[9.0] * 3] * 2},
            "</span> 4 keypoints (places or depths), off by ",
            "✗ mean ",
        ),
        (
            "pose_3d",  # of an older EdgePose
            {},
            "</span> 4 keypoints, off by 0.000 px, max 0.000; tolerance",
            "✓ mean 0.000 px, max 0.000 px",
        ),
    ],
    ids=["boxes", "no box found", "keypoints", "keypoints and no box", "depths", "no depths stored"],
)
def test_only_what_was_compared_has_a_difference(
    kind: str, members: dict[str, Any], said: str, short: str, tmp_path: Path
) -> None:
    page = build_report(ReportRequest([with_golden(tmp_path / "b", kind, **members)]))
    assert said in card(page)
    assert at_a_glance(page).startswith(short)


def test_a_golden_picture_of_nobody_has_nothing_to_compare(tmp_path: Path) -> None:
    bundle = with_golden(tmp_path / "b", "one_stage", detections=[], poses=[])
    manifest = json.loads((bundle / "bundle.json").read_text())
    del manifest["manifest_sha256"]
    manifest["pipeline"]["box_score_threshold"] = 0.99
    (bundle / "bundle.json").write_bytes(sign(manifest))
    page = build_report(ReportRequest([bundle]))
    assert "nothing to compare; tolerance" in card(page) and at_a_glance(page) == "✓ nothing to compare"
