"""What `make setup` does again: with a stand-in for the environment's Python, which writes down its calls."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Makes an environment, has pip where that is there, and has the editable install where pip made it.
_PYTHON = """#!/usr/bin/env bash
echo "$*" >> "{calls}"
case "$*" in
  "-m venv --clear .venv") rm -rf .venv; mkdir -p .venv/bin; cp "{python}" .venv/bin/python
    echo "VIRTUAL_ENV=$PWD/.venv" > .venv/bin/activate; touch .venv/pip;;
  "-m pip --version") [[ -e .venv/pip ]];;
  *" -e .") touch .venv/editable;;
  *_editable_skbc_edgepose*) [[ -e .venv/editable ]];;
esac
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Make a source folder of the scripts and what they read; another name is another place."""
    folder = tmp_path / "clone"
    (folder / "scripts").mkdir(parents=True)
    for name in (
        "scripts/setup.sh",
        "scripts/build.sh",
        "pyproject.toml",
        "CMakeLists.txt",
        "CMakePresets.json",
    ):
        shutil.copy(ROOT / name, folder / name)
    (folder / "packages.txt").write_text("")
    (folder / "scripts/requirements.py").write_text("")
    (folder / "runtime_cpp").mkdir()
    python = tmp_path / "python"
    python.write_text(_PYTHON.format(calls=tmp_path / "calls", python=python))
    python.chmod(0o755)
    return folder


def _calls(folder: Path) -> list[str]:
    """Run both scripts and return what they had Python do, but for questions."""
    calls = folder.parent / "calls"
    calls.write_text("")
    for name in ("setup.sh", "build.sh"):
        subprocess.run(
            ["bash", f"scripts/{name}"],
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", "PYTHON": str(folder.parent / "python"), "VENV": ".venv"},
            check=True,
            capture_output=True,
        )
    asked = ("-c ", "-m pip --version", "scripts/")
    return [line.split(" -")[1] for line in calls.read_text().splitlines() if not line.startswith(asked)]


_ALL = ["m venv", "m pip install", "qq", "e ."]


def test_a_second_set_up_does_nothing(clone: Path) -> None:
    first = _calls(clone)
    assert len(first) == 3 and _calls(clone) == []


def test_an_environment_without_its_python_is_made_anew(clone: Path) -> None:
    first = _calls(clone)
    (clone / ".venv/pip").unlink()  # as after an update of the system's Python
    assert _calls(clone) == first
    (clone / ".venv/bin/python").unlink()
    assert _calls(clone) == first


def test_a_moved_clone_gets_another_environment(clone: Path) -> None:
    """The programs in it begin with the path of the old one."""
    first = _calls(clone)
    assert _calls(clone.rename(clone.with_name("moved"))) == first


def test_a_copy_in_the_place_of_the_editable_install_is_replaced(clone: Path) -> None:
    first = _calls(clone)
    (clone / ".venv/editable").unlink()  # as after pip install . by hand
    assert _calls(clone) == first[2:]
