"""What `edgepose report` says of several documents at a glance, and beside the drift."""

from __future__ import annotations

import hashlib
import html
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bundles.make_bundles import sign
from report_documents import V1, bench_document, eval_document, gate_document, save

from edgepose.report.build import ReportRequest, build_report
from edgepose.report.markup import DASH


def words_of(page: str) -> str:
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", page)).split())


def page_words(tmp_path: Path, **documents: list[dict[str, Any]]) -> str:
    """Return the words of a page about one bundle, nothing run."""
    files = {
        kind: [save(tmp_path / f"{kind}-{n}.json", document) for n, document in enumerate(given)]
        for kind, given in documents.items()
    }
    page = build_report(ReportRequest([V1 / "pose"], run=False, **files))
    return words_of(page)


def at_a_glance(words: str) -> str:
    """Return the summary's part of a page's words."""
    return words.partition("size of the model files")[2].partition("weights' licence")[0]


@pytest.mark.parametrize(("kind", "make"), [("evals", eval_document), ("gates", gate_document)])
def test_lost_and_added_persons_stand_beside_the_shift(
    kind: str, make: Callable[[Path], dict[str, Any]], tmp_path: Path
) -> None:
    document = make(V1 / "pose")
    said = ("persons not found again", "persons added", "mm mean")
    words = page_words(tmp_path, **{kind: [document]})
    assert not any(text in words for text in said)
    for name in ("unmatched_persons", "added_persons", "depth_mm"):  # older documents lack them
        del document["drift"][name]
    assert not any(text in page_words(tmp_path, **{kind: [document]}) for text in said)
    document["drift"] |= {
        "unmatched_persons": 4, "added_persons": 2, "depth_mm": {"mean": 5.5, "p95": 21.0, "max": None}
    }  # fmt: skip
    words = page_words(tmp_path, **{kind: [document]})
    beside = f"; 4 persons not found again; 2 persons added; depth 5.500 mm mean, 21.000 p95, {DASH} worst"
    assert f"0.400 input px mean, 1.000 p95{beside}" in at_a_glance(words)
    assert f"9 confident keypoints of 3 persons{beside}; {kind}-0.json" in words


@pytest.mark.parametrize(
    ("verdicts", "shown"),
    [
        (["PASS"], "✓ PASS"),
        (["PASS", "FAIL", "INCONCLUSIVE"], "✗ FAIL (1 of 3)"),
        (["PASS", "INCONCLUSIVE", "INCONCLUSIVE"], "? INCONCLUSIVE (2 of 3)"),
        (["PASS", "PASS"], "✓ PASS (2 of 2)"),
    ],
)
def test_the_worst_gate_is_shown_at_a_glance(verdicts: list[str], shown: str, tmp_path: Path) -> None:
    gates = [{**gate_document(V1 / "pose"), "verdict": verdict} for verdict in verdicts]
    assert f"gate {shown} " in at_a_glance(page_words(tmp_path, gates=gates)) + " "


def test_every_measurement_is_shown_at_a_glance(tmp_path: Path) -> None:
    good, other = bench_document(V1 / "pose"), bench_document(V1 / "pose")
    bad = {**good, "valid": False, "invalid": [{"rule": "busy", "message": "others worked"}]}
    other["device"]["name"] = "phone"
    benches = [bench_document(V1 / "pose", emulated=True), good, bad, other]
    assert (
        "emulated: no measurement (pi5) 20.30 ms (pi5, burst) ✗ INVALID: 20.30 ms (pi5, burst) "
        "20.30 ms (phone, burst)"
    ) in at_a_glance(page_words(tmp_path, benches=benches))


def test_two_phones_of_one_profile_are_told_apart(tmp_path: Path) -> None:
    benches = [bench_document(V1 / "pose") for _ in range(3)]
    for bench, address in zip(benches, ("SERIAL-A", "SERIAL-B", "me@board"), strict=True):
        bench["device"] |= {"address": address, "manufacturer": "Maker", "model": "M1", "android": "13"}
    benches[2]["device"]["name"] = "board"
    words = page_words(tmp_path, benches=benches)
    lines = "20.30 ms (pi5 (SERIAL-A), burst) 20.30 ms (pi5 (SERIAL-B), burst) 20.30 ms (board, burst)"
    assert lines in at_a_glance(words)
    assert " on pi5 (SERIAL-A): a board" in words and " on pi5 (SERIAL-B): a board" in words
    assert "manufacturer Maker model M1 Android 13 processor" in words
    # A page may be published: an address that tells nothing apart is not in it.
    assert "me@board" not in words and "SERIAL" not in page_words(tmp_path, benches=benches[1:])


def test_a_measurement_that_was_stopped_at_once(tmp_path: Path) -> None:
    stopped = bench_document(V1 / "pose")
    reason = {"rule": "incomplete", "message": "the run ended early: stopped"}
    stopped |= {"valid": False, "invalid": [reason], "phases": [], "cold_ns": None, "rss_peak_bytes": None}
    words = page_words(tmp_path, benches=[stopped])
    assert "✗ INVALID: nothing was measured (pi5)" in at_a_glance(words)
    assert "incomplete: the run ended early: stopped Nothing was measured. Device facts" in words
    assert "first frame" not in words and "12.3 ms" in words


def test_figures_of_different_references_and_data_are_marked(tmp_path: Path) -> None:
    one, other = eval_document(V1 / "pose"), eval_document(V1 / "pose")
    glance = at_a_glance(page_words(tmp_path, evals=[one, other]))
    assert glance.count("(body; 58.50 to 64.75)") == glance.count("0.400 input px mean, 1.000 p95") == 2
    assert "; from " not in glance and "persons.json" not in glance
    other["drift"]["reference"] = {**other["bundle"], "name": "other", "precision": "fp16"}
    glance = at_a_glance(page_words(tmp_path, evals=[one, other]))
    assert "p95; from tiny (fake, fp32) 0.400" in glance and "persons.json" not in glance
    assert "p95; from other (fake, fp16)" in glance
    other["settings"] = {"boxes": "detected"}
    other["data"] = {**other["data"], "images": 5}
    glance = at_a_glance(page_words(tmp_path, evals=[one, other]))
    for data in ("persons.json, 2 pictures, labelled boxes", "persons.json, 5 pictures, detected boxes"):
        assert f"64.75; {data})" in glance and f"); {data}" in glance


def test_references_and_data_of_one_name_are_told_apart_by_their_digests(tmp_path: Path) -> None:
    one, other = eval_document(V1 / "pose"), eval_document(V1 / "pose")
    other["data"] = {**other["data"], "digest": "ab" * 32}
    glance = at_a_glance(page_words(tmp_path, evals=[one, other]))
    for digest in ("12121212", "abababab"):
        data = f"persons.json, 2 pictures, labelled boxes ({digest})"
        assert f"64.75; {data})" in glance and f"p95; {data}" in glance
    assert "; from " not in glance
    other["data"] = one["data"]
    other["drift"]["reference"] = {**other["bundle"], "digest": "cd" * 32}
    glance = at_a_glance(page_words(tmp_path, evals=[one, other]))
    for digest in (one["bundle"]["digest"][:8], "cdcdcdcd"):
        assert f"p95; from tiny (fake, fp32) ({digest})" in glance
    assert "persons.json" not in glance


def test_a_file_that_differs_is_named(tmp_path: Path) -> None:
    bundle = tmp_path / "other"
    shutil.copytree(V1 / "pose", bundle)
    manifest = json.loads((bundle / "bundle.json").read_text())
    del manifest["manifest_sha256"]
    network = manifest["models"]["pose"]["files"]["fake"]
    content = bytearray((bundle / network).read_bytes())
    content[-1] ^= 1
    (bundle / network).write_bytes(content)
    manifest["files"][network]["sha256"] = hashlib.sha256(content).hexdigest()
    (bundle / "bundle.json").write_bytes(sign(manifest))
    page = build_report(ReportRequest([V1 / "pose", bundle], run=False))
    words = words_of(page)
    assert f"files {network} differs 0.0 kB 0.0 kB" in words
