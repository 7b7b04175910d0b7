"""Cut the photographs' persons out: python -m training.cutouts --data DIR -o FILE.

GrabCut (Rother, Kolmogorov and Blake, 2004) parts a person from what is behind, from a start along the
labelled limbs. In training the persons then stand before other pictures, and before one another: a network
that sees each of a few thousand persons in one place only learns the places, too.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from training.crop import Floats, Picture
from training.sources import Person, read_photographs

# Limbs with their thickness as a share of the torso's length.
LIMBS = (
    *((5, 7, 0.16), (7, 9, 0.13), (6, 8, 0.16), (8, 10, 0.13), (5, 6, 0.22), (11, 12, 0.26)),
    *((5, 11, 0.3), (6, 12, 0.3), (5, 12, 0.3), (6, 11, 0.3)),
    *((11, 13, 0.24), (13, 15, 0.17), (12, 14, 0.24), (14, 16, 0.17)),
)
ENDS, FACE = (9, 10, 15, 16), [*range(5)]
TORSO = ((5, 11), (6, 12), (5, 6), (11, 12))
# The core of a limb is the person's; what lies within the second factor may be.
CORE, PERHAPS = 0.45, 2.2
MARGIN, LONGEST_PX, TURNS = 0.12, 128, 3
# An outline is kept where it holds this share of the labelled points, and this of the box.
COVERED, FILLED = 0.9, (0.08, 0.85)


def outline(picture: Picture, person: Person) -> Picture | None:
    """Return where the picture (H, W, 3) shows the person, (H, W) 0 to 255; None where that is not clear."""
    x, y, w, h = (float(v) for v in person.box_xywh)
    height, width = picture.shape[:2]
    margin = MARGIN * max(w, h)
    left, top = max(0, int(x - margin)), max(0, int(y - margin))
    right, bottom = min(width, int(x + w + margin) + 1), min(height, int(y + h + margin) + 1)
    if right - left < 16 or bottom - top < 16:
        return None
    scale = min(1.0, LONGEST_PX / max(right - left, bottom - top))
    part = np.asarray(
        cv2.resize(picture[top:bottom, left:right], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA),
        dtype=np.uint8,
    )
    points = person.keypoints.copy()
    points[:, :2] = (points[:, :2] - (left, top)) * scale
    start = _start(part.shape[:2], points)
    if start is None:
        return None
    cv2.setRNGSeed(1)
    cv2.grabCut(part, start, None, np.zeros((1, 65)), np.zeros((1, 65)), TURNS, cv2.GC_INIT_WITH_MASK)
    inside = np.where((start == cv2.GC_FGD) | (start == cv2.GC_PR_FGD), np.uint8(255), np.uint8(0))
    known = points[points[:, 2] > 0, :2]
    at = np.clip(np.rint(known).astype(np.int64), 0, (part.shape[1] - 1, part.shape[0] - 1))
    filled = np.count_nonzero(inside) / (w * h * scale * scale)
    if (inside[at[:, 1], at[:, 0]] != 0).mean() < COVERED or not FILLED[0] <= filled <= FILLED[1]:
        return None
    whole = np.zeros((height, width), dtype=np.uint8)
    whole[top:bottom, left:right] = cv2.resize(
        inside, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR
    )
    return whole


def _start(size_hw: tuple[int, ...], points: Floats) -> Picture | None:
    """Return GrabCut's start; None without the torso, or where nothing would be left as background."""
    known = points[:, 2] > 0
    lengths = [np.linalg.norm(points[a, :2] - points[b, :2]) for a, b in TORSO if known[a] and known[b]]
    if len(lengths) < 2:
        return None
    size_px = max(float(length) for length in lengths)
    start = np.full(size_hw, cv2.GC_PR_BGD, dtype=np.uint8)
    start[[0, -1]] = start[:, [0, -1]] = cv2.GC_BGD
    at = np.rint(points[:, :2]).astype(int)
    for factor, value in ((PERHAPS, cv2.GC_PR_FGD), (CORE, cv2.GC_FGD)):
        for a, b, thickness in LIMBS:
            if known[a] and known[b]:
                line_px = max(1, round(thickness * size_px * factor))
                cv2.line(start, at[a].tolist(), at[b].tolist(), value, line_px)
        for end in ENDS:
            if known[end]:
                cv2.circle(start, at[end].tolist(), max(1, round(0.1 * size_px * factor)), value, -1)
        face = points[FACE][known[FACE], :2]
        if len(face) >= 2:
            centre = np.rint(face.mean(axis=0)).astype(int).tolist()
            cv2.circle(start, centre, max(1, round(0.2 * size_px * factor)), value, -1)
    return start if np.any((start == cv2.GC_BGD) | (start == cv2.GC_PR_BGD)) else None


def elsewhere(
    random: np.random.Generator, picture: Picture, inside: Picture, other: Picture, other_box_xywh: Floats
) -> Picture:
    """Return the picture with another one behind the person; a piece of it beside that box."""
    height, width = picture.shape[:2]
    piece = _beside(random, other, other_box_xywh)
    scale = random.uniform(1.0, 2.0)
    mirror = -1.0 if random.random() < 0.5 else 1.0
    matrix = np.array([[mirror * scale, 0.0, random.uniform(0, width)], [0.0, scale, 0.0]])
    # A small piece goes on as its own mirror image: stretched, it would be stripes.
    behind = cv2.warpAffine(
        piece, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return blended(picture, np.asarray(behind, dtype=np.uint8), inside)


def blended(front: Picture, behind: Picture, inside: Picture) -> Picture:
    """Return the first picture (H, W, 3) where `inside` (H, W) is 255, the second where it is 0."""
    share = inside.astype(np.float32) / np.float32(255)
    return np.asarray(cv2.blendLinear(front, behind, share, 1 - share), dtype=np.uint8)


def _beside(random: np.random.Generator, picture: Picture, box_xywh: Floats) -> Picture:
    """Return a piece of the picture, mostly the largest, above, below, left or right of the box."""
    height, width = picture.shape[:2]
    x1, y1 = (int(np.clip(v, 0, side)) for v, side in zip(box_xywh[:2], (width, height), strict=True))
    x2, y2 = (
        int(np.clip(v, 0, side)) for v, side in zip(box_xywh[:2] + box_xywh[2:], (width, height), strict=True)
    )
    pieces = [picture[:, :x1], picture[:, x2:], picture[:y1], picture[y2:]]
    areas = np.array([piece.shape[0] * piece.shape[1] for piece in pieces], dtype=np.float64)
    if areas.max() < 0.1 * height * width:
        return picture
    return pieces[int(random.choice(4, p=areas**2 / (areas**2).sum()))]


def write(file: Path, outlines: dict[int, Picture]) -> None:
    """Store the outlines by the number of their picture, for read."""
    files = [cv2.imencode(".png", inside)[1] for inside in outlines.values()]
    np.savez(
        file,
        pictures=np.array(list(outlines), dtype=np.int64),
        offsets=np.cumsum([0, *(len(png) for png in files)]),
        png=np.concatenate([*files, np.zeros(0, dtype=np.uint8)]),
    )


def read(*files: Path) -> dict[int, Picture]:
    """Return the outlines that write stored, by the number of their picture.

    Of several files each holds one for every picture of its folder; the pictures are numbered through.
    """
    outlines: dict[int, Picture] = {}
    for file in files:
        with np.load(file) as stored:
            png, numbers, offsets = stored["png"], stored["pictures"].tolist(), stored["offsets"].tolist()
        first = len(outlines)
        for number, (a, b) in zip(numbers, pairwise(offsets), strict=True):
            inside = cv2.imdecode(png[a:b], cv2.IMREAD_GRAYSCALE)
            outlines[first + number] = np.asarray(inside, dtype=np.uint8)
    return outlines


def outlined(persons: list[Person], outlines: dict[int, Picture]) -> list[Person]:
    """Give the photographs' main persons their outlines."""
    return [replace(person, outline=outlines.get(person.picture)) for person in persons]


def main() -> None:
    """Cut out the main person of every photograph and write the outlines."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with images.bin and labels.npz")
    parser.add_argument("-o", "--output", type=Path, required=True, help=".npz")
    options = parser.parse_args()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    photographs = read_photographs(options.data)
    outlines = {}
    for person in photographs.persons:
        inside = outline(photographs.pictures[person.picture], person)
        if inside is not None:
            outlines[person.picture] = inside
    write(options.output, outlines)
    print(f"{len(outlines)} of {len(photographs.persons)} persons")


if __name__ == "__main__":
    main()
