"""`edgepose bench` on this machine, end to end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine import rknn_double

from edgepose import _core, errors
from edgepose.bench.plan import Phase, Plan
from edgepose.device.runner import find_runner

ROOT = Path(__file__).resolve().parents[2]
BUNDLES = ROOT / "tests" / "bundles" / "v1"
STUB = """\
title: Test
transport: local
engines: [fake]
threads: [1]
folder: unused
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Give an environment with a profile of the user's own, for the tiny test bundles."""
    folder = tmp_path / "config" / "edgepose" / "devices"
    folder.mkdir(parents=True)
    (folder / "test.yaml").write_text(STUB)
    (tmp_path / "tmp").mkdir()  # what a killed run leaves there
    return {**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "config"), "TMPDIR": str(tmp_path / "tmp")}


def _bench(environment: dict[str, str], *arguments: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "edgepose", "bench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)


SHORT = ("--frames", "40", "--seconds", "5", "--warmup-seconds", "1", "--fps", "200")


@pytest.mark.parametrize("kind", ["top_down", "pose", "detect", "one_stage"])
def test_every_kind_of_pipeline(environment: dict[str, str], tmp_path: Path, kind: str) -> None:
    outcome = _bench(environment, BUNDLES / kind, "--device", "test", "-o", tmp_path / "o", *SHORT, "--json")
    assert outcome.returncode == 0, outcome.stderr
    document = json.loads(outcome.stdout)
    (file,) = (tmp_path / "o").glob("*.json")
    assert json.loads(file.read_text()) == document
    assert not [path for path in (tmp_path / "o").iterdir() if path.name.startswith(".")]
    names = [phase["name"] for phase in document["phases"]]
    extra = ["persons-2", "persons-4", "persons-8"] if kind in ("top_down", "pose") else []
    assert names == ["burst", *extra, "paced"]
    for phase in document["phases"]:
        assert len(phase["samples"]) == phase["frames"] > 0
        totals = [row[1] for row in phase["samples"]]
        assert phase["summary"]["total_ns"]["p50"]["value"] == pytest.approx(np.median(totals))
        stages = np.array(phase["samples"])[:, 2:]
        assert (stages.sum(axis=1) <= totals).all() and (stages >= 0).all()
    assert document["phases"][0]["frames"] == 40
    manifest = json.loads((BUNDLES / kind / "bundle.json").read_text())
    assert document["golden"]["passed"]
    assert document["bundle"]["digest"] == manifest["manifest_sha256"]
    assert document["rss_peak_bytes"] > 1e6 and not document["emulated"]
    assert document["invalid"][0]["rule"] == "short"


def test_pictures_of_the_user_give_what_python_gives(environment: dict[str, str], tmp_path: Path) -> None:
    import cv2

    image = np.random.default_rng(5).integers(0, 256, (48, 64, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "p.png"), image)
    outcome = _bench(
        environment, BUNDLES / "top_down", "--device", "test", "--quick", "--json",
        "--input", tmp_path / "p.png", "-o", tmp_path / "o",
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stderr
    document = json.loads(outcome.stdout)
    keypoints, boxes, *_ = _core.Pipeline(str(BUNDLES / "top_down"), threads=1).process(image, 0)
    persons = document["results"][0]["persons"]
    np.testing.assert_allclose([p["keypoints"] for p in persons], keypoints, atol=1e-4)
    np.testing.assert_allclose([p["box_xyxy"] for p in persons], boxes[:, :4], atol=1e-4)
    assert document["plan"]["pictures"][0]["width_px"] == 64


def test_the_npu_of_a_board_is_measured_on_the_board(environment: dict[str, str], tmp_path: Path) -> None:
    bundle = rknn_double.recorded_bundle("detect", tmp_path / "detect")
    command = (bundle, "--device", "host", "-o", tmp_path / "o", *SHORT, "--json")
    double = str(rknn_double.library("rknn_recorded"))
    outcome = _bench({**environment, "EDGEPOSE_RKNN_LIBRARY": double}, *command)
    assert outcome.returncode == 0, outcome.stderr
    document = json.loads(outcome.stdout)
    assert document["engine"]["backend"] == "rknn" and document["golden"]["passed"]
    assert document["engine"]["device"] == "NPU"
    outcome = _bench({**environment, "EDGEPOSE_RKNN_LIBRARY": str(tmp_path / "absent.so")}, *command)
    assert outcome.returncode == errors.MissingDependencyError.exit_code
    assert "the NPU's runtime" in outcome.stderr and "absent.so cannot be loaded" in outcome.stderr


def test_a_result_in_words_and_a_comparison(environment: dict[str, str], tmp_path: Path) -> None:
    outcome = _bench(environment, BUNDLES / "pose", "--device", "test", "--quick", "-o", tmp_path / "o")
    assert outcome.returncode == 0 and "INVALID" in outcome.stdout and "p50 ms" in outcome.stdout
    (file,) = (tmp_path / "o").glob("*.json")
    compared = _bench(environment, "compare", file, file, "--json")
    assert compared.returncode == 0, compared.stderr
    assert json.loads(compared.stdout)["stages"]["total"]["ratio"] == 1.0
    file.write_text("{}")
    assert _bench(environment, "compare", file, file).returncode == 2


def test_two_bundles_in_turns_and_results_over_time(environment: dict[str, str], tmp_path: Path) -> None:
    pose = BUNDLES / "pose"
    turns = _bench(environment, "compare", pose, pose, "--device", "test", "--rounds", "6", "--json")
    assert turns.returncode == 0, turns.stderr
    comparison = json.loads(turns.stdout)
    ratios = comparison["stages"]["total"]["rounds"]
    assert len(ratios) == 6 and comparison["stages"]["total"]["ratio"] == pytest.approx(np.median(ratios))
    assert [len(side["total_ns"]) for side in (comparison["a"], comparison["b"])] == [6, 6]
    assert all(len(totals) >= 20 for totals in comparison["a"]["total_ns"])
    _fails(_bench(environment, "compare", pose, pose, "--device", "test", "--rounds", "2"), 2, "too little")
    _fails(_bench(environment, "compare", pose, pose, "--phase", "paced"), 2, "in the burst only")
    out = tmp_path / "o"
    assert _bench(environment, pose, "--device", "test", "--quick", "-o", out).returncode == 0
    shown = _bench(environment, "history", out, "--fail-slower")
    assert shown.returncode == 0 and " on test, " in shown.stdout and "INVALID" in shown.stdout
    (file,) = out.glob("*.json")
    _fails(_bench(environment, "compare", file, file, "--rounds", "6"), 2, "for two bundles")
    _fails(_bench(environment, "history", tmp_path / "absent"), 2, "no such folder")


def test_one_device_that_fails_does_not_cost_the_others(environment: dict[str, str], tmp_path: Path) -> None:
    folder = Path(environment["XDG_CONFIG_HOME"]) / "edgepose" / "devices"
    (folder / "second.yaml").write_text(STUB)
    outcome = _bench(
        environment, BUNDLES / "pose", "--device", "test", "--device", "host", "--device", "second",
        "--quick", "-o", tmp_path / "o", "--json",
    )  # fmt: skip
    assert outcome.returncode == 8 and "1 of 3 devices gave no result: host" in outcome.stderr
    assert [document["device"]["name"] for document in json.loads(outcome.stdout)] == ["test", "second"]
    _fails(_bench(environment, BUNDLES / "pose", "--all", "--device", "test"), 2, "--all takes no --device")
    fixed = _bench(environment, BUNDLES / "pose", "--device", "test", "--fixed-performance")
    _fails(fixed, 2, "a mode of Android")


def _fails(outcome: subprocess.CompletedProcess[str], code: int, message: str) -> None:
    assert outcome.returncode == code, outcome.stderr
    assert outcome.stderr.startswith("error: ") and message in outcome.stderr and outcome.stdout == ""
    assert outcome.stderr.count("\n") <= 2 and "Traceback" not in outcome.stderr


def test_bad_input(environment: dict[str, str], tmp_path: Path) -> None:
    out = ("-o", tmp_path / "o")
    pose = BUNDLES / "pose"
    _fails(_bench(environment, pose, *out), 8, "made for the engine fake")
    _fails(_bench(environment, pose, "--device", "tst", *out), 2, "no device 'tst'")
    _fails(_bench(environment, tmp_path / "absent", *out), 2, "no such bundle")
    _fails(_bench(environment, tmp_path, *out), 2, "bundle.json")
    _fails(_bench(environment, pose, "--device", "test", "--persons", "x", *out), 2, "persons")
    _fails(_bench(environment, pose, "--device", "test", "--cpus", "900", "--quick", *out), 2, "processors")
    _fails(_bench(environment, pose, "--device", "test", "--cpus", "big", *out), 2, "no big processors")
    _fails(_bench(environment, pose, "--device", "test", "--resume", *out), 2, "no interrupted run")
    _fails(_bench(environment, pose, "--device", "test", "--engine-device", "TPU", *out), 4, "TPU")
    assert not (tmp_path / "o").exists()


def test_a_result_that_does_not_count_can_fail_a_script(environment: dict[str, str], tmp_path: Path) -> None:
    outcome = _bench(
        environment, BUNDLES / "pose", "--device", "test", "--quick", "--require-valid", "-o", tmp_path / "o"
    )
    assert outcome.returncode == 10 and "INVALID, the burst has" in outcome.stderr


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_run_is_resumed_without_losing_a_sample(
    environment: dict[str, str], tmp_path: Path, how: signal.Signals
) -> None:
    out = tmp_path / "o"
    arguments = [str(BUNDLES / "pose"), "--device", "test", "-o", str(out), "--seconds", "10"]
    arguments += ["--frames", "5", "--warmup-seconds", "0.5", "--fps", "50", "--persons", "1"]
    command = [sys.executable, "-P", "-m", "edgepose", "bench", *arguments]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    journal = out / ".pose.fake.fp32@test.partial" / "session-1.jsonl"
    deadline = time.monotonic() + 60
    while not (journal.exists() and '"samples","phase":"paced"' in journal.read_text()):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(how)
    process.communicate(timeout=30)
    assert process.returncode != 0 and not list(out.glob("*.json"))
    lines = [json.loads(line) for line in journal.read_text().splitlines(True) if line.endswith("\n")]
    paced = [line for line in lines if line["event"] == "samples" and line["phase"] == "paced"]
    kept = sum(len(line["rows"]) for line in paced)
    assert kept > 0
    resumed = subprocess.run(
        [*command, "--resume", "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert resumed.returncode == 0, resumed.stderr
    document = json.loads(resumed.stdout)
    burst, phase = document["phases"]
    assert burst["frames"] == 5 and phase["complete"]
    assert kept < phase["frames"] <= 100
    seen = [row for line in paced for row in line["rows"]]
    assert phase["samples"][:kept] == seen
    assert "resumed" in [finding["rule"] for finding in document["warnings"]]


def test_the_runner_alone(tmp_path: Path) -> None:
    runner = str(find_runner(None))
    facts = json.loads(
        subprocess.run([runner, "--facts"], capture_output=True, check=True, timeout=60).stdout
    )
    assert facts["facts"]["processors"] == os.sysconf("SC_NPROCESSORS_CONF") and "fake" in facts["backends"]
    listed = re.search(r"^(?:flags|Features)\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    assert listed and facts["facts"]["features"] == listed[1].split()
    for arguments, code in (
        (["--fast"], 2),
        ([], 2),
        ([str(BUNDLES / "pose"), "--plan", str(tmp_path / "x")], 3),
        ([str(BUNDLES / "pose"), "--plan", str(tmp_path)], 3),
    ):
        outcome = subprocess.run(
            [runner, *arguments], capture_output=True, text=True, timeout=60, check=False
        )
        assert outcome.returncode == code and outcome.stdout == ""
        assert outcome.stderr.startswith("edgepose_bench: ") and outcome.stderr.count("\n") == 1
    plan = tmp_path / "plan.json"
    for text in ("", "{}", '{"threads": 0}', '{"threads": "two"}'):
        plan.write_text(text)
        outcome = subprocess.run(
            [runner, str(BUNDLES / "pose"), "--plan", str(plan)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert outcome.returncode == 2 and outcome.stderr.count("\n") == 1, text


def test_the_memory_of_the_program_that_starts_the_runner_is_not_the_runners(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    phases = (Phase("burst", "closed", 1, 5, 1.0),)
    plan.write_text(json.dumps(Plan(phases, warmup_seconds=0.1).to_json()))
    runner = [str(find_runner(None)), str(BUNDLES / "pose"), "--plan", str(plan)]
    start = "import subprocess, sys; held = b'x' * 300_000_000; subprocess.run(sys.argv[1:], check=True)"
    command = [sys.executable, "-c", start, *runner]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    end = json.loads(outcome.stdout.splitlines()[-1])
    assert end["event"] == "end" and 1e6 < end["rss_peak_bytes"] < 250e6


def test_the_runner_takes_no_number_for_another(tmp_path: Path) -> None:
    whole = Plan((Phase("burst", "closed", 1, 5, 1.0),), warmup_seconds=0.1).to_json()
    plan = tmp_path / "plan.json"
    command = [str(find_runner(None)), str(BUNDLES / "pose"), "--plan", str(plan)]
    for changed, message in (
        ({"threads": 2**32 + 1}, "threads is 4294967297, not in 1 to 256"),
        ({"threads": 1.5}, "threads is 1.5, not an integer in 1 to 256"),
        ({"cpus": [2**32]}, "cpus is 4294967296, not in 0 to"),
        ({"cpus": [-1]}, "cpus is -1, not in 0 to"),
        ({"cpus": [99999]}, "not all of the processors that the plan names"),
        ({"warmup_seconds": True}, "warmup_seconds is no number"),
        ({"limit_s": 2e9}, "limit_s is 2000000000.0, not in 1.0 to"),
        ({"phases": [{**whole["phases"][0], "persons": 2**32 + 1}]}, "persons is 4294967297, not in 0 to"),
    ):
        plan.write_text(json.dumps({**whole, **changed}))
        outcome = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert outcome.returncode == 2 and outcome.stderr.count("\n") == 1, outcome.stderr
        assert message in outcome.stderr
    most = {"seconds": 1_000_000.0, "frames": 3}  # as long as edgepose bench takes; the frames end it
    phases = [{**whole["phases"][0], **most, "name": f"persons-{i}"} for i in range(3)]
    limit_s = 900 + 3 * most["seconds"]
    plan.write_text(json.dumps({**whole, "phases": phases, "limit_s": limit_s}))
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert outcome.returncode == 0, outcome.stderr
