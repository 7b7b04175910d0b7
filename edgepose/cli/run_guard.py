"""The folder of `edgepose run`, and what must not be written over: its input, another one's results."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from edgepose.errors import UsageError
from edgepose.media import PictureSource, Source
from edgepose.paths import real_path

RESULTS_NAME = "results.json"
_MOST_INFO = 1 << 16  # characters: the results of an hour are hundreds of megabytes
_ELSEWHERE = "choose another folder with -o"


@contextmanager
def output_folder(folder: Path) -> Iterator[None]:
    """Make the folder, and after an error remove it and its parents again where they are new and empty.

    Errors: UsageError (another run writes into it now, whose results these would replace, or be replaced by).
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        try:
            yield
        except BaseException:
            for path in made:
                try:
                    path.rmdir()
                except OSError:
                    break
            raise


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with ExitStack() as stack:
        with suppress(
            ImportError, OSError
        ):  # Windows; folders that are not readable, or on a file system without
            import fcntl

            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(
                    f"{folder}: another process holds it, such as an edgepose run that is writing into it",
                    hint=f"{_ELSEWHERE}, one for each input",
                ) from None
        yield


def input_of(source: Source, target: str) -> dict[str, str]:
    """Return what the results say of their input. A stream's address may hold a password."""
    if source.kind == "camera":
        return {"input": source.name, "input_path": source.name}
    path = Path(target)
    return {"input": path.name, "input_path": str(real_path(path))}


def video_path(folder: Path, source: Source) -> Path:
    """Return where the annotated video of a video or a camera lies."""
    return folder / f"{source.name}.mp4"


def video_of(folder: Path, source: Source, *, draws: bool) -> str | None:
    """Return the name of the annotated video beside the results, which an earlier run may have drawn."""
    if source.kind == "pictures":
        return None
    video = video_path(folder, source)
    is_ours = draws or (video.exists() and _drew(_input_before(folder / RESULTS_NAME), video))
    return video.name if is_ours else None


def refuse_overwriting(folder: Path, source: Source, target: str, *, boxes: Path | None, draws: bool) -> None:
    """Refuse a folder in which the run would write over what it reads, or over another input's results.

    target: the input as it was named; boxes: the file of --boxes; draws: whether pictures or a video are
    written. Errors: UsageError.
    """
    results = folder / RESULTS_NAME
    if results.is_dir():
        raise UsageError(f"{results}: is a folder", hint=_ELSEWHERE)
    pictures = source.paths if isinstance(source, PictureSource) else None
    inputs = set() if source.kind == "camera" else {real_path(path) for path in pictures or [Path(target)]}
    if real_path(results) in inputs:
        raise UsageError(f"{results}: the results would overwrite the input", hint=_ELSEWHERE)
    if boxes and real_path(boxes) == real_path(results):
        raise UsageError(f"{boxes}: the results would overwrite --boxes", hint=_ELSEWHERE)
    before = _input_before(results)
    if before is None:
        if results.is_file():
            raise UsageError(
                f"{results}: is there already, and is not of edgepose run",
                hint=f"{_ELSEWHERE}, or move it away",
            )
    elif not _is_same(before, input_of(source, target)):
        raise UsageError(
            f"{folder}: holds the results of another input, {before.get('input_path', before['input'])}",
            hint=f"{_ELSEWHERE}, one for each input, or remove its {RESULTS_NAME}",
        )
    if not draws:
        return
    video = video_path(folder, source)
    drawn = [folder / path.name for path in pictures] if pictures else [video]
    if any(real_path(path) in inputs for path in drawn):
        raise UsageError(f"{folder}: the results would overwrite the input", hint=_ELSEWHERE)
    if not pictures and video.exists() and not _drew(before, video):
        raise UsageError(
            f"{video}: is there already, and no {RESULTS_NAME} beside it says that it is of this input",
            hint=f"{_ELSEWHERE}, or move it away",
        )


def _is_same(before: dict[str, Any], own: dict[str, str]) -> bool:
    """Tell whether an earlier run's input is this one, which may have been moved since."""
    path = before.get("input_path")
    if isinstance(path, str) and Path(path).exists():  # earlier versions gave the name alone
        return path == own["input_path"]
    return bool(before["input"] == own["input"])


def _drew(before: dict[str, Any] | None, video: Path) -> bool:
    # Earlier versions did not say it.
    return before is not None and before.get("video", video.name) == video.name


def _input_before(results: Path) -> dict[str, Any] | None:
    """Return what the results of an earlier run begin with; None for no such."""
    try:
        with results.open(encoding="utf-8") as file:
            begin = file.read(_MOST_INFO)
        start = re.match(r'\s*\{\s*"info"\s*:\s*', begin)  # somebody may have indented it
        info = json.JSONDecoder().raw_decode(begin, start.end())[0] if start else None
        return info if isinstance(info, dict) and "input" in info else None
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return None
