"""edgepose_bench, the program that measures on the device: its lines, how it ends, and what it leaves."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from edgepose import errors
from edgepose.bench.plan import Phase, Plan
from edgepose.device.runner import find_runner

BUNDLES = Path(__file__).resolve().parents[2] / "tests" / "bundles" / "v1"
WITHOUT_END = 1 << 40
Lines = list[dict[str, Any]]


def plan(folder: Path, *phases: Phase, **changed: Any) -> list[str]:
    """Write a plan of these phases, and return the options that name it."""
    document = Plan(phases, warmup_seconds=0.1).to_json()
    (folder / "plan.json").write_text(json.dumps({**document, **changed}))
    return ["--plan", str(folder / "plan.json")]


def command(*arguments: Any, bundle: str = "pose") -> list[str]:
    return [str(find_runner(None)), str(BUNDLES / bundle), *map(str, arguments)]


def run(*arguments: Any, code: int = 0, bundle: str = "pose") -> Lines:
    outcome = subprocess.run(
        command(*arguments, bundle=bundle), capture_output=True, text=True, timeout=120, check=False
    )
    assert outcome.returncode == code, outcome.stderr
    assert outcome.stderr.count("\n") == (0 if code in (0, 143) else 1)
    return [json.loads(line) for line in outcome.stdout.splitlines()]


def of(lines: Lines, event: str, **members: Any) -> Lines:
    wanted = {"event": event, **members}
    return [line for line in lines if wanted.items() <= line.items()]


def test_phases_end_after_their_frames_or_their_time(tmp_path: Path) -> None:
    phases = (
        Phase("burst", "closed", 2, 30, 60.0),
        Phase("paced", "paced", 1, 11, 60.0, fps=50.0),
        Phase("late", "paced", 256, 20, 60.0, fps=10000.0),
        Phase("soak", "closed", 1, WITHOUT_END, 0.3),
    )
    lines = run(*plan(tmp_path, *phases), "--journal", tmp_path / "journal", bundle="top_down")
    assert [json.loads(line) for line in (tmp_path / "journal").read_text().splitlines()] == lines
    ended = {line["phase"]: line for line in of(lines, "phase")}
    assert list(ended) == ["burst", "paced", "late", "soak"]
    assert all(line["complete"] for line in ended.values()) and lines[-1]["complete"]
    assert [ended[name]["frames"] for name in ("burst", "paced", "late")] == [30, 11, 20]
    assert 0 < ended["soak"]["frames"] < WITHOUT_END and 0.3e9 <= ended["soak"]["duration_ns"] < 60e9
    # A camera of 50 pictures a second gives the eleventh after 0.22 s; one of 10000 does not wait.
    assert ended["paced"]["duration_ns"] >= 0.2e9 and ended["late"]["dropped"] > 0
    for name, end in ended.items():
        samples = [line for line in of(lines, "samples", phase=name) if lines.index(line) < lines.index(end)]
        rows = [row for line in samples for row in line["rows"]]
        assert len(rows) == end["frames"]  # none is written after the phase's end
    columns = lines[0]["columns"]
    for name in ("detector_ns", "pose_ns"):
        assert all(row[columns.index(name)] > 0 for row in rows)


def test_the_time_limit_ends_it(tmp_path: Path) -> None:
    phases = (Phase("burst", "closed", 1, WITHOUT_END, 60.0), Phase("paced", "paced", 1, 9, 9.0, fps=30.0))
    lines = run(*plan(tmp_path, *phases, limit_s=4.0), code=143)
    assert [line["phase"] for line in of(lines, "phase")] == ["burst"]
    assert not of(lines, "phase")[0]["complete"] and not lines[-1]["complete"]
    assert lines[-1]["reason"] == "the time limit was reached"


@contextmanager
def started(*arguments: Any) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """Start the program; give it and its output."""
    with subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_with_all_samples_written(tmp_path: Path, number: signal.Signals) -> None:
    options = plan(tmp_path, Phase("burst", "closed", 1, WITHOUT_END, 60.0))
    journal = tmp_path / "journal"
    seen = []
    with started(*options, "--journal", journal) as (process, output):
        for line in output:
            seen.append(line)
            if '"phase":"burst"' in line:
                process.send_signal(number)
                break
        seen += output.readlines()
        assert process.wait(60) == 143
    assert seen == journal.read_text().splitlines(keepends=True)
    lines = [json.loads(line) for line in seen]
    assert lines[-1]["event"] == "end" and lines[-1]["reason"] == f"signal {int(number)}"
    rows = [row for line in of(lines, "samples", phase="burst") for row in line["rows"]]
    assert len(rows) == of(lines, "phase")[0]["frames"] > 0


def test_a_reader_that_goes_away_ends_it_and_the_journal_is_whole(tmp_path: Path) -> None:
    options = plan(tmp_path, Phase("burst", "closed", 1, WITHOUT_END, 60.0))
    journal = tmp_path / "journal"
    with started(*options, "--journal", journal) as (process, output):
        output.readline()
        output.close()
        assert process.wait(60) == 143
    end = json.loads(journal.read_text().splitlines()[-1])
    assert end["event"] == "end" and end["reason"] == "the connection was lost"


def test_a_journal_that_cannot_be_written(tmp_path: Path) -> None:
    options = plan(tmp_path, Phase("burst", "closed", 1, WITHOUT_END, 60.0))
    lines = run(*options, "--journal", "/dev/full", code=errors.ConfigurationError.exit_code)
    assert lines[-1]["reason"] == "the journal cannot be written"


def test_a_failure_is_a_line_of_its_own(tmp_path: Path) -> None:
    options = plan(tmp_path, Phase("burst", "closed", 1, 5, 1.0), device="TPU")
    (line,) = run(*options, code=errors.MissingDependencyError.exit_code)
    assert line["event"] == "error" and line["code"] == "unsupported"
    assert line["exit_code"] == errors.MissingDependencyError.exit_code
    assert "TPU" in line["message"] and line["hint"]
