"""Real bundles in the programs that were built with ASan and UBSan."""

from __future__ import annotations

import os
import subprocess
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
