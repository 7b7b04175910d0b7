"""`edgepose convert` as a user calls it: good runs, and every way in which it can go wrong."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="optional: the extra convert is not installed")

NAME = "rtmdet-nano+rtmpose-t"


class Outcome:
    """What a run of the command left."""

    def __init__(self, result: subprocess.CompletedProcess[str], seconds: float) -> None:
        self.code = result.returncode
        self.out = result.stdout
        self.err = result.stderr
        self.seconds = seconds

    def json(self) -> Any:
        return json.loads(self.out)


def _command(*args: object) -> list[str]:
    return [sys.executable, "-P", "-m", "edgepose", "convert", *map(str, args)]


def _edgepose(*args: object, env: dict[str, str] | None = None, code: str | None = None) -> Outcome:
    argv = _command(*args) if code is None else [sys.executable, "-P", "-c", code, "convert", *map(str, args)]
    started = time.monotonic()
    result = subprocess.run(
        argv, capture_output=True, text=True, timeout=600, env={**os.environ, **(env or {})}
    )
    return Outcome(result, time.monotonic() - started)


@pytest.fixture
def temporary(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Give the run a TMPDIR of its own, which it must leave empty, and a cache of its own."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    yield {"TMPDIR": str(folder), "EDGEPOSE_CACHE": str(tmp_path / "cache")}
    assert [p.name for p in folder.iterdir()] == []


@pytest.fixture
def shared_cache(tmp_path: Path, cache_root: Path, bundles: dict[tuple[str, str], Path]) -> dict[str, str]:
    """Let the run find what the session has converted already; TMPDIR is its own."""
    (tmp_path / "tmp").mkdir()
    return {"TMPDIR": str(tmp_path / "tmp"), "EDGEPOSE_CACHE": str(cache_root)}


@pytest.fixture
def pose(shared_dir: Path) -> Path:
    return shared_dir / "weights" / "rtmpose-t-demo.pth"


@pytest.fixture
def detector(shared_dir: Path) -> Path:
    return shared_dir / "weights" / "rtmdet_nano_320-person.pth"


def _refused(outcome: Outcome, code: int, *words: str) -> None:
    """Check the one line of an error, its hint, and that nothing else was said."""
    lines = [line for line in outcome.err.splitlines() if not line.startswith("warning: ")]
    assert outcome.code == code, outcome.err
    assert lines[0].startswith("error: ")
    assert all(line.startswith("hint: ") for line in lines[1:]) and len(lines) <= 2
    for word in words:
        assert word in outcome.err
    assert outcome.out == ""


def _entries(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


def test_two_checkpoints_make_a_pipeline_for_each_target(
    pose: Path, detector: Path, shared_cache: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    outcome = _edgepose(detector, pose, "--to", "ncnn", "--to", "openvino", "-o", out, env=shared_cache)
    assert outcome.code == 0, outcome.err
    assert _entries(out) == [f"{NAME}.ncnn.fp32", f"{NAME}.openvino.fp32"]
    lines = outcome.out.splitlines()
    assert lines[-2:] == [str(out / f"{NAME}.{target}.fp32") for target in ("ncnn", "openvino")]
    assert lines[0].split()[:4] == ["model", "stage", "engine", "precision"]
    rows = [tuple(line.split()[:2]) for line in lines[1:-2]]
    assert (
        ("rtmpose-t", "ncnn") in rows
        and ("rtmdet-nano", "openvino") in rows
        and ("rtmpose-t", "onnx") in rows
    )
    assert "warning" not in outcome.err.lower()


def test_a_second_run_comes_from_the_cache_without_torch(
    pose: Path, detector: Path, shared_cache: dict[str, str], tmp_path: Path
) -> None:
    code = (
        "import sys; from edgepose.cli.main import main; code = main();"
        "assert not {'torch', 'onnx', 'onnxruntime'} & set(sys.modules); sys.exit(code)"
    )
    args = (detector, pose, "--to", "ncnn", "--to", "openvino", "--json")
    outcome = _edgepose(*args, "-o", tmp_path / "out", env=shared_cache, code=code)
    assert outcome.code == 0, outcome.err
    report = outcome.json()
    assert [b["cached"] for b in report["bundles"]] == [True, True]
    assert report["seconds"] < 3
    for bundle in report["bundles"]:
        assert {"step", "tool", "version", "seconds"} == set(bundle["steps"][0])
        assert len(bundle["stages"]) == 4


def test_the_order_of_the_checkpoints_does_not_matter_and_bundles_are_reproducible(
    pose: Path,
    detector: Path,
    temporary: dict[str, str],
    bundles: dict[tuple[str, str], Path],
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    targets = ("--to", "ncnn", "--to", "openvino", "--to", "onnx")
    outcome = _edgepose(pose, detector, *targets, "-o", out, "--no-cache", env=temporary)
    assert outcome.code == 0, outcome.err
    assert not (tmp_path / "cache").exists()
    for target in ("ncnn", "openvino", "onnx"):
        made, known = out / f"{NAME}.{target}.fp32", bundles[target, "fp32"]
        assert _entries(made) == _entries(known)
        assert (made / "bundle.json").read_bytes() == (known / "bundle.json").read_bytes()


def test_one_checkpoint_alone_makes_a_bundle_of_its_kind(
    pose: Path, detector: Path, shared_cache: dict[str, str], tmp_path: Path
) -> None:
    for checkpoint, role, kind in ((pose, "pose", "pose"), (detector, "detector", "detect")):
        outcome = _edgepose(
            checkpoint, "--to", "ncnn", "-o", tmp_path, "--name", f"my-{role}", "--json", env=shared_cache
        )
        assert outcome.code == 0, outcome.err
        manifest = json.loads((tmp_path / f"my-{role}.ncnn.fp32" / "bundle.json").read_text())
        assert list(manifest["models"]) == [role]
        assert manifest["pipeline"]["type"] == kind


def test_an_existing_bundle_is_kept_unless_forced(
    pose: Path, shared_cache: dict[str, str], tmp_path: Path
) -> None:
    args = (pose, "--to", "ncnn", "-o", tmp_path / "out", "--name", "mine")
    assert _edgepose(*args, env=shared_cache).code == 0
    bundle = tmp_path / "out" / "mine.ncnn.fp32"
    stamp = bundle.stat().st_ino
    _refused(_edgepose(*args, env=shared_cache), 2, "mine.ncnn.fp32 exists already", "--force")
    assert bundle.stat().st_ino == stamp
    assert _edgepose(*args, "--force", env=shared_cache).code == 0
    assert bundle.stat().st_ino != stamp
    assert _entries(tmp_path / "out") == ["mine.ncnn.fp32"]


def test_own_pictures_take_part_in_the_comparison(
    pose: Path, shared_dir: Path, temporary: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for picture in sorted((shared_dir / "data" / "coco_dev" / "images").iterdir())[:3]:
        shutil.copy(picture, folder)
    args = (pose, "--to", "ncnn", "-o", tmp_path / "out", "--json")
    outcome = _edgepose(*args, "--pictures", folder, env=temporary)
    assert outcome.code == 0, outcome.err
    (bundle,) = outcome.json()["bundles"]
    assert bundle["stages"][0]["real_samples"] == 2 * (3 + 2)


def test_the_input_size_and_the_keypoints_are_those_asked_for(
    pose: Path, detector: Path, temporary: dict[str, str], tmp_path: Path
) -> None:
    points = {
        "name": "mine",
        "keypoints": [f"p{i}" for i in range(17)],
        "skeleton": [[0, 1]],
        "flip_pairs": [[1, 2]],
    }
    (tmp_path / "mine.json").write_text(json.dumps(points))
    outcome = _edgepose(
        *(detector, pose, "--to", "ncnn", "-o", tmp_path / "out", "--name", "x", "--json"),
        *("--input-size", "256x352", "--keypoints", tmp_path / "mine.json"),
        env=temporary,
    )
    assert outcome.code == 0, outcome.err
    models = json.loads((tmp_path / "out" / "x.ncnn.fp32" / "bundle.json").read_text())["models"]
    assert models["detector"]["preprocess"]["input_hw"] == [256, 352]
    assert models["pose"]["preprocess"]["input_hw"] == [256, 192]
    assert models["pose"]["head"]["points"]["keypoints"][16] == "p16"
    assert [len(models[role]["outputs"]) for role in ("detector", "pose")] == [6, 2]


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
    outcome = _edgepose(checkpoint, "--to", "ncnn", "-o", tmp_path / "out", env=temporary)
    _refused(outcome, 5, "bad.pth")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "witness").exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--to", "tensorrt"], ["unknown target 'tensorrt'", "ncnn, openvino, onnx"]),
        (["--to", "ncnn", "--precision", "fp8"], ["unknown precision 'fp8'", "fp32, fp16"]),
        (["--to", "ncnn", "--input-size", "256"], ["'256' is not an input size", "256x192"]),
        (["--to", "ncnn", "--input-size", "0x192"], ["not an input size"]),
        (["--to", "ncnn", "--name", "../up"], ["cannot be a bundle's name"]),
        (["--to", "ncnn", "--pictures", "absent"], ["absent is not a folder"]),
        ([], ["--to"]),
    ],
)
def test_wrong_usage_is_one_line(
    args: list[str], words: list[str], pose: Path, temporary: dict[str, str], tmp_path: Path
) -> None:
    _refused(_edgepose(pose, *args, "-o", tmp_path / "out", env=temporary), 2, *words)
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
        outcome = _edgepose(*given, "--to", "ncnn", "-o", tmp_path / "out", env=shared_cache)
        _refused(outcome, 2, *words)
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
    outcome = _edgepose(pose, "--to", "ncnn", "-o", tmp_path / "out", env=temporary, code=code)
    _refused(outcome, 4, f"the package {package} is not installed", "pip install 'edgepose[convert]'")
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
    outcome = _edgepose(*args, env=temporary, code=code)
    assert outcome.code == 5
    assert outcome.out == ""
    error = next(line for line in outcome.err.splitlines() if line.startswith("error: "))
    assert "rtmpose-t, stage ncnn (fp32)" in error
    for word in words:
        assert word in error
    assert any(line.split()[:2] == ["rtmpose-t", "onnx"] for line in outcome.err.splitlines())
    assert not (tmp_path / "out").exists()
    again = _edgepose(*args, "--json", env=temporary, code=code)
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
    argv = _command(pose, "--to", "ncnn", "--to", "openvino", "-o", tmp_path / "out", "--no-cache")
    with subprocess.Popen(
        argv, stderr=subprocess.PIPE, text=True, env={**os.environ, **temporary}
    ) as process:
        _wait_until_it_answers_signals(process)
        time.sleep(delay_s)
        process.send_signal(signal_number)
        _, errors = process.communicate(timeout=120)
    if process.returncode == 0:
        pytest.skip("optional: the conversion was done before the signal came")
    assert process.returncode == 128 + signal_number
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
    outcome = _edgepose(pose, "--to", "ncnn", "-o", small_disk / "out", env=shared_cache)
    _refused(outcome, 3, "No space left on device", "another disk with -o")
    assert _entries(small_disk) == []


def test_a_full_disk_for_temporary_files_is_one_line(
    pose: Path, temporary: dict[str, str], small_disk: Path, tmp_path: Path
) -> None:
    outcome = _edgepose(
        pose,
        "--to",
        "ncnn",
        "-o",
        tmp_path / "out",
        "--no-cache",
        env={**temporary, "TMPDIR": str(small_disk)},
    )
    _refused(outcome, 3, "no space left", "TMPDIR")
    assert _entries(small_disk) == []
    assert not (tmp_path / "out").exists()


def test_a_full_disk_for_the_cache_is_a_warning(
    pose: Path, temporary: dict[str, str], small_disk: Path, tmp_path: Path
) -> None:
    env = {**temporary, "EDGEPOSE_CACHE": str(small_disk)}
    outcome = _edgepose(pose, "--to", "ncnn", "-o", tmp_path / "out", env=env)
    assert outcome.code == 0, outcome.err
    assert "the result is not cached" in outcome.err
    assert _entries(tmp_path / "out") == ["rtmpose-t.ncnn.fp32"]
    assert [p for p in small_disk.rglob("*") if p.is_file()] == []


def test_a_damaged_cache_entry_is_made_again(pose: Path, temporary: dict[str, str], tmp_path: Path) -> None:
    args = (pose, "--to", "ncnn", "--json", "--force", "-o", tmp_path / "out")
    first = _edgepose(*args, env=temporary)
    assert first.code == 0, first.err
    (weights,) = (tmp_path / "cache").rglob("pose.bin")
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 0xFF
    weights.write_bytes(bytes(data))
    second = _edgepose(*args, env=temporary)
    assert second.code == 0, second.err
    assert "a cached result is damaged and is made again" in second.err
    assert second.json()["bundles"][0]["digest"] == first.json()["bundles"][0]["digest"]
    assert not second.json()["bundles"][0]["cached"]
    assert _edgepose(*args, env=temporary).json()["bundles"][0]["cached"]


def test_help_needs_no_heavy_package() -> None:
    code = (
        "import sys; from edgepose.cli.main import main; code = main();"
        "assert not {'torch', 'onnx', 'numpy', 'cv2'} & set(sys.modules); sys.exit(code)"
    )
    outcome = _edgepose("--help", code=code)
    assert outcome.code == 0, outcome.err
    for option in ("--to", "--precision", "--pictures", "--keypoints", "--no-cache", "--force", "--json"):
        assert option in outcome.out
