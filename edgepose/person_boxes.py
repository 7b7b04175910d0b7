"""Read the boxes of persons from a file, to stand in for a detector."""

from __future__ import annotations

import filecmp
import json
import sys
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from stat import S_ISDIR
from typing import Any

from edgepose import log
from edgepose.artifact import KeypointSet
from edgepose.categories import (
    AS_MANY,
    OTHERS,
    SAME_NAMES,
    are_numbered,
    is_person,
    of_no_person,
    unlikeness,
)
from edgepose.errors import UsageError
from edgepose.paths import real_path, refuse_lfs_pointer

MAX_PX = 1e9  # beyond every picture, and far from what a 32-bit number cannot hold
Box = tuple[float, float, float, float]
# Why boxes lie outside their pictures.
OTHER_PIXELS = (
    "are the labels of pictures of another size, or of these before they were turned as their EXIF says?"
)

_FORMS = (
    "use COCO annotations, or {picture name or frame number: [[x1, y1, x2, y2], ...]}, "
    "or [[x1, y1, x2, y2], ...] for every frame"
)


class PersonBoxes:
    """The boxes (x1 y1 x2 y2 px) of each frame, found by the frame's name or number, or the same for all."""

    def __init__(self, path: Path, *, by_frame: Mapping[str, Sequence[Box]], for_all: Sequence[Box]) -> None:
        self._path = path
        self._by_frame = by_frame
        self._for_all = for_all
        self._found = 0

    def of(self, name: str, index: int) -> list[Box]:
        """Return the boxes of a frame; none where the file does not name it."""
        if not self._by_frame:
            return list(self._for_all)
        stem = PurePath(name).stem
        # A number is that of a frame: 2.jpg need not be the third picture. 000002 is none.
        is_number = stem.isdecimal() and stem == str(int(stem))
        for key in (name, *([] if is_number else [stem]), str(index)):
            if key in self._by_frame:
                self._found += 1
                return list(self._by_frame[key])
        return []

    def check_used(self) -> None:
        """Raise UsageError when the file named frames, but not one of those asked for."""
        if self._by_frame and not self._found:
            example = next(iter(self._by_frame))
            raise UsageError(
                f"{self._path}: names no frame of this input (it names {example!r}, for example)", hint=_FORMS
            )


def read_person_boxes(
    path: Path, points: KeypointSet | None = None, box_class: str | None = None
) -> PersonBoxes:
    """Read a file of one of the three forms; points and box_class as in read_coco_boxes.

    Errors: UsageError; OSError when it cannot be read.
    """
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file", hint=_FORMS) from None
    except IsADirectoryError:
        raise UsageError(f"{path}: a folder, not a file of boxes", hint=_FORMS) from None
    except (ValueError, RecursionError) as error:
        refuse_lfs_pointer(path)
        raise UsageError(f"{path}: not JSON ({error})", hint=_FORMS) from error
    if isinstance(data, list):
        return PersonBoxes(path, by_frame={}, for_all=_boxes(path, data, "the list"))
    if not isinstance(data, dict):
        raise UsageError(f"{path}: holds {type(data).__name__}, not boxes", hint=_FORMS)
    by_frame = _by_name(
        path,
        _coco(path, data, points, box_class, warn=True) if "annotations" in data else _mapping(path, data),
    )
    if not by_frame:
        raise UsageError(f"{path}: holds no boxes", hint=_FORMS)
    return PersonBoxes(path, by_frame=by_frame, for_all=())


def read_coco_boxes(
    path: Path,
    points: KeypointSet | None = None,
    box_class: str | None = None,
    *,
    pictures_only: bool = False,
) -> dict[str, list[Box]]:
    """Read COCO annotations: the boxes of the persons by file_name, none for a picture without people.

    points: the network's, whose category's boxes are taken; else those of the one called like box_class, what
    the bundle's detector looks for; else of the one called person; else all.
    Results of `edgepose run` are such, too, but for those whose pictures, of the same names, were drawn on
    by that run or an earlier one.
    pictures_only: nobody's boxes are read, as long as it is not known whose count.
    Errors: UsageError; OSError when the file cannot be read.
    """
    try:
        data = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        refuse_lfs_pointer(path)
        raise UsageError(f"{path}: not JSON ({error})", hint=_FORMS) from error
    if not isinstance(data, dict) or "annotations" not in data:
        raise UsageError(f"{path}: not COCO annotations", hint="the lists images and annotations are needed")
    summary = data.get("summary")
    if isinstance(summary, dict) and summary.get("pictures"):
        raise UsageError(
            f"{path}: are results of edgepose run, which drew on the pictures beside them",
            hint="run it again with --no-draw -o FOLDER, the folder of the pictures themselves",
        )
    boxes = _coco(path, {**data, "annotations": []} if pictures_only else data, points, box_class)
    source = pictures_of_run(data)
    # An earlier run may have drawn them.
    if source and any(_is_another(path.parent / name, source / name) for name in boxes):
        raise UsageError(
            f"{path}: are results of edgepose run on {source}, and the pictures beside them are others",
            hint=f"remove {path.name}, and run again with --no-draw -o FOLDER, the pictures' own folder",
        )
    return boxes


def pictures_of_run(data: Mapping[str, Any]) -> Path | None:
    """Return the folder of the pictures that results of `edgepose run` are of; None where it is not there."""
    try:
        source = Path(data["info"]["input_path"])
        mode = source.stat().st_mode
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return source if S_ISDIR(mode) else source.parent


def _is_another(picture: Path, original: Path) -> bool:
    """Tell whether a picture is another than its original; one whose original is gone cannot be told."""
    if not (picture.is_file() and original.is_file()) or real_path(picture) == real_path(original):
        return False
    return not filecmp.cmp(picture, original, shallow=False)


def _mapping(path: Path, data: Mapping[str, Any]) -> dict[str, list[Box]]:
    return {key: _boxes(path, value, repr(key)) for key, value in data.items()}


def _by_name(path: Path, boxes: Mapping[str, list[Box]]) -> dict[str, list[Box]]:
    """Leave out the folders, which frames do not have. Errors: UsageError where that makes two names one."""
    found: dict[str, str] = {}
    for key in boxes:
        other = found.setdefault(PurePath(key).name, key)
        if other != key:
            raise UsageError(
                f"{path}: {other!r} and {key!r} are one frame's name", hint="give a file for each folder"
            )
    return {name: boxes[key] for name, key in found.items()}


def _coco(
    path: Path,
    data: Mapping[str, Any],
    points: KeypointSet | None,
    box_class: str | None,
    *,
    warn: bool = False,
) -> dict[str, list[Box]]:
    """Return the boxes of each picture; warn: where none of the file's is a person's."""
    empty = others = 0
    try:
        names = {image["id"]: PurePath(image["file_name"]).as_posix() for image in data["images"]}
        if len(names) < len(data["images"]):
            raise UsageError(f"{path}: a picture's id is there twice", hint="ids must be unique")
        categories = data.get("categories", ())
        persons = _persons(categories, points, box_class)
        guessed = points is not None and _are_guessed(categories, persons, points)
        found: dict[str, list[Box]] = {name: [] for name in names.values()}
        for annotation in data["annotations"]:
            if annotation.get("iscrowd"):
                continue
            if persons and annotation["category_id"] not in persons:
                others += 1
                continue
            x, y, width, height = annotation["bbox"]
            name = names[annotation["image_id"]]
            corners = [x, y, x + width, y + height]
            # COCO's own annotations have persons without an area (train2017); they show nothing.
            if _are_numbers(annotation["bbox"]) and _is_empty(corners):
                empty += 1
                continue
            found[name] += _boxes(path, [corners], name)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UsageError(f"{path}: incomplete COCO annotations ({error!r})", hint=_FORMS) from error
    if len(found) < len(names):
        twice = next(name for name, count in Counter(names.values()).items() if count > 1)
        raise UsageError(f"{path}: two pictures are called {twice}", hint="list every picture once")
    if guessed and (others or any(c.get("keypoints") for c in categories if c["id"] in persons)):
        left_out = f", and {others} of other categories left out" if others else ""
        log.warning_once(
            f"{path}: the boxes of persons are taken{left_out}: none lists the network's keypoints"
        )
    elif warn and others and not any(found.values()):
        log.warning_once(f"{path}: all {others} boxes are of other categories than the persons'")
    if empty:
        log.warning_once(f"{path}: {empty} persons whose boxes have no width or no height are left out")
    return found


def _persons(
    categories: Sequence[Mapping[str, Any]], points: KeypointSet | None, box_class: str | None
) -> set[Any]:
    """Return the ids of the categories whose boxes are persons'; none where all are."""
    persons = {category["id"] for category in categories if is_person(category["name"])}
    called = "person" if box_class is None else box_class.strip().casefold()
    own = {c["id"] for c in categories if str(c["name"]).strip().casefold() == called != "person"}
    persons = own or persons
    if points is None:
        return persons
    likeness = {category["id"]: unlikeness(category, points) for category in categories}
    best = min(likeness.values(), default=OTHERS)
    # As many points of other names may be another being's, where the persons' are not listed.
    bare = any(category["id"] in persons and not category.get("keypoints") for category in categories)
    if best == AS_MANY and bare and not are_numbered(points):
        return persons
    if best == OTHERS or (own and best != SAME_NAMES):
        return persons
    return {identity for identity, unlike in likeness.items() if unlike == best}


def _are_guessed(
    categories: Sequence[Mapping[str, Any]], chosen: Collection[Any], points: KeypointSet
) -> bool:
    """Tell whether the category called person was chosen for points that may be something else's."""
    return (are_numbered(points) or of_no_person(points)) and any(
        is_person(category["name"]) and unlikeness(category, points) == OTHERS
        for category in categories
        if category["id"] in chosen
    )


def _boxes(path: Path, rows: Any, where: str) -> list[Box]:
    if not isinstance(rows, Iterable) or isinstance(rows, (str, dict)):
        raise UsageError(f"{path}: {where} is not a list of boxes", hint=_FORMS)
    boxes: list[Box] = []
    for row in rows:
        if not _are_numbers(row) or len(row) != 4 or row[2] <= row[0] or row[3] <= row[1]:
            raise UsageError(f"{path}: {where} has a wrong box: {json.dumps(row)[:80]}", hint=_FORMS)
        if max(abs(v) for v in row) > MAX_PX:
            raise UsageError(f"{path}: {where} has a box beyond every picture: {row}", hint=_FORMS)
        if not has_area(row):
            raise UsageError(f"{path}: {where} has an empty box: {json.dumps(row)[:80]}", hint=_FORMS)
        boxes.append((float(row[0]), float(row[1]), float(row[2]), float(row[3])))
    return boxes


def _is_empty(box: Sequence[float]) -> bool:
    if box[2] <= box[0] or box[3] <= box[1]:
        return True
    return max(map(abs, box)) <= MAX_PX and not has_area(box)


def has_area(box: Iterable[float]) -> bool:
    """Tell whether a box x1 y1 x2 y2 has a width and a height in 32-bit numbers, as the runtime has them."""
    x1, y1, x2, y2 = array("f", box)
    return x2 > x1 and y2 > y1


def meets(box: Sequence[float], width_px: int, height_px: int) -> bool:
    """Tell whether a box x1 y1 x2 y2 shows anything of a picture."""
    return box[0] < width_px and box[1] < height_px and box[2] > 0 and box[3] > 0


def _are_numbers(row: Any) -> bool:
    return isinstance(row, list) and all(map(is_number, row))


def is_number(value: Any) -> bool:
    """Tell whether a JSON value is a number that a float can hold; true and NaN are none."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max
