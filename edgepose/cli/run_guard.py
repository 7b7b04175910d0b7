"""What `edgepose run` must not write over: its input, and the results of another one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgepose.errors import UsageError
from edgepose.media import PictureSource, Source
from edgepose.paths import real_path

RESULTS_NAME = "results.json"
_MOST_INFO = 1 << 16  # characters: the results of an hour are hundreds of megabytes
_ELSEWHERE = "choose another folder with -o"


def input_of(source: Source, target: str) -> dict[str, str]:
    """Return what the results say of their input. A stream's address may hold a password."""
    if source.kind == "camera":
        return {"input": source.name, "input_path": source.name}
    path = Path(target)
    return {"input": path.name, "input_path": str(real_path(path))}


def refuse_overwriting(folder: Path, source: Source, target: str, *, boxes: Path | None, draws: bool) -> None:
    """Refuse a folder in which the run would write over what it reads, or over another input's results.

    target: the input as it was named; boxes: the file of --boxes; draws: whether pictures or a video are
    written. Errors: UsageError.
    """
    results = folder / RESULTS_NAME
    if results.is_dir():
        raise UsageError(f"{results}: is a folder", hint=_ELSEWHERE)
    if boxes and real_path(boxes) == real_path(results):
        raise UsageError(f"{boxes}: the results would overwrite --boxes", hint=_ELSEWHERE)
    before = _input_before(results)
    if before is not None and not _is_same(before, input_of(source, target)):
        raise UsageError(
            f"{folder}: holds the results of another input, {before.get('input_path', before['input'])}",
            hint=f"{_ELSEWHERE}, one for each input, or remove its {RESULTS_NAME}",
        )
    if not draws or source.kind == "camera":
        return
    path = real_path(Path(target))
    if isinstance(source, PictureSource):
        pictures = {real_path(picture) for picture in source.paths}
        clash = any(real_path(folder / picture.name) in pictures for picture in source.paths)
    else:
        video = folder / f"{source.name}.mp4"
        clash = real_path(video) == path
        beside = video.exists() and real_path(folder) == path.parent
        if not clash and beside and before is None:
            raise UsageError(f"{video} lies beside the input and would be overwritten", hint=_ELSEWHERE)
    if clash:
        raise UsageError(f"{folder}: the results would overwrite the input", hint=_ELSEWHERE)


def _is_same(before: dict[str, Any], own: dict[str, str]) -> bool:
    """Tell whether an earlier run's input is this one, which may have been moved since."""
    path = before.get("input_path")
    if isinstance(path, str) and Path(path).exists():  # earlier versions gave the name alone
        return path == own["input_path"]
    return bool(before["input"] == own["input"])


def _input_before(results: Path) -> dict[str, Any] | None:
    """Return what the results of an earlier run begin with; None for no such."""
    try:
        with results.open(encoding="utf-8") as file:
            begin = file.read(_MOST_INFO)
        start = '{"info": '
        info = json.JSONDecoder().raw_decode(begin, len(start))[0] if begin.startswith(start) else None
        return info if isinstance(info, dict) and "input" in info else None
    except (OSError, ValueError, RecursionError):
        return None
