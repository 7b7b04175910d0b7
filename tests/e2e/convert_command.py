"""`edgepose convert` in a process of its own, and what a refusal must look like."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


class Outcome:
    """What a run of the command left."""

    def __init__(self, result: subprocess.CompletedProcess[str], seconds: float) -> None:
        self.code = result.returncode
        self.out = result.stdout
        self.err = result.stderr
        self.seconds = seconds

    def json(self) -> Any:
        return json.loads(self.out)


def command(*args: object) -> list[str]:
    return [sys.executable, "-P", "-m", "edgepose", "convert", *map(str, args)]


def edgepose(*args: object, env: dict[str, str] | None = None, code: str | None = None) -> Outcome:
    argv = command(*args) if code is None else [sys.executable, "-P", "-c", code, "convert", *map(str, args)]
    started = time.monotonic()
    result = subprocess.run(
        argv, capture_output=True, text=True, timeout=600, env={**os.environ, **(env or {})}
    )
    return Outcome(result, time.monotonic() - started)


def refused(outcome: Outcome, code: int, *words: str) -> None:
    """Check the one line of an error, its hint, and that nothing else was said."""
    lines = [line for line in outcome.err.splitlines() if not line.startswith("warning: ")]
    assert outcome.code == code, outcome.err
    assert lines[0].startswith("error: ")
    assert all(line.startswith("hint: ") for line in lines[1:]) and len(lines) <= 2
    for word in words:
        assert word in outcome.err
    assert outcome.out == ""


def entries(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []
