"""The script of action.yml, with a stand-in for the command: options, verdicts and exit codes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
STUB = """#!/usr/bin/env bash
printf '%s\\n' "$*" >> "$STUB_LOG"
if [[ $1 == convert ]]; then mkdir -p "${@: -1}/pose.ncnn.fp16"; exit "$STUB_CONVERT"; fi
while (($#)); do [[ $1 != --markdown || $STUB_GATE == 4 ]] || echo "### the comment" > "$2"; shift; done
exit "$STUB_GATE"
"""


def run_action(
    tmp_path: Path, *, convert: int = 0, gate: int = 0, **inputs: str
) -> tuple[int, dict[str, str], str]:
    (tmp_path / "bin").mkdir(exist_ok=True)
    stub = tmp_path / "bin" / "edgepose"
    stub.write_text(STUB)
    stub.chmod(0o755)
    environment = {
        **os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "STUB_LOG": str(tmp_path / "log"),
        "STUB_CONVERT": str(convert), "STUB_GATE": str(gate), "RUNNER_TEMP": str(tmp_path / "temp"),
        "GITHUB_OUTPUT": str(tmp_path / "output"), "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "CHECKPOINT": "det.pth\npose file.pth\n", "TARGET": "ncnn", "PRECISION": "fp16",
        "REFERENCE": "base.json", "IMAGES": "images", "DATA": "labels.json",
        "BUDGET": "0.5\njoint_mean_input_px=2\n", "CALIB": "", "KEYPOINTS": "", "INPUT_SIZE": "",
        "BOX_CLASS": "", **inputs,
    }  # fmt: skip
    script = ROOT / "scripts" / "gate-action.sh"
    done = subprocess.run(["bash", str(script)], env=environment, capture_output=True, text=True)
    assert "unbound" not in done.stderr
    outputs = dict(line.split("=", 1) for line in (tmp_path / "output").read_text().splitlines())
    log = tmp_path / "log"
    return done.returncode, outputs, log.read_text() if log.exists() else done.stdout


@pytest.mark.parametrize(("code", "verdict"), [(0, "PASS"), (10, "FAIL"), (11, "INCONCLUSIVE"), (7, "ERROR")])
def test_the_gate_decides_the_job(tmp_path: Path, code: int, verdict: str) -> None:
    returned, outputs, calls = run_action(tmp_path, gate=code)
    folder = outputs["folder"]
    assert (returned, outputs) == (code, {"folder": folder, "verdict": verdict})
    convert, gate = calls.splitlines()
    assert convert == f"convert det.pth pose file.pth --to ncnn --precision fp16 -o {folder}/bundles"
    assert gate.startswith(
        f"gate {folder}/bundles/pose.ncnn.fp16 --reference base.json --images images --data labels.json "
        "--budget 0.5 --budget joint_mean_input_px=2 --json"
    )
    assert "### the comment" in (tmp_path / "summary").read_text()


def test_a_calibrated_candidate(tmp_path: Path) -> None:
    inputs = {"CALIB": "gate/calib pictures", "KEYPOINTS": "coco17", "INPUT_SIZE": "256x192"}
    _, _, calls = run_action(tmp_path, PRECISION="mixed", **inputs)
    assert calls.startswith(
        "convert det.pth pose file.pth --to ncnn --precision mixed --calib gate/calib pictures "
        "--keypoints coco17 --input-size 256x192 -o "
    )


def test_a_network_of_animals(tmp_path: Path) -> None:
    _, _, calls = run_action(tmp_path, BOX_CLASS="hot dog", BOXES="detected")
    assert calls.startswith(
        "convert det.pth pose file.pth --to ncnn --precision fp16 --box-class hot dog -o "
    )


def test_a_detector_is_judged_where_it_is_asked_for(tmp_path: Path) -> None:
    _, _, calls = run_action(tmp_path, BOXES="detected")
    assert "--data labels.json --boxes detected --budget" in calls.splitlines()[1]


def test_calibration_installs_what_it_needs() -> None:
    action = (ROOT / "action.yml").read_text()
    assert "EXTRAS: ${{ inputs.calib != '' && 'convert,eval,calibrate' || 'convert,eval' }}" in action
    assert '"$GITHUB_ACTION_PATH[$EXTRAS]"' in action


def test_a_refused_conversion_ends_the_job(tmp_path: Path) -> None:
    returned, outputs, calls = run_action(tmp_path, convert=5)
    assert (returned, outputs["verdict"]) == (5, "ERROR")
    assert len(calls.splitlines()) == 1
    assert "Accuracy gate: ERROR" in (tmp_path / "summary").read_text()


def test_a_gate_without_a_verdict_says_so_in_the_summary(tmp_path: Path) -> None:
    returned, outputs, _ = run_action(tmp_path, gate=4)
    assert (returned, outputs["verdict"]) == (4, "ERROR")
    assert "Accuracy gate: ERROR" in (tmp_path / "summary").read_text()


def test_the_gates_of_one_job_keep_their_files_apart(tmp_path: Path) -> None:
    first, second = (Path(run_action(tmp_path, TARGET=target)[1]["folder"]) for target in ("ncnn", "onnx"))
    assert first != second
    for folder in (first, second):
        assert folder.parent == tmp_path / "temp" and (folder / "gate.md").is_file()


@pytest.mark.parametrize("name", ["CHECKPOINT", "TARGET", "PRECISION", "REFERENCE", "IMAGES"])
def test_an_empty_input_is_named(tmp_path: Path, name: str) -> None:
    for value in ("", " \n"):
        more: dict[str, str] = {name: value}
        returned, outputs, printed = run_action(tmp_path, **more)
        assert (returned, outputs["verdict"]) == (2, "ERROR")
        assert printed == f"::error::the input {name.lower()} is empty (docs/ci.md)\n"
    assert "Accuracy gate: ERROR" in (tmp_path / "summary").read_text()


def test_other_systems_than_linux_are_refused_before_anything_is_installed() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    first = action["runs"]["steps"][0]
    assert first["if"] == "${{ runner.os != 'Linux' }}"
    environment = {**os.environ, "RUNNER_OS": "macOS"}
    done = subprocess.run(["bash", "-c", first["run"]], env=environment, capture_output=True, text=True)
    assert done.returncode == 4 and done.stdout.startswith("::error::") and "macOS" in done.stdout
    # Where the gate did not run, it has no verdict of its own.
    assert action["outputs"]["verdict"]["value"] == "${{ steps.gate.outputs.verdict || 'ERROR' }}"


def test_every_input_reaches_the_script() -> None:
    """The action hands its inputs over as variables: text of a pull request never becomes code."""
    action, script = (ROOT / "action.yml").read_text(), (ROOT / "scripts" / "gate-action.sh").read_text()
    names = (
        "checkpoint", "target", "precision", "calib", "keypoints", "input-size", "box-class", "reference",
        "images", "data", "boxes", "video", "limits", "budget",
    )  # fmt: skip
    for name in names:
        variable = name.upper().replace("-", "_")
        assert f"{variable}: ${{{{ inputs.{name} }}}}" in action
        assert f"${{{variable}:" in script
    steps = yaml.safe_load(action)["runs"]["steps"]
    assert sum("run" in step for step in steps) >= 3
    for step in steps:
        assert "${{" not in step.get("run", ""), step


GH_STUB = """#!/usr/bin/env bash
[[ $GH_FAILS ]] && { echo "HTTP 403: Resource not accessible by integration" >&2; exit 1; }
words=$*
printf '%s\\n' "${words%%body=*}" >> "$GH_LOG"
case $words in
  *--jq*) [[ ! $GH_IDS ]] || printf '%s\\n' $GH_IDS ;;
  *) cp "${words##*=@}" "$GH_BODY" ;;
esac
"""


def comment(
    tmp_path: Path, *, text: str = "", ids: str = "", fails: str = "", **more: str
) -> tuple[str, list[str], str]:
    """Run the action's last step: what it prints, the calls of gh, and the comment's text."""
    step = yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"][-1]
    for name in ("bin", "temp", "folder"):
        (tmp_path / name).mkdir(exist_ok=True)
    stub = tmp_path / "bin" / "gh"
    stub.write_text(GH_STUB)
    stub.chmod(0o755)
    log, body = tmp_path / "gh.log", tmp_path / "body"
    log.write_text("")
    body.write_text("")
    (tmp_path / "folder" / "gate.md").write_text(text)
    environment = {
        **os.environ, "PATH": f"{stub.parent}:{os.environ['PATH']}", "RUNNER_TEMP": str(tmp_path / "temp"),
        "GITHUB_REPOSITORY": "o/r", "GITHUB_SERVER_URL": "https://github.example", "GITHUB_RUN_ID": "77",
        "GITHUB_WORKFLOW": "gate", "GITHUB_JOB": "one", "NUMBER": "5", "FOLDER": str(tmp_path / "folder"),
        "TARGET": "ncnn", "PRECISION": "fp16", "CHECKPOINT": "pose.pth", "GH_FAILS": fails, "GH_IDS": ids,
        "GH_LOG": str(log), "GH_BODY": str(body), "BOXES": "", "REFERENCE": "base.json", "IMAGES": "images",
        "DATA": "labels.json", "VIDEO": "", "LIMITS": "", **more,
    }  # fmt: skip
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout, log.read_text().splitlines(), body.read_text()


def test_each_gate_has_a_comment_of_its_own(tmp_path: Path) -> None:
    printed, calls, body = comment(tmp_path, text="### PASS")
    marker = body.splitlines()[0]
    assert marker.startswith("<!-- edgepose gate ncnn fp16 ") and marker.endswith(" -->")
    assert body.splitlines()[1:] == ["### PASS"] and printed == ""
    assert "repos/o/r/issues/5/comments" in calls[0] and f'startswith("{marker}")' in calls[0]
    assert calls[1].split() == ["api", "--silent", "-X", "POST", "repos/o/r/issues/5/comments", "-F"]
    _, calls, _ = comment(tmp_path, text="### PASS", ids="31 32")
    assert calls[1].split() == ["api", "--silent", "-X", "PATCH", "repos/o/r/issues/comments/31", "-F"]
    others: list[dict[str, str]] = [
        {"TARGET": "onnx"}, {"PRECISION": "int8"}, {"CHECKPOINT": "b.pth"}, {"GITHUB_WORKFLOW": "nightly"},
        *({name: "other"} for name in ("BOXES", "REFERENCE", "IMAGES", "DATA", "VIDEO", "LIMITS")),
    ]  # fmt: skip
    markers = {comment(tmp_path, text="x", **other)[2].splitlines()[0] for other in others}
    assert len(markers) == len(others) and marker not in markers


def test_no_earlier_verdict_stays_after_an_error(tmp_path: Path) -> None:
    for more in ({}, {"FOLDER": ""}):
        _, calls, body = comment(tmp_path, ids="31", **more)
        assert "### ⚠️ Accuracy gate: ERROR" in body and "/o/r/actions/runs/77" in body
        assert "PATCH" in calls[1]


def test_a_comment_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    printed, _, _ = comment(tmp_path, text="### PASS", fails="1")
    assert printed.startswith("::warning::The verdict could not be written as a comment")
