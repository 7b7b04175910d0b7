"""The ONNX Runtime engine: the choice of device, what it asks of a GPU, and libraries that will not do.

No GPU is at hand: tests/cpp/onnxruntime_double.cpp notes what it is asked and computes on the CPU.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine import rknn_double

from edgepose import _core
from edgepose.hashing import sha256_file
from edgepose.paths import cache_dir

UNSUPPORTED = 4
LIBRARY = "EDGEPOSE_ONNXRUNTIME_LIBRARY"

both = pytest.mark.parametrize("network", ["onnx", "onnxruntime"], indirect=True)
onnx = pytest.mark.parametrize("network", ["onnx"], indirect=True)


def pictures(count: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return inputs."""
    return np.random.default_rng(count).standard_normal((count, 3, 8, 8), dtype=np.float32)


def refused(network: Any, device: str) -> _core.CoreError:
    """Open the network on a device that will not do."""
    with pytest.raises(_core.CoreError) as caught:
        network.open(device=device)
    assert caught.value.code == UNSUPPORTED
    return caught.value


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Put the double in the library's place; give the file of its notes."""
    monkeypatch.setenv("EDGEPOSE_DOUBLE_OF", os.environ[LIBRARY])
    monkeypatch.setenv("EDGEPOSE_DOUBLE_LOG", str(tmp_path / "notes.txt"))
    monkeypatch.setenv("EDGEPOSE_CACHE", str(tmp_path / "cache"))
    double = rknn_double.library("onnxruntime_double", file="libonnxruntime.so")
    monkeypatch.setenv(LIBRARY, str(double))
    return tmp_path / "notes.txt"


@onnx
def test_the_device_chooses_the_engine(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x = pictures(3)
    for got, want in zip(network.open(device="ORT", threads=2).run([x]), network.expected(x), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5)
    monkeypatch.setenv(LIBRARY, "/nowhere/libonnxruntime.so")
    assert "/nowhere/libonnxruntime.so" in refused(network, "ORT").message
    assert network.open(device="CPU").run([x])  # OpenVINO


@both
@pytest.mark.parametrize("device", ["CUDA", "CUDA.0", "TENSORRT", "TENSORRT.1"])
def test_a_library_without_gpus_is_named(network: Any, device: str) -> None:
    error = refused(network, device)
    assert "libonnxruntime" in error.message and "not enabled in this build" in error.message
    assert "onnxruntime-gpu" in error.hint


@both
@pytest.mark.parametrize("device", ["CUDA.x", "CUDA.", "CUDA.1234", "ORT.0", "TENSORRT.-1", "cuda"])
def test_impossible_names_are_refused(network: Any, device: str) -> None:
    refused(network, device)


@both
def test_cuda_takes_a_batch_at_once_and_no_cpu(network: Any, gpu: Path) -> None:
    engine = network.open(device="CUDA.1", threads=2)
    assert gpu.read_text().split("\n")[:-1] == [
        "session.disable_cpu_ep_fallback=1",
        "device_id=1",
        "use_tf32=0",
        "append CUDA",
        "run",
    ]
    x = pictures(5)
    for got, want in zip(engine.run([x]), network.expected(x), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5)
    assert gpu.read_text().count("run\n") == 2
    for count in (2, 5, 5, 1, 3):
        x = pictures(count)
        for got, want in zip(engine.run([x]), network.expected(x), strict=True):
            np.testing.assert_allclose(got, want, atol=1e-5)
    assert gpu.read_text().count("run\n") == 7


@both
def test_tensorrt_comes_before_cuda_and_keeps_what_it_built(network: Any, gpu: Path) -> None:
    engine = network.open(device="TENSORRT", precision="fp16")
    cache = Path(os.environ["EDGEPOSE_CACHE"]) / "tensorrt" / sha256_file(network.files["onnx"])
    assert gpu.read_text().split("\n")[:-1] == [
        "session.disable_cpu_ep_fallback=1",
        "device_id=0",
        "trt_fp16_enable=1",
        "trt_engine_cache_enable=1",
        f"trt_engine_cache_path={cache}",
        "append TensorRT",
        "device_id=0",
        "append CUDA",
        "run",
    ]
    assert cache.is_dir()
    x = pictures(3)
    np.testing.assert_allclose(engine.run([x])[0], network.expected(x)[0], atol=1e-5)
    assert gpu.read_text().count("run\n") == 4  # one item at a time: one network to build


def kept_in(notes: Path) -> list[Path]:
    """List the folders that ONNX Runtime was told to keep what it built in, and forget the notes."""
    key = "trt_engine_cache_path="
    found = [Path(line.removeprefix(key)) for line in notes.read_text().splitlines() if line.startswith(key)]
    notes.unlink()
    return found


@onnx
def test_tensorrt_keeps_networks_of_other_weights_apart(network: Any, gpu: Path, tmp_path: Path) -> None:
    """ONNX Runtime takes a kept one for any network of the same names."""
    from onnx import load, numpy_helper, save

    model = load(str(network.files["onnx"]))
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(tensor), tensor.name))
    path = tmp_path / "other" / network.files["onnx"].name
    path.parent.mkdir()
    save(model, str(path))
    other = network.having(files={"onnx": path})
    for opened in (network, other, network):
        opened.open(device="TENSORRT")
    first, second, again = kept_in(gpu)
    assert first == again != second and first.parent == second.parent
    assert first.is_dir() and second.is_dir()


@onnx
def test_tensorrt_keeps_networks_where_python_keeps_files(
    network: Any, gpu: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for own, xdg in (
        ("~/mine", "/nowhere"),
        ("~", ""),
        (str(tmp_path / "own"), "/nowhere"),
        ("", str(tmp_path / "xdg")),
        ("", "relative"),
        ("", ""),
    ):
        monkeypatch.setenv("EDGEPOSE_CACHE", own)
        monkeypatch.setenv("XDG_CACHE_HOME", xdg)
        network.open(device="TENSORRT")
        assert kept_in(gpu) == [cache_dir("tensorrt", sha256_file(network.files["onnx"]))]


def _copied(double: str, folder: Path, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load the double anew, as another version: a library that is loaded stays so.

    The copy is this process's own: test_sanitized.py runs these tests in another one,
    and a mapped file must not be written.
    """
    copy = folder / f"{version}.so"
    copy.write_bytes(Path(double).read_bytes())
    monkeypatch.setenv(LIBRARY, str(copy))
    monkeypatch.setenv("EDGEPOSE_DOUBLE_VERSION", version)


@onnx
def test_what_older_versions_cannot_do_on_a_gpu(
    network: Any, gpu: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    double = os.environ[LIBRARY]
    _copied(double, tmp_path, "1.15.1", monkeypatch)
    for device in ("CUDA", "TENSORRT"):
        assert "1.16 is the oldest" in refused(network, device).message
    assert network.open(device="ORT").run([pictures(1)])
    _copied(double, tmp_path, "1.17.3", monkeypatch)
    assert network.open(device="CUDA").run([pictures(1)])
    assert "use_tf32" not in gpu.read_text()


@onnx
def test_libraries_that_will_not_do(
    network: Any, gpu: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    double = os.environ[LIBRARY]
    monkeypatch.setenv(LIBRARY, str(rknn_double.library()))
    assert "is not ONNX Runtime" in refused(network, "ORT").message
    monkeypatch.setenv("EDGEPOSE_DOUBLE_OLD", "1")
    monkeypatch.setenv("EDGEPOSE_DOUBLE_VERSION", "1.2.3")
    old = tmp_path / "old.so"
    old.write_bytes(Path(double).read_bytes())
    monkeypatch.setenv(LIBRARY, str(old))
    error = refused(network, "ORT")
    assert "1.2.3" in error.message and "1.11 is the oldest" in error.message and error.hint
