"""`edgepose report`: what the page holds, what it refuses, and that nothing untrusted becomes markup."""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from bundles.make_bundles import sign
from report_documents import (
    V1,
    bench_document,
    calibrated,
    digest_of,
    eval_document,
    gate_document,
    save,
)

from edgepose.cli.main import main
from edgepose.errors import UsageError
from edgepose.report.build import ReportRequest, build_report
from edgepose.report.layouts import panels_of
from edgepose.report.markup import DASH, Markup, el, number, text
from edgepose.report.pictures import cut, find_picture
from edgepose.skeletons import KEYPOINT_SETS
from edgepose.verify import evaluation
from edgepose.verify.evaluation import EvalRequest

EVIL = "<script>alert(1)</script>\"'><img src=http://x.example/a.png onerror=alert(2)>"


class Parsed(HTMLParser):
    """Collects elements, and checks that they are nested right."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, (tag, self.open[-3:])
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.mark.parametrize("kind", ["top_down", "detect", "pose", "pose_3d", "one_stage"])
def test_every_kind_of_bundle_makes_a_page(kind: str, tmp_path: Path) -> None:
    page = build_report(ReportRequest([V1 / kind]))
    parsed = Parsed(page)
    assert parsed.open == []
    words = " ".join(parsed.words)
    assert kind in words and "Verified against the float network" in words and digest_of(V1 / kind) in words
    identities = [a["id"] for _, a in parsed.elements if "id" in a]
    assert len(identities) == len(set(identities))
    targets = {a["href"] for tag, a in parsed.elements if tag == "a"}
    assert targets and targets <= {f"#{key}" for key in identities}


def test_the_page_loads_nothing() -> None:
    page = build_report(ReportRequest([V1 / "top_down", V1 / "pose"]))
    for tag, attributes in Parsed(page).elements:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        for name in ("src", "href", "srcset", "action"):
            assert attributes.get(name, "#").startswith(("#", "data:image/jpeg;base64,")), (tag, attributes)
    assert "http://" not in page and "https://" not in page and "url(" not in page and "@import" not in page
    policies = [a["content"] for _, a in Parsed(page).elements if a.get("http-equiv")]
    assert len(policies) == 1 and "default-src 'none'" in str(policies[0])


def test_the_page_is_written_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "r.html"
    assert main(["report", str(V1 / "top_down"), str(V1 / "pose"), "-o", str(out)]) == 0
    assert capsys.readouterr().out.startswith(f"{out}: ")
    page = out.read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and "What differs" in page
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]


def test_nothing_untrusted_becomes_markup(tmp_path: Path) -> None:
    """Texts of the manifest and of the documents, wherever they are shown."""
    bundle = tmp_path / "evil"
    shutil.copytree(V1 / "top_down", bundle)
    manifest = json.loads((bundle / "bundle.json").read_text())
    del manifest["manifest_sha256"]
    manifest["license"] = {"weights": EVIL, "notes": [EVIL]}
    manifest["lineage"][0].update(step=EVIL, tool=EVIL, version=EVIL, arguments={"x": EVIL})
    manifest["created_by"] = EVIL
    manifest["models"]["pose"]["head"]["points"]["keypoints"][0] = EVIL
    manifest["verification"]["stages"][0].update(model=EVIL, stage=EVIL, engine=EVIL)
    (bundle / "bundle.json").write_bytes(sign(manifest))
    picture = tmp_path / "images" / "a.png"
    picture.parent.mkdir()
    cv2.imwrite(str(picture), np.zeros((40, 40, 3), np.uint8))

    def poison(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {k: poison(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [poison(v, key) for v in value]
        keep = ("format", "digest", "verdict", "image", "against")
        return EVIL if isinstance(value, str) and key not in keep and value != "left_eye" else value

    def keep_columns(document: dict[str, Any]) -> dict[str, Any]:
        document["columns"] = ["at_ns", "total_ns", "pose_ns"]
        return document

    evaluation = poison(eval_document(bundle))
    evaluation["skeleton"]["keypoints"] = [EVIL, "left_eye", EVIL]
    files = {
        "evals": [save(tmp_path / "e.json", evaluation)],
        "gates": [save(tmp_path / "g.json", poison(gate_document(bundle)))],
        "benches": [save(tmp_path / "b.json", keep_columns(poison(bench_document(bundle))))],
    }
    page = build_report(ReportRequest([bundle, V1 / "pose"], images=picture.parent, run=False, **files))
    assert page.count("&lt;script&gt;alert(1)") > 20
    parsed = Parsed(page)
    assert parsed.open == []
    assert [tag for tag, _ in parsed.elements].count("script") == 1
    assert "img" not in {tag for tag, _ in parsed.elements}
    assert not any(name.startswith("on") for _, attributes in parsed.elements for name in attributes)


def test_markup_escapes_and_drops_what_html_forbids() -> None:
    assert text("a<b>&\"'\x00\x1b\ud800\u0085é") == "a&lt;b&gt;&amp;&quot;&#x27;\ufffd\ufffd\ufffd\ufffdé"
    assert el("p", "<", ["a", None, 1], class_="x", hidden=False, data_n='"') == (
        '<p class="x" data-n="&quot;">&lt;a1</p>'
    )
    assert el("p", Markup("<b>")) == "<p><b></p>"
    assert [number(v) for v in (None, 0.0, 1e-5, 1.23456, 12345)] == [
        DASH,
        "0.000",
        "1.0e-05",
        "1.235",
        "12,345",
    ]


def test_the_documents_are_shown(tmp_path: Path) -> None:
    bundle = V1 / "pose"
    request = ReportRequest(
        [bundle],
        evals=[save(tmp_path / "e.json", eval_document(bundle))],
        gates=[save(tmp_path / "g.json", gate_document(bundle))],
        benches=[save(tmp_path / "b.json", bench_document(bundle))],
        run=False,
    )
    page = build_report(request)
    words = " ".join(" ".join(Parsed(page).words).split())
    for expected in (
        "61.25 (body; 58.50 to 64.75)",
        "persons not found",
        "0.40 1.00 3.00 9 2",
        "0.300 0.900",
        "✗ FAIL",
        "left_eye moved by 1.5 px",
        "swapped joints",
        "about 740 pictures would decide",
        "jitter on the video, input px",
        "20.30 ms (pi5, burst)",
        "1 person, 60 frames, 61.2 mJ a frame",
        "Cortex-A76",
        "a.png: left_eye is 3.00 px from the reference",
        "not run: --no-run",
    ):
        assert expected in words, expected
    assert page.count('class="bias"') == 0  # this set of keypoints has no drawing


def test_failed_checks_come_first(tmp_path: Path) -> None:
    """Of forty checks a page shows some; those that failed are never folded away."""
    document = gate_document(V1 / "pose")
    failed, unsure, _ = document["checks"]
    passed = {**failed, "verdict": "PASS", "title": "fine", "interval": [0.1, 0.2]}
    near = {**passed, "title": "near", "interval": [0.1, 0.45]}
    document["checks"] = [passed] * 30 + [near, unsure, failed]
    gate = save(tmp_path / "g.json", document)
    words = " ".join(Parsed(build_report(ReportRequest([V1 / "pose"], gates=[gate], run=False))).words)
    places = [
        words.index(text) for text in ("1.200 to 1.900", "0.100 to 1.900", "near", "fine", "more checks")
    ]
    assert places == sorted(places)


def test_an_emulated_measurement_shows_no_times(tmp_path: Path) -> None:
    bench = save(tmp_path / "b.json", bench_document(V1 / "pose", emulated=True))
    words = " ".join(Parsed(build_report(ReportRequest([V1 / "pose"], benches=[bench], run=False))).words)
    assert "EMULATED" in words and "INVALID measurement" in words and "throttled" in words
    assert "20.30" not in words and "40.60" not in words and "12.3 ms" not in words and "23.5 ms" not in words
    assert "All axes" not in words


def test_an_emulated_measurement_leaves_the_axes_of_others_alone(tmp_path: Path) -> None:
    slow = bench_document(V1 / "pose", emulated=True)
    slow["phases"][0]["summary"]["total_ns"]["p99"]["value"] = 1e9
    benches = [save(tmp_path / "a.json", slow), save(tmp_path / "b.json", bench_document(V1 / "pose"))]
    page = build_report(ReportRequest([V1 / "pose"], benches=benches, run=False))
    assert "All axes go from 0 to 23.3 ms" in page


def test_frames_that_are_beyond_the_axis_are_told_of(tmp_path: Path) -> None:
    bench = save(tmp_path / "b.json", bench_document(V1 / "pose"))
    words = " ".join(Parsed(build_report(ReportRequest([V1 / "pose"], benches=[bench], run=False))).words)
    assert "go from 0 to 23.3 ms; slower frames are in the last bar" in words
    assert "p99 ms max ms" in words and "20.30 40.60" in words


Break = Callable[[dict[str, Any]], Any]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format="edgepose-gate"), "is 'edgepose-gate', not a document edgepose-eval"),
        (lambda d: d.update(format_version=2), "has version 2 of edgepose-eval; this EdgePose reads 1"),
        (lambda d: d["bundle"].update(digest="0" * 64), "none of the bundles given"),
        (lambda d: d.pop("bundle"), "is no complete edgepose-eval document (KeyError: 'bundle')"),
        (lambda d: d.pop("skeleton"), "is no complete edgepose-eval document"),
        (lambda d: d["drift"]["per_keypoint"].pop(), "2 rows for 3 keypoints"),
        (lambda d: d["accuracy"].update(AP_interval="high"), "is no complete edgepose-eval document"),
        (lambda d: d.update(worst=[{}]), "is no complete edgepose-eval document"),
    ],
)
def test_a_wrong_document_is_refused(
    change: Break, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = copy.deepcopy(eval_document(V1 / "pose"))
    change(document)
    path, out = save(tmp_path / "e.json", document), tmp_path / "r.html"
    assert main(["report", str(V1 / "pose"), "--eval", str(path), "--no-run", "-o", str(out)]) == 2
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 2 and message in error[0] and "e.json" in error[0] and error[1].startswith("hint: ")
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["BUNDLE", "none"], 2, "none: no such bundle"),
        (["BUNDLE"] * 7, 2, "7 bundles are too many"),
        (["BUNDLE", "--images", "none"], 2, "none: no such folder"),
        (["BUNDLE", "--data", "x.json"], 2, "--data needs --images"),
        (["BUNDLE", "--no-run", "--images", ".", "--data", "x"], 2, "--data has no effect with --no-run"),
        (["BUNDLE", "--no-run", "--max-images", "24"], 2, "--max-images has no effect with --no-run"),
        (["BUNDLE", "--eval", "none.json"], 2, "none.json: no such file"),
        (["BUNDLE", "--bench", "BUNDLE/golden.bgr"], 2, "golden.bgr: not JSON"),
        ([], 2, "Missing argument"),
    ],
)
def test_bad_arguments(
    arguments: list[str], code: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r.html"
    given = [argument.replace("BUNDLE", str(V1 / "pose")) for argument in arguments]
    assert main(["report", *given, "-o", str(out)]) == code
    assert message in capsys.readouterr().err and not out.exists()


def test_a_damaged_bundle_and_a_folder_as_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(V1 / "pose", tmp_path / "b")
    (tmp_path / "b" / "golden.json").write_text("{}")
    assert main(["report", str(tmp_path / "b"), "-o", str(tmp_path / "r.html")]) == 7
    assert main(["report", str(V1 / "pose"), "-o", str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err and not (tmp_path / "r.html").exists()


def test_worst_cases_are_cut_out_of_the_pictures(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((60, 60, 3), 90, np.uint8))
    document = eval_document(V1 / "pose")
    document["worst"].append({**document["worst"][0], "image": "gone.png"})
    path = save(tmp_path / "e.json", document)
    page = build_report(ReportRequest([V1 / "pose"], images=tmp_path, evals=[path], run=False))
    parsed = Parsed(page)
    uses = [a["href"] for tag, a in parsed.elements if tag == "use"]
    pictures = {f"#{a['id']}" for tag, a in parsed.elements if tag == "image" and "id" in a}
    assert len(uses) == 1 and set(uses) == pictures
    assert "gone.png: no such picture" in " ".join(parsed.words)


def test_a_document_cannot_reach_outside_the_folder(tmp_path: Path) -> None:
    inside = tmp_path / "images"
    inside.mkdir()
    cv2.imwrite(str(tmp_path / "secret.png"), np.zeros((8, 8, 3), np.uint8))
    cv2.imwrite(str(inside / "in.png"), np.zeros((8, 8, 3), np.uint8))
    for name in ("images/in.png", "../images/in.png", "/elsewhere/in.png"):
        assert find_picture(inside, name).shape == (8, 8, 3)
    for name in ("../secret.png", "x/../../secret.png", str(tmp_path / "secret.png"), "..", ""):
        with pytest.raises(UsageError, match="no such picture"):
            find_picture(inside, name)


def test_pictures_may_be_links(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "kept.png"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "images" / "link.png").symlink_to(tmp_path / "kept.png")
    assert find_picture(tmp_path / "images", "link.png").shape == (8, 8, 3)


def test_the_first_bundle_that_finds_keypoints_is_the_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[EvalRequest] = []

    def evaluated(request: EvalRequest) -> dict[str, Any]:
        asked.append(request)
        return eval_document(request.bundle)

    monkeypatch.setattr(evaluation, "evaluate", evaluated)
    detector, one_stage, pose = (V1 / name for name in ("detect", "one_stage", "pose"))
    page = build_report(ReportRequest([detector, one_stage, pose], images=tmp_path))
    assert "A finds no keypoints here: on the pictures B is the reference." in page
    assert [(request.bundle, request.reference, request.boxes) for request in asked] == [
        (pose, one_stage, "detected")
    ]
    asked.clear()
    assert "finds no keypoints here" not in build_report(ReportRequest([pose, one_stage], tmp_path))
    assert [(request.bundle, request.reference, request.boxes) for request in asked] == [
        (one_stage, pose, None)
    ]
    asked.clear()
    assert "Nothing was compared on the pictures" in build_report(ReportRequest([detector], tmp_path))
    assert asked == []


def test_a_cut_keeps_places(tmp_path: Path) -> None:
    image = np.zeros((200, 100, 3), np.uint8)
    image[120, 40] = 255
    part = cut(image, (30, 100, 60, 150), side_px=280, padding=0.2)
    assert (part.left_px, part.top_px, max(part.width_px, part.height_px)) == (20, 90, 280)
    assert part.place((20, 90, 0.5)) == (0, 0, 0.5)
    assert part.place((40, 120, 1))[0] == pytest.approx(20 * part.scale)
    beside = cut(image, (300, 300, 350, 380))
    assert (beside.left_px, beside.top_px) == (0, 0)


@pytest.mark.parametrize("name", sorted(set(KEYPOINT_SETS) - {"lapa106"}))
def test_known_sets_have_a_drawing(name: str) -> None:
    points = KEYPOINT_SETS[name]
    panels = panels_of(points.keypoints)
    assert panels is not None
    drawn = [joint for panel in panels for joint in panel.places]
    assert sorted(set(drawn)) == list(range(len(points.keypoints)))
    for panel in panels:
        assert len(set(panel.places.values())) == len(panel.places)
        assert all(0 <= x <= panel.width and 0 <= y <= panel.height for x, y in panel.places.values())
    body = panels[0].places
    if name in ("coco17", "halpe26", "wholebody133", "crowdpose14"):
        index = {joint: number_ for number_, joint in enumerate(points.keypoints)}
        # Who faces the reader has the left side on the right.
        assert body[index["left_shoulder"]][0] > body[index["right_shoulder"]][0]
    assert panels_of(["a", "b", "c", "d", "e", "f"]) is None


def test_colours_can_be_told_and_words_read() -> None:
    """WCAG contrast of the page's colours, in both themes: 4.5 for words, 3 for marks."""
    css = Path(__file__).resolve().parents[2] / "edgepose" / "report" / "page.css"
    blocks = re.findall(r"(:root[^{]*)\{([^}]*)\}", css.read_text(encoding="utf-8"))
    themes = [dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", body)) for _, body in blocks]
    assert len(themes) == 4 and themes[1] == themes[2]
    assert {**themes[0], "raised": "", "line": "", "ink": "", "muted": "", "link": ""}.keys() == themes[
        1
    ].keys()

    def luminance(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(a: str, b: str) -> float:
        low, high = sorted((luminance(a), luminance(b)))
        return (high + 0.05) / (low + 0.05)

    for theme in themes:
        for word in ("ink", "muted", "link", "pass", "fail", "unsure"):
            for ground in ("ground", "raised"):
                assert contrast(theme[word], theme[ground]) >= 4.5, (word, ground)
        for letter in "abcdef":
            assert contrast(theme["on-series"], theme[f"series-{letter}"]) >= 4.5, letter
        for mark in ("fp32", "fp16", "int8", "other"):
            assert contrast(theme[mark], theme["ground"]) >= 3, mark
        steps = [luminance(theme[f"step-{n}"]) for n in range(6)]
        assert len(set(steps)) == 6


def test_sensitivity_of_a_calibrated_network(tmp_path: Path) -> None:
    page = build_report(ReportRequest([calibrated(tmp_path / "b")], run=False))
    assert "held-out pictures and were compared with the float network" in " ".join(Parsed(page).words)
    words = " ".join(" ".join(Parsed(page).words).split())
    assert "✗ over the budget : similarity at least 0.9800 and p95 at most 0.50 px" in words
    # Worst layer first, the one that stands out marked.
    assert (
        words.index("✗ conv_2")
        < words.index("conv_3 Convolution 2.00e-03")
        < words.index("conv_1 Convolution")
    )
    chart = page.partition('class="flat columns-chart"')[2].partition("</svg>")[0]
    assert chart.count("<rect") == 3 and chart.count("over") == 1  # no error, no column
    assert "64 samples; all layers in INT8: error 9.00e-01" in words


def test_a_layer_that_overflows_has_no_column(tmp_path: Path) -> None:
    figures = {"mean_px": None, "p95_px": None, "max_px": None, "similarity": None, "output_error": None}
    layers = [
        {"layer": name, "kind": "Convolution", "alone_int8": alone, "left_float": None, "layer_error": None}
        for name, alone in (("good", {**figures, "output_error": 0.25}), ("bad", figures))
    ]
    bundle = calibrated(tmp_path / "b", layers=layers, all_int8=figures)
    page = build_report(ReportRequest([bundle], run=False))
    words = " ".join(" ".join(Parsed(page).words).split())
    assert words.index("bad Convolution overflows") < words.index("good Convolution 2.50e-01")
    assert "all layers in INT8: error overflows" in words
    assert page.partition('class="flat columns-chart"')[2].partition("</svg>")[0].count("<rect") == 1


def test_a_record_of_a_calibration_that_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = calibrated(tmp_path / "b", layers=[{"layer": "conv_0"}])
    assert main(["report", str(bundle), "--no-run", "-o", str(tmp_path / "r.html")]) == 7
    assert "record of a calibration cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "r.html").exists()


def test_a_gate_alone_gives_drift_and_worst_cases(tmp_path: Path) -> None:
    gate = save(tmp_path / "g.json", gate_document(V1 / "pose"))
    words = " ".join(Parsed(build_report(ReportRequest([V1 / "pose"], gates=[gate], run=False))).words)
    assert "a.png: left_eye is 3.00 px from the reference" in words
    assert "9 confident keypoints of 3 persons; g.json" in words and "mean keypoint score" in words
