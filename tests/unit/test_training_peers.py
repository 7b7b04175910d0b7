"""Several processes that train one network."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
# Each process learns its own half of a line: y = 4 for x = 1, y = 2 for x = 0, which both know in the end.
SCRIPT = """
import argparse, itertools, sys
from types import SimpleNamespace
import torch
from training import loop, schedule
loop.require_told_by_tensors = lambda network: None
parser = argparse.ArgumentParser()
loop.add_options(parser, batch=1, rate=0.05)
options = parser.parse_args(["--data", ".", "--synthetic", ".", "-o", sys.argv[1], "--minutes", "0.02"])
torch.manual_seed(0)
network = torch.nn.Conv2d(1, 1, 1)
training = loop.Training(network, options, clip=5.0)
rank = training.peers.rank
# Clocks that differ: processes never start at once.
clock = itertools.count(0.05 * rank, 0.001 + 0.0005 * rank)
training._budget = schedule.Budget(1.2, _start_s=0.0)
schedule.time = SimpleNamespace(monotonic=lambda: next(clock))
x = torch.full((1, 1, 1, 1), float(rank))
training.run(lambda: ((training.network(x) - (2 + 2 * x)) ** 2).mean())
found = {"step": training.step, "share": float(training.share), **network.state_dict()}
torch.save(found, f"{sys.argv[1]}.{rank}")
"""


def free_port() -> int:
    """Return a port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_processes_take_the_same_steps_and_learn_from_one_another(tmp_path: Path) -> None:
    output = tmp_path / "line.pth"
    shared = {
        **os.environ, "PYTHONPATH": str(ROOT), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
    }  # fmt: skip
    command = [sys.executable, "-c", SCRIPT, str(output)]
    running = [
        subprocess.Popen(
            command,
            env={**shared, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=240) for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    first, second = (torch.load(f"{output}.{rank}", weights_only=True) for rank in range(2))
    assert first["step"] == second["step"] > 300
    assert first["share"] == second["share"]  # and with it the learning rates
    assert torch.equal(first["weight"], second["weight"]) and torch.equal(first["bias"], second["bias"])
    assert float(first["weight"]) == pytest.approx(2, abs=0.15)
    assert float(first["bias"]) == pytest.approx(2, abs=0.15)
    assert "step 50," in said[0][0] and not said[1][0]
    assert {path.name for path in tmp_path.iterdir()} == {
        "line.pth", "line.state", "line.pth.0", "line.pth.1"
    }  # fmt: skip


def test_a_process_alone_averages_nothing(training: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    peers, tensor = training("peers").Peers(), torch.tensor([1.0, 2.0])
    peers.average([tensor])
    assert (peers.rank, peers.count, tensor.tolist()) == (0, 1, [1.0, 2.0])
    assert not torch.distributed.is_initialized()
