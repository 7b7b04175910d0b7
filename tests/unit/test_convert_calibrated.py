"""Checkpoints to calibrated bundles: what is refused before the work begins."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgepose.calibration import from_checkpoints
from edgepose.calibration.calibrate import CalibrationRequest
from edgepose.errors import UsageError
from edgepose.writers import write_picture


def test_what_exists_is_refused_before_the_first_calibration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_picture(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    out = tmp_path / "out"
    (out / "net.openvino.auto").mkdir(parents=True)
    calibrated: list[Any] = []

    def convert(checkpoints: Any, sources: list[str], **_: Any) -> list[Any]:
        return [SimpleNamespace(backend=source, name="net", path=tmp_path) for source in sources]

    monkeypatch.setattr(from_checkpoints, "convert", convert)
    monkeypatch.setattr(from_checkpoints, "require", lambda tools, **_: None)
    monkeypatch.setattr(from_checkpoints, "calibrate", lambda *_, **__: calibrated.append(1))
    request = CalibrationRequest(tmp_path)
    for targets in (["ncnn", "openvino"], ["openvino", "ncnn"]):
        with pytest.raises(UsageError, match=r"net\.openvino\.auto exists already"):
            from_checkpoints.convert_calibrated([tmp_path / "a.pth"], targets, request, out_dir=out)
    assert calibrated == []
    from_checkpoints.convert_calibrated([tmp_path / "a.pth"], ["ncnn"], request, out_dir=out)
    assert calibrated == [1]
