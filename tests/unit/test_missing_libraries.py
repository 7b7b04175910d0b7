"""What is said where a package is there and cannot be used."""

from __future__ import annotations

import builtins
import sys
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


def test_an_old_python_is_told_what_converting_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras.sys, "version_info", (3, 10, 12))
    assert extras.install_command("convert", "torch") == "converting needs Python 3.11 or newer"
    assert extras.missing_package("torch").hint == "converting needs Python 3.11 or newer"
    assert "edgepose[eval]" in extras.install_command("eval")
