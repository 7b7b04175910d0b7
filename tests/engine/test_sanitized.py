"""Real bundles, and every engine's contract, in what was built with ASan and UBSan."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "asan"
TESTS = ("test_contract.py", "test_onnxruntime.py")
PROGRAM = BUILD / "tests" / "cpp" / "edgepose_test_pipeline"


def test_the_whole_pipeline_is_clean(bundles: dict[tuple[str, str], Path]) -> None:
    if not PROGRAM.exists():
        pytest.skip("the asan preset is not built (make test-cpp)")
    environment = {
        **os.environ,
        "EDGEPOSE_TEST_BUNDLES": ":".join(str(path) for path in bundles.values()),
        "LSAN_OPTIONS": f"suppressions='{ROOT / 'tests' / 'cpp' / 'lsan.supp'}'",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    command = [str(PROGRAM), "--gtest_filter=RealBundleTest.*"]
    outcome = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert "SKIPPED" not in outcome.stdout


def test_every_engine_keeps_its_contract(tmp_path: Path) -> None:
    cores = sorted((BUILD / "runtime_cpp").glob("_core.*.so"))
    if not cores:
        pytest.skip("the asan preset is not built (make test-cpp)")
    assert b"__asan_report_load" in cores[0].read_bytes()
    without_deepbind = tmp_path / "without_deepbind.so"
    source = ROOT / "tests" / "cpp" / "dlopen_without_deepbind.cpp"
    subprocess.run(["g++", "-shared", "-fPIC", str(source), "-o", str(without_deepbind)], check=True)
    # Python itself is not instrumented, so the sanitizers' libraries must be there before it; libstdc++ too,
    # or ASan finds no __cxa_throw to intercept. What Python keeps until its end is no leak of ours.
    libraries = []
    for name in ("libasan.so", "libubsan.so", "libstdc++.so"):
        argv = ["g++", f"-print-file-name={name}"]
        libraries.append(subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip())
    environment = {
        **os.environ,
        "EDGEPOSE_TEST_CORE": str(cores[0]),
        "PYTHONPATH": str(ROOT / "tests"),
        "LD_PRELOAD": ":".join([str(without_deepbind), *libraries]),
        "ASAN_OPTIONS": "detect_leaks=0:verify_asan_link_order=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    command = [sys.executable, "-P", "-m", "pytest", "-p", "engine.sanitized_core", "-p", "no:cacheprovider"]
    command += ["-v", f"--basetemp={tmp_path / 'inner'}"]
    command += [str(Path(__file__).with_name(name)) for name in TESTS]
    outcome = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    text = outcome.stdout + outcome.stderr
    assert outcome.returncode == 0, text
    assert f"edgepose._core: {cores[0]}" in text
    for backend in ("ncnn", "openvino", "onnx", "onnxruntime", "rknn"):
        assert re.search(rf"\[([^\]]*-)?{backend}(-[^\]]*)?\] PASSED", text), (
            f"no test of {backend} ran:\n{text}"
        )
