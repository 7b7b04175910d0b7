"""When a measurement does not count: the rules, each with the facts that broke it."""

from __future__ import annotations

from itertools import dropwhile

from edgepose.bench.journal import Journal, PhaseSamples
from edgepose.bench.plan import BURST_FRAMES, BURST_SECONDS, PACED, SOAK, WARMUP_WINDOW

# Processors' worth of work by other programs, in the median over the burst, and over what came after it.
MAX_OTHERS_CPU = 0.25
# Of the burst's last quarter against its first, in the median; and of the clock.
MAX_SLOWDOWN = 1.10
MIN_CLOCK_SHARE = 0.90
MAX_LOW_SAMPLES = 0.25  # of the clock, below that share; one sample alone is a dip
_MIN_QUARTER = 8
_STEADY_FRAMES = 3 * WARMUP_WINDOW  # whose medians have to agree

Finding = dict[str, str]


def check(
    journal: Journal, *, features: tuple[str, ...] = (), max_temperature_c: float | None = None
) -> tuple[list[Finding], list[Finding]]:
    """Return why a measurement is INVALID, and what a reader should know besides; both may be empty.

    features and max_temperature_c are the profile's.
    """
    burst = journal.phases.get("burst", PhaseSamples("burst"))
    invalid = [
        *_emulation(journal),
        *_length(burst),
        *_completeness(journal),
        *_correctness(journal),
        *_steadiness(journal, burst),
        *_load(journal),
        *_clock(journal, soak=False),
        *_heat(journal, max_temperature_c, soak=False),
        *_fallback(journal, features),
    ]
    # What a soak is there to show takes nothing from what was measured before it.
    sustained = [*_clock(journal, soak=True), *_heat(journal, max_temperature_c, soak=True)]
    return invalid, [*sustained, *_warnings(journal)]


def _finding(rule: str, message: str) -> list[Finding]:
    return [{"rule": rule, "message": message}]


def _emulation(journal: Journal) -> list[Finding]:
    if not journal.start["facts"]["emulated"]:
        return []
    return _finding("emulated", "the processor is emulated: the times say nothing about a device")


def _length(burst: PhaseSamples) -> list[Finding]:
    seconds = sum(row[1] for row in burst.rows) / 1e9
    if len(burst.rows) >= BURST_FRAMES or seconds >= BURST_SECONDS * 0.99:
        return []
    return _finding(
        "short",
        f"the burst has {len(burst.rows)} frames in {seconds:.1f} s; "
        f"{BURST_FRAMES} frames or {BURST_SECONDS:.0f} s are demanded",
    )


def _completeness(journal: Journal) -> list[Finding]:
    if journal.end.get("complete"):
        return []
    reason = journal.end.get("reason") or "the connection was lost"
    return _finding("incomplete", f"the run ended early: {reason}")


def _correctness(journal: Journal) -> list[Finding]:
    if journal.golden.get("passed"):
        return []
    golden = journal.golden
    shift = max(golden.get("keypoint_max_px", 0.0), golden.get("box_max_px", 0.0))
    if not golden:
        message = "the run ended before the bundle's golden picture was compared"
    elif shift > golden["tolerance_px"]:
        message = f"the bundle's golden picture is off by up to {shift:.3g} px on this device"
    else:
        message = "other persons are found in the bundle's golden picture on this device"
    return _finding("wrong result", message)


def _steadiness(journal: Journal, burst: PhaseSamples) -> list[Finding]:
    found: list[Finding] = []
    if not journal.warmup.get("stable"):
        message = "the running median did not settle during the warm-up"
        if journal.warmup.get("frames", _STEADY_FRAMES) < _STEADY_FRAMES:
            message = (
                f"the warm-up ended after {journal.warmup['frames']} frames, {_STEADY_FRAMES} are needed to "
                "see whether the median settles: give --warmup-seconds"
            )
        found += _finding("unstable", message)
    quarter = len(burst.rows) // 4
    if quarter >= _MIN_QUARTER:
        first = sorted(row[1] for row in burst.rows[:quarter])[quarter // 2]
        last = sorted(row[1] for row in burst.rows[-quarter:])[quarter // 2]
        if last > first * MAX_SLOWDOWN:
            found += _finding(
                "slowed down", f"the end of the burst is {last / first:.2f} times as slow as its beginning"
            )
    return found


def _load(journal: Journal) -> list[Finding]:
    for when, in_burst in (("during", True), ("after", False)):
        others = sorted(
            state["others_cpu"]
            for phase, state in journal.states_by_phase()
            if "others_cpu" in state and phase not in ("", "warmup") and (phase == "burst") == in_burst
        )
        if others and others[len(others) // 2] > MAX_OTHERS_CPU:
            return _finding(
                "busy", f"other programs used {others[len(others) // 2]:.2f} processors {when} the burst"
            )
    return []


def _clock(journal: Journal, *, soak: bool) -> list[Finding]:
    used = journal.start["affinity"]
    clocks = [
        (phase == SOAK, max(state["khz"][cpu] for cpu in used if cpu < len(state["khz"])))
        for phase, state in journal.states_by_phase()
        # Between paced frames the processor sleeps, and a governor lowers its clock: that is no throttling.
        if phase != PACED and any(cpu < len(state.get("khz", [])) for cpu in used)
    ]
    # The clock rises when the work begins, so the fastest is the reference, and what was before is left out.
    best = max((clock for _, clock in clocks), default=0.0)
    risen = dropwhile(lambda sample: sample[1] < best * MIN_CLOCK_SHARE, clocks)
    worked = [clock for in_soak, clock in risen if in_soak == soak]
    low = [clock for clock in worked if clock < best * MIN_CLOCK_SHARE]
    if not low:
        return []
    when = "during the soak " if soak else ""
    if worked[-1] < best * MIN_CLOCK_SHARE:
        return _finding(
            "throttled", f"{when}the clock fell from {best / 1e6:.2f} to {worked[-1] / 1e6:.2f} GHz"
        )
    if len(low) > max(1, len(worked) * MAX_LOW_SAMPLES):
        return _finding(
            "throttled",
            f"{when}the clock fell from {best / 1e6:.2f} to {min(low) / 1e6:.2f} GHz "
            f"for {len(low)} of {len(worked)} samples",
        )
    return []


def _heat(journal: Journal, limit_c: float | None, *, soak: bool) -> list[Finding]:
    states = [state for phase, state in journal.states_by_phase() if (phase == SOAK) == soak]
    hottest = max((c for state in states for c in state.get("temperature_c", {}).values()), default=None)
    if limit_c is None or hottest is None or hottest <= limit_c:
        return []
    when = "during the soak " if soak else ""
    message = f"{when}the device reached {hottest:.0f} degrees C, its profile allows {limit_c:.0f}"
    return _finding("hot", message)


def _fallback(journal: Journal, features: tuple[str, ...]) -> list[Finding]:
    facts = journal.start["facts"]
    missing = [name for name in features if name not in facts["features"]]
    if missing:
        return _finding(
            "fallback",
            f"the processor lacks {', '.join(missing)}, which the profile promises: slower kernels ran",
        )
    if half_precision_emulated(journal):
        return _finding("fallback", "the processor has no fp16 arithmetic: the fp16 bundle ran at fp32")
    return []


def half_precision_emulated(journal: Journal) -> bool:
    """Say whether an fp16 bundle ran at fp32 because an ARM processor lacks fp16 arithmetic."""
    start = journal.start
    arm = str(start["facts"]["abi"]).startswith(("aarch64", "armv7"))
    return bool(
        arm
        and start["backend"] == "ncnn"
        and start["precision"] == "fp16"
        and "asimdhp" not in start["facts"]["features"]
    )


def _warnings(journal: Journal) -> list[Finding]:
    found: list[Finding] = []
    governors = set(journal.start["facts"]["governors"])
    if governors - {"performance"}:
        found += _finding("governor", f"the clock is free to change: {', '.join(sorted(governors))}")
    if not any("others_cpu" in state for state in journal.states):
        found += _finding("load", "what other programs used is not known: a busy device is not noticed")
    if any(state.get("battery") == "Charging" for state in journal.states):
        found += _finding("charging", "the battery was charging, which heats the device")
    if journal.sessions > 1:
        found += _finding(
            "resumed", f"measured in {journal.sessions} sessions, each with a warm-up of its own"
        )
    for phase in journal.phases.values():
        if phase.dropped:
            found += _finding("dropped", f"{phase.name}: {phase.dropped} frames came while one was worked on")
    return found
