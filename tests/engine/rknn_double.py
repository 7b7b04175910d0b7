"""Libraries with librknnrt's interface, from tests/cpp/rknn_*.cpp, and networks for them."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import cases

from edgepose import _core
from edgepose.hashing import sha256_bytes

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


def recorded_bundle(name: str, folder: Path) -> Path:
    """Turn a bundle of the fake engine into one for rknn that has recorded what its golden picture gives."""
    source = cases.HERE / "v1" / name
    manifest: dict[str, Any] = json.loads((source / "bundle.json").read_text())
    golden = manifest["golden"]
    (role,) = manifest["models"]
    model = manifest["models"][role]
    tensors = {t["tensor"]: [1, *t["dims"][1:]] for t in (*model["inputs"], *model["outputs"])}
    described = [[(t["name"], t["tensor"], t["dims"]) for t in model[key]] for key in ("inputs", "outputs")]
    files = {kind: str(source / file) for kind, file in model["files"].items() if kind == "fake"}
    kept = {kind: file for kind, file in model["files"].items() if kind != "fake"}
    engine = _core.Engine("fake", files, *described, threads=1)
    shape = (golden["height_px"], golden["width_px"], 3)
    picture = np.frombuffer((source / "golden.bgr").read_bytes(), np.uint8).reshape(shape)
    samples = []
    for box in golden["boxes_xyxy"] or [None]:
        tensor, _ = _core.preprocess(picture, box, json.dumps(model["preprocess"]))
        samples.append([tensor[None], *(output.copy() for output in engine.run([tensor[None].copy()]))])
    cases.build(
        {
            "base": name,
            "patch": [
                {"op": "replace", "path": "/backend", "value": "rknn"},
                {"op": "replace", "path": f"/models/{role}/files", "value": {**kept, "rknn": "net.rknn"}},
            ],
            "sign": False,
        },
        folder,
    )
    (folder / "net.rknn").write_bytes(recording(tensors, samples))
    manifest = json.loads((folder / "bundle.json").read_text())
    for file in files.values():
        del manifest["files"][Path(file).name]
        (folder / Path(file).name).unlink()
    content = (folder / "net.rknn").read_bytes()
    manifest["files"]["net.rknn"] = {
        "bytes": len(content),
        "sha256": sha256_bytes(content),
    }
    (folder / "bundle.json").write_text(cases.sign(manifest))
    return folder
