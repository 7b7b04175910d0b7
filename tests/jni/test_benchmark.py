"""What the app's benchmark writes, against what `edgepose bench` makes of the same lines."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose.bench.compare import compare_results
from edgepose.bench.journal import read_journal
from edgepose.bench.plan import Plan, plan_phases
from edgepose.bench.result import describe, make_document, read_document
from edgepose.cli.main import main
from edgepose.device.profile import DeviceProfile

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "build/jni/runtime_cpp/libedgepose_jni.so"
CLASSES = [ROOT / "build/java/classes", ROOT / "build/java/test-classes"]
BUNDLES = ROOT / "tests/bundles/v1"
COLUMNS = ["at_ns", "total_ns", "detector_ns", "pose_ns"]
FACTS = {"abi": "x86_64-linux", "features": ["avx2"], "governors": [], "emulated": False}


def _java(*arguments: Any) -> list[str]:
    if shutil.which("java") is None or not LIBRARY.exists():
        pytest.skip("the Java library is not built (scripts/test-jni.sh)")
    command = ["java", "-Xcheck:jni", f"-Djava.library.path={LIBRARY.parent}", "-cp"]
    command += [":".join(map(str, CLASSES)), "dev.edgepose.RunBenchmark", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def _events(pipeline: str = "pose", **start: Any) -> list[dict[str, Any]]:
    manifest = json.loads((BUNDLES / pipeline / "bundle.json").read_text())
    totals = (np.random.default_rng(7).gamma(20, 50_000, 1030)).astype(int).tolist()
    rows = [[i * 10**6, total, 0, total // 2] for i, total in enumerate(totals)]
    return [
        {
            "event": "start", "format": "edgepose-bench-1", "runner": "0.1.0", "columns": COLUMNS, "pid": 1,
            "digest": manifest["manifest_sha256"], "facts": FACTS, "affinity": [0, 1],
            "device": "CPU", "threads": 1, "backend": "ncnn", "precision": "fp16", "load_ns": 5, **start,
        },
        {"event": "cold", "total_ns": 77},
        {"event": "result", "picture": 0, "persons": [{"box_score": 0.5}]},
        {"event": "golden", "passed": True, "tolerance_px": 1.0, "keypoint_max_px": 0.25, "box_max_px": 0.0},
        {"event": "samples", "phase": "warmup", "first": 0, "rows": rows[:5]},
        {"event": "warmup", "frames": 5, "stable": True, "duration_ns": 5},
        {"event": "samples", "phase": "burst", "first": 0, "rows": rows[:1000]},
        {"event": "samples", "phase": "burst", "first": 1000, "rows": rows[1000:]},
        {
            "event": "phase", "phase": "burst", "frames": 1030, "dropped": 0, "complete": True,
            "duration_ns": 2 * 10**9,
        },
        {"event": "end", "complete": True, "reason": "", "rss_peak_bytes": 1, "at_ns": 9},
    ]  # fmt: skip


def _journals() -> dict[str, list[dict[str, Any]]]:
    """Give one journal for every rule."""

    def changed(event: str, **members: Any) -> list[dict[str, Any]]:
        return [{**e, **members} if e["event"] == event else e for e in _events()]

    short = copy.deepcopy(_events())
    short[7]["rows"], short[8]["complete"] = [], False
    slow = copy.deepcopy(_events())
    for row in slow[7]["rows"] + slow[6]["rows"][600:]:
        row[1] *= 2
    arm = {**FACTS, "abi": "aarch64-linux", "features": ["asimd"]}
    states = [
        {"event": "state", "at_ns": i, "others_cpu": 0.75, "khz": [clock, clock / 2], "battery": "Charging"}
        for i, clock in enumerate((1e6, 2e6, 1.5e6))
    ]
    spike = [
        {"event": "state", "at_ns": i, "others_cpu": others, "khz": [clock, 1e6]}
        for i, (others, clock) in enumerate(((0.0, 2e6), (0.0, 1e6), (0.9, 1e6)))
    ]
    swinging = [
        {"event": "state", "at_ns": i, "khz": [clock, clock / 2]}
        for i, clock in enumerate((1e6, 2e6, 1e6, 1e6, 2e6))
    ]
    soak = [
        {"event": "samples", "phase": "soak", "first": 0, "rows": [[1, 1, 0, 1]]},
        *swinging,
        {"event": "phase", "phase": "soak", "frames": 1, "dropped": 0, "complete": True, "duration_ns": 1},
    ]
    dropped = {"event": "phase", "phase": "paced", "dropped": 3, "complete": True, "duration_ns": 1}
    return {
        "": _events(),
        # Another processor's clock fell, and other programs used a processor for a moment.
        "none": [*_events(affinity=[1])[:-2], *spike, *_events()[-2:]],
        "short": short,
        "incomplete": changed("end", complete=False, reason="it was stopped"),
        "wrong result": changed("golden", passed=False, keypoint_max_px=12.345),
        "wrong result: boxes": changed("golden", passed=False, box_max_px=6.5),
        "wrong result: persons": changed("golden", passed=False),
        "wrong result: none": [event for event in _events() if event["event"] != "golden"],
        "unstable": changed("warmup", stable=False),
        "slowed down": slow,
        "emulated": _events(facts={**FACTS, "emulated": True}),
        "fallback": _events(facts=arm),
        "throttled": [*_events()[:-2], *states, *_events()[-2:]],
        "throttled: in between": [*_events()[:-2], *swinging, *_events()[-2:]],
        "none: in the soak": [*_events()[:-1], *soak, _events()[-1]],
        "busy": [*_events(facts={**FACTS, "governors": ["schedutil"]}), *states, dropped],
    }


def test_documents_and_rules_are_pythons(tmp_path: Path) -> None:
    journals = _journals()
    manifest = json.loads((BUNDLES / "pose/bundle.json").read_text())
    plan = Plan(plan_phases("pose")).to_json()
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    files = []
    for index, events in enumerate(journals.values()):
        files.append(tmp_path / f"{index}.jsonl")
        files[-1].write_text("".join(json.dumps(event) + "\n" for event in events))
    documents = _java("result", BUNDLES / "pose", tmp_path / "plan.json", *files)
    profile = DeviceProfile("test", "Test", "local", None, ("ncnn",), (1,), "unused")
    for (rule, events), line in zip(journals.items(), documents, strict=True):
        mine = json.loads(line)
        expected = make_document(
            read_journal([json.dumps(event) + "\n" for event in events]),
            bundle=manifest, profile=profile, device={}, runner={}, plan=plan, command=[],
        )  # fmt: skip
        assert set(mine) == set(expected)
        rules = [finding["rule"] for finding in mine["invalid"]]
        kind = rule.split(":")[0]
        assert rules == [] if kind in ("", "none") else kind in rules
        for phase, theirs in zip(mine["phases"], expected["phases"], strict=True):
            for column, summary in theirs.pop("summary").items():
                found = phase["summary"][column]
                assert found.keys() == summary.keys()
                for name in ("count", "mean", "min", "max"):
                    assert found[name] == pytest.approx(summary[name])
                for p in ("p50", "p90", "p95", "p99"):
                    assert found[p]["value"] == pytest.approx(summary[p]["value"])
                    width = summary[p]["high"] - summary[p]["low"]
                    for end in ("low", "high"):  # other random numbers were drawn
                        assert found[p][end] == pytest.approx(summary[p][end], abs=0.35 * width)
            assert phase.pop("summary").keys() == {"total_ns", "pose_ns"}
        for member in set(expected) - {"created", "command", "device", "runner"}:
            assert mine[member] == expected[member], (rule, member)
        assert mine["device"] == {
            "name": "test", "title": "Test", "transport": "app", "verified_profile": False,
            "facts": events[0]["facts"],
        }  # fmt: skip
        assert mine["runner"]["bytes"] == LIBRARY.stat().st_size and set(mine["runner"]) == {
            "sha256", "bytes", "abi", "version",
        }  # fmt: skip


def test_the_plans_are_pythons() -> None:
    kinds = ("top_down", "pose", "detect", "one_stage")
    lines = iter(_java("plan", *(BUNDLES / kind for kind in kinds)))
    for kind in kinds:
        # What edgepose bench --quick asks for.
        quick = plan_phases(kind, persons=(1,), frames=40, seconds=5.0, paced_fps=None)
        assert json.loads(next(lines)) == Plan(quick, threads=3, warmup_seconds=2.0).to_json()
        assert json.loads(next(lines)) == Plan(plan_phases(kind), threads=3).to_json()


def test_a_result_of_the_app_is_read_compared_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "app.json"
    said = _java("run", BUNDLES / "top_down", path)
    assert said[0].startswith("burst: median ")
    document = read_document(path)
    assert document["golden"]["passed"] and document["device"]["android"] == "none"
    text = "\n".join(describe(document))
    assert "on desktop" in text and "short" in text
    comparison = compare_results(document, document, phase="burst", margin=0.05)
    assert comparison["stages"]["total"]["ratio"] == 1.0
    assert main(["bench", "compare", str(path), str(path)]) in (0, 11)
    assert "B is" in capsys.readouterr().out
    page = tmp_path / "report.html"
    assert main(["report", str(BUNDLES / "top_down"), "--bench", str(path), "-o", str(page)]) == 0
    assert "desktop" in page.read_text()
