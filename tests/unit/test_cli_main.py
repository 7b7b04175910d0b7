"""The frame of the command line: help, versions, exit codes, one line per failure."""

from __future__ import annotations

import errno
import importlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from edgepose import __version__, errors, log
from edgepose.cli import main as frame


def run_command(*args: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "edgepose", *args], capture_output=True, text=True, timeout=60, **options
    )


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make `edgepose info` raise."""

    @click.command()
    def info() -> None:
        raise error

    class Module:
        pass

    Module.info = info
    monkeypatch.setattr(frame.importlib, "import_module", lambda name: Module)


def test_help_is_light(tmp_path: Path) -> None:
    """What takes time is what is imported: no command, and no module beyond the frame's own."""
    outcome = run_command("--help", cwd=tmp_path)
    assert outcome.returncode == 0 and "convert" in outcome.stdout and outcome.stderr == ""
    code = "import sys, edgepose.cli.main as m; m.main(['--help']); print(*sys.modules, file=sys.stderr)"
    modules = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd=tmp_path)
    loaded = set(modules.stderr.split())
    assert "click" in loaded and not loaded & {"numpy", "cv2", "torch", "onnx", "openvino", "yaml"}
    ours = {name for name in loaded if name.partition(".")[0] == "edgepose"}
    frames = {"edgepose", "edgepose.cli", "edgepose.cli.main"}
    assert ours == frames | {"edgepose.errors", "edgepose.interrupts", "edgepose.log"}


def test_commands_name_alike_what_is_alike(capsys: pytest.CaptureFixture[str]) -> None:
    """Where results go is -o or --output, and every command of a list is told in one whole line."""
    for name in frame.COMMANDS:
        command = frame.cli.get_command(click.Context(frame.cli), name)
        children = command.commands if isinstance(command, click.Group) else {}
        for each in (command, *children.values()):
            assert each is not None
            for parameter in each.params:
                assert "-o" not in parameter.opts or "--output" in parameter.opts, (name, parameter.opts)
        assert frame.main([name, "--help"]) == 0
        listed = capsys.readouterr().out.partition("Commands:")[2]
        assert bool(listed) == bool(children) and "..." not in listed


def test_whether_a_path_may_be_read_is_no_question_of_the_command_line() -> None:
    """It would end with exit code 2; what reads it says 3."""
    for name in frame.COMMANDS:
        command = frame.cli.get_command(click.Context(frame.cli), name)
        for each in (command, *(command.commands.values() if isinstance(command, click.Group) else ())):
            assert each is not None
            paths = [p.name for p in each.params if isinstance(p.type, click.Path) and p.type.readable]
            assert paths == [], name


@pytest.mark.parametrize("command", ["info", "bench history", "run --boxes"])
def test_no_permission_is_exit_code_3(command: str, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0)
    words = [*command.split(), str(locked)]
    bundle = Path(__file__).resolve().parents[1] / "bundles" / "v1" / "pose"
    words += [str(bundle), str(tmp_path)] if command.startswith("run") else []
    # root may read everything, but for these
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    if drop and (
        not shutil.which(drop[0]) or subprocess.run([*drop, "true"], capture_output=True).returncode
    ):
        pytest.skip("optional: root may read everything")
    outcome = subprocess.run(
        [*drop, sys.executable, "-P", "-m", "edgepose", *words], capture_output=True, text=True, timeout=60
    )
    assert (outcome.returncode, outcome.stderr.splitlines()[0]) == (3, f"error: {locked}: Permission denied")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.main(["--version"]) == 0
    assert capsys.readouterr().out == f"edgepose {__version__}\n"


@pytest.mark.parametrize("name", frame.COMMANDS)
def test_every_command_exists_and_says_the_same_as_the_table(name: str) -> None:
    module_name, _, attribute = frame.COMMANDS[name].target.partition(":")
    command = getattr(importlib.import_module(module_name), attribute)
    assert command.name == name
    assert command.get_short_help_str(200).rstrip(".") == frame.COMMANDS[name].summary.rstrip(".")


@pytest.mark.parametrize("name", frame.COMMANDS)
def test_every_command_has_help_with_verbosity(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.main([name, "--help"]) == 0
    assert "--verbose" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "line", "hint"),
    [
        (["rnu"], "there is no command 'rnu'", "did you mean 'edgepose run'?"),
        (["xyzzy"], "there is no command 'xyzzy'", "see edgepose --help"),
        (["--colour"], "No such option", "see edgepose --help"),
        (["run"], "Missing argument 'BUNDLE'", "see edgepose run --help"),
        (["run", "a", "b", "--threads", "0"], "--threads", "see edgepose run --help"),
    ],
)
def test_usage_errors(args: list[str], line: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.main(args) == 2
    out, err = capsys.readouterr()
    first, second = err.splitlines()
    assert out == "" and first.startswith("error: ") and line in first and second == f"hint: {hint}"


def all_errors() -> list[type[errors.EdgePoseError]]:
    found, waiting = [], [errors.EdgePoseError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        found.append(kind)
    return [
        kind for kind in found if kind.__module__ == "edgepose.errors" and kind is not errors.EdgePoseError
    ]


@pytest.mark.parametrize("kind", all_errors())
def test_our_errors_are_one_line_a_hint_and_their_code(
    kind: type[errors.EdgePoseError], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(monkeypatch, kind("it broke\nbadly", hint="mend it"))
    assert frame.main(["info"]) == kind.exit_code
    assert capsys.readouterr().err == "error: it broke badly\nhint: mend it\n"


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/data/x.mp4"),
            3,
            "error: /data/x.mp4: No space left on device\n",
        ),
        (OSError(errno.EFBIG, "File too large", "x"), 3, "error: x: File too large\nhint: see ulimit -f"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/root/x"),
            3,
            "error: /root/x: Permission denied\n",
        ),
        (MemoryError(), 3, "error: not enough memory\n"),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory: you"),
            3,
            "error: not enough memory\n",
        ),
        (
            RuntimeError("can't start new thread"),
            3,
            "error: the system gives no more threads\nhint: too many processes and threads are running: see",
        ),
        (
            errors.EngineError("ncnn: Resource temporarily unavailable"),
            9,
            "error: ncnn: Resource temporarily unavailable\nhint: too many processes and threads",
        ),
        (
            ModuleNotFoundError("No module named 'torch'", name="torch"),
            4,
            "error: the package torch is not installed\n",
        ),
    ],
)
def test_foreign_errors(
    error: BaseException,
    code: int,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fail_with(monkeypatch, error)
    assert frame.main(["info"]) == code
    err = capsys.readouterr().err
    assert err.startswith(text) and "Traceback" not in err and len(err.splitlines()) <= 2


def test_a_working_folder_that_was_removed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert frame.main(["synth", "--images", "1", "-o", "out"]) == 3
    assert capsys.readouterr().err == "error: the current folder was removed\nhint: change to another one\n"


@pytest.mark.parametrize("error", [ValueError("oops"), ModuleNotFoundError("no x", name="edgepose.nothing")])
def test_a_bug_shows_its_traceback(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(monkeypatch, error)
    assert frame.main(["info"]) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err and "this is a bug" in err


def test_a_full_stdout_is_an_error() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("optional: this system has no /dev/full")
    with Path("/dev/full").open("w") as full:
        outcome = subprocess.run(
            [sys.executable, "-P", "-m", "edgepose", "--help"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert outcome.returncode == 3
    assert "No space left on device" in outcome.stderr and "Traceback" not in outcome.stderr


@pytest.mark.parametrize("command", ["zoo list", "eval --help"])
def test_a_full_stdout_is_named(command: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("optional: this system has no /dev/full")
    with Path("/dev/full").open("w") as full:
        outcome = subprocess.run(
            [sys.executable, "-m", "edgepose", *command.split()],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert outcome.returncode == 3
    assert outcome.stderr.startswith("error: standard output: No space left on device")


def test_a_stdout_that_fills_up_in_the_middle_is_an_error(tmp_path: Path) -> None:
    """Unbuffered, as Python often is in containers: then a short write has nobody who writes the rest."""
    command = f"ulimit -f 4; exec {shlex.quote(sys.executable)} -u -m edgepose zoo list --json > list.json"
    outcome = subprocess.run(["bash", "-c", command], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert outcome.returncode == 3
    assert outcome.stderr.startswith("error: standard output: File too large")


@pytest.mark.parametrize("group", ["zoo", "devices", "baseline", "setup", "android"])
def test_a_group_without_a_command_shows_its_help(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.main([group]) in (0, 2)  # click before 8.2: 0
    out, err = capsys.readouterr()
    assert (out + err).startswith(f"Usage: edgepose {group} ") and "\nCommands:\n" in out + err
    assert "error: " not in err


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_failure(closed: str, tmp_path: Path) -> None:
    command = f"exec {shlex.quote(sys.executable)} -m edgepose synth"
    made = f"{command} --images 1 --size 64x64 -o {shlex.quote(str(tmp_path))}/made --json {closed}"
    outcome = subprocess.run(["sh", "-c", made], capture_output=True, text=True)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert (tmp_path / "made" / "annotations.json").is_file()
    if closed in ("2>&-", "<&-"):
        assert json.loads(outcome.stdout)["images"] == 1
    outcome = subprocess.run(["sh", "-c", f"{command} {closed}"], capture_output=True, text=True)
    assert outcome.returncode == 2 and "Traceback" not in outcome.stdout + outcome.stderr


def test_a_reader_that_leaves_is_no_failure() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    outcome = subprocess.run(
        [sys.executable, "-P", "-m", "edgepose", "--help"],
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write_end)
    assert (outcome.returncode, outcome.stderr) == (0, "")


FAILING = (
    "import sys, click, types\n"
    "from edgepose.cli import main as frame\n"
    "from edgepose.errors import UsageError\n"
    "@click.command()\n"
    "@click.pass_context\n"
    "def info(context):\n"
    "    click.echo('x' * 100_000)\n"
    "    click.echo('more')\n"
    "    if {quietly}: context.exit(10)\n"
    "    raise UsageError('two pictures could not be read')\n"
    "frame.importlib.import_module = lambda name: types.SimpleNamespace(info=info)\n"
    "sys.exit(frame.main(['info']))\n"
)


@pytest.mark.parametrize("options", [[], ["-u"]])
@pytest.mark.parametrize(
    ("quietly", "code", "err"), [(True, 10, ""), (False, 2, "error: two pictures could not be read\n")]
)
def test_the_exit_code_outlives_the_reader(options: list[str], quietly: bool, code: int, err: str) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    outcome = subprocess.run(
        [sys.executable, "-P", *options, "-c", FAILING.format(quietly=quietly)],
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write_end)
    assert (outcome.returncode, outcome.stderr) == (code, err)


def test_a_name_that_is_not_utf8_is_printed() -> None:
    program = (
        "import os, sys, click, types\n"
        "from edgepose.cli import main as frame\n"
        "info = click.command()(lambda: click.echo(os.fsdecode(b'caf\\xe9')))\n"
        "frame.importlib.import_module = lambda name: types.SimpleNamespace(info=info)\n"
        "sys.exit(frame.main(['info']))\n"
    )
    outcome = subprocess.run(
        [sys.executable, "-P", "-c", program],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
    )
    assert (outcome.returncode, outcome.stdout) == (0, b"caf\\udce9\n")


@pytest.mark.parametrize(
    ("call", "number", "code", "word"),
    [
        ("main(['info'])", signal.SIGINT, 130, "interrupted"),
        ("main()", signal.SIGINT, -signal.SIGINT, "interrupted"),  # so that a shell's loop stops, too
        ("main()", signal.SIGTERM, 143, "terminated"),
    ],
)
def test_signals_end_it_with_one_line(call: str, number: signal.Signals, code: int, word: str) -> None:
    program = (
        "import sys, time, click, types\n"
        "from edgepose.cli import main as frame\n"
        "@click.command()\n"
        "def info():\n"
        "    try: print('ready', flush=True); time.sleep(30)\n"
        "    finally: print('cleaned')\n"
        "frame.importlib.import_module = lambda name: types.SimpleNamespace(info=info)\n"
        f"sys.exit(frame.{call})\n"
    )
    with subprocess.Popen(
        [sys.executable, "-P", "-c", program, "info"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout and process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (code, "cleaned\n", f"error: {word}\n")


@pytest.mark.parametrize(
    ("args", "level"),
    [
        (["info"], 0),
        (["-v", "info"], 1),
        (["info", "-v"], 1),
        (["info", "-vv"], 2),
        (["-q", "info"], -1),
        (["info", "-q"], -1),
    ],
)
def test_verbosity_works_on_both_sides_of_the_command(
    args: list[str], level: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    @click.command()
    def info() -> None:
        seen.append(log.level())

    monkeypatch.setattr(frame.importlib, "import_module", lambda name: type("Module", (), {"info": info}))
    assert frame.main(args) == 0
    assert seen == [level]


def test_doctor_names_the_remedy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from edgepose import extras

    monkeypatch.setitem(extras.PACKAGES, "no_such_module", ("no-such-package", "convert"))
    assert frame.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "no-such-package" in out and "missing: pip install 'edgepose[convert]'" in out
    assert frame.main(["doctor", "--json"]) == 0
    import json

    document = json.loads(capsys.readouterr().out)
    packages = {p["package"]: p for p in document["packages"]}
    assert "ncnn" in document["runtime"]["backends"] and "fake" not in document["runtime"]["backends"]
    assert packages["numpy"]["version"] and packages["no-such-package"]["version"] is None


def test_doctor_without_the_runtime(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import edgepose

    monkeypatch.delattr(edgepose, "_core", raising=False)
    monkeypatch.setitem(sys.modules, "edgepose._core", None)
    assert frame.main(["doctor"]) == 0
    assert "MISSING" in capsys.readouterr().out
