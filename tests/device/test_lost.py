"""A connection that breaks at any point: no hang, no lost sample, and the next run goes on."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from adb_double import AdbDouble
from ssh_double import SshDouble

from edgepose.bench.journal import read_journal
from edgepose.bench.plan import BenchOptions
from edgepose.bench.session import Session
from edgepose.device.connect import open_transport
from edgepose.device.profile import load_profile, with_address
from edgepose.errors import DeviceError

BUNDLE = Path(__file__).resolve().parents[2] / "tests" / "bundles" / "v1" / "pose"
OPTIONS = BenchOptions(frames=5, seconds=4, persons=(1,), paced_fps=100, warmup_seconds=0.05, cpus=())
PROFILE = """\
title: Double
transport: {transport}
abi: aarch64-linux
engines: [fake]
threads: [1]
folder: {folder}
"""
CUTS = 10
MOST_SECONDS = 45.0


def _session(out: Path, address: str | None) -> Session:
    profile = with_address(load_profile("double"), address)
    return Session(BUNDLE, profile, open_transport(profile), OPTIONS, out)


def _cut_and_resume(
    out: Path,
    address: str | None,
    workspace: Path,
    cut: Callable[[int | None], None],
    mend: Callable[[], Any],
    at: int,
) -> bool:
    """Break the connection after `at` bytes and go on; whether the break hit the run."""
    cut(at)
    started = time.monotonic()
    resume, seen = False, []
    try:
        document = _session(out, address).run()[1]
        hit = False
    except DeviceError as error:
        hit, resume = True, (out / ".pose.fake.fp32@double.partial").exists()
        assert error.exit_code == 8 and error.hint
        document = {}
    assert time.monotonic() - started < MOST_SECONDS
    cut(None)
    mend()
    if hit:
        for journal in workspace.glob("run-*/journal.jsonl"):  # what it had measured before it noticed
            deadline = time.monotonic() + 20
            while '"event":"end"' not in journal.read_text() and time.monotonic() < deadline:
                time.sleep(0.05)
            phases = read_journal(journal.read_text().splitlines(keepends=True)).phases
            seen = [(name, row) for name, phase in phases.items() if name != "warmup" for row in phase.rows]
        document = _session(out, address).run(resume=resume)[1]
    rows = [(phase["name"], row) for phase in document["phases"] for row in phase["samples"]]
    assert all(entry in rows for entry in seen)
    burst, paced = document["phases"]
    assert burst["frames"] == 5 and paced["complete"] and 0 < paced["frames"] <= 80
    assert not workspace.exists()
    return hit


@pytest.mark.parametrize("seed", [1])
def test_adb(
    phone: AdbDouble,
    adb_server: Callable[..., str],
    aarch64_runner: Path,
    own_profile: Callable[[str, str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
) -> None:
    monkeypatch.setenv("EDGEPOSE_RUNNER", str(aarch64_runner))
    own_profile("double", PROFILE.format(transport="adb", folder="/data/local/tmp"))
    workspace = phone.path("/data/local/tmp/edgepose-workspace")

    def mend() -> None:
        for _ in range(10):
            adb_server("disconnect", phone.serial)
            assert "connected to" in adb_server("connect", phone.serial)
            time.sleep(0.3)  # the server may still be dropping the broken connection, and this one with it
            if f"{phone.serial}\tdevice" in adb_server("devices"):
                return
        raise AssertionError("the phone does not stay attached")

    rng = random.Random(seed)
    hits = [
        _cut_and_resume(
            tmp_path / f"o{i}", phone.serial, workspace, phone.cut_after, mend, rng.randrange(12_000)
        )
        for i in range(CUTS)
    ]
    assert sum(hits) >= CUTS // 2


@pytest.mark.parametrize("seed", [2])
def test_ssh(
    board: SshDouble,
    aarch64_runner: Path,
    own_profile: Callable[[str, str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
) -> None:
    monkeypatch.setenv("EDGEPOSE_RUNNER", str(aarch64_runner))
    text = PROFILE.format(transport="ssh", folder="edgepose-bench")
    own_profile("double", f"{text}address: board\nssh_config: {json.dumps(str(board.config))}\n")
    workspace = board.home / "edgepose-bench/edgepose-workspace"
    rng = random.Random(seed)
    hits = [
        _cut_and_resume(
            tmp_path / f"o{i}", None, workspace, board.relay.cut_after, lambda: None, rng.randrange(15_000)
        )
        for i in range(CUTS)
    ]
    assert sum(hits) >= CUTS // 2
