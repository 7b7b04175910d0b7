"""What is measured: the series of frames that the runner on the device works through."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from edgepose.errors import UsageError

# A burst that counts: so many frames, or so long.
BURST_FRAMES = 1024
BURST_SECONDS = 60.0
CAMERA_FPS = 30.0
PERSONS = (1, 2, 4, 8)
PACED = "paced"  # the phase at the rate of a camera
SOAK = "soak"  # the one that shows what the device keeps up

WARMUP_WINDOW = 20
_WARMUP_TOLERANCE = 0.02
_WARMUP_SECONDS = 15.0
# Loading, the golden picture and everything between the phases, on a very slow device.
_SLACK_SECONDS = 900.0

Mode = Literal["closed", "paced"]


@dataclass(frozen=True, slots=True)
class Phase:
    """A series of frames; it ends after `frames` or `seconds`, whichever comes first.

    persons: boxes given to the pose network, 0 for those that the pipeline finds. first: the index of the
    first sample, above 0 where an interrupted phase goes on.
    """

    name: str
    mode: Mode
    persons: int
    frames: int
    seconds: float
    fps: float | None = None
    first: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the phase as the runner reads it."""
        values = {
            name: getattr(self, name) for name in ("name", "mode", "persons", "frames", "seconds", "first")
        }
        return values if self.fps is None else {**values, "fps": self.fps}


@dataclass(frozen=True, slots=True)
class Picture:
    """A BGR picture on the device; boxes are x1 y1 x2 y2 px."""

    path: str
    width_px: int
    height_px: int
    boxes: tuple[tuple[float, float, float, float], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the picture as the runner reads it."""
        return {
            "path": self.path,
            "width_px": self.width_px,
            "height_px": self.height_px,
            "boxes": [list(box) for box in self.boxes],
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that the runner needs to know besides the bundle. cpus: empty for all of them."""

    phases: tuple[Phase, ...]
    threads: int = 1
    device: str = "CPU"
    cpus: tuple[int, ...] = ()
    pictures: tuple[Picture, ...] = ()
    warmup_window: int = WARMUP_WINDOW
    warmup_tolerance: float = _WARMUP_TOLERANCE
    warmup_seconds: float = _WARMUP_SECONDS

    @property
    def limit_s(self) -> float:
        """The time after which the runner ends itself."""
        return _SLACK_SECONDS + self.warmup_seconds + sum(phase.seconds for phase in self.phases)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as the runner reads it."""
        return {
            "threads": self.threads,
            "device": self.device,
            "cpus": list(self.cpus),
            "pictures": [picture.to_json() for picture in self.pictures],
            "warmup_window": self.warmup_window,
            "warmup_tolerance": self.warmup_tolerance,
            "warmup_seconds": self.warmup_seconds,
            "limit_s": self.limit_s,
            "phases": [phase.to_json() for phase in self.phases],
        }


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What to measure. cpus None: the profile's big processors; empty: all of them.

    given: the options that somebody chose, by their names; what goes on must have been asked for the same.
    """

    threads: int | None = None
    engine_device: str = "CPU"
    cpus: tuple[int, ...] | None = None
    persons: tuple[int, ...] = (1, 2, 4, 8)
    frames: int = 1024
    seconds: float = 60.0
    paced_fps: float | None = 30.0
    soak_s: float = 0.0
    warmup_seconds: float = 15.0
    input: str | None = None
    keep_files: bool = False
    fixed_performance: bool = False
    given: tuple[str, ...] = ()
    command: list[str] = field(default_factory=lambda: list(sys.argv))


def plan_phases(
    pipeline_type: str,
    *,
    persons: Sequence[int] = PERSONS,
    frames: int = BURST_FRAMES,
    seconds: float = BURST_SECONDS,
    paced_fps: float | None = CAMERA_FPS,
    soak_s: float = 0.0,
) -> tuple[Phase, ...]:
    """Return the phases of a run: the burst, one series for each number of persons, 30 fps, a soak.

    A network that takes no boxes has one number of persons only: those that it finds.
    """
    counts = tuple(dict.fromkeys(persons)) if pipeline_type in ("top_down", "pose") else (0,)
    if not counts or min(counts) < 0:
        raise UsageError("no number of persons to measure with", hint="for example --persons 1,2,4,8")
    first = counts[0]
    # A fifth of the burst shows how the time grows with the persons; the burst itself has the percentiles.
    short = max(1, frames // 5), seconds / 5
    phases = [Phase("burst", "closed", first, frames, seconds)]
    phases += [Phase(f"persons-{count}", "closed", count, *short) for count in counts[1:]]
    if paced_fps is not None:
        phases.append(Phase(PACED, "paced", first, max(1, round(paced_fps * short[1])), short[1], paced_fps))
    if soak_s > 0:
        phases.append(Phase(SOAK, "closed", first, 1 << 40, soak_s))
    return tuple(phases)


def persons_text(count: int | None) -> str:
    """Say with how many persons a phase was measured."""
    return f"{count} person{'s' * (count != 1)}" if count else "persons as found"


def remaining(phases: Sequence[Phase], done: Mapping[str, tuple[int, float, bool]]) -> tuple[Phase, ...]:
    """Return what an interrupted run has still to measure.

    done: by phase, the samples that exist, the seconds that they took, and whether the phase was complete.
    """
    left = []
    for phase in phases:
        count, seconds, complete = done.get(phase.name, (0, 0.0, False))
        if complete or count >= phase.frames:
            continue
        left.append(
            replace(
                phase,
                first=count,
                frames=phase.frames - count,
                seconds=max(0.0, phase.seconds - seconds),
            )
        )
    return tuple(phase for phase in left if phase.seconds > 0)
