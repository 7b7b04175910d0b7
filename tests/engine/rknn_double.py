"""Libraries with librknnrt's interface, from tests/cpp/rknn_*.cpp, and networks for them."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]

Array = np.ndarray[Any, np.dtype[np.float32]]


@lru_cache(maxsize=4)
def library(name: str = "rknn_double", compiler: str = "g++", file: str = "librknnrt.so") -> Path:
    """Compile a double once a session; under build/, where the compiler cache finds it again."""
    found = shutil.which(compiler)
    if found is None:
        pytest.skip(f"{compiler} is not installed")
    target = ROOT / "build" / f"{name}-{compiler}" / file
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_suffix(".tmp")
    include = ROOT / "runtime_cpp" / "src"
    argv = [found, "-std=c++17", "-O1", "-fPIC", "-shared", f"-I{include}"]
    subprocess.run([*argv, str(ROOT / f"tests/cpp/{name}.cpp"), "-o", str(fresh)], check=True)
    fresh.replace(target)
    return target


def network(weights: bytes, bias: bytes) -> bytes:
    """Compose a file for rknn_double: float32, pictures as NHWC with a stride, results as NC1HWC2."""
    body = b"RKNNDBL1" + struct.pack("<5i2fi", 0, 1, 0, 2, 0, 1.0, 1.0, 0) + weights + bias
    digest = 2166136261
    for byte in body:
        digest = ((digest ^ byte) * 16777619) & 0xFFFFFFFF
    return body + struct.pack("<I", digest)


def recording(tensors: Mapping[str, Sequence[int]], samples: Sequence[Sequence[Array]]) -> bytes:
    """Compose a file for rknn_recorded. tensors: the input's and the outputs' dims by the file's names.

    samples: input and outputs of each, in that order.
    """
    parts = [b"RKNNREC1", struct.pack("<2I", len(samples), len(tensors) - 1)]
    for name, dims in tensors.items():
        padded = [*dims, *[0] * (8 - len(dims))]
        parts.append(struct.pack("<64s9I", name.encode("ascii"), len(dims), *padded))
    parts += [array.astype("<f4").tobytes() for sample in samples for array in sample]
    return b"".join(parts)
