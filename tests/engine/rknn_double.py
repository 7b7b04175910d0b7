"""A library with librknnrt's interface, from tests/cpp/rknn_double.cpp, and networks for it."""

from __future__ import annotations

import shutil
import struct
import subprocess
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@lru_cache(maxsize=1)
def library() -> Path:
    """Compile the double once a session; under build/, where the compiler cache finds it again."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is not installed")
    target = ROOT / "build" / "rknn-double" / "librknnrt.so"
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_suffix(".tmp")
    include = ROOT / "runtime_cpp" / "src"
    argv = [compiler, "-std=c++17", "-O1", "-fPIC", "-shared", f"-I{include}"]
    subprocess.run([*argv, str(ROOT / "tests/cpp/rknn_double.cpp"), "-o", str(fresh)], check=True)
    fresh.replace(target)
    return target


def network(weights: bytes, bias: bytes) -> bytes:
    """Compose a network file: float32, pictures as NHWC with a stride, results as NC1HWC2."""
    body = b"RKNNDBL1" + struct.pack("<5i2fi", 0, 1, 0, 2, 0, 1.0, 1.0, 0) + weights + bias
    digest = 2166136261
    for byte in body:
        digest = ((digest ^ byte) * 16777619) & 0xFFFFFFFF
    return body + struct.pack("<I", digest)
