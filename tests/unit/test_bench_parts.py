"""The parts of a measurement that need no device: plan, journal, statistics, validity."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edgepose.bench.journal import Journal, read_journal
from edgepose.bench.plan import Phase, Plan, plan_phases, remaining
from edgepose.bench.result import describe, make_document
from edgepose.bench.session import _names_run
from edgepose.bench.validity import check
from edgepose.cli.main import main
from edgepose.device.profile import load_profile
from edgepose.errors import DeviceError, UsageError

COLUMNS = ["at_ns", "total_ns", "pose_ns"]
FACTS = {"abi": "x86_64-linux", "features": ["avx2"], "governors": [], "emulated": False}


def _start(**members: Any) -> dict[str, Any]:
    return {
        "event": "start",
        "format": "edgepose-bench-1",
        "columns": COLUMNS,
        "digest": "d",
        "pid": 1,
        "facts": FACTS,
        "affinity": [0],
        "backend": "ncnn",
        "precision": "fp32",
        "load_ns": 5,
        **members,
    }


def _samples(phase: str, first: int, totals: list[int]) -> dict[str, Any]:
    rows = [[(first + i) * 10, total, total // 2] for i, total in enumerate(totals)]
    return {"event": "samples", "phase": phase, "first": first, "rows": rows}


def _ended(phase: str, frames: int, seconds: float = 1.0) -> dict[str, Any]:
    return {
        "event": "phase",
        "phase": phase,
        "frames": frames,
        "dropped": 0,
        "complete": True,
        "duration_ns": int(seconds * 1e9),
    }


GOLDEN = {"event": "golden", "passed": True, "tolerance_px": 1.0, "keypoint_max_px": 0.0, "box_max_px": 0.0}
WARM = {"event": "warmup", "frames": 60, "stable": True, "duration_ns": 5}
END = {"event": "end", "complete": True, "reason": "", "rss_peak_bytes": 1, "at_ns": 9}


def _journal(*events: dict[str, Any]) -> Journal:
    return read_journal([json.dumps(event) + "\n" for event in events])


def _good(totals: list[int] | None = None, **start: Any) -> list[dict[str, Any]]:
    totals = totals or [1_000_000] * 1024
    return [_start(**start), GOLDEN, WARM, _samples("burst", 0, totals), _ended("burst", len(totals)), END]


def _rules(*events: dict[str, Any], **profile: Any) -> list[str]:
    return [finding["rule"] for finding in check(_journal(*events), **profile)[0]]


def test_a_plan_has_a_phase_for_each_number_of_persons() -> None:
    phases = plan_phases("top_down", soak_s=600)
    assert [p.name for p in phases] == ["burst", "persons-2", "persons-4", "persons-8", "paced", "soak"]
    assert [p.persons for p in phases] == [1, 2, 4, 8, 1, 1]
    assert (phases[0].frames, phases[0].seconds) == (1024, 60.0)
    assert [p.persons for p in plan_phases("one_stage")] == [0, 0]
    assert Plan(phases).limit_s > sum(p.seconds for p in phases)
    with pytest.raises(UsageError):
        plan_phases("pose", persons=())


def test_a_resumed_plan_has_what_is_left() -> None:
    phases = (
        Phase("a", "closed", 1, 100, 10.0),
        Phase("b", "closed", 1, 100, 10.0),
        Phase("c", "closed", 1, 5, 5.0),
    )
    left = remaining(phases, {"a": (40, 3.0, True), "b": (30, 4.0, False)})
    assert [(p.name, p.first, p.frames, p.seconds) for p in left] == [("b", 30, 70, 6.0), ("c", 0, 5, 5.0)]
    assert remaining(phases[:1], {"a": (100, 3.0, False)}) == ()


def test_a_journal_puts_two_sessions_together_without_a_gap_or_a_double() -> None:
    journal = _journal(
        _start(),
        _samples("warmup", 0, [9, 9]),
        _samples("burst", 0, [1, 2, 3]),
        _samples("burst", 2, [3, 4]),
        _start(pid=2),
        _samples("warmup", 0, [8]),
        _samples("burst", 4, [5]),
        _ended("burst", 1),
    )
    assert [row[1] for row in journal.phases["burst"].rows] == [1, 2, 3, 4, 5]
    assert [row[1] for row in journal.phases["warmup"].rows] == [8]
    # The first session's four frames took 34 ns, from the first one's start to the last one's end.
    assert journal.sessions == 2 and journal.done()["burst"] == (
        5,
        pytest.approx(1.0 + 34e-9, abs=1e-10),
        True,
    )


def test_the_persons_of_each_picture_are_kept_once_whichever_session_told_them() -> None:
    first, second = ({"event": "result", "picture": n, "persons": [n]} for n in range(2))
    journal = _journal(_start(), first, _start(pid=2), first, second)
    assert journal.sessions == 2
    assert journal.results == [{"picture": 0, "persons": [0]}, {"picture": 1, "persons": [1]}]


def test_a_phase_whose_end_was_not_heard_of_counts_with_all_its_samples() -> None:
    journal = _journal(_start(), _samples("burst", 0, [1, 2, 3]), _samples("paced", 0, [5, 5]))
    assert journal.done()["paced"] == (2, pytest.approx(15e-9), False)
    journal.finish(["burst", "soak"])
    journal.add(json.dumps(_start(pid=2)))
    journal.add(json.dumps(_samples("paced", 2, [4])))
    assert journal.done()["burst"] == (3, pytest.approx(23e-9), True)
    assert journal.done()["paced"] == (3, pytest.approx(19e-9), False)


def test_a_phase_that_its_runner_cut_short_counts_once() -> None:
    journal = _journal(_start(), _samples("burst", 0, [1, 2, 3]), {**_ended("burst", 3), "complete": False})
    assert journal.done()["burst"] == (3, 1.0, False)
    journal.add(json.dumps(_start(pid=2)))
    assert journal.done()["burst"] == (3, 1.0, False)


def test_a_line_that_was_cut_is_left_out() -> None:
    lines = [json.dumps(event) + "\n" for event in (_start(), _samples("burst", 0, [1, 2]))]
    journal = read_journal([*lines, json.dumps(_samples("burst", 2, [3]))[:-7]])
    assert len(journal.phases["burst"].rows) == 2


@pytest.mark.parametrize(
    "line",
    [
        "Welcome to the board!",
        "[]",
        '{"event": "party"}',
        json.dumps(_start(format="other")),
        '{"event": "samples", "phase": "burst", "first": 5, "rows": [[1, 2, 3]]}',
        '{"event": "samples", "phase": "burst", "first": 0, "rows": [[1, 2]]}',
        '{"event": "samples", "phase": "burst"}',
        '{"event": "golden"}',
        '{"event": "cold", "total_ns": Infinity}',
        "[" * 100_000,
    ],
)
def test_garbage_is_a_device_error(line: str) -> None:
    journal = _journal(_start())
    with pytest.raises(DeviceError, match="the device printed") as caught:
        journal.add(line + "\n")
    assert caught.value.exit_code == 8 and caught.value.hint


def test_each_session_has_its_own_process() -> None:
    assert _journal(_start(pid=11)).pid == 11
    assert _journal(_start(pid=11), END, _start(pid=22)).pid == 22


def test_a_good_run_is_valid() -> None:
    assert _rules(*_good()) == []


def test_a_warm_up_that_is_too_short_for_the_network_says_so() -> None:
    slow = {"event": "warmup", "frames": 23, "stable": False, "duration_ns": 15 * 10**9}
    for warmup, words in (
        (slow, "after 23 frames, 60 are needed"),
        ({**slow, "frames": 60}, "did not settle"),
    ):
        invalid, _ = check(_journal(*_good(), warmup))
        assert [finding["rule"] for finding in invalid] == ["unstable"]
        assert words in invalid[0]["message"]


def test_what_does_not_count() -> None:
    assert _rules(*_good([1_000_000] * 100)) == ["short"]
    assert _rules(*_good([2_000_000_000] * 30)) == []  # a minute counts however few the frames
    assert _rules(*_good()[:-1], {**END, "complete": False, "reason": "signal 15"}) == ["incomplete"]
    assert _rules(*_good(), {**GOLDEN, "passed": False}) == ["wrong result"]
    assert _rules(*_good(), {**WARM, "stable": False}) == ["unstable"]
    assert _rules(*_good([1_000_000] * 512 + [1_300_000] * 512)) == ["slowed down"]
    assert _rules(*_good(facts={**FACTS, "emulated": True})) == ["emulated"]
    busy = [{"event": "state", "at_ns": i, "others_cpu": value} for i, value in enumerate((0.0, 0.9, 0.9))]
    assert _rules(*_good(), *busy) == ["busy"]
    slow = [{"event": "state", "at_ns": i, "khz": [value]} for i, value in enumerate((1e6, 2e6, 1.5e6))]
    assert _rules(*_good(), *slow) == ["throttled"]
    assert _rules(*_good()[:-2], *slow, *_good()[-2:]) == ["throttled"]
    # Between the frames of a camera the processor sleeps, and its clock goes down.
    paced = [_samples("paced", 0, [1_000_000]), *slow, _ended("paced", 1)]
    assert _rules(*_good()[:-1], *paced, END) == []
    assert _rules(*_good()[:-1], *paced[:-1]) == ["incomplete"]  # the end of the paced phase was cut off
    hot = {"event": "state", "at_ns": 1, "temperature_c": {"soc": 91.0}}
    assert _rules(*_good(), hot, max_temperature_c=90.0) == ["hot"]
    assert _rules(*_good(), hot, max_temperature_c=95.0) == []


def _clocks(*ghz: float) -> list[dict[str, Any]]:
    return [{"event": "state", "at_ns": n, "khz": [value * 1e6]} for n, value in enumerate(ghz)]


# As in tests/cpp/bench_validity_test.cpp.
@pytest.mark.parametrize(
    ("clocks", "message"),
    [
        ([2.8] * 15 + [1.4] * 30 + [2.8] * 15, "the clock fell from 2.80 to 1.40 GHz for 30 of 60 samples"),
        ([*[2.8] * 10, *[1.8] * 10] * 3 + [2.8], "the clock fell from 2.80 to 1.80 GHz for 30 of 61 samples"),
        (
            [0.6] * 9 + [2.8] * 6 + [1.4] * 3 + [2.8],
            "the clock fell from 2.80 to 1.40 GHz for 3 of 10 samples",
        ),
        ([2.8] * 9 + [1.4], "the clock fell from 2.80 to 1.40 GHz"),
        ([0.6] * 9 + [2.8], None),  # a governor's start
        ([2.8, 1.4, 2.8], None),  # a single dip
        ([0.6] * 9 + [2.8] * 3 + [1.4] * 2 + [2.8] * 3, None),
    ],
)
def test_a_clock_that_was_low_for_a_quarter_of_the_time(clocks: list[float], message: str | None) -> None:
    invalid, _ = check(_journal(*_good()[:-1], *_clocks(*clocks), END))
    assert invalid == ([] if message is None else [{"rule": "throttled", "message": message}])


# As in tests/cpp/bench_validity_test.cpp.
def test_a_soak_may_show_what_the_device_does_not_keep_up() -> None:
    hot = {"event": "state", "at_ns": 2, "temperature_c": {"soc": 91.0}}
    reached = "during the soak the device reached 91 degrees C, its profile allows 90"
    fell = "the clock fell from 2.80 to 1.40 GHz"

    def findings(before: list[float], during: list[float]) -> list[list[str]]:
        *head, burst_ended, end = _good()
        soak = [_samples("soak", 0, [5]), *_clocks(*during), hot, _ended("soak", 1)]
        soak[1] |= {"others_cpu": 0.0}
        found = check(_journal(*head, *_clocks(*before), burst_ended, *soak, end), max_temperature_c=90.0)
        return [[finding["message"] for finding in findings] for findings in found]

    assert findings([2.8] * 4 + [1.4, 2.8], [1.4] * 30) == [[], [f"during the soak {fell}", reached]]
    assert findings([2.8] * 4 + [1.4], [2.8] * 30) == [[fell], [reached]]
    assert findings([2.8] * 4, [2.8] * 30) == [[], [reached]]


def test_only_the_processors_that_a_run_used_have_to_keep_their_clock() -> None:
    states = [{"event": "state", "at_ns": n, "khz": [big, 1e6]} for n, big in enumerate((2e6, 1e6))]
    assert _rules(*_good(affinity=[1]), *states) == []
    assert _rules(*_good(affinity=[0, 1]), *states) == ["throttled"]


def test_a_spike_of_other_programs_does_not_count() -> None:
    spike = [{"event": "state", "at_ns": n, "others_cpu": value} for n, value in enumerate((0, 0, 0.9))]
    assert _rules(*_good(), *spike) == []


# As in tests/cpp/bench_validity_test.cpp.
def test_a_busy_burst_does_not_hide_behind_quiet_phases() -> None:
    *head, burst_ended, end = _good()

    def found(during: float, after: float) -> list[str]:
        states = [
            [{"event": "state", "at_ns": n, "others_cpu": value} for n in range(count)]
            for count, value in ((8, during), (40, after))
        ]
        rest = [_samples("paced", 0, [5]), *states[1], _ended("paced", 1)]
        return [f["message"] for f in check(_journal(*head, *states[0], burst_ended, *rest, end))[0]]

    assert found(0.2, 0.2) == []
    warming = [_samples("warmup", 0, [5]), {"event": "state", "at_ns": 1, "others_cpu": 1.5}]
    assert "busy" not in _rules(*head[:2], *warming, {**end, "complete": False, "reason": "signal 2"})
    assert found(1.5, 0.0) == ["other programs used 1.50 processors during the burst"]
    assert found(0.0, 1.5) == ["other programs used 1.50 processors after the burst"]


def test_a_wrong_result_says_what_is_wrong() -> None:
    def message(*events: dict[str, Any]) -> str:
        return check(_journal(*events))[0][0]["message"]

    assert "off by up to 12 px" in message(*_good(), {**GOLDEN, "passed": False, "box_max_px": 12.0})
    assert "other persons are found" in message(*_good(), {**GOLDEN, "passed": False, "box_max_px": 0.5})
    assert "ended before" in message(*(event for event in _good() if event is not GOLDEN))


def test_what_just_counts_and_what_just_does_not() -> None:
    ms = 1_000_000
    assert (_rules(*_good([ms] * 1023)), _rules(*_good([2000 * ms] * 29))) == (["short"], ["short"])
    assert _rules(*_good([ms] * 768 + [1_090_000] * 256)) == []
    assert _rules(*_good([ms] * 768 + [1_110_000] * 256)) == ["slowed down"]
    # Of less than eight frames in a quarter the median says nothing.
    assert _rules(*_good([2000 * ms] * 24 + [4000 * ms] * 7)) == []
    assert _rules(*_good([2000 * ms] * 24 + [4000 * ms] * 8)) == ["slowed down"]
    for share, rules in ((0.25, []), (0.26, ["busy"])):
        assert _rules(*_good(), {"event": "state", "at_ns": 1, "others_cpu": share}) == rules
    for khz, rules in ((1.8e6, []), (1.79e6, ["throttled"])):
        clocks = [{"event": "state", "at_ns": n, "khz": [value]} for n, value in enumerate((2e6, khz))]
        assert _rules(*_good(), *clocks) == rules


def test_a_processor_that_lacks_what_was_promised() -> None:
    assert _rules(*_good(), features=("asimdhp",)) == ["fallback"]
    assert _rules(*_good(), features=("avx2",)) == []
    arm = {**FACTS, "abi": "aarch64-linux", "features": ["asimd"]}
    assert _rules(*_good(facts=arm, precision="fp16")) == ["fallback"]
    assert _rules(*_good(facts={**arm, "features": ["asimd", "asimdhp"]}, precision="fp16")) == []


def test_warnings_do_not_make_it_invalid() -> None:
    facts = {**FACTS, "governors": ["schedutil", "performance"]}
    charging = {"event": "state", "at_ns": 1, "battery": "Charging"}
    dropped = {**_ended("paced", 5), "dropped": 3}
    invalid, warnings = check(_journal(*_good(facts=facts), charging, dropped))
    assert invalid == [] and [w["rule"] for w in warnings] == ["governor", "load", "charging", "dropped"]


# As in tests/cpp/bench_validity_test.cpp.
def test_a_system_that_does_not_tell_what_others_use_is_told_of() -> None:
    message = "what other programs used is not known: a busy device is not noticed"
    silent, telling = ({"event": "state", "at_ns": 1, **told} for told in ({}, {"others_cpu": 0.0}))
    assert check(_journal(*_good(), silent)) == ([], [{"rule": "load", "message": message}])
    assert check(_journal(*_good(), silent, telling)) == ([], [])


@pytest.mark.parametrize("persons", ["all", "big", "little"])
def test_persons_are_numbers(persons: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "bundle", "--persons", persons]) == 2
    assert f"'{persons}' is not a list such as 1,2,4" in capsys.readouterr().err


def _document(
    totals: list[int], *states: dict[str, Any], device: dict[str, Any] | None = None
) -> dict[str, Any]:
    manifest = {
        "name": "n",
        "manifest_sha256": "d",
        "backend": "ncnn",
        "precision": "fp32",
        "pipeline": {"type": "pose"},
        "models": {},
        "lineage": [],
    }
    facts = {**FACTS, "processor": "P"}
    return make_document(
        _journal(*_good(totals, facts=facts, runner="1", device="CPU", threads=1), *states),
        bundle=manifest,
        profile=load_profile("host"),
        device=device or {},
        runner={},
        plan={"phases": []},
        command=[],
    )


def test_the_slowest_frame_is_shown() -> None:
    document = _document([1_000_000] * 9 + [77_000_000])
    heads, burst = (
        line for line in describe({**document, "cold_ns": 5}) if line.startswith(("phase", "burst"))
    )
    assert burst[heads.index("max ms") :].startswith("77.00 ")


@pytest.mark.parametrize(("address", "where"), [("SERIAL", "host (SERIAL)"), ("this machine", "host")])
def test_an_address_tells_devices_of_one_profile_apart(address: str, where: str) -> None:
    document = _document([1_000_000] * 9, device={"address": address})
    assert describe(document)[0].startswith(f"n  (ncnn, fp32) on {where}: ")


def test_a_run_that_ended_before_its_first_frame_is_described() -> None:
    document = _document([1_000_000] * 9)
    early = {**document, "cold_ns": None, "golden": {}, "phases": [], "rss_peak_bytes": None}
    said = "\n".join(describe(early))
    assert "golden picture  not compared" in said and "first frame" not in said and "p50" not in said
    assert "INVALID:\n" in said


def _energy_of(*states: dict[str, Any]) -> dict[str, Any]:
    phase: dict[str, Any] = _document([1_000_000] * 10, *states)["phases"][0]
    return {name: phase.get(name) for name in ("power_w", "energy_mj")}


def test_energy_of_a_frame() -> None:
    drawn = [
        {"event": "state", "at_ns": at, "power_w": watts, "battery": "Discharging"}
        for at, watts in ((50, 2.0), (90, 4.0), (9_000_000, 50.0))
    ]
    # 3 W for the second that ten frames took; the last state is from after the phase.
    assert _energy_of(*drawn) == {"power_w": 3.0, "energy_mj": 300.0}
    assert _energy_of(*drawn, {**drawn[0], "battery": "Charging"})["energy_mj"] is None
    assert _energy_of()["energy_mj"] is None


def test_only_the_folder_of_a_run_may_be_removed_on_a_device() -> None:
    assert _names_run({"run": "run-0123abcd"})
    for run in ("", ".", "run-", "run-0123abcd/..", "../run-0123abcd", None, 7):
        assert not _names_run({"run": run})
    assert not _names_run([])
