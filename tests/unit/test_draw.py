"""Skeletons, boxes and labels on pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgepose.draw import FACE, LEFT, MIDDLE, RIGHT, draw_box, draw_poses, person_color
from edgepose.errors import UsageError
from edgepose.skeletons import KEYPOINT_SETS, numbered_points

COCO = KEYPOINT_SETS["coco17"]


def canvas(height: int = 240, width: int = 320) -> Any:
    return np.full((height, width, 3), 60, np.uint8)


def person(count: int = 17, *, score: float = 0.9, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    points = rng.uniform((60, 50), (260, 190), (1, count, 2))
    return np.concatenate([points, np.full((1, count, 1), score)], axis=2).astype(np.float32)


def has_color(image: Any, color: tuple[int, int, int], x: float, y: float, reach: int = 1) -> bool:
    column, row = round(x), round(y)
    patch = (
        image[row - reach : row + reach + 1, column - reach : column + reach + 1].reshape(-1, 3).astype(int)
    )
    return bool((np.abs(patch - color).max(axis=1) < 20).any())


@pytest.mark.parametrize("points", [*KEYPOINT_SETS.values(), numbered_points(5)], ids=lambda p: p.name)
def test_every_known_set_is_drawn_where_its_points_are(points: Any) -> None:
    keypoints = person(len(points.keypoints))
    image = canvas()
    drawn = draw_poses(image, keypoints, points, keypoint_threshold=0.3)
    assert drawn.shape == image.shape and drawn.dtype == np.uint8
    assert (image == 60).all(), "the input must stay as it is"
    for x, y, _ in keypoints[0]:
        assert (drawn[round(y), round(x)] != 60).any()


def test_sides_have_their_colours() -> None:
    keypoints = np.zeros((1, 17, 3), np.float32)
    keypoints[0, 5] = (100, 100, 1)  # left shoulder
    keypoints[0, 6] = (200, 100, 1)  # right shoulder
    keypoints[0, 7] = (100, 180, 1)  # left elbow
    drawn = draw_poses(canvas(), keypoints, COCO, keypoint_threshold=0.5)
    assert has_color(drawn, LEFT, 100, 100) and has_color(drawn, RIGHT, 200, 100)
    assert has_color(drawn, LEFT, 100, 140) and has_color(drawn, MIDDLE, 150, 100)


def test_points_below_the_threshold_and_their_limbs_are_not_drawn() -> None:
    keypoints = np.zeros((1, 17, 3), np.float32)
    keypoints[0, 5] = (100, 100, 0.9)
    keypoints[0, 7] = (100, 180, 0.29)
    drawn = draw_poses(canvas(), keypoints, COCO, keypoint_threshold=0.3)
    assert (drawn[100, 100] != 60).any()
    assert (drawn[120:190, 90:110] == 60).all()
    hidden = draw_poses(canvas(), person(score=0.1), COCO, keypoint_threshold=0.3)
    assert (hidden == 60).all()


def test_a_missing_point_is_not_drawn_at_any_threshold() -> None:
    missing = person(score=0.0)
    assert (draw_poses(canvas(), missing, COCO, keypoint_threshold=0.0) == 60).all()
    assert (draw_poses(canvas(), person(score=0.01), COCO, keypoint_threshold=0.0) != 60).any()


def test_who_has_no_id_has_a_colour_of_their_own() -> None:
    keypoints = np.concatenate([person(seed=n) for n in range(3)])
    for ids in ([1, -1, -1], [-1, 1, 2], [0, 2, -1]):
        drawn = draw_poses(
            canvas(), keypoints, COCO, keypoint_threshold=0.3, color_by="person", track_ids=ids
        )
        shown = {tuple(color) for color in drawn.reshape(-1, 3).tolist()}
        expected = {person_color(i) for i in ids if i >= 0}
        assert expected <= shown
        others = [person_color(-1 - number) for number, i in enumerate(ids) if i < 0]
        assert set(others) <= shown and len(expected | set(others)) == 3


def test_persons_are_told_apart_by_colour() -> None:
    keypoints = np.concatenate([person(seed=1), person(seed=2)])
    drawn = draw_poses(canvas(), keypoints, COCO, keypoint_threshold=0.3, color_by="person", track_ids=[4, 9])
    assert has_color(drawn, person_color(9), *keypoints[1, 0, :2])
    assert len({person_color(n) for n in range(50)}) == 50


def test_lines_get_thicker_with_the_person() -> None:
    keypoints = np.zeros((1, 17, 3), np.float32)
    keypoints[0, 5], keypoints[0, 7] = (500, 100, 1), (500, 700, 1)
    widths = []
    for side in (60.0, 400.0, 900.0):
        boxes = np.array([[0, 0, side, side, 1]], np.float32)
        drawn = draw_poses(canvas(800, 1000), keypoints, COCO, keypoint_threshold=0.3, boxes=boxes)
        widths.append(int((drawn[400, 480:520] != 60).any(axis=1).sum()))
    assert widths == sorted(widths) and widths[0] < widths[1] < widths[2]


def test_faces_and_hands_of_a_whole_body_are_thin() -> None:
    points = KEYPOINT_SETS["wholebody133"]
    keypoints = np.zeros((1, 133, 3), np.float32)
    keypoints[0, 0] = (300, 100, 1)  # nose
    keypoints[0, 40] = (600, 100, 1)  # a point of the face
    boxes = np.array([[0, 0, 800, 800, 1]], np.float32)
    drawn = draw_poses(canvas(800, 1000), keypoints, points, keypoint_threshold=0.3, boxes=boxes)
    body = int((drawn[80:120, 280:320] != 60).any(axis=2).sum())
    face = int((drawn[80:120, 580:620] != 60).any(axis=2).sum())
    assert 0 < face < body / 4
    assert has_color(drawn, FACE, 600, 100)


def test_boxes_and_labels_are_drawn() -> None:
    boxes = np.array([[50, 60, 250, 200, 0.87]], np.float32)
    drawn = draw_poses(canvas(), np.zeros((1, 17, 3), np.float32), COCO, keypoint_threshold=0.3, boxes=boxes)
    color = person_color(0)
    assert has_color(drawn, color, 150, 200) and has_color(drawn, color, 50, 150)
    assert (drawn[45:59, 52:60] != 60).any(), "the label stands above the box"
    boxes[0, 1] = -60
    drawn = draw_poses(canvas(), np.zeros((1, 17, 3), np.float32), COCO, keypoint_threshold=0.3, boxes=boxes)
    assert (drawn[2:12, 52:60] != 60).any(), "or in it, where that begins above the picture"


def test_what_lies_outside_or_is_not_finite_is_survived() -> None:
    keypoints = person()
    keypoints[0, 0] = (np.nan, 5, 0.9)
    keypoints[0, 1] = (np.inf, -np.inf, 0.9)
    keypoints[0, 2] = (1e30, 0, 0.9)
    keypoints[0, 3] = (-5000, 9000, 0.9)
    for box in ([np.nan, 0, 1, 1, 1], [-1e30, 0, 1e30, 5, 1], [-500, -500, 5000, 5000, 1], [5, 5, 5, 5, 0]):
        boxes = np.array([box], np.float32)
        assert draw_poses(canvas(), keypoints, COCO, keypoint_threshold=0.3, boxes=boxes).shape == (
            240,
            320,
            3,
        )
    image = canvas(20, 20)
    draw_box(
        image, np.array([0, 0, 19, 19, 1], np.float32), color=LEFT, label="a label wider than the picture"
    )


def test_no_person_leaves_the_picture_as_it_is() -> None:
    assert (draw_poses(canvas(), np.zeros((0, 17, 3), np.float32), COCO, keypoint_threshold=0.3) == 60).all()


def test_another_number_of_points_is_refused() -> None:
    with pytest.raises(UsageError, match="21 keypoints were given, but 'coco17' has 17"):
        draw_poses(canvas(), person(21), COCO, keypoint_threshold=0.3)
