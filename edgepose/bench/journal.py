"""The lines that a runner writes: reading them, also where a connection was cut in the middle."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgepose.errors import DeviceError, UsageError

FORMAT = "edgepose-bench-1"
_QUOTED_CHARACTERS = 80


@dataclass(slots=True)
class PhaseSamples:
    """What one phase has so far: rows of `Journal.columns`, in order and without gaps.

    duration_ns is that of the sessions that ended; begun is where the rows of the one under way begin.
    """

    name: str
    rows: list[list[int]] = field(default_factory=list)
    dropped: int = 0
    duration_ns: int = 0
    begun: int = 0
    complete: bool = False

    @property
    def open_ns(self) -> int:
        """How long a session that did not end measured: to the end of its last sample."""
        rows = [] if self.complete else self.rows[self.begun :]
        return rows[-1][0] + rows[-1][1] - rows[0][0] if rows else 0

    def end_session(self) -> None:
        """Count what the session under way has measured, whether it came to its end or broke off."""
        self.duration_ns += self.open_ns
        self.begun = len(self.rows)


@dataclass(slots=True)
class Journal:
    """A runner's lines, put together. A resumed run adds its lines to the same journal."""

    start: dict[str, Any] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)
    phases: dict[str, PhaseSamples] = field(default_factory=dict)
    states: list[dict[str, Any]] = field(default_factory=list)
    state_phases: list[str] = field(default_factory=list)  # during which phase each of them was taken
    results: list[dict[str, Any]] = field(default_factory=list)
    golden: dict[str, Any] = field(default_factory=dict)
    cold_ns: int | None = None
    warmup: dict[str, Any] = field(default_factory=dict)
    end: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] = field(default_factory=dict)
    sessions: int = 0
    pid: int | None = None  # of the last session's runner
    _sampled: str = ""  # the phase of the last samples

    def add(self, line: str) -> dict[str, Any]:
        """Take one line and return it parsed. Errors: DeviceError for what no runner writes."""
        try:
            entry = json.loads(line)
            event = entry["event"]
            handler = _HANDLERS[event]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DeviceError(
                f"the device printed something else than results: {_quoted(line)}",
                hint="is a login script printing, or another program in the runner's place?",
            ) from error
        try:
            handler(self, entry)
        except (LookupError, TypeError, ValueError, OverflowError) as error:
            raise DeviceError(
                f"the device printed a damaged {event} line: {_quoted(line)}",
                hint="build the runner again: edgepose build-runner",
            ) from error
        return dict(entry)

    def samples(self, name: str) -> PhaseSamples:
        """Return the phase with this name, made if need be."""
        return self.phases.setdefault(name, PhaseSamples(name))

    def done(self) -> dict[str, tuple[int, float, bool]]:
        """Return by phase: samples, seconds that they took, whether it was complete."""
        spans = {name: phase_seconds(phase) for name, phase in self.phases.items()}
        return {name: (len(p.rows), spans[name], p.complete) for name, p in self.phases.items()}

    @property
    def measured(self) -> int:
        """Samples of all phases but the warm-up."""
        return sum(len(phase.rows) for name, phase in self.phases.items() if name != "warmup")

    def states_by_phase(self) -> list[tuple[str, dict[str, Any]]]:
        """Return every state with the phase in which it was taken."""
        rest = [self._sampled] * (len(self.states) - len(self.state_phases))
        return list(zip([*self.state_phases, *rest], self.states, strict=True))

    def finish(self, names: Iterable[str]) -> None:
        """Make phases complete that have all their samples: the line that says so can be lost after them."""
        for phase in (self.phases[name] for name in names if name in self.phases):
            phase.end_session()
            phase.complete = True

    def _start(self, entry: dict[str, Any]) -> None:
        if entry["format"] != FORMAT:
            raise ValueError(entry["format"])
        self.sessions += 1
        self._assign_states(self._sampled)
        for phase in self.phases.values():
            phase.end_session()
        self.end, self.error = {}, {}
        self.pid = int(entry["pid"])
        if not self.start:
            self.start = entry
            self.columns = list(entry["columns"])
        elif entry["columns"] != self.columns or entry["digest"] != self.start["digest"]:
            raise ValueError("another bundle or runner")

    def _samples(self, entry: dict[str, Any]) -> None:
        phase, first, rows = self.samples(entry["phase"]), int(entry["first"]), entry["rows"]
        self._sampled = phase.name
        if any(len(row) != len(self.columns) for row in rows):
            raise ValueError("columns")
        if entry["phase"] == "warmup" and first == 0:
            phase.rows, phase.begun = [], 0  # a resumed run warms up again
        have = len(phase.rows)
        if first > have:
            raise ValueError("samples are missing")
        phase.rows += rows[have - first :]  # what was pulled from the device repeats what was seen before

    def _phase(self, entry: dict[str, Any]) -> None:
        phase = self.samples(entry["phase"])
        phase.dropped += int(entry["dropped"])
        phase.duration_ns += int(entry["duration_ns"])
        phase.begun = len(phase.rows)
        phase.complete = bool(entry["complete"])
        self._assign_states(phase.name)

    def _state(self, entry: dict[str, Any]) -> None:
        self.states.append({**entry, "session": self.sessions})

    def _assign_states(self, phase: str) -> None:
        self.state_phases += [phase] * (len(self.states) - len(self.state_phases))

    def _cold(self, entry: dict[str, Any]) -> None:
        if self.cold_ns is None:
            self.cold_ns = int(entry["total_ns"])

    def _result(self, entry: dict[str, Any]) -> None:
        # Each session finds the persons of all pictures; the first may have ended before.
        if all(result["picture"] != entry["picture"] for result in self.results):
            self.results.append({"picture": entry["picture"], "persons": entry["persons"]})

    def _golden(self, entry: dict[str, Any]) -> None:
        self.golden = {
            name: entry[name] for name in ("passed", "tolerance_px", "keypoint_max_px", "box_max_px")
        }

    def _warmup(self, entry: dict[str, Any]) -> None:
        self.warmup = {name: entry[name] for name in ("frames", "stable", "duration_ns")}

    def _end(self, entry: dict[str, Any]) -> None:
        self.end = entry

    def _error(self, entry: dict[str, Any]) -> None:
        self.error = {name: entry[name] for name in ("code", "exit_code", "message", "hint")}


_HANDLERS = {
    "start": Journal._start,
    "samples": Journal._samples,
    "phase": Journal._phase,
    "state": Journal._state,
    "cold": Journal._cold,
    "result": Journal._result,
    "golden": Journal._golden,
    "warmup": Journal._warmup,
    "end": Journal._end,
    "error": Journal._error,
}


def phase_seconds(phase: PhaseSamples) -> float:
    """Return the seconds of a phase, all sessions together."""
    return (phase.duration_ns + phase.open_ns) / 1e9


def read_journal(lines: Iterable[str], *, into: Journal | None = None) -> Journal:
    """Read the lines of a journal file; a last line without its end was cut and is left out.

    into: the journal of the sessions before. Errors: DeviceError for a line that no runner writes.
    """
    journal = Journal() if into is None else into
    for line in lines:
        if line.endswith("\n"):
            journal.add(line)
    return journal


def read_sessions(files: list[Path]) -> Journal:
    """Read what the sessions of an interrupted run have kept. Errors: UsageError names a damaged file."""
    journal = Journal()
    for file in files:
        # The last line may be cut in the middle of a character.
        with file.open(encoding="utf-8", errors="replace") as stream:
            try:
                read_journal(stream, into=journal)
            except DeviceError as error:
                raise UsageError(
                    f"{file}: what the interrupted run has kept is damaged ({error.message})",
                    hint="start anew without --resume",
                ) from error
    return journal


def _quoted(line: str) -> str:
    text = line.strip()
    return repr(text if len(text) <= _QUOTED_CHARACTERS else text[:_QUOTED_CHARACTERS] + "...")
