"""A pytest plugin: `edgepose._core` is the module that EDGEPOSE_TEST_CORE names, which has ASan and UBSan."""

from __future__ import annotations

import importlib.util
import os
import sys

import edgepose


def _load(path: str) -> None:
    spec = importlib.util.spec_from_file_location("edgepose._core", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["edgepose._core"] = module
    spec.loader.exec_module(module)
    edgepose._core = module  # type: ignore[attr-defined]


_load(os.environ["EDGEPOSE_TEST_CORE"])


def pytest_report_header() -> str:
    """Say which module is tested."""
    return f"edgepose._core: {sys.modules['edgepose._core'].__file__}"
