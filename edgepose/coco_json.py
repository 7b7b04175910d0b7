"""Write results as one COCO-format JSON document, person by person."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from edgepose.artifact import KeypointSet
from edgepose.writers import atomic_path

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

PERSON_CATEGORY = 1
_RESCORE_THRESHOLD = 0.2


@contextmanager
def open_results(
    path: Path,
    *,
    info: Mapping[str, Any],
    points: KeypointSet | None,
    classes: Sequence[str] = ("person",),
    rescore: bool = True,
) -> Iterator[CocoResults]:
    """Give a writer of the document; the file gets its name only when it is complete.

    classes: names of the categories 1, 2, ...; the keypoints belong to the first.
    rescore: a person's score is the box score times the mean keypoint score, as for two-stage pipelines;
    otherwise the box score alone.
    """
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace") as file,  # as write_text
    ):
        results = CocoResults(file, info=info, points=points, classes=classes, rescore=rescore)
        yield results
        results.finish()


class CocoResults:
    """Write {"info", "categories", "annotations", "images", "summary"}.

    "annotations" has the members of COCO results: image_id, category_id, keypoints (flat x px, y px, score),
    score, bbox (x, y, width, height; px), and ours: track_id, keypoints_z_m where there are such. Persons are
    written as they come; only the image list stays in memory.
    """

    def __init__(
        self,
        file: TextIO,
        *,
        info: Mapping[str, Any],
        points: KeypointSet | None,
        classes: Sequence[str],
        rescore: bool,
    ) -> None:
        self.persons = 0
        self.summary: dict[str, Any] = {}
        self._file = file
        self._rescore = rescore
        self._images: list[str] = []
        file.write(f'{{"info": {_dump(dict(info))},\n"categories": {_dump(_categories(classes, points))},\n')
        file.write('"annotations": [')

    def finish(self) -> None:
        """Write what stands behind the persons."""
        self._file.write('\n],\n"images": [' + ",".join(f"\n{image}" for image in self._images))
        self._file.write(f'\n],\n"summary": {_dump(self.summary)}}}\n')

    def add_image(self, file_name: str, *, width_px: int, height_px: int, time_ns: int | None = None) -> int:
        """List an image or video frame and return its id, counting from 1."""
        image: dict[str, Any] = {
            "id": len(self._images) + 1,
            "file_name": file_name,
            "width": width_px,
            "height": height_px,
        }
        if time_ns is not None:
            image["time_s"] = round(time_ns / 1e9, 6)
        self._images.append(_dump(image))
        return len(self._images)

    def add_person(
        self,
        image_id: int,
        keypoints: Floats,
        box: Floats,
        *,
        track_id: int = -1,
        z_m: Floats | None = None,
        category_id: int = PERSON_CATEGORY,
    ) -> None:
        """Write one person: keypoints (K, 3) x px, y px, score; box x1 y1 x2 y2 px, score; z in metres."""
        x1, y1, x2, y2, box_score = (float(value) for value in box)
        score = box_score * _keypoint_score(keypoints) if self._rescore and len(keypoints) else box_score
        person: dict[str, Any] = {
            "id": self.persons + 1,
            "image_id": image_id,
            "category_id": category_id,
            "keypoints": [
                number for x, y, s in keypoints.tolist() for number in (round(x, 3), round(y, 3), round(s, 5))
            ],
            "score": round(score, 5),
            "bbox": [round(x1, 3), round(y1, 3), round(x2 - x1, 3), round(y2 - y1, 3)],
        }
        if z_m is not None:
            person["keypoints_z_m"] = [None if math.isnan(z) else round(z, 5) for z in z_m.tolist()]
        if track_id >= 0:
            person["track_id"] = int(track_id)
        self._file.write(("," if self.persons else "") + "\n" + _dump(person))
        self.persons += 1


def _keypoint_score(keypoints: Floats) -> float:
    """Return the mean score of the points above 0.2: the rule of mmpose's CocoMetric, used for AP."""
    seen = keypoints[:, 2][keypoints[:, 2] > _RESCORE_THRESHOLD]
    return float(seen.mean()) if len(seen) else 0.0


def _categories(classes: Sequence[str], points: KeypointSet | None) -> list[dict[str, Any]]:
    categories: list[dict[str, Any]] = [{"id": n, "name": name} for n, name in enumerate(classes, start=1)]
    if points is not None:
        categories[0]["keypoints"] = list(points.keypoints)
        categories[0]["skeleton"] = [[a + 1, b + 1] for a, b in points.skeleton]  # COCO counts from 1
    return categories


def _dump(value: Any) -> str:
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(", ", ": "))
