"""Look again at doubtful labels: python -m training.second_look --data DIR --network FILE -o FILE.

A tenth of the main persons' labels come from one network alone, because the human's differ or are missing,
and are often wrong where people are upside down or limbs cross. A trained network looks at each such person
several times: where its views agree, its answer is the label; where they do not, a label far from them counts
no more.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.bystanders import LABEL_WEIGHT, agreed, answers, asked, distances, views_of
from training.crop import Floats
from training.sources import Person, read_photographs

# A label is far from the views' median at more than this share of COCO's tolerance.
FAR = 1.5


def looked_at(found: Floats, keypoints: Floats, doubtful: NDArray[np.bool_], box_xywh: Floats) -> Floats:
    """Return the keypoints (17, 3: x px, y px, weight) with other doubtful (17) ones.

    found: a network's answers (views, 17, 3: x px, y px, score).
    """
    labels = agreed(found, box_xywh)
    median = np.median(found, axis=0)
    far = distances(keypoints[None], median, box_xywh)[0] > FAR
    changed: Floats = keypoints.copy()
    # Far from its label a faint answer, or none, is the better one, too.
    better = doubtful & (far | (labels[:, 2] == LABEL_WEIGHT))
    changed[better] = labels[better]
    return changed


def read(file: Path) -> dict[int, Floats]:
    """Return the keypoints (17, 3) that main stored, by the number of their picture."""
    with np.load(file) as stored:
        return dict(zip(stored["pictures"].tolist(), stored["keypoints"], strict=True))


def relabelled(persons: list[Person], keypoints: dict[int, Floats]) -> list[Person]:
    """Give the photographs' main persons their keypoints."""
    return [replace(person, keypoints=keypoints[person.picture]) for person in persons]


def main() -> None:
    """Look again at every photograph's main person and write all keypoints."""
    options, network = asked(main.__doc__)
    photographs, random = read_photographs(options.data), np.random.default_rng(1)
    with np.load(options.data / "labels.npz") as labels:
        doubtful = labels["keypoints"][..., 2] == 0
    before, after = [], []
    for person in photographs.persons:
        views = views_of(random, person.box_xywh)
        found = answers(network, photographs.pictures[person.picture], views)
        before.append(person.keypoints)
        after.append(looked_at(found, person.keypoints, doubtful[person.picture], person.box_xywh))
    numbers = np.array([person.picture for person in photographs.persons], dtype=np.int64)
    np.savez(options.output, pictures=numbers, keypoints=np.array(after, dtype=np.float32))
    old, new = np.array(before), np.array(after)
    had, has = old[..., 2] > 0, new[..., 2] > 0
    moved = had & has & (old[..., :2] != new[..., :2]).any(axis=-1)
    print(
        f"{len(after)} persons; of {np.count_nonzero(had)} labels {np.count_nonzero(moved)} moved and "
        f"{np.count_nonzero(had & ~has)} dropped, {np.count_nonzero(has & ~had)} new"
    )


if __name__ == "__main__":
    main()
