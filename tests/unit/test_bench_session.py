"""A run on a board, through a client in place of ssh, and on this machine, with a stand-in for the runner."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgepose.bundle.manifest import encode
from edgepose.cli.main import main
from edgepose.device.profile import user_folder

POSE = Path(__file__).resolve().parent.parent / "bundles" / "v1" / "pose"
DIGEST = json.loads((POSE / "bundle.json").read_text())["manifest_sha256"]
BRIEF = ("--frames", "2", "--persons", "1", "--no-paced", "--json")
FACTS = {"abi": "x86_64-linux", "features": [], "governors": [], "emulated": False}

Runner = Callable[..., Path]


@pytest.fixture
def home(ssh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder of the profile `board`; `test` is this machine."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    user_folder().mkdir(parents=True)
    text = "title: T\nengines: [fake]\nthreads: [1]\n"
    board = f"{text}transport: ssh\nabi: x86_64-linux\nfolder: {tmp_path / 'home'}\n"
    (user_folder() / "board.yaml").write_text(f"{board}address: board\n")
    (user_folder() / "kind.yaml").write_text(board)
    (user_folder() / "test.yaml").write_text(f"{text}transport: local\nfolder: unused\n")
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def runner(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Make the runner: it runs a script before it says what it has measured; and name it for EdgePose."""

    def make(script: str = "", *, digest: str = DIGEST) -> Path:
        start = {
            **{"event": "start", "format": "edgepose-bench-1", "runner": "1", "pid": 1, "digest": digest},
            **{"columns": ["at_ns", "total_ns"], "facts": FACTS, "load_ns": 1, "affinity": [0]},
            **{"backend": "fake", "precision": "fp32", "device": "CPU", "threads": 1},
        }
        rows = [[0, 5], [5, 5]]
        events: list[dict[str, Any]] = [
            start,
            {"event": "samples", "phase": "burst", "first": 0, "rows": rows},
            {"event": "phase", "phase": "burst", "dropped": 0, "complete": True, "duration_ns": 10},
            {"event": "end", "complete": True},
        ]
        (tmp_path / "said").write_text("".join(json.dumps(event) + "\n" for event in events))
        facts = json.dumps({"backends": ["fake"], "facts": FACTS})
        program = tmp_path / "runner"
        program.write_text(
            f"#!/bin/sh\nif [ $1 = --facts ]; then echo '{facts}'; exit; fi\n{script}\n"
            f"cat {shlex.quote(str(tmp_path / 'said'))} > journal.jsonl && cat journal.jsonl\n"
        )
        program.chmod(0o755)
        monkeypatch.setenv("EDGEPOSE_RUNNER", str(program))
        return program

    return make


def bench(results: Path, *arguments: str, device: str = "board") -> int:
    return main(["bench", str(POSE), "--device", device, "-o", str(results), *BRIEF, *arguments])


def test_a_run_that_ends_leaves_the_files_of_another(runner: Runner, home: Path, tmp_path: Path) -> None:
    """The second run begins and ends while the first one measures."""
    second = [sys.executable, "-P", "-m", "edgepose", "bench", str(POSE), "--device", "board", *BRIEF]
    command = shlex.join([*second, "-o", str(tmp_path / "second")])
    runner(f"if mkdir {shlex.quote(str(tmp_path / 'begun'))} 2>/dev/null; then {command} >/dev/null; fi")
    assert bench(tmp_path / "first") == 0
    for results in ("first", "second"):
        assert len(list((tmp_path / results).glob("*.json"))) == 1
    assert list(home.iterdir()) == []


def test_what_an_interrupted_run_left_goes_with_the_one_that_replaces_it(
    runner: Runner, home: Path, tmp_path: Path
) -> None:
    runner("kill -9 $PPID; exit")
    assert bench(tmp_path / "o") == 8
    (interrupted,) = home.glob("edgepose-workspace/run-*")
    runner()
    assert bench(tmp_path / "other") == 0
    assert interrupted.is_dir()  # it can still be resumed
    assert bench(tmp_path / "o") == 0
    assert list(home.iterdir()) == []


def test_the_modes_of_a_calibration_do_not_replace_each_other(
    runner: Runner, home: Path, tmp_path: Path
) -> None:
    """Bundles of mixed and of auto have one name and one precision."""
    digests = {}
    for mode in ("mixed", "auto"):
        folder = shutil.copytree(POSE, tmp_path / mode)
        manifest = json.loads((POSE / "bundle.json").read_text()) | {"precision": "mixed"}
        step = {"step": "quantise", "tool": "t", "version": "1", "inputs": {}, "outputs": {}}
        manifest["lineage"].append({**step, "arguments": {"mode": mode}})
        (folder / "bundle.json").write_bytes(encode(manifest))
        digests[mode] = json.loads((folder / "bundle.json").read_text())["manifest_sha256"]

    def measure(mode: str, script: str = "", *more: str) -> int:
        runner(script, digest=digests[mode])
        given = ("--device", "board", "-o", str(tmp_path / "o"), *BRIEF)
        return main(["bench", str(tmp_path / mode), *given, *more])

    assert measure("mixed", "kill -9 $PPID; exit") == 8
    assert measure("auto") == 0
    (result,) = (tmp_path / "o").glob("*.json")
    assert result.name.startswith("pose.fake.auto@board.")
    assert json.loads(result.read_text())["bundle"]["mode"] == "auto"
    assert measure("mixed", "", "--resume") == 0
    assert list(home.iterdir()) == []


def test_a_shared_connection_ends_with_the_run(
    runner: Runner, ssh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after an error. The client of before OpenSSH 8.7 that stays behind keeps stderr open."""
    monkeypatch.setattr(tempfile, "tempdir", None)  # a short path, as a socket needs
    log, client = tmp_path / "log", ssh / "ssh"
    client.write_text(
        '#!/bin/sh\nfor last; do [ "$before" = -S ] && socket=$last; before=$last; done\n'
        f'case " $* " in *" -G "*) exit;; *" -O exit "*) kill $(cat "$socket"); echo "end $socket" >> {log}; '
        'exit;; esac\n[ -n "$socket" ] && [ ! -e "$socket" ] && '
        f'{{ sleep 60 >/dev/null & echo $! > "$socket"; echo "begin $socket" >> {log}; }}\n'
        'exec /bin/sh -c "$last"\n'
    )
    runner("exit 3")
    began = time.monotonic()
    assert bench(tmp_path / "o") == 8
    assert time.monotonic() - began < 30
    (begin, socket), (end, same) = (line.split() for line in log.read_text().splitlines())
    assert (begin, end) == ("begin", "end") and socket == same
    assert not Path(socket).parent.exists()


def test_runs_that_nobody_goes_on_with_are_removed_after_a_month(
    runner: Runner, home: Path, tmp_path: Path
) -> None:
    for name, days in (("run-00000000", 29), ("run-00000001", 32)):
        (home / "edgepose-workspace" / name / "pictures").mkdir(parents=True)
        os.utime(home / "edgepose-workspace" / name, (time.time() - days * 86400,) * 2)
    runner()
    assert bench(tmp_path / "o") == 0
    assert [path.name for path in home.glob("edgepose-workspace/run-*")] == ["run-00000000"]


def test_two_profiles_of_one_device_cost_the_others_nothing(
    runner: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runner()
    (user_folder() / "twin.yaml").write_text((user_folder() / "board.yaml").read_text())
    assert main(["bench", str(POSE), "--all", "-o", str(tmp_path / "o"), *BRIEF]) == 8
    said = capsys.readouterr()
    assert "warning: twin: board and twin are the same device" in said.err
    assert len(json.loads(said.out)) == 1


def test_one_device_by_two_names(runner: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runner()
    assert bench(tmp_path / "o", "--device", "kind=board") == 2
    assert "error: board and kind=board are the same device\nhint: " in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
    (user_folder() / "other.yaml").write_text((user_folder() / "test.yaml").read_text())
    assert bench(tmp_path / "o", "--device", "other", device="test") == 0  # one after the other


def test_a_runner_is_made_executable_on_the_device(
    runner: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runner().chmod(0o644)
    assert bench(tmp_path / "o") == 0
    capsys.readouterr()
    assert bench(tmp_path / "o", device="test") == 8  # where it is not EdgePose's
    assert f"error: {tmp_path / 'runner'} cannot be run: Permission denied" in capsys.readouterr().err


@pytest.mark.parametrize("device", ["board", "test"])
def test_a_runner_by_a_relative_path(
    runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    runner()
    monkeypatch.setenv("EDGEPOSE_RUNNER", "bin/../runner")
    monkeypatch.chdir(tmp_path)
    assert bench(tmp_path / "o", device=device) == 0


def test_relative_paths_of_libraries_and_cache(
    runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runner of this machine works in a folder of its own."""
    names = ("EDGEPOSE_RKNN_LIBRARY", "EDGEPOSE_ONNXRUNTIME_LIBRARY", "EDGEPOSE_CACHE")
    runner(f'printf "%s\\n" {" ".join(f"${name}" for name in names)} > {shlex.quote(str(tmp_path / "seen"))}')
    for name, value in zip(names, ("lib/librknnrt.so", "libonnxruntime.so.1", "cache"), strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    assert bench(tmp_path / "o", device="test") == 0
    seen = (tmp_path / "seen").read_text().splitlines()
    assert seen == [str(tmp_path / "lib/librknnrt.so"), "libonnxruntime.so.1", str(tmp_path / "cache")]


def test_the_big_processors_of_a_profile_are_used_unless_others_are_named(
    runner: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runner()
    for device in ("board", "test"):
        profile = user_folder() / f"{device}.yaml"
        text = profile.read_text()
        for big, options, used in (("", (), []), ("big: [1, 2]\n", (), [1, 2]), ("", ("--cpus", "0"), [0])):
            profile.write_text(text + big)
            assert bench(tmp_path / "o", *options, device=device) == 0
            assert json.loads(capsys.readouterr().out)["plan"]["cpus"] == used


def test_a_runner_for_another_processor_costs_no_other_device_its_outcome(
    runner: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = runner()
    program.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0\xff\xff" + bytes(100))
    assert bench(tmp_path / "o", "--device", "test") == 8
    said = capsys.readouterr().err
    assert f"warning: test: {program} cannot be run: Exec format error (" in said
    assert "warning: board: " in said and "2 of 2 devices gave no result: board, test" in said


def test_a_bundle_that_changed_since_the_command_began(
    runner: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runner(digest="another")
    for device in ("board", "test"):
        assert bench(tmp_path / "o", device=device) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"error: {POSE}: another bundle than when the measurement began\nhint: ")
    assert not (tmp_path / "o").exists()


def test_the_first_pictures_of_a_folder(
    runner: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runner()
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(17):
        cv2.imwrite(str(pictures / f"{number}.png"), np.full((4, 4, 3), number, np.uint8))
    first = f"{pictures}: its first 16 pictures are measured with\n"
    assert bench(tmp_path / "o", "--input", str(pictures)) == 0
    said = capsys.readouterr()
    assert first in said.err and len(json.loads(said.out)["plan"]["pictures"]) == 16
    (pictures / "16.png").unlink()
    assert bench(tmp_path / "o", "--input", str(pictures)) == 0
    assert first not in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ["absent.png", "0"])
def test_pictures_that_are_not_there(
    runner: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: str
) -> None:
    runner()
    assert bench(tmp_path / "o", "--input", wrong) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {wrong}: no such file or folder\nhint: give a picture, a folder")
    assert "rtsp" not in said
