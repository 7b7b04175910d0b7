"""Which keypoints of a golden picture prove something."""

from __future__ import annotations

import dataclasses

import numpy as np
from toy_pose import TOY_POSE

from edgepose.converters.golden import clear_keypoints, expected
from edgepose.converters.samples import GoldenPicture

BINS = 64


def _row(*peaks: tuple[int, float], width: float = 4.0) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    bins = np.arange(BINS)
    return np.max([height * np.exp(-((bins - at) ** 2) / (2 * width**2)) for at, height in peaks], axis=0)


def _clear(*rows_x: np.ndarray[tuple[int], np.dtype[np.float32]]) -> list[bool]:
    x = np.stack(rows_x)[None].astype(np.float32)
    y = np.stack([_row((30, 1.0))] * len(rows_x))[None].astype(np.float32)
    return list(map(bool, clear_keypoints([x, y])))


def test_a_point_with_one_hill_counts() -> None:
    assert _clear(_row((20, 1.0)), _row((20, 1.0), (50, 0.9))) == [True, True]


def test_a_second_hill_as_high_does_not() -> None:
    assert _clear(_row((20, 1.0)), _row((20, 1.0), (50, 0.98))) == [True, False]


def test_nor_does_a_plateau_within_the_hill() -> None:
    # Bins 20 and 25 differ by a ten-thousandth: half precision takes either one.
    flat = _row((20, 1.0), (25, 0.9999), width=2.0)
    assert _clear(_row((20, 1.0)), flat, _row((20, 1.0), (25, 0.99), width=2.0)) == [True, False, True]


def test_what_just_counts_and_what_just_does_not() -> None:
    """A hill reaches 12 bins to either side, and others must be 3 % lower; beyond 2 bins, 0.2 %."""

    def clear(at: int, height: float) -> bool:
        return _clear(_row((20, 1.0)), _row((20, 1.0), (at, height), width=0.6))[1]

    assert [clear(at, 0.99) for at in (7, 8, 32, 33)] == [False, True, True, False]
    assert [clear(50, height) for height in (0.968, 0.972)] == [True, False]
    assert [clear(at, 0.9999) for at in (17, 18, 22, 23)] == [False, True, True, False]
    assert [clear(24, height) for height in (0.9975, 0.9985)] == [True, False]


def test_where_none_is_decided_the_best_are_kept() -> None:
    level = np.zeros(BINS)
    assert any(_clear(level, level))
    twice = _row((20, 1.0), (50, 0.99))
    assert _clear(twice, _row((20, 1.0), (50, 0.999))) == [True, False]


def test_the_boxes_with_the_most_clear_points_are_taken() -> None:
    """The others prove little: what they give is not compared."""
    one, two = _row((20, 1.0)), _row((20, 1.0), (50, 0.99))
    rows = iter([(one, two), (one, one), (one, two), (one, one), (one, two), (one, one)])
    boxes = tuple((0.0, 0.0, 10.0 + n, 40.0) for n in range(6))

    def run(tensor: object) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
        return [np.stack(next(rows))[None].astype(np.float32), np.stack([one, one])[None].astype(np.float32)]

    found = expected(TOY_POSE, GoldenPicture(np.zeros((40, 40, 3), np.uint8), boxes), run)
    assert found["boxes_xyxy"] == [list(boxes[n]) for n in (1, 3, 5)]
    assert len(found["poses"]) == 3 and all(point[2] > 0 for pose in found["poses"] for point in pose)
    assert "depths" not in found


def test_depths_are_in_metres_and_decide_too() -> None:
    spec = dataclasses.replace(
        TOY_POSE,
        head=dataclasses.replace(TOY_POSE.head, z_range=2.0),
        output_names=("simcc_x", "simcc_y", "simcc_z"),
    )
    one, two = _row((48, 1.0)), _row((48, 1.0), (10, 0.99))

    def run(tensor: object) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
        return [np.stack(rows)[None].astype(np.float32) for rows in ((one, one), (one, one), (one, two))]

    found = expected(spec, GoldenPicture(np.zeros((40, 40, 3), np.uint8), ((0.0, 0.0, 10.0, 40.0),)), run)
    assert found["depths"] == [[1.0, 1.0]]  # bin 48 of 64: half way from the middle to z_range
    assert [point[2] > 0 for point in found["poses"][0]] == [True, False]
