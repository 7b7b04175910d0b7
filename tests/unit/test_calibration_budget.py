"""The budget of auto: what it allows, and --budget, which changes it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from edgepose.calibration import calibrate, from_checkpoints
from edgepose.calibration.agreement import Agreement
from edgepose.calibration.calibrate import CalibrationRequest
from edgepose.calibration.search import Budget, budget_changes
from edgepose.cli.main import cli
from edgepose.errors import UsageError
from edgepose.writers import write_picture


@pytest.mark.parametrize(
    ("similarity", "p95_px", "mean_px", "limit_px", "allowed"),
    [
        (0.9, 1.0, 0.5, None, True),
        (0.89, 1.0, 0.5, None, False),
        (0.9, 1.01, 0.5, None, False),
        (0.9, 1.0, 0.5, 0.5, True),
        (0.9, 1.0, 0.51, 0.5, False),
        (float("nan"), 1.0, 0.5, None, False),
        (0.9, float("inf"), float("inf"), None, False),
    ],
)
def test_a_budget_holds_to_its_limits(
    similarity: float, p95_px: float, mean_px: float, limit_px: float | None, allowed: bool
) -> None:
    figures = Agreement(10, mean_px, p95_px, p95_px, similarity, 0.0)
    assert Budget(0.9, 1.0, limit_px).allows(figures) == allowed


def test_a_budget_is_changed_by_the_names_of_its_limits() -> None:
    given = ["p95_px=3", "similarity=0.9", "mean_px=1.5", "p95_px=2"]
    changes = budget_changes(given)
    assert dataclasses.replace(Budget(0.995, 1.0), **changes) == Budget(0.9, 2.0, 1.5)
    assert budget_changes([]) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("p95=2", "p95=2: there is no limit 'p95'"),
        ("2", "2: there is no limit '2'"),
        ("p95_px", "p95_px: '' is not a number"),
        ("p95_px=wide", "p95_px=wide: 'wide' is not a number"),
        ("p95_px=0", "p95_px=0: p95_px is not a number above 0"),
        ("p95_px=nan", "p95_px=nan: p95_px is not a number above 0"),
        ("mean_px=inf", "mean_px=inf: mean_px is not a number above 0"),
        ("similarity=95", "similarity=95: similarity is not above 0 and at most 1"),
    ],
)
def test_a_budget_that_says_nothing_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        budget_changes([text])
    assert caught.value.message == f"--budget {message}"
    assert caught.value.hint == "write NAME=VALUE; NAME is one of similarity, p95_px, mean_px"


@pytest.mark.parametrize("command", [["calibrate", "bundle"], ["convert", "a.pth", "--to", "ncnn"]])
def test_the_command_takes_a_budget(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_picture(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "a.pth").write_bytes(b"")
    taken: list[CalibrationRequest] = []

    def take(*given: Any, **_: Any) -> None:
        taken.extend(each for each in given if isinstance(each, CalibrationRequest))
        raise InterruptedError

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(calibrate, "calibrate", take)
    monkeypatch.setattr(from_checkpoints, "convert_calibrated", take)
    options = ["--precision", "auto", "--calib", ".", "--budget", "p95_px=2", "--budget", "similarity=0.98"]
    assert isinstance(CliRunner().invoke(cli, [*command, *options]).exception, InterruptedError)
    assert [request.budgets for request in taken] == [("p95_px=2", "similarity=0.98")]


def test_a_budget_is_refused_where_nothing_is_calibrated() -> None:
    options = ["--to", "ncnn", "--precision", "fp16", "--budget", "p95_px=2"]
    with pytest.raises(UsageError, match="--budget has no effect with --precision fp16"):
        CliRunner().invoke(cli, ["convert", "a.pth", *options], catch_exceptions=False)
