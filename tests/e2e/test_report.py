"""Real bundles in one report: drift, worst cases, layers and differences, measured on pictures."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest

from edgepose.cli.main import main

Bundles = dict[tuple[str, str], Path]


@pytest.fixture(scope="module")
def page(bundles: Bundles, shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give the report of three bundles, compared on eight labelled pictures."""
    out = tmp_path_factory.mktemp("report") / "report.html"
    given = [bundles[key] for key in (("ncnn", "fp32"), ("ncnn", "fp16"), ("openvino", "fp16"))]
    coco = shared_dir / "data" / "coco_dev"
    options = ["--images", coco / "images", "--data", coco / "person_keypoints.json", "--max-images", "8"]
    assert main(["report", *map(str, [*given, *options]), "-o", str(out)]) == 0
    assert out.stat().st_size < 5_000_000
    return out.read_text(encoding="utf-8")


def test_the_page_shows_drift_and_worst_cases(page: str) -> None:
    for key in ("accuracy", "joints", "worst", "verification", "precision", "golden", "differences"):
        assert f'<h2 id="{key}">' in page, key
    assert page.count('class="person candidate"') >= 10 and page.count("data:image/jpeg;base64,") >= 10
    assert page.count('aria-label="body, seen from the front') == 3
    words = html.unescape(re.sub("<[^>]+>", " ", page))
    drifts = [float(v) for v in re.findall(r"([\d.]+(?:e-\d+)?) input px mean", words)]
    assert len(drifts) == 2 and all(0 < drift < 0.3 for drift in drifts)
    assert words.count("✓ mean") == 3
    assert "precision of 43 layers" in words and "other backends have other layers" in words


def test_diff_finds_what_the_precision_changed(bundles: Bundles, capsys: pytest.CaptureFixture[str]) -> None:
    given = [str(bundles["ncnn", precision]) for precision in ("fp32", "fp16")]
    assert main(["diff", *given, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["constants"] == []
    for layers in document["layers"].values():
        assert layers["note"] is None and layers["removed"] == []
        # The pose head computes in float32, behind a bridge (ncnn_float_head.py).
        assert all(layer["type"] == "Dropout" for layer in layers["added"]) and len(layers["added"]) <= 1
        changes = {(c["name"], c["a"], c["b"]) for layer in layers["changed"] for c in layer["changes"]}
        assert changes - {("attribute 31", None, "3")} == {("precision", "fp32", "fp16")}
    total = document["sizes"]["total"]
    assert 0.45 < total["b"] / total["a"] < 0.6
    for backend in ("ncnn", "openvino", "onnx"):
        assert main(["diff", *[str(bundles[backend, "fp32"])] * 2]) == 0
        assert "identical" in capsys.readouterr().out
