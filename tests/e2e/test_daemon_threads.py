"""Daemon threads that are in a pipeline when Python ends, such as the workers of a camera."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LIMIT_S = 120
SCRIPT = """
import sys, threading
import numpy as np
from edgepose import PosePipeline

image, worked = np.zeros((240, 320, 3), np.uint8), threading.Event()

def call():
    pipeline = PosePipeline(sys.argv[1], threads=1)
    while True:
        pipeline(image, boxes=[[20, 20, 150, 230]])
        worked.set()

def open_and_close():
    while True:
        PosePipeline(sys.argv[1], threads=1).close()
        worked.set()

threading.Thread(target=globals()[sys.argv[2]], daemon=True).start()
assert worked.wait(60)
"""


@pytest.mark.parametrize("target", ["ncnn", "openvino"])
@pytest.mark.parametrize("work", ["call", "open_and_close"])
def test_python_ends_while_one_works(target: str, work: str, bundles: dict[tuple[str, str], Path]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(bundles[target, "fp32"]), work],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert (done.returncode, done.stderr) == (0, "")
