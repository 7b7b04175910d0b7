"""Plan files: those of the package load, and what is not a plan is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgepose.calibration.plan import load_plan, plan_names
from edgepose.errors import UsageError


def test_the_plans_of_the_package() -> None:
    assert plan_names() == ["accurate", "plain"]
    assert not load_plan("plain").needs_patches
    assert load_plan("accurate").needs_patches
    assert load_plan("accurate").to_json()["name"] == "accurate"


def test_a_plan_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({**load_plan("plain").to_json(), "observer": "kl"}))
    assert load_plan(path).observer == "kl"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observer": "best"}, "unknown observer 'best'"),
        ({"rounding": 1}, "rounding is 1, not a bool"),
        ({"more": True}, "exactly the members"),
        ({"name": "\ud800"}, "a bundle cannot hold its name"),
        (None, "not JSON"),
    ],
)
def test_a_wrong_plan_is_refused(tmp_path: Path, change: dict[str, object] | None, message: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text("{" if change is None else json.dumps({**load_plan("plain").to_json(), **change}))
    with pytest.raises(UsageError, match=message) as caught:
        load_plan(path)
    assert caught.value.hint


def test_a_missing_plan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown plan 'fast'"):
        load_plan("fast")
    with pytest.raises(UsageError, match="cannot be read"):
        load_plan(tmp_path / "absent.json")
