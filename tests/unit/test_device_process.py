"""What is read from a client program, and how it ends."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from edgepose.bench.fleet import run_fleet
from edgepose.bench.plan import BenchOptions
from edgepose.bench.session import Session
from edgepose.device.connect import open_transport
from edgepose.device.process import Cancelled, TimeLimit, run_lines
from edgepose.device.profile import parse_profile
from edgepose.device.ssh import SshTransport
from edgepose.device.workspace import Workspace
from edgepose.errors import DeviceError, DeviceLostError

POSE = Path(__file__).resolve().parents[1] / "bundles" / "v1" / "pose"
BOARD = """\
title: Board
transport: ssh
abi: aarch64-linux
engines: [fake]
threads: [1]
folder: {folder}
address: board
"""


def test_the_limits_of_a_program() -> None:
    lines: list[str] = []
    talking = ["sh", "-c", "echo a; sleep 0.7; echo b"]
    assert run_lines(talking, timeout_s=9, on_line=lines.append).exit_code == 0
    assert lines == ["a\n", "b\n"]
    began = time.monotonic()
    with pytest.raises(TimeLimit):
        run_lines(["sleep", "30"], timeout_s=0.7, on_line=lines.append)
    with pytest.raises(TimeLimit):
        run_lines(["sleep", "30"], timeout_s=30, silence_s=0.7, on_line=lines.append)
    assert 1.4 <= time.monotonic() - began < 15


def test_another_thread_can_end_a_silent_program() -> None:
    cancel = threading.Event()
    threading.Timer(0.2, cancel.set).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        run_lines(["sleep", "30"], timeout_s=30, on_line=lambda line: None, cancel=cancel)
    assert time.monotonic() - began < 15


def test_a_program_whose_output_nobody_can_read_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system gives no second thread: ulimit -u."""
    programs: list[subprocess.Popen[bytes]] = []
    started: list[threading.Thread] = []

    def start(thread: threading.Thread) -> None:
        started.append(thread)
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        start_thread(thread)

    class Program(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            programs.append(self)

    start_thread = threading.Thread.start
    monkeypatch.setattr(subprocess, "Popen", Program)
    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        run_lines(["sleep", "30"], timeout_s=30, on_line=lambda line: None)
    assert programs[0].poll() is not None


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOEXEC, "is it a program for this machine"),
        (errno.EACCES, "may it be executed"),
        (errno.EAGAIN, "see ulimit -u"),
        (errno.EMFILE, None),
    ],
)
def test_why_a_program_cannot_be_run(number: int, hint: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(DeviceError, match=f"^a cannot be run: {os.strerror(number)}$") as error:
        run_lines(["a"], timeout_s=1, on_line=lambda line: None)
    assert (hint or "") in (error.value.hint or "") and (error.value.hint is None) == (hint is None)


def test_a_pulled_file_may_end_in_the_middle_of_a_line(ssh: Path, tmp_path: Path) -> None:
    """As a journal does where its board lost power."""
    (tmp_path / "journal").write_text('{"a": 1}\n{"b":')
    SshTransport("board").pull(str(tmp_path / "journal"), tmp_path / "pulled")
    assert (tmp_path / "pulled").read_text() == '{"a": 1}\n'


def test_a_connection_can_break_with_the_words_of_a_refusal(ssh: Path) -> None:
    """A board that loses its power is "No route to host": a run that measured there can go on later."""
    client = ssh / "ssh"
    works = client.read_text()
    gone = '#!/bin/sh\necho "Read from remote host board: No route to host" >&2\nexit 255\n'
    transport = SshTransport("board")
    client.write_text(gone)
    with pytest.raises(DeviceError, match=r"no connection: .*No route to host") as refused:
        transport.connect()
    assert refused.type is DeviceError and refused.value.hint == "is it on, and in this network?"
    client.write_text(works)
    transport.connect()
    client.write_text(gone)
    with pytest.raises(DeviceLostError, match=r"the connection broke: .*No route to host") as lost:
        transport.run(["true"])
    assert lost.value.hint


def test_a_refusal_that_nobody_foresaw_has_a_hint(ssh: Path) -> None:
    (ssh / "ssh").write_text('#!/bin/sh\necho "Can\'t open user config file x" >&2\nexit 255\n')
    with pytest.raises(DeviceError, match="no connection: Can't open user config file x") as refused:
        SshTransport("me@board", port=22).connect()
    assert refused.value.hint == "try ssh -p 22 me@board"
    jump = SshTransport("me@board", identity="/my keys/id", jump="me@gate", config="/c")
    with pytest.raises(DeviceError) as refused:
        jump.connect()
    by_hand = "ssh -F /c -i '/my keys/id' -o IdentitiesOnly=yes -J me@gate me@board"
    assert refused.value.hint == f"try {by_hand}"


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Share connections although the folder for temporary files has a long name here."""
    monkeypatch.setattr("edgepose.device.ssh._SOCKET_BYTES", 1000)


@pytest.mark.usefixtures("shared")
def test_what_a_jump_host_says_is_not_lost(ssh: Path) -> None:
    """Of a connection to share ssh drops the words of the client that reaches the jump host."""
    (ssh / "ssh").write_text(
        '#!/bin/sh\ncase "$*" in *" -G "*) exit 0;; *" -S "*) exit 255;; esac\n'
        'echo "me@gate: Permission denied (publickey)." >&2\nexit 255\n'
    )
    with pytest.raises(DeviceError, match="me@gate: Permission denied") as refused:
        SshTransport("me@board", jump="me@gate").connect()
    assert "ssh-add" in (refused.value.hint or "")


@pytest.mark.usefixtures("shared")
def test_a_shared_connection_that_breaks_says_so(ssh: Path) -> None:
    transport = SshTransport("me@board")
    transport.connect()
    (ssh / "ssh").write_text("#!/bin/sh\nexit 255\n")
    with pytest.raises(DeviceLostError, match="the host closed it, or gave no sign of life"):
        transport.run(["true"])
    transport.close()


def test_the_login_shell_may_be_any(ssh: Path, tmp_path: Path) -> None:
    """That of a board can be fish or tcsh, which know no braces, no export and no $?."""
    (ssh / "ssh").write_text(
        f"#!{sys.executable}\nimport os, shlex, sys\nwords = shlex.split(sys.argv[-1])\n"
        "os.execvp(words[0], words)  # programs and quotes, nothing else\n"
    )
    transport = SshTransport("board")
    transport.connect()
    (tmp_path / ".file").write_text("x")
    workspace = Workspace(transport, str(tmp_path / "it's here"))
    workspace.put("run", {".file": tmp_path / ".file"})
    lines: list[str] = []
    ended = transport.stream(
        ["sh", "-c", "cat .file; exit 3"], folder=workspace.path("run"), timeout_s=20, on_line=lines.append
    )
    assert ended.exit_code == 3
    workspace.remove("run")
    assert list((tmp_path / "it's here").iterdir()) == []


def test_cd_may_say_where_it_went(ssh: Path, tmp_path: Path) -> None:
    """It does where the board's user has a CDPATH, and the folder of a profile is a relative one."""
    home = tmp_path / "home"
    home.mkdir()
    (ssh / "ssh").write_text(
        f'#!/bin/sh\ncd "{home}"\nfor command; do :; done\nCDPATH=.:/ exec sh -c "$command"\n'
    )
    transport = SshTransport("board")
    transport.connect()
    workspace = Workspace(transport, ".")
    workspace.make("run-1")
    assert workspace.root == f"{home}/edgepose-workspace"
    assert [path.name for path in home.iterdir()] == ["edgepose-workspace"]


def test_the_first_of_two_runs_to_end_leaves_the_other_its_files(ssh: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    first, second = (Workspace(SshTransport("board"), str(tmp_path / "parent")) for _ in range(2))
    first.make("run-1")  # before its upload, which takes minutes
    second.make("run-2")
    program = Path(first.put("runner", {"file": tmp_path / "file"}), "file")
    second.remove("run-2")
    assert program.is_file() and Path(first.path("run-1")).is_dir()
    first.remove("run-1")
    assert list((tmp_path / "parent").iterdir()) == []


def test_a_device_speaks_english(ssh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says is read here: ssh takes the language of its user along."""
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert SshTransport("board").run(["sh", "-c", "echo $LC_ALL"]) == "C\n"
    with pytest.raises(DeviceError, match="No space left on device") as error:
        SshTransport("board").run(["sh", "-c", "cat /proc/version >/dev/full"])
    assert error.value.hint == "free some space on the device"


def test_a_device_without_sha256sum_is_told_so(
    ssh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "mkdir", "wc", "cat", "mv"):
        (tools / name).symlink_to(shutil.which(name) or "")
    monkeypatch.setenv("PATH", f"{ssh}:{tools}")
    with pytest.raises(DeviceError, match="board: it has no sha256sum") as error:
        Workspace(SshTransport("board"), str(tmp_path)).put("runner", {"file": tmp_path / "file"})
    assert error.value.hint and "BusyBox" in error.value.hint


def test_an_interrupt_ends_all_devices_at_once(
    ssh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that says nothing: its client is ended, and what cleans up is still run."""
    monkeypatch.setenv("EDGEPOSE_RUNNER", str(ssh / "ssh"))
    profile = parse_profile(BOARD.format(folder=tmp_path), name="board", where="board.yaml")
    sessions = {
        name: Session(POSE, profile, open_transport(profile), BenchOptions(), tmp_path / name)
        for name in "ab"
    }
    asked: list[list[str]] = []
    monkeypatch.setattr(sessions["b"], "run", _interrupt)

    def hang(workspace: object, runner: object) -> None:
        sessions["a"]._transport.run(["sleep", "30"])

    monkeypatch.setattr(sessions["a"], "_install", hang)
    monkeypatch.setattr(
        sessions["a"],
        "_clean",
        lambda workspace: asked.append([sessions["a"]._transport.run(["echo", "clean"])]),
    )
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_fleet(sessions, resume=False, on_done=lambda name, outcome: None)
    assert time.monotonic() - began < 20
    assert asked == [["clean\n"]]


def _interrupt(*, resume: bool) -> None:
    time.sleep(1.5)
    raise KeyboardInterrupt
