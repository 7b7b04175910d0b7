"""The pictures of a calibration or evaluation set: a folder, a list of files, or COCO annotations."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from edgepose.artifact import KeypointSet
from edgepose.errors import UsageError
from edgepose.hashing import sha256_file
from edgepose.media import PICTURE_SUFFIXES, list_pictures
from edgepose.person_boxes import Box, pictures_of_run, read_coco_boxes

_FORMS = "give a folder of pictures, a text file with one picture a line, or COCO annotations (.json)"


@dataclass(frozen=True, slots=True)
class CalibrationPicture:
    """A file, and the boxes of the persons in it (x1 y1 x2 y2 px); None where they are not known."""

    path: Path
    boxes: tuple[Box, ...] | None


def read_pictures(
    source: Path,
    points: KeypointSet | None = None,
    box_class: str | None = None,
    *,
    pictures_only: bool = False,
) -> list[CalibrationPicture]:
    """List the pictures of a set, in an order that does not depend on the file system.

    The pictures of annotations lie where their file_name says, seen from the file or from a folder "images"
    there, or in one of these two without sub-folders; those of a list relative to it. points and box_class:
    the network's and its detector's, whose category counts; pictures_only: nobody's boxes are read. Errors:
    UsageError that names what is missing.
    """
    if source.is_dir():
        return [CalibrationPicture(path, None) for path in list_pictures(source)]
    if not source.exists():
        raise UsageError(f"{source}: no such file or folder", hint=_FORMS)
    if not source.is_file():
        raise UsageError(f"{source}: is not a regular file", hint=_FORMS)
    if source.suffix.lower() == ".json":
        boxes = read_coco_boxes(source, points, box_class, pictures_only=pictures_only)
        return _annotated(source, boxes)
    if source.suffix.lower() in PICTURE_SUFFIXES:
        raise UsageError(f"{source} is one picture, which is too few", hint=_FORMS)
    return _listed(source)


def are_synthetic(source: Path) -> bool:
    """Tell whether the annotations of a set say that its pictures are rendered.

    Where the source is none, or holds results of `edgepose run`, those beside the pictures or above them do.
    """
    if source.is_dir():
        folders = [source]
    elif source.suffix.lower() == ".json":
        info = _info(source)
        if info.get("source") == "synthetic":
            return True
        of_run = "input_path" in info or "input" in info
        folders = [pictures_of_run({"info": info}) or source.parent] if of_run else []
    else:
        folders = [picture.path.parent for picture in _listed(source)]
    beside = [place for folder in dict.fromkeys(folders) for place in (folder, folder.resolve().parent)]
    files = [folder / "annotations.json" for folder in dict.fromkeys(beside)]
    return any(_info(file).get("source") == "synthetic" for file in files)


def digests(source: Path) -> dict[str, str]:
    """Return the names of a set's pictures by the SHA-256 of the files. Errors: UsageError, OSError."""
    return {
        sha256_file(picture.path): picture.path.name for picture in read_pictures(source, pictures_only=True)
    }


def _info(file: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, RecursionError):
        info = json.loads(file.read_text(encoding="utf-8"))["info"]
        return info if isinstance(info, dict) else {}
    return {}


def _annotated(annotations: Path, boxes: Mapping[str, Sequence[Box]]) -> list[CalibrationPicture]:
    names: dict[Path, str] = {}
    for name in sorted(boxes):
        other = names.setdefault(_located(annotations, name), name)
        if other != name:
            raise UsageError(
                f"{annotations}: {other} and {name} are one file, {_located(annotations, name)}",
                hint="keep the sub-folders that the annotations name",
            )
    return [CalibrationPicture(path, tuple(boxes[name])) for path, name in names.items()]


def _located(annotations: Path, name: str) -> Path:
    folder = annotations.parent
    for part in (name, Path(name).name, PureWindowsPath(name).name):
        for path in (folder / part, folder / "images" / part):
            if path.is_file():
                return path
    is_frame = re.search(r"\.\w+#\d+$", name) is not None  # as edgepose synth names those of its videos
    raise UsageError(
        f"{annotations}: the picture {name} is neither in {folder} nor in {folder / 'images'}",
        hint="these are labels of a video's frames: take those of pictures"
        if is_frame
        else "put the pictures beside the annotations",
    )


def _listed(source: Path) -> list[CalibrationPicture]:
    try:
        lines = source.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(f"{source} is not a text file", hint=_FORMS) from error
    paths = [source.parent / line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not paths:
        raise UsageError(f"{source} lists no pictures", hint=_FORMS)
    missing = [path for path in paths if not path.is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UsageError(f"{source}: {missing[0]} is no file{more}", hint="one picture a line")
    return [CalibrationPicture(path, None) for path in dict.fromkeys(paths)]
