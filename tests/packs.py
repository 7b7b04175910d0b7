"""The golden packs beside the checkout, read by their own reader."""

from __future__ import annotations

import importlib.util
import sys
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "goldens"


def pack_names() -> list[str]:
    """List the networks that the folder holds."""
    return sorted(path.stem for path in FOLDER.glob("*.npz") if path.stem != "vectors")


@lru_cache(maxsize=1)
def reader() -> ModuleType:
    """Import the packs' reader, materialise.py."""
    spec = importlib.util.spec_from_file_location("golden_materialise", FOLDER / "materialise.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def load_pack(name: str) -> Any:
    """Open one pack; the reader checks every tensor's checksum."""
    return reader().load_golden(str(FOLDER / f"{name}.npz"))
