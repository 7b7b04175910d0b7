"""`make demo PICTURE=...`: a picture that cannot be used is refused at once, and nothing is removed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from run_inputs import picture

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not (ROOT / ".venv/bin/python").exists(), reason="optional: made by make setup")
@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("absent.jpg", None, "no such picture"),
        (f"{'long' * 75}.jpg", None, "no such picture"),
        ("folder.jpg", "folder", "no such picture"),
        ("phone.heic", b"\0\0\0\x18ftypheic", "is none of .jpg"),
        ("broken.jpg", np.arange(100, dtype=np.uint8).tobytes(), "not a picture that can be decoded"),
        ("out/old.png", "picture", "which is made anew"),
    ],
)
def test_a_picture_that_cannot_be_used(
    name: str, content: bytes | str | None, said: str, tmp_path: Path
) -> None:
    path, out = tmp_path / name, tmp_path / "out"
    out.mkdir()
    (out / "report.html").write_text("of the last run")
    if content == "folder":
        path.mkdir()
    elif content == "picture":
        picture(path)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    done = subprocess.run(
        ["bash", str(ROOT / "scripts/demo.sh"), str(path)],
        env={**os.environ, "EDGEPOSE_DEMO_OUTPUT": str(out)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"demo: {path}: ") and said in done.stderr
    assert len(done.stderr.splitlines()) == 1 and (out / "report.html").exists()
