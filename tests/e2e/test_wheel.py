"""What `pip install .` installs: one name, the compiled module, and every file that the Python code reads."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_wheel_holds_one_name_and_everything(tmp_path: Path) -> None:
    """It compiles the module, which is quick where ccache knows it, as after `make setup`."""
    command = [sys.executable, "-P", "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    command += ["--config-settings", f"build-dir={tmp_path / 'build'}", "-w", str(tmp_path / "wheels")]
    # ncnn's sources are those of all builds, not of this session's cache.
    env = {name: value for name, value in os.environ.items() if name != "EDGEPOSE_CACHE"}
    command.append(str(ROOT))
    done = subprocess.run(command, capture_output=True, text=True, timeout=3000, check=False, env=env)
    assert done.returncode == 0, done.stderr[-3000:]
    (wheel,) = (tmp_path / "wheels").glob("edgepose-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"edgepose"}
    assert any(name.startswith("edgepose/_core.") for name in names)
    assert "edgepose/bin/edgepose_bench" in names
    sources = [
        path.relative_to(ROOT)
        for folder in ("edgepose", "converters", "calibration")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix not in (".pyc", ".so") and not path.is_symlink()
    ]
    assert len(sources) > 200
    expected = {str(p if p.parts[0] == "edgepose" else Path("edgepose", p)) for p in sources}
    assert expected <= names, sorted(expected - names)
