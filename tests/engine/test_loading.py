"""Where the compiled module finds OpenVINO: beside itself, or in other site-packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import edgepose
from edgepose import _core

LOAD = """
import os, sys
folder = sys.argv[1]
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in type(finder).__module__]
sys.path.insert(0, folder)
from edgepose.core import load_core
core = load_core()
assert core.__file__.startswith(folder), core.__file__
print("openvino" in core.available_backends(), os.environ.get("LD_LIBRARY_PATH", "-"))
"""


def test_openvino_may_lie_in_other_site_packages_than_edgepose(tmp_path: Path) -> None:
    """A virtual environment that sees those of the system takes what they have from there."""
    package = tmp_path / "edgepose"
    shutil.copytree(Path(edgepose.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(_core.__file__, package)
    environment = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    outcome = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    assert outcome.returncode == 0, outcome.stderr
    found, folder = outcome.stdout.split()
    assert found == "True"
    assert list(Path(folder).glob("libopenvino.so.*"))  # what programs that are started from there need
