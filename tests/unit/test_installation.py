"""What is installed beside the Python files."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepose.core import load_core


@pytest.mark.parametrize(
    ("name", "holder"),
    [("ncnn", "Tencent"), ("nlohmann-json", "Niels Lohmann"), ("pybind11", "Wenzel Jakob")],
)
def test_the_licences_of_what_is_linked_in_come_along(name: str, holder: str) -> None:
    text = (Path(load_core().__file__).parent / "licenses" / f"{name}.txt").read_text(encoding="utf-8")
    assert "Copyright" in text and holder in text
