"""Hands a job to the toolkit's worker process, and reads its answer: the result file, and its log."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepose import log
from edgepose.converters.base import Children
from edgepose.converters.rknn.environment import Environment
from edgepose.errors import ConfigurationError, ConversionError
from edgepose.paths import cache_dir

TIMEOUT_VARIABLE = "EDGEPOSE_RKNN_TIMEOUT_S"

_DEFAULT_TIMEOUT_S = 900.0
_KEPT_LOGS = 20
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# Written as an error by every build with integers in it, good ones too.
_NO_ERRORS = ("Unkown op target: 0",)
_ERROR_LINE = re.compile(r"^E (?:RKNN: \[[^]]*\] )?(.+)$")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the worker gave: seconds by step, what it found, and what the toolkit wrote, without colours."""

    seconds: Mapping[str, float]
    found: Mapping[str, Any]
    log_text: str
    log_file: Path | None


def timeout_s() -> float:
    """Return the time limit of one job. Errors: ConfigurationError for a bad $EDGEPOSE_RKNN_TIMEOUT_S."""
    text = os.environ.get(TIMEOUT_VARIABLE, "")
    if not text:
        return _DEFAULT_TIMEOUT_S
    try:
        seconds = float(text)
        if not 0 < seconds < 1e6:
            raise ValueError
    except ValueError:
        raise ConfigurationError(
            f"{TIMEOUT_VARIABLE} is {text!r}", hint="give seconds, for example 900"
        ) from None
    return seconds


def run_job(
    job: Mapping[str, Any], *, title: str, environment: Environment, work_dir: Path, children: Children
) -> Answer:
    """Run one job in the toolkit's environment.

    Errors: ConversionError (the toolkit refused the network, crashed, or was not done in time), with the name
    of the log that is kept; ConfigurationError (no space left).
    """
    limit_s = timeout_s()
    job_path, result_path = work_dir / "job.json", work_dir / "result.json"
    job_path.write_text(json.dumps(job), encoding="utf-8")
    result_path.unlink(missing_ok=True)
    worker = Path(__file__).with_name("worker.py")
    argv = [str(environment.python), "-I", str(worker), str(job_path), str(result_path)]
    try:
        status, text = children.run(argv, cwd=work_dir, timeout_s=limit_s)
    except OSError as error:
        raise ConversionError(
            f"rknn-toolkit2 does not start: {error.strerror or error}", hint="edgepose setup rknn --force"
        ) from error
    except subprocess.TimeoutExpired as error:
        kept = _keep(title, str(error.output or ""))
        raise ConversionError(
            f"{title}: rknn-toolkit2 was not done after {limit_s:g} s and was ended",
            hint=f"{_log_hint(kept)}; {TIMEOUT_VARIABLE} sets another limit",
        ) from error
    text = _COLOUR.sub("", text)
    kept = _keep(title, text)
    log.debug(text.rstrip())
    try:
        result = json.loads(result_path.read_text(encoding="utf-8"))
        ok, step = bool(result["ok"]), str(result["step"])
        seconds = {str(name): float(value) for name, value in result["seconds"].items()}
        found = dict(result.get("found", {}))
    except FileNotFoundError:
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        reason = _error_line(text) or _last_line(text)
        _require_space(text, title)
        raise ConversionError(
            f"{title}: rknn-toolkit2 crashed ({how}): {reason}", hint=_log_hint(kept)
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConversionError(f"{title}: rknn-toolkit2's result cannot be read: {error}") from error
    if not ok:
        _require_space(f"{text}\n{result.get('message')}", title)
        reason = _error_line(text) or result.get("message") or _last_line(text)
        raise ConversionError(f"{title}: rknn-toolkit2 failed in {step}: {reason}", hint=_log_hint(kept))
    return Answer(seconds, found, text, kept)


def _require_space(text: str, title: str) -> None:
    """Report what failed on a full disk as that, not as the network's fault."""
    full = os.strerror(errno.ENOSPC)
    if full in text:
        raise ConfigurationError(
            f"{title}: rknn-toolkit2 failed: {full}",
            hint=f"free some space in {tempfile.gettempdir()}, or let TMPDIR name another folder",
        )


def _error_line(text: str) -> str | None:
    """Return the toolkit's first line of an error."""
    for line in text.splitlines():
        match = _ERROR_LINE.match(line.strip())
        if match and match[1].strip() not in _NO_ERRORS:
            return match[1].strip()
    return None


def _last_line(text: str) -> str:
    lines = text.split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it wrote nothing")


def _keep(title: str, text: str) -> Path | None:
    """Store a log beside the last ones; None, after a warning, where it cannot be written."""
    folder = cache_dir("rknn", "logs")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", title)
    path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{name}.log"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(_COLOUR.sub("", text), encoding="utf-8", errors="replace")
        # This one is kept, also where the clock was set back.
        others = sorted(other for other in folder.glob("*.log") if other != path)
        for old in others[: 1 - _KEPT_LOGS]:
            old.unlink(missing_ok=True)
    except OSError as error:
        log.warning(f"the log of rknn-toolkit2 is not kept: {error}")
        return None
    return path


def _log_hint(path: Path | None) -> str:
    return f"its log: {path}" if path else "run again with -vv to see its log"
