"""What the tests of `edgepose convert` share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def temporary(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Give the run a TMPDIR of its own, which it must leave empty, and a cache of its own."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    yield {"TMPDIR": str(folder), "EDGEPOSE_CACHE": str(tmp_path / "cache")}
    assert [p.name for p in folder.iterdir()] == []


@pytest.fixture
def shared_cache(tmp_path: Path, cache_root: Path, bundles: dict[tuple[str, str], Path]) -> dict[str, str]:
    """Let the run find what the session has converted already; TMPDIR is its own."""
    (tmp_path / "tmp").mkdir()
    return {"TMPDIR": str(tmp_path / "tmp"), "EDGEPOSE_CACHE": str(cache_root)}


@pytest.fixture
def pose(shared_dir: Path) -> Path:
    return shared_dir / "weights" / "rtmpose-t-demo.pth"


@pytest.fixture
def detector(shared_dir: Path) -> Path:
    return shared_dir / "weights" / "rtmdet_nano_320-person.pth"
