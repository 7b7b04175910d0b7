"""Pictures of the calibration set are refused for measuring."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgepose.errors import UsageError
from edgepose.hashing import sha256_bytes
from edgepose.verify.overlap import calibration_pictures, refuse_calibration_pictures


def bundle(folder: Path, lineage: list[dict[str, Any]]) -> Path:
    (folder / "bundle.json").write_text(json.dumps({"lineage": lineage}))
    return folder


def pictures(folder: Path, contents: str) -> list[tuple[str, Path]]:
    found = [(f"{number}.jpg", folder / f"file{number}") for number in range(len(contents))]
    for (_, file), content in zip(found, contents, strict=True):
        file.write_bytes(content.encode())
    return found


def test_both_halves_of_every_network_count(tmp_path: Path) -> None:
    entries = [
        {"step": "convert", "arguments": {"calibration": [{"sha256": sha256_bytes(b"z")}]}},
        {
            "step": "quantise",
            "arguments": {
                "calibration": [{"sha256": sha256_bytes(b"a")}],
                "held_out": [{"sha256": sha256_bytes(b"b")}],
            },
        },
        {"step": "quantise", "arguments": {"calibration": [{"sha256": sha256_bytes(b"c")}]}},
    ]
    made = bundle(tmp_path, entries)
    assert calibration_pictures(made) == {sha256_bytes(name) for name in (b"a", b"b", b"c")}
    refuse_calibration_pictures(made, pictures(tmp_path, "xz"))
    with pytest.raises(
        UsageError, match=r"calibrated with 2 of the 3 pictures, 1\.jpg for example"
    ) as caught:
        refuse_calibration_pictures(made, pictures(tmp_path, "xba"))
    assert "--not-in refuses such pictures" in str(caught.value.hint)


def test_float_bundles_refuse_nothing(tmp_path: Path) -> None:
    made = bundle(tmp_path, [{"step": "convert", "arguments": {}}])
    refuse_calibration_pictures(made, pictures(tmp_path, "x"))
