"""Ask MoveNet about the labels: python -m training.second_opinion --data DIR --movenet FILE -o FILE FILE.

Its answer, from a person's picture and the mirrored one, counts where both agree and it is sure. Where a
label is near, the place is the mean of both and counts more; where it is far, the label counts less, or the
answer takes its place; where there is none, the answer is the label. Written are the main persons' labels (as
training.second_look does) and the bystanders (as training.bystanders).
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training import bystanders, second_look
from training.bystanders import MIN_LABELS, TOLERANCES
from training.crop import FLIP_ORDER, Floats, Picture
from training.movenet import SIDE_PX, Movenet
from training.sources import Person, read_photographs

# Of the tolerance: how far the two answers may be apart; how far a label may be from them and mean the same.
TWICE, SAME = 0.8, 1.2
SURE, SURER = 0.35, 0.5
# A box is MoveNet's picture less this border.
PADDING = 1.25
# A bystander's answer is the main person's where this share of it lies this near to theirs.
THEIRS, NEAR_THEIRS = 0.3, 0.6


def asked_twice(network: Movenet, picture: Picture, box_xywh: Floats) -> Floats:
    """Return MoveNet's answers (2, 17, 3: x px, y px, score) for a box of a picture, B, G, R."""
    side = float(box_xywh[2:].max()) * PADDING
    corner = box_xywh[:2] + box_xywh[2:] / 2 - side / 2
    factor = SIDE_PX / side
    matrix = np.array([[factor, 0, -factor * corner[0]], [0, factor, -factor * corner[1]]])
    shown = cv2.warpAffine(picture, matrix, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR)[..., ::-1]
    found = np.stack([network(shown), network(shown[:, ::-1])])
    found[1, :, 0] = (SIDE_PX - 1) / SIDE_PX - found[1, :, 0]
    found[1] = found[1, FLIP_ORDER]
    found[..., :2] = corner + found[..., :2] * side
    return np.asarray(found, dtype=np.float32)


def firm(found: Floats, box_xywh: Floats) -> tuple[NDArray[np.bool_], Floats]:
    """Tell which of the answers count, (17), and return their mean (17, 3)."""
    mean: Floats = found.mean(axis=0)
    return (_apart(found[0], found[1], box_xywh) < TWICE) & (mean[:, 2] > SURE), mean


def main_person(
    keypoints: Floats, checked: NDArray[np.bool_], answer: tuple[NDArray[np.bool_], Floats], box_xywh: Floats
) -> Floats:
    """Return other labels (17, 3) of a main person. checked: where a human and a network agreed."""
    sure, mean = answer
    apart = _apart(keypoints, mean, box_xywh)
    labels: Floats = keypoints.copy()
    for k in np.flatnonzero(sure):
        weight = keypoints[k, 2]
        if weight == 0:
            labels[k] = (*mean[k, :2], 0.5)
        elif apart[k] < SAME:
            labels[k, :2] = (2 * keypoints[k, :2] + mean[k, :2]) / 3
            labels[k, 2] = max(weight, 0.75)
        elif checked[k]:
            labels[k, 2] = weight / 2
        elif mean[k, 2] > SURER:
            labels[k] = (*mean[k, :2], 0.4)
        else:
            labels[k, 2] = min(weight, 0.25)
    return labels


def bystander(
    keypoints: Floats | None, answer: tuple[NDArray[np.bool_], Floats], box_xywh: Floats, main: Floats
) -> Floats:
    """Return the labels (17, 3) of a bystander, who may have some; main: the main person's (17, 3)."""
    sure, mean = answer
    same = sure & (main[:, 2] > 0) & (_apart(main, mean, box_xywh) < NEAR_THEIRS)
    labels = np.zeros((17, 3), np.float32) if keypoints is None else keypoints.copy()
    if np.count_nonzero(same) >= max(2, THEIRS * np.count_nonzero(sure)):
        return labels
    corner, size = box_xywh[:2], box_xywh[2:]
    inside = np.all((mean[:, :2] > corner - size / 10) & (mean[:, :2] < corner + 1.1 * size), axis=1)
    apart = _apart(labels, mean, box_xywh)
    for k in np.flatnonzero(sure & inside):
        if labels[k, 2] == 0:
            labels[k] = (*mean[k, :2], 0.5)
        elif apart[k] < SAME:
            labels[k] = (*(labels[k, :2] + mean[k, :2]) / 2, 0.8)
        else:
            labels[k] = (*mean[k, :2], 0.35)
    return labels


def _apart(a: Floats, b: Floats, box_xywh: Floats) -> Floats:
    size_px = np.sqrt(0.5 * float(np.prod(box_xywh[2:])))  # about half of a box is the person
    return np.asarray(np.linalg.norm(a[:, :2] - b[:, :2], axis=1) / (TOLERANCES * size_px), dtype=np.float32)


def main() -> None:
    """Write the labels of the main persons and the bystanders."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with images.bin and labels.npz")
    parser.add_argument("--movenet", type=Path, required=True, help="movenet-thunder.json")
    parser.add_argument("--labels", type=Path, required=True, help="file made by training.second_look")
    parser.add_argument("--bystanders", type=Path, required=True, help="file made by training.bystanders")
    parser.add_argument("-o", "--output", type=Path, required=True, nargs=2, metavar=("LABELS", "BYSTANDERS"))
    options = parser.parse_args()
    for path in options.output:
        path.parent.mkdir(parents=True, exist_ok=True)
    network, photographs = Movenet(options.movenet), read_photographs(options.data)
    with np.load(options.data / "labels.npz") as stored:
        checked = stored["keypoints"][..., 2] > 0
        boxes = np.split(stored["det_boxes_xyxys"], np.cumsum(stored["det_counts"])[:-1])
        main_boxes = stored["boxes_xywh"]
    labels = second_look.read(options.labels)
    known: dict[tuple[int, bytes], Person] = {}
    for person in bystanders.read(options.bystanders):
        known[person.picture, person.box_xywh.astype(np.float32).tobytes()] = person
    for number, keypoints in labels.items():
        picture, box = photographs.pictures[number], main_boxes[number]
        answer = firm(asked_twice(network, picture, box), box)
        labels[number] = main_person(keypoints, checked[number], answer, box)
    nobody, persons = np.zeros((17, 3), np.float32), []
    for number, picture in enumerate(photographs.pictures):
        for box in bystanders.others(boxes[number], main_boxes[number]):
            before = known.get((number, box.astype(np.float32).tobytes()))
            answer = firm(asked_twice(network, picture, box), box)
            own = None if before is None else before.keypoints
            found = bystander(own, answer, box, labels.get(number, nobody))
            if np.count_nonzero(found[:, 2] >= 0.35) >= MIN_LABELS:
                fresh = Person(number, found, box)
                persons.append(fresh if before is None else replace(before, keypoints=found))
    numbers = np.array(list(labels), dtype=np.int64)
    np.savez(options.output[0], pictures=numbers, keypoints=np.array(list(labels.values()), np.float32))
    bystanders.write(options.output[1], persons)
    print(f"{len(labels)} main persons, {len(persons)} bystanders")


if __name__ == "__main__":
    main()
