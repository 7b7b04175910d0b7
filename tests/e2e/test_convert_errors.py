"""Every way in which `edgepose convert` can go wrong."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e.convert_command import command, edgepose, entries, refused

pytest.importorskip("torch", reason="optional: the extra convert is not installed")


def _truncated(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes()[:100_000])


def _foreign(source: Path, target: Path) -> None:
    import torch

    torch.save({"state_dict": {"conv.weight": torch.zeros(3, 3)}}, target)


class _Malicious:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.witness),))


def _malicious(source: Path, target: Path) -> None:
    with target.open("wb") as stream:
        pickle.dump({"state_dict": _Malicious(target.with_name("witness"))}, stream)


def _no_checkpoint(source: Path, target: Path) -> None:
    target.write_text("this is not a checkpoint\n" * 100)


@pytest.mark.parametrize("make", [_truncated, _foreign, _malicious, _no_checkpoint])
def test_a_bad_checkpoint_is_one_line_and_no_bundle(
    make: Any, pose: Path, temporary: dict[str, str], tmp_path: Path
) -> None:
    checkpoint = tmp_path / "bad.pth"
    make(pose, checkpoint)
    outcome = edgepose(checkpoint, "--to", "ncnn", "-o", tmp_path / "out", env=temporary)
    refused(outcome, 5, "bad.pth")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "witness").exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--to", "tensorrt"], ["unknown target 'tensorrt'", "ncnn, openvino, onnx"]),
        (
            ["--to", "ncnn", "--precision", "fp8"],
            ["unknown precision 'fp8'", "fp32, fp16, bf16, int8, mixed"],
        ),
        (["--to", "ncnn", "--input-size", "256"], ["'256' is not an input size", "256x192"]),
        (["--to", "ncnn", "--input-size", "0x192"], ["not an input size"]),
        (["--to", "ncnn", "--name", "../up"], ["cannot be a bundle's name"]),
        (["--to", "ncnn", "--pictures", "absent"], ["absent is not a folder"]),
        (["--to", "ncnn", "--plan", "plain"], ["--plan has no effect with --precision fp32", "int8, mixed"]),
        (["--to", "ncnn", "--not-in", "x", "--precision", "fp16"], ["--not-in has no effect", "fp16"]),
        (["--to", "ncnn", "--sensitivity"], ["--sensitivity has no effect"]),
        (["--to", "ncnn", "--samples", "128"], ["--samples has no effect"]),
        (["--to", "ncnn", "--calib", "x"], ["--calib has no effect"]),
        ([], ["--to"]),
    ],
)
def test_wrong_usage_is_one_line(
    args: list[str], words: list[str], pose: Path, temporary: dict[str, str], tmp_path: Path
) -> None:
    refused(edgepose(pose, *args, "-o", tmp_path / "out", env=temporary), 2, *words)
    assert not (tmp_path / "out").exists()


def test_contradictory_checkpoints_are_refused(
    pose: Path, detector: Path, shared_cache: dict[str, str], tmp_path: Path
) -> None:
    copy = tmp_path / "copy.pth"
    shutil.copy(pose, copy)
    for given, words in (
        ((pose, copy), ("copy.pth (pose) do not make a pipeline",)),
        ((pose, pose), ("given twice",)),
        ((pose, detector, copy), ("3 checkpoints are given",)),
        ((tmp_path / "absent.pth",), ("absent.pth",)),
        ((tmp_path,), ("not a file",)),
    ):
        outcome = edgepose(*given, "--to", "ncnn", "-o", tmp_path / "out", env=shared_cache)
        refused(outcome, 2, *words)
    assert not (tmp_path / "out").exists()


def test_keypoints_of_a_detector_are_refused(
    detector: Path, temporary: dict[str, str], tmp_path: Path
) -> None:
    arguments = (detector, "--keypoints", "coco17", "--to", "ncnn", "-o", tmp_path / "out")
    refused(edgepose(*arguments, env=temporary), 2, f"{detector.name} finds boxes alone", "--keypoints")
    assert not (tmp_path / "out").exists()


_WITHOUT = """
import importlib.util, sys
find = importlib.util.find_spec
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {name!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hidden())
from edgepose.cli.main import main
sys.exit(main())
"""


@pytest.mark.parametrize("package", ["torch", "onnxsim", "pnnx"])
def test_a_missing_package_is_named_with_its_command(
    package: str, pose: Path, temporary: dict[str, str], tmp_path: Path
) -> None:
    code = _WITHOUT.format(name=package)
    outcome = edgepose(pose, "--to", "ncnn", "-o", tmp_path / "out", env=temporary, code=code)
    refused(outcome, 4, f"the package {package} is not installed", "pip install 'edgepose[convert]'")
    assert not (tmp_path / "out").exists()


_SPOILED = """
import sys
from edgepose.converters import to_ncnn
run = to_ncnn.NcnnExporter.run
def spoil(self, artifact, context):
    result = run(self, artifact, context)
    path = result.files["bin"]
    data = bytearray(path.read_bytes())
    {change}
    path.write_bytes(bytes(data))
    return result
to_ncnn.NcnnExporter.run = spoil
from edgepose.cli.main import main
sys.exit(main())
"""
# A tool that converts silently wrong: the weights of a stretch of the network are zero, or huge.
_ZEROED = "data[len(data) // 2 : len(data) // 2 + 400_000] = bytes(400_000)"
_HUGE = "import struct; data[-4000:] = struct.pack('<1000f', *[1e38] * 1000)"


@pytest.mark.parametrize(
    ("change", "words"),
    [(_ZEROED, ["below the limit 0.999"]), (_HUGE, ["NaN or infinite"])],
)
def test_an_artifact_that_is_off_is_refused_with_its_table(
    change: str, words: list[str], pose: Path, temporary: dict[str, str], tmp_path: Path
) -> None:
    code = _SPOILED.format(change=change)
    args = (pose, "--to", "ncnn", "--to", "openvino", "-o", tmp_path / "out")
    outcome = edgepose(*args, env=temporary, code=code)
    assert outcome.code == 5
    assert outcome.out == ""
    error = next(line for line in outcome.err.splitlines() if line.startswith("error: "))
    assert "rtmpose-t, stage ncnn (fp32)" in error
    for word in words:
        assert word in error
    assert any(line.split()[:2] == ["rtmpose-t", "onnx"] for line in outcome.err.splitlines())
    assert not (tmp_path / "out").exists()
    again = edgepose(*args, "--json", env=temporary, code=code)
    assert again.code == 5
    assert "rtmpose-t, stage ncnn (fp32)" in again.json()["error"]
    assert not (tmp_path / "out").exists()


def _wait_until_it_answers_signals(process: subprocess.Popen[str]) -> None:
    """Wait until the command has its own handler for SIGTERM: before, the interpreter is still starting."""
    status = Path(f"/proc/{process.pid}/status")
    for _ in range(3000):
        caught = next(
            (line for line in status.read_text().splitlines() if line.startswith("SigCgt")), "SigCgt: 0"
        )
        if int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.01)
    pytest.fail("the command did not install its signal handlers within 30 s")


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("delay_s", [0.2, 0.8, 1.6])
def test_an_interrupted_run_leaves_nothing(
    signal_number: signal.Signals, delay_s: float, pose: Path, temporary: dict[str, str], tmp_path: Path
) -> None:
    argv = command(pose, "--to", "ncnn", "--to", "openvino", "-o", tmp_path / "out", "--no-cache")
    with subprocess.Popen(
        argv, stderr=subprocess.PIPE, text=True, env={**os.environ, **temporary}
    ) as process:
        _wait_until_it_answers_signals(process)
        time.sleep(delay_s)
        process.send_signal(signal_number)
        _, errors = process.communicate(timeout=120)
    if process.returncode == 0:
        pytest.skip("optional: the conversion was done before the signal came")
    assert process.returncode == (-signal.SIGINT if signal_number == signal.SIGINT else 143)
    assert "Traceback" not in errors
    assert not (tmp_path / "out").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 4 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "edgepose-test", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("optional: mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_for_bundles_is_one_line(
    pose: Path, shared_cache: dict[str, str], small_disk: Path
) -> None:
    outcome = edgepose(pose, "--to", "ncnn", "-o", small_disk / "out", env=shared_cache)
    refused(outcome, 3, "No space left on device", "another disk")
    assert entries(small_disk) == []


def test_a_full_disk_for_temporary_files_is_one_line(
    pose: Path, temporary: dict[str, str], small_disk: Path, tmp_path: Path
) -> None:
    outcome = edgepose(
        pose,
        "--to",
        "ncnn",
        "-o",
        tmp_path / "out",
        "--no-cache",
        env={**temporary, "TMPDIR": str(small_disk)},
    )
    refused(outcome, 3, "too little space", "room for", "TMPDIR")
    assert entries(small_disk) == []
    assert not (tmp_path / "out").exists()


def test_a_full_disk_for_the_cache_is_a_warning(
    pose: Path, temporary: dict[str, str], small_disk: Path, tmp_path: Path
) -> None:
    env = {**temporary, "EDGEPOSE_CACHE": str(small_disk)}
    outcome = edgepose(pose, "--to", "ncnn", "-o", tmp_path / "out", env=env)
    assert outcome.code == 0, outcome.err
    assert "cannot be written (No space left on device), so results are not cached" in outcome.err
    assert entries(tmp_path / "out") == ["rtmpose-t.ncnn.fp32"]
    assert [p for p in small_disk.rglob("*") if p.is_file()] == []
