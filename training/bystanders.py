"""Label the other people in the photographs: python -m training.bystanders --data DIR --network FILE -o FILE.

Only the main person of a photograph has labels. The others stand, sit, watch, are cut off and hidden, as
people mostly are; a trained network's own answers, where its views of the same person agree, label them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from edgepose.models.loading import load_model
from edgepose.skeletons import KEYPOINT_SETS
from training import crop
from training.crop import Floats, Picture, View
from training.detector_recall import overlaps
from training.loop import normalise
from training.simcc import MEAN, SPLIT_RATIO, STD
from training.sources import Person, Source, read_photographs

MIN_SIDE_PX, MIN_SCORE = 36.0, 0.4
# A box is the main person's where it overlaps theirs this much, or lies in it by this share.
SAME_IOU, WITHIN = 0.45, 0.75
VIEWS = 12
# A keypoint has a label where the network is this sure of it, and the views differ by less than this share of
# COCO's tolerance for it: a firm one, or one at less weight where they differ more.
SURE, AGREED, NEARLY_AGREED = 0.35, 0.6, 1.2
MIN_LABELS, LABEL_WEIGHT, FAINT_WEIGHT = 3, 0.5, 0.25
# The deviation of each keypoint at a person's size of 1, as OKS has it.
TOLERANCES = 2 * np.array(KEYPOINT_SETS["coco17"].sigmas)


def others(boxes_xyxys: Floats, main_xywh: Floats) -> list[Floats]:
    """Return the boxes (x, y, w, h px) of all but the main person, of (N, 5: x1 y1 x2 y2 px, score)."""
    main = np.concatenate((main_xywh[:2], main_xywh[:2] + main_xywh[2:]))[None]
    found: list[Floats] = []
    for *corners, score in sorted(boxes_xyxys.tolist(), key=lambda box: -float(box[4])):
        box = np.array([corners], dtype=np.float32)
        if score < MIN_SCORE or (box[0, 2:] - box[0, :2]).max() < MIN_SIDE_PX:
            continue
        # What of the box lies in the main person's, as a box: its overlap with the whole is the share.
        inner = np.clip(box, np.tile(main[:, :2], 2), np.tile(main[:, 2:], 2))
        is_main = overlaps(box, main).item() > SAME_IOU or overlaps(inner, box).item() > WITHIN
        if not is_main and all(overlaps(box, other).item() <= 0.5 for other in found):
            found.append(box)
    return [np.concatenate((box[0, :2], box[0, 2:] - box[0, :2])) for box in found]


def views_of(random: np.random.Generator, box_xywh: Floats) -> list[View]:
    """Draw views of a person: the runtime's, then others, shifted, scaled, turned; half are mirrored."""
    base = crop.view_of_box(box_xywh)
    views = [base]
    while len(views) < VIEWS:
        shift = random.normal(0, 0.04, 2) * base.height_px
        views.append(
            View(
                centre=(base.centre[0] + float(shift[0]), base.centre[1] + float(shift[1])),
                height_px=base.height_px * float(np.exp(random.normal(0, 0.1))),
                turn_degrees=float(random.normal(0, 8)),
                mirrored=len(views) % 2 == 1,
            )
        )
    return views


def answers(network: nn.Module, picture: Picture, views: list[View]) -> Floats:
    """Return the network's keypoints in picture pixels and scores, (views, 17, 3)."""
    pixels = np.stack([crop.cut(picture, view) for view in views])[..., ::-1].copy()
    with torch.no_grad():
        x, y = network(normalise(torch.from_numpy(pixels), MEAN, STD))
    (best_x, at_x), (best_y, at_y) = x.max(dim=2), y.max(dim=2)
    found = torch.stack(
        (at_x / SPLIT_RATIO, at_y / SPLIT_RATIO, torch.minimum(best_x, best_y)), dim=2
    ).numpy()
    for number, view in enumerate(views):
        back = cv2.invertAffineTransform(crop.matrix_of(view))
        found[number, :, :2] = found[number, :, :2] @ back[:, :2].T + back[:, 2]
        if view.mirrored:
            found[number] = found[number, crop.FLIP_ORDER]
    return np.asarray(found, dtype=np.float32)


def distances(found: Floats, keypoints: Floats, box_xywh: Floats) -> Floats:
    """Return how far answers (views, 17, 3) are from keypoints (17, 3), (views, 17), in COCO's tolerances."""
    size_px = np.sqrt(0.5 * float(np.prod(box_xywh[2:])))  # about half of a box is the person
    offsets = np.linalg.norm(found[..., :2] - keypoints[:, :2], axis=2)
    return np.asarray(offsets / (TOLERANCES * size_px), dtype=np.float32)


def agreed(found: Floats, box_xywh: Floats) -> Floats:
    """Return the median of the views' answers, (17, 3: x px, y px, weight); no weight where they differ."""
    labels = np.median(found, axis=0)
    spread = np.quantile(distances(found, labels, box_xywh), 0.8, axis=0)
    weights = np.select([spread < AGREED, spread < NEARLY_AGREED], [LABEL_WEIGHT, FAINT_WEIGHT], 0.0)
    labels[:, 2] = np.where(labels[:, 2] > SURE, weights, 0.0)
    return np.asarray(labels, dtype=np.float32)


def label(photographs: Source, folder: Path, network: nn.Module) -> Iterator[Person]:
    """Give the bystanders that get at least MIN_LABELS firm labels; `folder` holds labels.npz."""
    random = np.random.default_rng(1)
    with np.load(folder / "labels.npz") as labels:
        boxes = np.split(labels["det_boxes_xyxys"], np.cumsum(labels["det_counts"])[:-1])
        main = labels["boxes_xywh"]
    for number, picture in enumerate(photographs.pictures):
        for box in others(boxes[number], main[number]):
            keypoints = agreed(answers(network, picture, views_of(random, box)), box)
            if np.count_nonzero(keypoints[:, 2] == LABEL_WEIGHT) >= MIN_LABELS:
                yield Person(number, keypoints, box)


def write(file: Path, persons: list[Person]) -> None:
    """Store persons for read."""
    np.savez(
        file,
        pictures=np.array([person.picture for person in persons], dtype=np.int64),
        keypoints=np.array([person.keypoints for person in persons], dtype=np.float32).reshape(-1, 17, 3),
        boxes_xywh=np.array([person.box_xywh for person in persons], dtype=np.float32).reshape(-1, 4),
    )


def read(file: Path) -> list[Person]:
    """Return the persons that main stored."""
    with np.load(file) as stored:
        columns = zip(stored["pictures"].tolist(), stored["keypoints"], stored["boxes_xywh"], strict=True)
        return [Person(picture, keypoints, box) for picture, keypoints, box in columns]


def asked(description: str | None) -> tuple[argparse.Namespace, nn.Module]:
    """Return a script's options (data, output) and the trained network that --network names."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, required=True, help="folder with images.bin and labels.npz")
    parser.add_argument("--network", type=Path, required=True, help="checkpoint of a trained RTMPose")
    parser.add_argument("-o", "--output", type=Path, required=True, help=".npz")
    options = parser.parse_args()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    return options, load_model(options.network).network.eval()


def main() -> None:
    """Label the bystanders and write them."""
    options, network = asked(main.__doc__)
    persons = list(label(read_photographs(options.data), options.data, network))
    write(options.output, persons)
    labels = sum(np.count_nonzero(person.keypoints[:, 2]) for person in persons)
    print(f"{len(persons)} bystanders, {labels} labels")


if __name__ == "__main__":
    main()
