"""Checkpoints to calibrated bundles: what is refused before the work begins."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from edgepose.calibration import from_checkpoints, rknn_int8
from edgepose.calibration.calibrate import CalibratedBundle, CalibrationRequest
from edgepose.cli.main import cli
from edgepose.errors import CalibrationError, ConfigurationError, UsageError
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
    monkeypatch.setattr(from_checkpoints, "read_manifest", lambda path: {"models": {"pose": {}}})
    monkeypatch.setattr(from_checkpoints, "require", lambda tools, **_: None)
    monkeypatch.setattr(from_checkpoints, "calibrate", lambda *_, **__: calibrated.append(1))
    request = CalibrationRequest(tmp_path)
    for targets in (["ncnn", "openvino"], ["openvino", "ncnn"]):
        with pytest.raises(UsageError, match=r"net\.openvino\.auto exists already"):
            from_checkpoints.convert_calibrated([tmp_path / "a.pth"], targets, request, out_dir=out)
    assert calibrated == []
    from_checkpoints.convert_calibrated([tmp_path / "a.pth"], ["ncnn"], request, out_dir=out)
    assert calibrated == [1]


@pytest.fixture
def converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stand in for the conversion to float32; returns the manifest of its bundles."""
    write_picture(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    manifest: dict[str, Any] = {"models": {"pose": {}}}

    def convert(checkpoints: Any, sources: list[str], **_: Any) -> list[Any]:
        return [SimpleNamespace(backend=source, name="net", path=tmp_path) for source in sources]

    monkeypatch.setattr(from_checkpoints, "convert", convert)
    monkeypatch.setattr(from_checkpoints, "read_manifest", lambda path: manifest)
    monkeypatch.setattr(from_checkpoints, "require", lambda tools, **_: None)
    return manifest


def test_a_full_folder_for_the_float_bundles_is_named(
    tmp_path: Path, converted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not written where -o says."""

    def full(*_: Any, out_dir: Path, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(out_dir / "net.ncnn.fp32"))

    monkeypatch.setattr(from_checkpoints, "convert", full)
    request, out = CalibrationRequest(tmp_path), tmp_path / "out"
    with pytest.raises(ConfigurationError, match="the folder for temporary files: No space") as caught:
        from_checkpoints.convert_calibrated([tmp_path / "a.pth"], ["ncnn"], request, out_dir=out)
    assert "TMPDIR" in str(caught.value.hint)


def test_what_was_written_before_a_failure_is_told(
    tmp_path: Path, converted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def calibrate(bundle: Path, request: Any, *, maker: Any, out_dir: Path, **_: Any) -> Any:
        if maker.format == "openvino":
            raise CalibrationError("int8 is no faster here", hint="use fp16")
        return SimpleNamespace(path=out_dir / f"net.{maker.format}.auto")

    monkeypatch.setattr(from_checkpoints, "calibrate", calibrate)
    request, out = CalibrationRequest(tmp_path), tmp_path / "out"
    with pytest.raises(CalibrationError, match=r"^openvino: int8 is no faster here$") as second:
        from_checkpoints.convert_calibrated([tmp_path / "a.pth"], ["ncnn", "openvino"], request, out_dir=out)
    assert second.value.hint == f"use fp16; {out / 'net.ncnn.auto'} was written before"
    with pytest.raises(CalibrationError, match=r"^int8 is no faster here$") as first:
        from_checkpoints.convert_calibrated([tmp_path / "a.pth"], ["openvino", "ncnn"], request, out_dir=out)
    assert first.value.hint == "use fp16"


def test_one_stage_networks_are_refused_by_their_name(tmp_path: Path, converted: dict[str, Any]) -> None:
    converted["models"] = {"one_stage": {}}
    with pytest.raises(CalibrationError, match=r"^net: one-stage networks are not calibrated"):
        from_checkpoints.convert_calibrated(
            [tmp_path / "a.pth"], ["ncnn"], CalibrationRequest(tmp_path), out_dir=tmp_path / "out"
        )


@pytest.mark.parametrize("plan", ["accurate", "plain"])
def test_a_plan_is_refused_where_the_tool_takes_none(
    plan: str, tmp_path: Path, converted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rknn_int8.environment, "require", lambda: None)
    monkeypatch.setattr(
        from_checkpoints, "calibrate", lambda *_, out_dir, **__: SimpleNamespace(path=out_dir)
    )
    checkpoint, out = [tmp_path / "a.pth"], tmp_path / "out"
    request = CalibrationRequest(tmp_path, plan=plan)
    with pytest.raises(UsageError, match=r"^--plan has no effect for rknn") as caught:
        from_checkpoints.convert_calibrated(checkpoint, ["ncnn", "rknn"], request, out_dir=out, soc="rk3588")
    assert caught.value.hint == "convert for rknn without --plan"
    from_checkpoints.convert_calibrated(checkpoint, ["ncnn"], request, out_dir=out)
    request = CalibrationRequest(tmp_path)
    from_checkpoints.convert_calibrated(checkpoint, ["rknn"], request, out_dir=out, soc="rk3588")


def test_the_json_of_the_command_has_the_notes_of_the_conversion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_picture(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "a.pth").write_bytes(b"")
    made = from_checkpoints.CalibratedConversion(
        SimpleNamespace(notes=("net: keypoint names unknown",)),  # type: ignore[arg-type]
        CalibratedBundle(tmp_path / "net.ncnn.auto", "int8", "ab", {}, {}),
    )
    monkeypatch.setattr(from_checkpoints, "convert_calibrated", lambda *_, **__: [made])
    arguments = [str(tmp_path / "a.pth"), "--to", "ncnn", "--precision", "auto", "--calib", str(tmp_path)]
    result = CliRunner().invoke(cli, ["convert", *arguments, "--json"], catch_exceptions=False)
    (bundle,) = json.loads(result.stdout)["bundles"]
    assert bundle["notes"] == ["net: keypoint names unknown"]
    assert bundle["path"] == str(tmp_path / "net.ncnn.auto")


@pytest.mark.parametrize(("cached", "told"), [(True, " (from the cache)\n"), (False, "\n")])
def test_the_time_of_a_calibration_is_not_told_as_that_of_the_comparison(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cached: bool, told: str
) -> None:
    write_picture(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "a.pth").write_bytes(b"")
    made = from_checkpoints.CalibratedConversion(
        SimpleNamespace(stages=(), notes=(), cached=cached, backend="ncnn"),  # type: ignore[arg-type]
        CalibratedBundle(tmp_path / "net.ncnn.auto", "int8", "ab", {}, {}),
    )
    monkeypatch.setattr(from_checkpoints, "convert_calibrated", lambda *_, **__: [made])
    arguments = [str(tmp_path / "a.pth"), "--to", "ncnn", "--precision", "auto", "--calib", str(tmp_path)]
    result = CliRunner().invoke(cli, ["convert", *arguments], catch_exceptions=False)
    assert f"compared with the torch network on the same inputs{told}" in result.stderr
    assert result.stdout.endswith(f"{tmp_path / 'net.ncnn.auto'}\n")
