"""The script of action.yml, with a stand-in for the command: options, verdicts and exit codes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
STUB = """#!/usr/bin/env bash
printf '%s\\n' "$*" >> "$STUB_LOG"
if [[ $1 == convert ]]; then mkdir -p "${@: -1}/pose.ncnn.fp16"; exit "$STUB_CONVERT"; fi
while (($#)); do [[ $1 != --markdown ]] || echo "### the comment" > "$2"; shift; done
exit "$STUB_GATE"
"""


def run_action(
    tmp_path: Path, *, convert: int = 0, gate: int = 0, **inputs: str
) -> tuple[int, dict[str, str], str]:
    (tmp_path / "bin").mkdir()
    stub = tmp_path / "bin" / "edgepose"
    stub.write_text(STUB)
    stub.chmod(0o755)
    environment = {
        **os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "STUB_LOG": str(tmp_path / "log"),
        "STUB_CONVERT": str(convert), "STUB_GATE": str(gate), "RUNNER_TEMP": str(tmp_path / "temp"),
        "GITHUB_OUTPUT": str(tmp_path / "output"), "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "CHECKPOINT": "det.pth\npose file.pth\n", "TARGET": "ncnn", "PRECISION": "fp16",
        "REFERENCE": "base.json", "IMAGES": "images", "DATA": "labels.json",
        "BUDGET": "0.5\njoint_mean_input_px=2\n", "CALIB": "", "KEYPOINTS": "", "INPUT_SIZE": "", **inputs,
    }  # fmt: skip
    script = ROOT / "scripts" / "gate-action.sh"
    done = subprocess.run(["bash", str(script)], env=environment, capture_output=True, text=True)
    assert "unbound" not in done.stderr
    outputs = dict(line.split("=", 1) for line in (tmp_path / "output").read_text().splitlines())
    return done.returncode, outputs, (tmp_path / "log").read_text()


@pytest.mark.parametrize(("code", "verdict"), [(0, "PASS"), (10, "FAIL"), (11, "INCONCLUSIVE"), (7, "ERROR")])
def test_the_gate_decides_the_job(tmp_path: Path, code: int, verdict: str) -> None:
    returned, outputs, calls = run_action(tmp_path, gate=code)
    folder = tmp_path / "temp" / "edgepose-gate"
    assert (returned, outputs) == (code, {"folder": str(folder), "verdict": verdict})
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


def test_calibration_installs_what_it_needs() -> None:
    action = (ROOT / "action.yml").read_text()
    assert "EXTRAS: ${{ inputs.calib != '' && 'convert,eval,calibrate' || 'convert,eval' }}" in action
    assert '"$GITHUB_ACTION_PATH[$EXTRAS]"' in action


def test_a_refused_conversion_ends_the_job(tmp_path: Path) -> None:
    returned, outputs, calls = run_action(tmp_path, convert=5)
    assert (returned, outputs["verdict"]) == (5, "ERROR")
    assert len(calls.splitlines()) == 1


def test_every_input_reaches_the_script() -> None:
    """The action hands its inputs over as variables: text of a pull request never becomes code."""
    action, script = (ROOT / "action.yml").read_text(), (ROOT / "scripts" / "gate-action.sh").read_text()
    names = (
        "checkpoint", "target", "precision", "calib", "keypoints", "input-size", "reference", "images",
        "data", "video", "limits", "budget",
    )  # fmt: skip
    for name in names:
        variable = name.upper().replace("-", "_")
        assert f"{variable}: ${{{{ inputs.{name} }}}}" in action
        assert f"${{{variable}:" in script
    for line in action.splitlines():
        assert "${{" not in line or "run:" not in line
