"""Real bundles in the programs that were built with ASan and UBSan."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "build" / "asan" / "tests" / "cpp" / "edgepose_test_pipeline"


def test_the_whole_pipeline_is_clean(bundles: dict[tuple[str, str], Path]) -> None:
    if not PROGRAM.exists():
        pytest.skip("the asan preset is not built (make test-cpp)")
    environment = {
        **os.environ,
        "EDGEPOSE_TEST_BUNDLES": ":".join(str(path) for path in bundles.values()),
        "LSAN_OPTIONS": f"suppressions={ROOT / 'tests' / 'cpp' / 'lsan.supp'}",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    command = [str(PROGRAM), "--gtest_filter=RealBundleTest.*"]
    outcome = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert "SKIPPED" not in outcome.stdout


# Run in a process of its own: the module that the sanitizers are in takes the place of the installed one.
_WITH_MODULE = """
import importlib.util, sys
import edgepose
spec = importlib.util.spec_from_file_location("edgepose._core", sys.argv[1])
edgepose._core = sys.modules["edgepose._core"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(edgepose._core)
import pytest
sys.exit(pytest.main(sys.argv[2:]))
"""


@pytest.mark.skipif(
    not os.environ.get("EDGEPOSE_ASAN_CONTRACT"), reason="optional: minutes; EDGEPOSE_ASAN_CONTRACT=1 runs it"
)
def test_the_contract_of_the_rknn_engine_is_clean() -> None:
    pybind11 = pytest.importorskip("pybind11", reason="optional: pybind11 is not installed")
    places = [f"-DPython_EXECUTABLE={sys.executable}", f"-Dpybind11_DIR={pybind11.get_cmake_dir()}"]
    for argv in (["--preset", "asan-python", *places], ["--build", "--preset", "asan-python"]):
        done = subprocess.run(["cmake", *argv], cwd=ROOT, capture_output=True, text=True, timeout=3000)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (module,) = (ROOT / "build" / "asan-python" / "runtime_cpp").glob("_core*.so")
    runtimes = [
        subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True).stdout.strip()
        for name in ("libasan.so", "libubsan.so", "libstdc++.so")
    ]
    environment = {
        **os.environ,
        "LD_PRELOAD": ":".join(runtimes),
        # Python keeps what it allocates until its end.
        "ASAN_OPTIONS": "detect_leaks=0:strict_string_checks=1:abort_on_error=1",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    }
    contract = Path(__file__).with_name("test_contract.py")
    command = [
        sys.executable,
        "-P",
        "-c",
        _WITH_MODULE,
        module,
        contract,
        "-q",
        "-k",
        "rknn",
        "-p",
        "no:cacheprovider",
    ]
    outcome = subprocess.run(
        list(map(str, command)), env=environment, cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert outcome.returncode == 0, outcome.stdout[-4000:] + outcome.stderr[-4000:]
    passed = re.search(r"(\d+) passed", outcome.stdout)
    assert passed and int(passed[1]) > 40
