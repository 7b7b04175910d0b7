"""Pictures of the calibration set are refused for measuring."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgepose.errors import UsageError
from edgepose.verify.overlap import calibration_pictures, refuse_calibration_pictures


def bundle(folder: Path, lineage: list[dict[str, Any]]) -> Path:
    (folder / "bundle.json").write_text(json.dumps({"lineage": lineage}))
    return folder


def test_both_halves_of_every_network_count(tmp_path: Path) -> None:
    entries = [
        {"step": "convert", "arguments": {"calibration": [{"sha256": "z"}]}},
        {"step": "quantise", "arguments": {"calibration": [{"sha256": "a"}], "held_out": [{"sha256": "b"}]}},
        {"step": "quantise", "arguments": {"calibration": [{"sha256": "c"}]}},
    ]
    made = bundle(tmp_path, entries)
    assert calibration_pictures(made) == {"a", "b", "c"}
    refuse_calibration_pictures(made, ["1.jpg", "2.jpg"], ["x", "z"])
    with pytest.raises(
        UsageError, match=r"calibrated with 2 of the 3 pictures, 2\.jpg for example"
    ) as caught:
        refuse_calibration_pictures(made, ["1.jpg", "2.jpg", "3.jpg"], ["x", "b", "a"])
    assert "--not-in" in str(caught.value.hint)


def test_float_bundles_refuse_nothing(tmp_path: Path) -> None:
    made = bundle(tmp_path, [{"step": "convert", "arguments": {}}])
    refuse_calibration_pictures(made, ["1.jpg"], ["x"])
