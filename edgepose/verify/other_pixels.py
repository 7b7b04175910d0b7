"""Labels in other pixels than the pictures': nothing else in a run tells them from a network that fails."""

from __future__ import annotations

from edgepose import log
from edgepose.person_boxes import OTHER_PIXELS, meets
from edgepose.verify.dataset import Dataset
from edgepose.verify.predictions import Predictions


def warn_of_other_pixels(data: Dataset, found: Predictions) -> None:
    """Warn where persons' boxes do not meet their pictures, as a run over all of the data decoded these."""
    if found.picture_sizes is None:
        return
    sizes = found.picture_sizes.tolist()
    persons = [p for p in data.boxed.tolist() if any(sizes[data.picture_of[p]])]
    outside = [p for p in persons if not meets(data.boxes[p].tolist(), *sizes[data.picture_of[p]])]
    if not outside:
        return
    first = outside[0]
    picture, (width, height) = data.pictures[data.picture_of[first]], sizes[data.picture_of[first]]
    stated = picture.stated_size
    as_stated = f", which the file calls {stated[0]}x{stated[1]}" if stated else ""
    log.warning_once(
        f"{data.path}: the boxes of {len(outside)} of {len(persons)} persons lie outside their pictures, "
        f"such as annotation {data.annotation_ids[first]} on {picture.name} of {width}x{height} pixels"
        f"{as_stated if stated != (width, height) else ''}; {OTHER_PIXELS}"
    )
