"""What is said where a package is there and cannot be used."""

from __future__ import annotations

import builtins
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgepose import core, extras, media
from edgepose.cli.main import main
from edgepose.errors import MissingDependencyError

REASON = "libGL.so.1: cannot open shared object file: No such file or directory"


@pytest.fixture
def broken_cv2(monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def fail(name: str, *args: Any, **options: Any) -> Any:
        if name == "cv2":
            raise ImportError(REASON)
        return load(name, *args, **options)

    monkeypatch.delitem(sys.modules, "cv2", raising=False)
    monkeypatch.setattr(builtins, "__import__", fail)


def test_an_opencv_that_does_not_load_is_no_bug(broken_cv2: None, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MissingDependencyError, match=r"OpenCV cannot be loaded \(libGL") as refused:
        media.load_cv2()
    assert refused.value.hint is not None and "opencv-python-headless" in refused.value.hint
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert f"missing: OpenCV cannot be loaded ({REASON})" in out and "all packages are there" not in out


def test_an_opencv_that_another_one_took_along(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert main(["doctor"]) == 0
    assert "missing: pip install --force-reinstall opencv-python-headless" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        ("libopenvino.so.2640: cannot open shared object file: No such file", "pip install 'openvino"),
        ("libgomp.so.1: cannot open shared object file: No such file", "package with libgomp.so.1"),
        ("cannot import name '_core' from 'edgepose'", "pip install ."),
        ("/x/_core.so: undefined symbol: _ZN2ov", "pip install ."),
    ],
)
def test_the_hint_fits_what_the_runtime_lacks(
    monkeypatch: pytest.MonkeyPatch, reason: str, hint: str
) -> None:
    def fail() -> None:
        raise ImportError(reason)

    monkeypatch.setitem(sys.modules, "edgepose._core", None)
    monkeypatch.setattr(core, "_load_openvino", fail)
    monkeypatch.delattr("edgepose._core", raising=False)
    with pytest.raises(MissingDependencyError) as refused:
        core.load_core()
    assert refused.value.hint is not None and hint in refused.value.hint


@pytest.mark.parametrize("gpu", [None, "1.8.0", "1.20.1"])
def test_onnx_runtimes_for_cpus_and_gpus_in_one_folder(
    gpu: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one for GPUs is taken, as its file may be whole; what to do is said, for parts are overwritten."""
    capi = tmp_path / "onnxruntime" / "capi"
    capi.mkdir(parents=True)
    versions = {"onnxruntime": "1.9.0"} | ({"onnxruntime-gpu": gpu} if gpu else {})
    for name, version in versions.items():
        (capi / f"libonnxruntime.so.{version}").touch()
        information = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = SimpleNamespace(origin=str(capi.parent / "__init__.py"))
    environment: dict[str, str] = {}
    with monkeypatch.context() as patch:
        patch.setattr(core.importlib.util, "find_spec", lambda name: found)
        patch.setattr(os, "environ", environment)
        core.offer_onnxruntime.__wrapped__()
    chosen = str(capi / f"libonnxruntime.so.{gpu or '1.9.0'}")
    assert environment == {"EDGEPOSE_ONNXRUNTIME_LIBRARY": chosen}
    assert main(["doctor"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "onnxruntime-gpu  " in line)
    cure = "pip uninstall onnxruntime, then pip install --force-reinstall onnxruntime-gpu"
    assert (f"{gpu}, beside onnxruntime: {cure}" if gpu else "not installed: pip install onn") in line
    error = type("CoreError", (Exception,), {"code": 4, "message": "no CUDA", "hint": "onnxruntime-gpu"})
    monkeypatch.setattr(core, "load_core", lambda: SimpleNamespace(CoreError=error))
    with pytest.raises(MissingDependencyError) as caught, core.core_errors():
        raise error
    assert caught.value.hint == f"onnxruntime-gpu; here: {cure}"


def test_an_old_python_is_told_what_converting_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras.sys, "version_info", (3, 10, 12))
    assert extras.install_command("convert", "torch") == "converting needs Python 3.11 or newer"
    assert extras.missing_package("torch").hint == "converting needs Python 3.11 or newer"
    assert "edgepose[eval]" in extras.install_command("eval")
