"""Results side by side and over time: what is compared, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgepose.bench.compare import compare_results, describe_comparison
from edgepose.bench.history import describe_history, read_history, slower
from edgepose.cli.main import main
from edgepose.errors import UsageError

COLUMNS = ["at_ns", "total_ns", "pose_ns"]


def _document(totals: list[int], **members: Any) -> dict[str, Any]:
    rows = [[i, total, total // 2] for i, total in enumerate(totals)]
    return {
        "columns": COLUMNS,
        "emulated": False,
        "valid": True,
        "invalid": [],
        "created": "2026",
        "bundle": {"name": "n", "backend": "ncnn", "precision": "fp32", "digest": "d"},
        "device": {"name": "host"},
        "engine": {"threads": 1, "affinity": [0]},
        "phases": [{"name": "burst", "persons": 1, "samples": rows}],
        **members,
    }


def _plan(*checksums: str) -> dict[str, Any]:
    return {"pictures": [{"file": f"{n}.bgr", "sha256": sha256} for n, sha256 in enumerate(checksums)]}


def _dated(folder: Path, day: int, totals: list[int], **members: Any) -> None:
    document = _document(totals, **members)
    document |= {"format": "edgepose-bench-result", "format_version": 1, "created": f"2026-11-{day:02d}"}
    document["device"] = {"name": "host", "address": "this machine"}
    (folder / f"{day}.json").write_text(json.dumps(document))


def test_two_results_are_compared_stage_by_stage() -> None:
    slow = _document([2000] * 100, engine={"threads": 2, "affinity": [0]})
    comparison = compare_results(_document([1000] * 100), slow, phase="burst", margin=0.05)
    assert comparison["verdict"] == "SLOWER"
    assert comparison["stages"]["total"]["ratio"] == 2.0 and set(comparison["stages"]) == {"total", "pose"}
    assert comparison["notes"] == ["other threads: 1 and 2"]
    engines = [{"threads": 1, "affinity": [0], "device": device} for device in ("CPU", "CUDA")]
    cpu, cuda = (_document([1000] * 100, engine=engine) for engine in engines)
    others = compare_results(cpu, cuda, phase="burst", margin=0.05)
    assert others["notes"] == ["other engine device: CPU and CUDA"]
    own = _document([1000] * 100, plan=_plan("a"))
    assert compare_results(cpu, own, phase="burst", margin=0.05)["notes"][-1] == "other pictures"
    assert compare_results(own, own, phase="burst", margin=0.05)["notes"] == []
    lines = describe_comparison(comparison)
    assert any("B is SLOWER" in line for line in lines)
    assert "on host, 1 thread," in lines[0] and "on host, 2 threads," in lines[1]


def test_two_phones_of_one_profile_are_told_apart() -> None:
    first, second = (
        _document([1000] * 100, device={"name": "sd865", "address": address}) for address in ("A", "B")
    )
    comparison = compare_results(first, second, phase="burst", margin=0.05)
    assert comparison["notes"] == ["other device: sd865 (A) and sd865 (B)"]
    lines = describe_comparison(comparison)
    assert " on sd865 (A), 1 thread," in lines[0] and " on sd865 (B), 1 thread," in lines[1]
    assert compare_results(first, first, phase="burst", margin=0.05)["notes"] == []


def test_what_cannot_be_compared() -> None:
    good = _document([1000] * 10)
    for other, message in (
        (_document([1000] * 10, emulated=True), "emulated"),
        (_document([1000] * 10, phases=[]), "has no phase"),
        (_document([1], phases=[{"name": "burst", "persons": 2, "samples": [[0, 1, 1]]}]), "persons"),
    ):
        with pytest.raises(UsageError, match=message) as caught:
            compare_results(good, other, phase="burst", margin=0.05)
        assert caught.value.hint


@pytest.mark.parametrize(
    "members",
    [
        None,
        {"phases": [{"name": "burst", "persons": 1, "samples": [[1, 2]]}]},
        {"phases": [{"name": "burst", "persons": 1, "samples": [[1, "2", 3]]}]},
        {"engine": 3},
        {"created": 2026},
        {"plan": {"pictures": [{}]}},
        {"valid": False},
    ],
)
def test_an_incomplete_document_is_named(
    members: dict[str, Any] | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _dated(tmp_path, 1, [1000] * 50)
    good, bad = tmp_path / "1.json", tmp_path / "2.json"
    if members is None:
        bad.write_text('{"format": "edgepose-bench-result", "format_version": 1}')
    else:
        _dated(tmp_path, 2, [1000] * 50)
        bad.write_text(json.dumps({**json.loads(bad.read_text()), **members}))
    assert main(["bench", "compare", str(good), str(bad)]) == 2
    assert f"error: {bad}: is no complete edgepose-bench-result document" in capsys.readouterr().err
    assert main(["bench", "history", str(tmp_path)]) == 0
    assert "left out: " in capsys.readouterr().err


def test_a_history_finds_the_change_also_where_it_creeps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for day, total in enumerate([1000, 1030, 1060, 1060, 1061], 1):  # never 5 % from one day to the next
        _dated(tmp_path, day, [total] * 50)
    _dated(tmp_path, 6, [5000] * 50, valid=False, invalid=[{"rule": "busy", "message": "others work"}])
    (tmp_path / "other.json").write_text("{}")
    (tmp_path / "loop.json").symlink_to("loop.json")  # as one that may not be read
    (series,) = read_history(tmp_path, phase="burst", margin=0.05)
    err = capsys.readouterr().err
    assert "other.json" in err and "loop.json" in err
    verdicts = [entry.get("verdict") for entry in series["entries"]]
    assert verdicts == [None, "SAME", "SLOWER", "SAME", "SAME", None]
    assert slower([series]) == []
    lines = describe_history([series])
    assert sum("SLOWER" in line for line in lines) == 1 and "INVALID" in lines[-1]
    _dated(tmp_path, 7, [1200] * 50)
    assert slower(read_history(tmp_path, phase="burst", margin=0.05))
    _dated(tmp_path, 8, [10] * 50, engine={"threads": 1, "affinity": [0], "device": "CUDA"})
    both = read_history(tmp_path, phase="burst", margin=0.05)
    assert sorted(len(one["entries"]) for one in both) == [
        1,
        7,
    ]  # another device of the engine: another story
    assert any(" on host, CUDA, 1 thread" in line for line in describe_history(both))
    with pytest.raises(UsageError, match="no result with a phase"):
        read_history(tmp_path, phase="soak", margin=0.05)
    with pytest.raises(UsageError, match="no such folder"):
        read_history(tmp_path / "absent", phase="burst", margin=0.05)


def test_a_history_keeps_results_on_other_pictures_apart(tmp_path: Path) -> None:
    plans = [_plan("small"), _plan("big"), _plan("big"), _plan("big", "small"), {}]
    for day, plan in enumerate(plans, 1):
        _dated(tmp_path, day, [1000 * day] * 50, plan=plan)
    series = read_history(tmp_path, phase="burst", margin=0.05)
    assert [len(one["entries"]) for one in series] == [1, 2, 1, 1]
    assert [one["pictures"] for one in series][::3] == [["small"], []]
    assert [one["entries"][-1]["file"] for one in slower(series)] == ["3.json"]
    titles = [line for line in describe_history(series) if not line.startswith(" ")]
    assert titles[2].endswith(", 1 person, 2 pictures of --input") and titles[3].endswith(", 1 person")


def test_a_history_keeps_the_modes_of_a_calibration_apart(tmp_path: Path) -> None:
    """Those of mixed and auto have one precision; a result from before, without a mode, counts as that."""
    bundle = {"name": "n", "backend": "ncnn", "precision": "mixed", "digest": "d"}
    for day, (mode, total) in enumerate((("auto", 1000), ("mixed", 2000), ("auto", 1000), (None, 2000)), 1):
        member = {} if mode is None else {"mode": mode}
        _dated(tmp_path, day, [total] * 200, bundle=bundle | member)
    series = read_history(tmp_path, phase="burst", margin=0.05)
    assert [one["bundle"] for one in series] == ["n (ncnn, auto)", "n (ncnn, mixed)"]
    assert [entry.get("verdict") for one in series for entry in one["entries"]] == [None, "SAME"] * 2
    sides = [json.loads((tmp_path / f"{day}.json").read_text()) for day in (1, 2)]
    comparison = compare_results(sides[0], sides[1], phase="burst", margin=0.05)
    assert [comparison[side]["bundle"] for side in "ab"] == ["n.ncnn.auto", "n.ncnn.mixed"]
