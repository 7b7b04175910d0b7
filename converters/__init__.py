"""Conversion of a torch network to ONNX and on to each target, compared with torch at every stage."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgepose.converters.conversion import ConvertedBundle, convert
    from edgepose.converters.parity import StageResult

__all__ = ["ConvertedBundle", "StageResult", "convert"]


_MODULES = {"ConvertedBundle": "conversion", "StageResult": "parity", "convert": "conversion"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
