"""The root CMakeLists.txt refuses the systems that EdgePose is not for before it compiles anything."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("system", ["Windows", "Darwin"])
def test_another_system_is_refused_with_advice(tmp_path: Path, system: str) -> None:
    beside = Path(sys.executable).with_name("cmake")
    cmake = str(beside) if beside.exists() else shutil.which("cmake")
    if cmake is None or shutil.which("c++") is None:
        pytest.skip("optional: cmake or a C++ compiler is not installed")
    # The compilers here make objects, but no programs of that system.
    target = [f"-DCMAKE_SYSTEM_NAME={system}", "-DCMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY"]
    command = [cmake, "-S", str(ROOT), "-B", str(tmp_path), *target]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"builds on Linux, not for {system}; on Windows use WSL" in " ".join(done.stderr.split())
