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
  "-m venv .venv") mkdir -p .venv/bin; cp "{python}" .venv/bin/python
    [[ ! -e interrupt ]] || exit 1
    echo "VIRTUAL_ENV=\\"$PWD/.venv\\"" > .venv/bin/activate; touch .venv/pip .venv/pyvenv.cfg;;
  "-m pip --version") [[ -e .venv/pip ]];;
  "-m ensurepip") [[ -e ensurepip ]] && touch .venv/pip;;
  *" -e .") touch .venv/editable;;
  *find_spec*) [[ -e .venv/editable ]];;
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


def _run(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script; programs beside the clone, in `stubs`, are found first."""
    path = f"{folder.parent / 'stubs'}:/usr/bin:/bin"
    return subprocess.run(
        ["bash", f"scripts/{script}"],
        cwd=folder,
        env={"PATH": path, "PYTHON": str(folder.parent / "python"), "VENV": ".venv"},
        text=True,
        capture_output=True,
    )


def _calls(folder: Path) -> list[str]:
    """Run both scripts and return what they had Python do, but for questions."""
    calls = folder.parent / "calls"
    calls.write_text("")
    for name in ("setup.sh", "build.sh"):
        _run(folder, name).check_returncode()
    asked = ("-c ", "-I -c ", "sys.exit", "-m pip --version", "scripts/")
    return [line for line in calls.read_text().splitlines() if not line.startswith(asked)]


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


def test_a_clone_whose_path_has_an_apostrophe_is_set_up_once(clone: Path) -> None:
    named = clone.rename(clone.with_name("one's clone"))
    assert len(_calls(named)) == 3 and _calls(named) == []


def test_an_environment_made_elsewhere_is_used(clone: Path) -> None:
    """A link to one, or one of another maker, which has no program `activate`."""
    _calls(clone)
    elsewhere = (clone / ".venv").rename(clone.parent / "elsewhere")
    (elsewhere / "bin/activate").write_text(f'VIRTUAL_ENV="{elsewhere}"')
    (clone / ".venv").symlink_to(elsewhere)
    assert _calls(clone) == []
    (elsewhere / "bin/activate").unlink()
    assert _calls(clone) == []


@pytest.mark.parametrize("linked", [False, True])
def test_what_is_no_environment_is_not_emptied(clone: Path, linked: bool) -> None:
    folder = clone.parent / "mine" if linked else clone / ".venv"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    if linked:
        (clone / ".venv").symlink_to(folder)
    found = _run(clone, "setup.sh")
    assert found.returncode == 1 and found.stderr.startswith("setup: .venv is there, but is no environment")
    assert (folder / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("ensurepip", [False, True])
def test_an_environment_of_another_maker_without_pip_is_not_emptied(clone: Path, ensurepip: bool) -> None:
    """As `uv venv` makes it: it gets pip, or is refused where it cannot."""
    _calls(clone)
    environment = clone / ".venv"
    for name in ("pip", "bin/activate", *(path.name for path in environment.glob(".*-*"))):
        (environment / name).unlink()
    (environment / "mine.txt").write_text("mine")
    if ensurepip:
        (clone / "ensurepip").touch()
    found = _run(clone, "setup.sh")
    assert (environment / "mine.txt").read_text() == "mine"
    assert found.returncode == (0 if ensurepip else 1) and (environment / "pip").exists() == ensurepip
    assert ensurepip or found.stderr.startswith("setup: .venv is there, but is no environment")


def test_an_interrupted_set_up_begins_again(clone: Path) -> None:
    (clone / "interrupt").touch()
    assert _run(clone, "setup.sh").returncode == 1
    (clone / "interrupt").unlink()
    assert len(_calls(clone)) == 3 and _calls(clone) == []


def test_packages_of_a_mirror_that_was_down_are_asked_for_again(clone: Path) -> None:
    (clone / "packages.txt").write_text("libnope-dev\n")
    stubs = clone.parent / "stubs"
    stubs.mkdir()
    for name, lines in {
        "dpkg-query": "exit 1",
        "sudo": 'shift; exec "$@"',
        "apt-get": f'echo apt >> "{clone.parent}/apt"; exit "$(cat "{clone.parent}/code")"',
    }.items():
        (stubs / name).write_text(f"#!/bin/bash\n{lines}\n")
        (stubs / name).chmod(0o755)
    asked = clone.parent / "apt"
    (clone.parent / "code").write_text("100")
    for _ in range(2):
        asked.write_text("")
        assert "not installed (apt-get failed): libnope-dev" in _run(clone, "setup.sh").stderr
        assert asked.read_text() == "apt\n"
    (clone.parent / "code").write_text("0")
    assert _run(clone, "setup.sh").stderr == ""
    asked.write_text("")
    assert _run(clone, "setup.sh").stderr == "" and asked.read_text() == ""
