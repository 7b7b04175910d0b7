"""Device doubles: a phone behind the real adb client, a board behind the real ssh client."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from adb_double import AdbDouble
from ssh_double import SSHD, SshDouble, _free_port

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def aarch64_runner() -> Path:
    """Build the runner with `edgepose build-runner`; quick where ccache knows it."""
    for program in ("aarch64-linux-gnu-g++", "qemu-aarch64-static"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (packages.txt)")
    command = [sys.executable, "-P", "-m", "edgepose", "build-runner", "--target", "aarch64-linux"]
    environment = {**os.environ, "EDGEPOSE_CACHE": str(ROOT / "build" / "device-cache")}
    outcome = subprocess.run(
        command, capture_output=True, text=True, timeout=1800, check=False, env=environment
    )
    assert outcome.returncode == 0, outcome.stderr
    return Path(outcome.stdout.split("  (")[0])


@pytest.fixture(scope="session")
def adb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Run an adb server of its own; calling the fixture's value runs an adb command."""
    if shutil.which("adb") is None:
        pytest.skip("adb is not installed (packages.txt)")
    home = tmp_path_factory.mktemp("adb")
    own = {"ANDROID_ADB_SERVER_PORT": str(_free_port()), "ANDROID_USER_HOME": str(home), "HOME": str(home)}
    before = {name: os.environ.get(name) for name in ("ANDROID_ADB_SERVER_PORT", "ANDROID_USER_HOME")}
    os.environ.update({name: own[name] for name in before})

    def adb(*arguments: str) -> str:
        environment = {**os.environ, **own}
        outcome = subprocess.run(
            ["adb", *arguments], capture_output=True, text=True, timeout=60, check=False, env=environment
        )
        return outcome.stdout + outcome.stderr

    adb("start-server")
    yield adb
    adb("kill-server")
    for name, value in before.items():
        os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)


@pytest.fixture
def phone(adb_server: Callable[..., str], tmp_path: Path) -> Iterator[AdbDouble]:
    """Attach a phone with a Cortex-A76."""
    with AdbDouble(tmp_path / "phone") as double:
        adb_server("connect", double.serial)
        yield double
        adb_server("disconnect", double.serial)


@pytest.fixture
def board(tmp_path: Path) -> Iterator[SshDouble]:
    """Switch a board with a Cortex-A53 on."""
    if not SSHD.exists():
        pytest.skip("openssh-server is not installed (packages.txt)")
    with SshDouble(tmp_path / "board", cpu="cortex-a53") as double:
        yield double


@pytest.fixture
def own_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Write a profile of the user's own: own_profile(name, text)."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / "config" / "edgepose" / "devices"
    folder.mkdir(parents=True)

    def write(name: str, text: str) -> None:
        (folder / f"{name}.yaml").write_text(text)

    return write
