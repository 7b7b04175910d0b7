"""Labelled pictures in COCO format: read, checked, and with an order of their own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

from edgepose import log
from edgepose.artifact import KeypointSet
from edgepose.categories import is_person, nearest
from edgepose.errors import UsageError
from edgepose.hashing import sha256_bytes, sha256_json
from edgepose.media import list_pictures
from edgepose.paths import refuse_lfs_pointer
from edgepose.person_boxes import MAX_PX, has_area, is_number
from edgepose.verify.label_names import check_names

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# COCO's mean ratio of a person's outline to the box: stands in for a missing "area", as in mmpose.
_AREA_OF_BOX = 0.53
_WHOLEBODY_PARTS = ("foot_kpts", "face_kpts", "lefthand_kpts", "righthand_kpts")
_HINT = "the file must hold COCO keypoint annotations: images, annotations, categories"


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of the data; file is where it lies, name what the annotations call it."""

    id: int
    name: str
    file: Path
    stated_size: tuple[Any, Any] | None = None  # width, height px, as the annotations have them


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """M labelled persons on pictures, both in order of their ids.

    keypoints (M, K, 3): x px, y px, v (0: not labelled). boxes (M, 4): x1 y1 x2 y2 px. picture_of (M,): index
    into pictures. Crowd regions are kept for AP (they excuse detections) and are no persons otherwise.
    """

    path: Path
    digest: str
    pictures: tuple[Picture, ...]
    annotation_ids: NDArray[np.int64]
    picture_of: NDArray[np.int64]
    boxes: Floats
    areas: Floats
    keypoints: Floats
    crowd: NDArray[np.bool_]

    @property
    def labelled(self) -> NDArray[np.int64]:
        """The indices of the persons with at least one labelled keypoint, crowds left out."""
        import numpy as np

        return np.flatnonzero(~self.crowd & (self.keypoints[..., 2] > 0).any(axis=1))

    @property
    def boxed(self) -> NDArray[np.int64]:
        """The indices of the persons to run on where boxes are labelled ones: labelled ones, else all."""
        import numpy as np

        found = self.labelled
        return found if len(found) else np.flatnonzero(~self.crowd)


def read_dataset(
    path: Path, image_dir: Path, points: KeypointSet, *, max_pictures: int | None = None
) -> Dataset:
    """Read annotations whose keypoints are those of `points`; several categories of such count as one.

    Errors: UsageError, naming the first of what is wrong: no JSON, ids twice, annotations of no picture,
    pictures that are absent, other keypoints than the network's, no persons.
    """
    import numpy as np

    document, digest = _read(path)
    categories = _person_categories(path, document, points)
    if len(categories) > 1:  # a baseline of some of them is one of other data
        digest = sha256_json({"file": digest, "categories": categories})
    pictures = _pictures(path, document, image_dir)
    some_only = max_pictures is not None and len(pictures) > max_pictures
    pictures = pictures[:max_pictures]
    known = {int(image["id"]) for image in document["images"]}
    index_of = {picture.id: index for index, picture in enumerate(pictures)}
    kinds = {type(category) for category in categories}
    chosen: list[Mapping[str, Any]] = []
    for item in _annotations(path, document):
        # A list or an object is no picture either, and cannot be looked up.
        if isinstance(item["image_id"], (list, dict)) or item["image_id"] not in known:
            raise UsageError(
                f"{path}: annotation {item['id']} is of picture {item['image_id']!r}, which is not listed",
                hint="list the picture under images, or drop the annotation",
            )
        own = item.get("category_id", categories[0])
        if type(own) not in kinds:  # it would equal none, and the person be left out unseen
            raise UsageError(
                f"{path}: annotation {item['id']} has the category_id {json.dumps(own)[:40]}",
                hint=f"the categories' ids are such as {json.dumps(categories[0])}",
            )
        if own in categories and item["image_id"] in index_of:
            chosen.append(item)
    chosen = _without_empty(path, chosen, points.keypoints)
    if not chosen:
        raise _no_persons(path, categories, document, max_pictures if some_only else None)
    chosen.sort(key=lambda item: (index_of[item["image_id"]], item["id"]))
    boxes = np.array([_box(path, item) for item in chosen])
    return Dataset(
        path=path,
        digest=digest,
        pictures=tuple(pictures),
        annotation_ids=np.array([item["id"] for item in chosen], np.int64),
        picture_of=np.array([index_of[item["image_id"]] for item in chosen], np.int64),
        boxes=boxes,
        areas=np.array([_area(path, item) for item in chosen]),
        keypoints=np.array([_keypoints(path, item, points.keypoints) for item in chosen]),
        crowd=np.array([bool(item.get("iscrowd", 0)) for item in chosen]),
    )


def _no_persons(
    path: Path, categories: Sequence[Any], document: Mapping[str, Any], max_pictures: int | None
) -> UsageError:
    if document["annotations"] and all(
        item.get("category_id", categories[0]) not in categories for item in document["annotations"]
    ):
        some = ", ".join(repr(category) for category in categories[:3]) + ", ..." * (len(categories) > 3)
        return UsageError(
            f"{path}: none of its {len(document['annotations'])} annotations is of the "
            f"{'categories' if categories[1:] else 'category'} {some}",
            hint="the categories that list the network's keypoints count, else the one called person",
        )
    if max_pictures is not None:
        return UsageError(
            f"{path}: its first {max_pictures} pictures, by id, show no persons", hint="raise --max-images"
        )
    return UsageError(f"{path}: holds no persons", hint=_HINT)


def _read(path: Path) -> tuple[dict[str, Any], str]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file", hint=_HINT) from None
    except IsADirectoryError:
        raise UsageError(
            f"{path} is a folder", hint="--data takes the annotation file, --images the folder"
        ) from None
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        refuse_lfs_pointer(path)
        raise UsageError(f"{path}: not JSON ({error})", hint=_HINT) from error
    if not isinstance(document, dict) or not all(
        isinstance(document.get(name), list) for name in ("images", "annotations")
    ):
        raise UsageError(f"{path}: lacks the lists images and annotations", hint=_HINT)
    return document, sha256_bytes(data)


def _person_categories(path: Path, document: Mapping[str, Any], points: KeypointSet) -> list[Any]:
    """Return the ids of the categories whose keypoints are the network's; complain about others."""
    categories = document.get("categories", [])
    if not isinstance(categories, list) or not all(isinstance(c, dict) and "id" in c for c in categories):
        raise UsageError(f"{path}: categories is not a list of categories with ids", hint=_HINT)
    persons = nearest(categories, points)
    seen: list[Any] = []
    for category in persons:
        if category["keypoints"] not in seen:
            check_names(path, category, points)
            seen.append(category["keypoints"])
    if not persons:
        persons = [c for c in categories if is_person(c.get("name"))]
        if not persons and len(categories) == 1:
            persons = categories
        if not persons and categories:
            some = ", ".join(f"{c['id']} {json.dumps(c.get('name'))[:40]}" for c in categories[:5])
            raise UsageError(
                f"{path}: no category is called person: {some}" + ", ..." * (len(categories) > 5),
                hint="call the persons' category so, or list the network's keypoints in it",
            )
    return [category["id"] for category in persons] or [1]


def _pictures(path: Path, document: Mapping[str, Any], image_dir: Path) -> list[Picture]:
    pictures = []
    for image in document["images"]:
        if (
            not isinstance(image, dict)
            or not isinstance(image.get("file_name"), str)
            or image.get("id") is None
        ):
            raise UsageError(
                f"{path}: a picture lacks its id or file_name: {json.dumps(image)[:80]}", hint=_HINT
            )
        name = image["file_name"]
        _require_id(path, f"the picture {name}", image["id"])
        size = (image.get("width"), image.get("height"))
        stated = size if all(map(is_number, size)) else None
        pictures.append(Picture(image["id"], name, _locate(image_dir, name), stated))
    _check_ids(path, "picture", [picture.id for picture in pictures])
    if not image_dir.is_dir():
        raise UsageError(f"{image_dir}: no such folder", hint="--images takes the folder of the pictures")
    missing = [picture.name for picture in pictures if not picture.file.is_file()]
    if missing:
        raise UsageError(
            f"{image_dir}: {len(missing)} of {len(pictures)} pictures are missing: {', '.join(missing[:3])}"
            + (", ..." if len(missing) > 3 else ""),
            hint="--images takes the folder that holds every picture of the annotations",
        )
    names: dict[Path, str] = {}
    for picture in pictures:
        other = names.setdefault(picture.file, picture.name)
        if other != picture.name:
            raise UsageError(
                f"{path}: {other} and {picture.name} are one file, {picture.file}",
                hint="keep the sub-folders that the annotations name",
            )
    if len(names) < len(pictures):
        twice = next(name for name, count in Counter(p.name for p in pictures).items() if count > 1)
        raise UsageError(
            f"{path}: the picture {twice} is there twice, under two ids", hint="list every picture once"
        )
    return sorted(pictures, key=lambda picture: picture.id)


def _locate(image_dir: Path, name: str) -> Path:
    """Return where a picture lies: below the folder, or in it where the annotations name a sub-folder."""
    inside = image_dir / Path(name).name
    places = (image_dir / name, inside, image_dir / PureWindowsPath(name).name)
    return next((place for place in places if place.is_file()), inside)


def _annotations(path: Path, document: Mapping[str, Any]) -> list[dict[str, Any]]:
    items = document["annotations"]
    for item in items:
        if not isinstance(item, dict) or "image_id" not in item:
            raise UsageError(f"{path}: an annotation lacks image_id: {json.dumps(item)[:80]}", hint=_HINT)
        if item.get("id") is None:
            raise UsageError(f"{path}: an annotation of picture {item['image_id']} lacks its id", hint=_HINT)
        _require_id(path, f"an annotation of picture {item['image_id']}", item["id"])
        crowd = item.get("iscrowd", 0)
        if not isinstance(crowd, int) or crowd not in (0, 1):
            raise UsageError(
                f"{path}: annotation {item['id']} has the iscrowd {json.dumps(crowd)[:40]}", hint="0 or 1"
            )
    _check_ids(path, "annotation", [item["id"] for item in items])
    return list(items)


def _require_id(path: Path, what: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise UsageError(
            f"{path}: {what} has the id {json.dumps(value)[:40]}; ids are whole numbers", hint=_HINT
        )


def _check_ids(path: Path, what: str, ids: Sequence[int]) -> None:
    large = next((identity for identity in ids if not -(2**63) <= identity < 2**63), None)
    if large is not None:
        raise UsageError(f"{path}: {what} id {str(large)[:24]} has more than 64 bits", hint=_HINT)
    twice = [identity for identity, count in Counter(ids).items() if count > 1]
    if twice:
        raise UsageError(
            f"{path}: {what} id {twice[0]} is there twice"
            + (f", and {len(twice) - 1} more" if twice[1:] else ""),
            hint="ids must be unique: AP would count the wrong pairs",
        )


def _without_empty(
    path: Path, items: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> list[Mapping[str, Any]]:
    """Leave out empty boxes of persons without labelled keypoints, as COCO's own annotations have some."""
    kept = []
    for item in items:
        box = _box(path, item)
        if item.get("iscrowd") or has_area(box):
            kept.append(item)
        elif any(v > 0 for _, _, v in _keypoints(path, item, names)):
            raise UsageError(
                f"{path}: annotation {item['id']} has an empty box {item['bbox']}",
                hint="drop it, or give its box",
            )
    if len(kept) < len(items):
        log.warning_once(
            f"{path}: {len(items) - len(kept)} persons whose boxes have no width or no height, and who have "
            "no labelled keypoint, are left out"
        )
    return kept


def _box(path: Path, item: Mapping[str, Any]) -> list[float]:
    box = item.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(is_number(value) for value in box):
        raise UsageError(f"{path}: annotation {item['id']} has no bbox of four numbers", hint=_HINT)
    x, y, width, height = box
    if not all(abs(v) <= MAX_PX for v in (x, y, x + width, y + height)):
        raise UsageError(f"{path}: annotation {item['id']} has a box beyond every picture: {box}", hint=_HINT)
    return [x, y, x + width, y + height]


def _area(path: Path, item: Mapping[str, Any]) -> float:
    area = item.get("area")
    if area is None or area == 0:  # tools that know none write 0, which nothing could match
        return float(item["bbox"][2] * item["bbox"][3] * _AREA_OF_BOX)
    if not is_number(area) or area < 0:
        raise UsageError(f"{path}: annotation {item['id']} has the area {area!r}", hint=_HINT)
    return float(area)


def _keypoints(path: Path, item: Mapping[str, Any], names: Sequence[str]) -> list[list[float]]:
    count = len(names)
    values = item.get("keypoints")
    if values is None or values == []:
        return [[0.0, 0.0, 0.0]] * count
    if isinstance(values, list) and count == 133 and len(values) == 51:
        parts = (item.get(part) for part in _WHOLEBODY_PARTS)
        values = [*values, *(v for part in parts if isinstance(part, list) for v in part)]
    if not isinstance(values, list) or len(values) != 3 * count:
        found = f"{len(values)} values" if isinstance(values, list) else type(values).__name__
        raise UsageError(
            f"{path}: annotation {item['id']} has keypoints of {found}, not {count} times x, y, v",
            hint="give data that is labelled with the network's own keypoints",
        )
    wrong = next((place for place, value in enumerate(values) if not is_number(value)), None)
    if wrong is not None:
        raise UsageError(
            f"{path}: annotation {item['id']} has {json.dumps(values[wrong])[:40]} as the "
            f"{'xyv'[wrong % 3]} of {names[wrong // 3]}, which is no number",
            hint="x and y are pixels, v is 0, 1 or 2; a keypoint that is not labelled is 0, 0, 0",
        )
    points = [[float(v) for v in values[n : n + 3]] for n in range(0, len(values), 3)]
    if not all(abs(v) <= MAX_PX for point in points for v in point):
        raise UsageError(
            f"{path}: annotation {item['id']} has a keypoint beyond every picture",
            hint="drop it, or correct it",
        )
    return points


def picture_folder(folder: Path, points: KeypointSet, *, max_pictures: int | None = None) -> Dataset:
    """Make data without labels of every picture in a folder. Errors: UsageError."""
    import numpy as np

    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder", hint="--images takes the folder of the pictures")
    files = list_pictures(folder, advice="among pictures videos are not read")[:max_pictures]
    return Dataset(
        path=folder,
        digest=sha256_bytes(b""),
        pictures=tuple(Picture(number, file.name, file) for number, file in enumerate(files, start=1)),
        annotation_ids=np.zeros(0, np.int64),
        picture_of=np.zeros(0, np.int64),
        boxes=np.zeros((0, 4)),
        areas=np.zeros(0),
        keypoints=np.zeros((0, len(points.keypoints), 3)),
        crowd=np.zeros(0, bool),
    )
