"""edgepose bench on a phone through adb and on a board through ssh, end to end, with aarch64 programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adb_double import AdbDouble
from ssh_double import SshDouble

from edgepose.bundle.manifest import preprocess_member
from edgepose.calibration.from_bundle import artifact_of
from edgepose.converters.engine import run_engine
from edgepose.core import load_core
from edgepose.device.adb import AdbTransport
from edgepose.device.kernels import count_kernels
from edgepose.device.process import Cancelled
from edgepose.device.ssh import SshTransport
from edgepose.device.workspace import Workspace
from edgepose.errors import DeviceError, DeviceLostError
from edgepose.pipeline import PosePipeline

BUNDLES = Path(__file__).resolve().parents[2] / "tests" / "bundles" / "v1"
# One frame of each: an emulated frame takes seconds.
BRIEF = ("--quick", "--frames", "1", "--warmup-seconds", "0", "--cpus", "all")
Array = np.ndarray[Any, np.dtype[np.float32]]
LIMIT_PX = {"fp32": 0.1, "fp16": 0.5}


def _bench(*arguments: Any, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "edgepose", "bench", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=900, check=False, env={**os.environ, **environment}
    )


def _as_high(bundle: Path, image: Array, boxes: Array, keypoints: Array) -> np.ndarray[Any, Any]:
    """Tell which keypoints lie at bins that this machine has within 0.2 % of the row's range to its peaks."""
    artifact = artifact_of(bundle, "pose")
    spec_json = json.dumps(preprocess_member(artifact.spec.preprocess))
    answers = np.ones(keypoints.shape[:2], bool)
    for person, box in enumerate(boxes):
        tensor, (scale_x, scale_y, left_px, top_px) = load_core().preprocess(
            image, box[:4].tolist(), spec_json
        )
        ((rows_x, rows_y),) = run_engine(artifact, [tensor[None].copy()])
        for k, (x_px, y_px) in enumerate(keypoints[person, :, :2]):
            bins = round(2 * (x_px - left_px) / scale_x), round(2 * (y_px - top_px) / scale_y)
            for row, bin_ in zip((rows_x[0, k], rows_y[0, k]), bins, strict=True):
                answers[person, k] &= row[bin_] >= row.max() - 0.002 * (row.max() - row.min())
    return answers


def _same_as_here(document: dict[str, Any], bundle: Path, precision: str) -> None:
    """Hold the device's keypoints against those of this machine, on the bundle's golden picture."""
    manifest = json.loads((bundle / "bundle.json").read_text())
    golden = manifest["golden"]
    image = np.fromfile(bundle / golden["picture"], np.uint8).reshape(
        golden["height_px"], golden["width_px"], 3
    )
    with PosePipeline(bundle, threads=1) as pipeline:
        here = pipeline(image)
    persons = document["results"][0]["persons"]
    assert len(persons) == len(here) > 0
    there = np.array([person["keypoints"] for person in persons])
    shift = np.linalg.norm(there[..., :2] - here.keypoints[..., :2], axis=2)
    limit_px = LIMIT_PX[precision]
    same = shift <= limit_px
    if precision == "fp16":  # where bins that are nearly as high may change places
        assert same.mean() >= 0.5
        same |= _as_high(bundle, image, here.boxes, there)
    assert same.all()
    assert np.abs(np.array([p["box_xyxy"] for p in persons]) - here.boxes[:, :4]).max() <= limit_px


def _check(outcome: subprocess.CompletedProcess[str], features: set[str]) -> dict[str, Any]:
    assert outcome.returncode == 0, outcome.stderr
    document: dict[str, Any] = json.loads(outcome.stdout)
    facts = document["device"]["facts"]
    assert facts["abi"] == "aarch64-linux" and set(facts["features"]) & {"asimdhp", "asimddp"} == features
    assert document["emulated"] and document["invalid"][0]["rule"] == "emulated" and not document["valid"]
    assert document["golden"]["passed"]
    return document


def test_the_runner_is_small_and_has_its_kernels(aarch64_runner: Path) -> None:
    assert aarch64_runner.stat().st_size <= 6_000_000
    counts = count_kernels(aarch64_runner)
    assert counts["fp16"] > 1000 and counts["dotprod"] > 100
    listing = subprocess.run(
        ["aarch64-linux-gnu-objdump", "-d", "--no-show-raw-insn", aarch64_runner],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    words = [line.split("\t") for line in listing if "\t" in line]
    halves = [w for w in words if w[1].strip() == "fmla" and (".8h" in w[2] or ".4h" in w[2])]
    # Constants lie beside the code, and a few look like it.
    assert len(halves) <= counts["fp16"] <= 1.01 * len(halves)
    dots = sum(w[1].strip() == "sdot" for w in words)
    assert dots <= counts["dotprod"] <= 1.01 * dots


def test_a_phone_through_adb(
    phone: AdbDouble, aarch64_runner: Path, bundles: dict[tuple[str, str], Path], tmp_path: Path
) -> None:
    bundle = bundles["ncnn", "fp16"]
    outcome = _bench(
        bundle, "--device", f"sd865={phone.serial}", *BRIEF, "-o", tmp_path / "o", "--json",
        EDGEPOSE_RUNNER=str(aarch64_runner),
    )  # fmt: skip
    document = _check(outcome, {"asimdhp", "asimddp"})
    _same_as_here(document, bundle, "fp16")
    assert document["device"]["serial"] == phone.serial
    assert list(phone.path("/data/local/tmp").iterdir()) == []


def test_a_board_through_ssh(
    board: SshDouble, aarch64_runner: Path, bundles: dict[tuple[str, str], Path], tmp_path: Path
) -> None:
    bundle = bundles["ncnn", "fp32"]
    environment = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "EDGEPOSE_RUNNER": str(aarch64_runner)}
    command = [sys.executable, "-P", "-m", "edgepose", "devices", "add", "my-board", "--like", "rk3588"]
    command += ["--address", "board", "--ssh-config", str(board.config)]
    subprocess.run(command, check=True, env={**os.environ, **environment}, timeout=60)
    outcome = _bench(bundle, "--device", "my-board", *BRIEF, "-o", tmp_path / "o", "--json", **environment)
    document = _check(outcome, set())
    assert "fallback" in [finding["rule"] for finding in document["invalid"]]
    _same_as_here(document, bundle, "fp32")
    assert list(board.home.iterdir()) == []


def _fails(outcome: subprocess.CompletedProcess[str], message: str, code: int = 8) -> None:
    """Expect one line, a hint and the exit code, and a device that is as it was before."""
    assert outcome.returncode == code, outcome.stderr
    lines = [line for line in outcome.stderr.splitlines() if not line.startswith("double: going on")]
    assert lines[0].startswith("error: ") and message in lines[0], outcome.stderr
    assert len(lines) == 2 and lines[1].startswith("hint: ") and outcome.stdout == ""


def test_what_can_go_wrong_with_a_phone(
    phone: AdbDouble,
    adb_server: Callable[..., str],
    own_profile: Callable[[str, str], None],
    tmp_path: Path,
) -> None:
    own_profile(
        "double",
        "title: D\ntransport: adb\nabi: aarch64-linux\nengines: [fake, onnx]\nthreads: [1]\n"
        "folder: /data/local/tmp\n",
    )
    pose, out = BUNDLES / "pose", ("-o", tmp_path / "o")
    folder = phone.path("/data/local/tmp/edgepose-workspace")
    stand_in = tmp_path / "runner"
    path = {"EDGEPOSE_RUNNER": str(stand_in)}

    def runner(text: str) -> None:
        stand_in.write_text(text)
        stand_in.chmod(0o755)

    def fails(message: str, *arguments: Any, **environment: str) -> None:
        _fails(_bench(pose, *arguments, *out, **path, **environment), message)
        assert not folder.exists() and not list((tmp_path / "o").glob("*.json"))

    facts = json.dumps({"backends": ["fake"], "facts": {"abi": "aarch64-linux"}})
    answer = f"#!/bin/sh\nif [ $1 = --facts ]; then echo '{facts}'; exit 0; fi\n"
    phone.cpu = None  # the stand-in is a script
    one = ("--device", f"double={phone.serial}")

    runner(answer)
    fails("adb is not installed", "--device", "double", PATH=str(tmp_path))
    fails("does not see the device nobody", "--device", "double=nobody")
    fails("made for the engine fake", "--device", f"sd865={phone.serial}")
    runner(answer + "echo Welcome!\n")
    fails("something else than results: 'Welcome!'", *one)
    runner(answer + "echo oh dear >&2; exit 7\n")
    fails("ended with code 7: oh dear", *one)
    runner(answer + "kill -9 $$\n")
    fails("ended with code 137", *one)
    runner("#!/bin/sh\necho hello\n")
    fails("the runner answered 'hello'", *one)
    runner(answer.replace('"fake"', '"ncnn"'))
    fails("its runner has no engine fake", *one)
    stand_in.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0\xff\xff" + bytes(100))
    fails("cannot run a program for aarch64-linux", *one)
    phone.full = True
    fails("No space left on device", *one)
    phone.full = False
    runner(answer)
    phone.install("cmd", "echo Failed to set FIXED_PERFORMANCE mode; exit 255")
    fails("this Android has no fixed-performance mode", *one, "--fixed-performance")

    with AdbDouble(tmp_path / "second", authorised=False) as locked:
        adb_server("connect", locked.serial)
        fails("adb sees 2 devices", "--device", "double")
        fails("is unauthorized", "--device", f"double={locked.serial}")
        adb_server("disconnect", locked.serial)
    with AdbDouble(tmp_path / "third") as silent:
        silent.silent = True
        # adb waits ten seconds for its answer; meanwhile the device is offline.
        connecting = threading.Thread(target=adb_server, args=("connect", silent.serial))
        connecting.start()
        deadline = time.monotonic() + 10
        while "offline" not in adb_server("devices") and time.monotonic() < deadline:
            time.sleep(0.05)
        fails("is offline", "--device", f"double={silent.serial}")
        adb_server("disconnect", silent.serial)
        connecting.join()
    adb_server("disconnect", phone.serial)
    fails("no Android device is attached", "--device", "double")


def test_a_board_with_another_key_than_before(board: SshDouble, tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
    known = board.config.parent / "known_hosts"
    for keys, hint in (("", "the host is unknown"), (f"board {other.with_suffix('.pub').read_text()}", "-R")):
        known.write_text(keys)
        with (
            closing(SshTransport("board", config=str(board.config))) as transport,
            pytest.raises(DeviceError, match=r"no connection: [A-Z]") as error,
        ):
            transport.connect()
        assert error.value.hint and hint in error.value.hint


def test_commands_share_a_connection(board: SshDouble, tmp_path: Path) -> None:
    log = board.config.with_name("sshd.log")
    transport = SshTransport("board", config=str(board.config))
    (tmp_path / "file").write_text("x")
    transport.connect()
    for _ in range(5):
        assert transport.run(["echo", "here"]) == "here\n"
    transport.push(tmp_path / "file", str(tmp_path / "copy"))
    assert log.read_text().count("Accepted publickey") == 1

    # One that is given up ends there, too: the other end of its output is gone.
    transport.cancel = threading.Event()
    threading.Timer(0.5, transport.cancel.set).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        transport.run(["sh", "-c", f"trap '' PIPE; while echo; do sleep 0.1; done; touch {tmp_path}/ended"])
    assert time.monotonic() - began < 4
    transport.cancel = None
    while not (tmp_path / "ended").exists():
        assert time.monotonic() - began < 20
        time.sleep(0.05)

    transport.connect()
    board.relay.cut_after(0)
    with pytest.raises(DeviceLostError, match="the connection broke"):
        transport.run(["true"])
    board.relay.cut_after(None)
    assert transport.run(["echo", "again"]) == "again\n"
    transport.close()
    transport.close()

    # A connection of the user's own, which may have asked for a password, goes on being used.
    with board.config.open("a") as file:
        file.write(f"  ControlPath {tmp_path}/own\n  ControlMaster auto\n  ControlPersist 60\n")
    transport.connect()
    transport.close()
    end = ["ssh", "-F", str(board.config), "-O", "exit", "board"]
    assert subprocess.run(end, check=False, capture_output=True, timeout=20).returncode == 0


def test_what_lies_beside_the_workspace_stays(phone: AdbDouble, board: SshDouble, tmp_path: Path) -> None:
    own = tmp_path / "runner"
    own.write_text("#!/bin/sh\n")
    host = SshTransport("board", config=str(board.config))
    # Results that were measured on the board itself lie in edgepose-bench.
    for transport, home, folder in (
        (host, board.home, "."),
        (host, board.home / "edgepose-bench", "edgepose-bench"),
        (host, board.home / "new", "new"),
        (AdbTransport(phone.serial), phone.path("/data/local/tmp"), "/data/local/tmp"),
    ):
        home.mkdir(parents=True, exist_ok=True)
        (home / "result.json").write_text("{}")
        workspace = Workspace(transport, folder)
        workspace.make("run-1")
        place = workspace.put("runner", {"edgepose_bench": own})
        assert place.endswith("/edgepose-workspace/runner")
        assert (home / "edgepose-workspace/runner/edgepose_bench").is_file()
        Workspace(transport, folder).remove("run-1")  # as remove_files() does after --keep-files
        assert (home / "result.json").is_file() and not (home / "edgepose-workspace").exists()


def test_several_devices_at_once(
    phone: AdbDouble,
    board: SshDouble,
    aarch64_runner: Path,
    own_profile: Callable[[str, str], None],
    tmp_path: Path,
) -> None:
    text = "title: D\nabi: aarch64-linux\nengines: [fake]\nthreads: [1]\n"
    own_profile("mobile", f"{text}transport: adb\nfolder: /data/local/tmp\nsocs: [SM8250]\n")
    own_profile(
        "remote",
        f"{text}transport: ssh\nfolder: .\naddress: board\nssh_config: {json.dumps(str(board.config))}\n",
    )
    phone.install("getprop", 'case "$1" in ro.soc.model) echo sm8250;; esac')
    phone.install("cmd", f'echo "$@" >> {tmp_path}/modes')
    given = ("-o", tmp_path / "o", "--json", "--frames", "2", "--no-paced", "--persons", "1", "--cpus", "all")
    given += ("--warmup-seconds", "0")
    environment = {"EDGEPOSE_RUNNER": str(aarch64_runner)}

    # One that is not there does not cost the others their results.
    outcome = _bench(
        BUNDLES / "pose", "--device", f"mobile={phone.serial}", "--device", "mobile=nobody",
        "--device", "remote", *given, **environment,
    )  # fmt: skip
    assert outcome.returncode == 8 and "1 of 3 devices gave no result: mobile=nobody" in outcome.stderr
    assert "warning: mobile=nobody: adb does not see the device nobody" in outcome.stderr
    found = json.loads(outcome.stdout)
    assert {document["device"]["name"] for document in found} == {"mobile", "remote"}
    assert all(document["phases"][0]["frames"] == 2 for document in found)

    # --all finds the phone by its chip, and the board by the user's profile.
    outcome = _bench(BUNDLES / "pose", "--all", *given, **environment)
    assert outcome.returncode == 0, outcome.stderr
    assert {document["device"]["name"] for document in json.loads(outcome.stdout)} == {"mobile", "remote"}
    assert len(list((tmp_path / "o").glob("*.json"))) == 4

    outcome = _bench(
        BUNDLES / "pose", "--device", f"mobile={phone.serial}", "--fixed-performance", *given, **environment
    )
    assert outcome.returncode == 0 and json.loads(outcome.stdout)["plan"]["fixed_performance"]
    mode = "power set-fixed-performance-mode-enabled"
    assert (tmp_path / "modes").read_text().splitlines() == [f"{mode} true", f"{mode} false"]
    assert list(phone.path("/data/local/tmp").iterdir()) == list(board.home.iterdir()) == []


def test_what_can_go_wrong_with_a_board(
    board: SshDouble, own_profile: Callable[[str, str], None], tmp_path: Path
) -> None:
    text = "title: D\ntransport: ssh\nabi: aarch64-linux\nengines: [fake]\nthreads: [1]\nfolder: e\n"
    own_profile("double", f"{text}ssh_config: {json.dumps(str(board.config))}\n")
    pose, out = BUNDLES / "pose", ("-o", tmp_path / "o")
    runner = tmp_path / "runner"
    runner.write_text("#!/bin/sh\n")
    path = {"EDGEPOSE_RUNNER": str(runner)}
    _fails(_bench(pose, "--device", "double", *out, **path), "where is it?", 2)
    _fails(_bench(pose, "--device", "double=127.0.0.1:1", *out, **path), "Connection refused")
    known = board.config.with_name("known_hosts")
    before = known.read_text()
    known.write_text("")
    _fails(_bench(pose, "--device", "double=board", *out, **path), "Host key verification failed")
    known.write_text(before)
    key = board.config.with_name("key.pub")
    content = key.read_text()
    key.write_text("")
    _fails(_bench(pose, "--device", "double=board", *out, **path), "Permission denied")
    key.write_text(content)
    _fails(_bench(pose, "--device", "rk3588=board", *out, **path), "made for the engine fake")
