"""Bystanders of the training photographs: who is one, and which answers label them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

BOX = np.array([60, 40, 60, 150], dtype=np.float32)
LEFT, RIGHT = (108.0, 80.0), (74.0, 86.0)  # where the shoulders are seen, in the picture


class Shoulders(torch.nn.Module):
    """Stands for a network: of two bright spots the one further right is the left shoulder."""

    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = torch.zeros(len(inputs), 17, 384), torch.zeros(len(inputs), 17, 512)
        for number, grey in enumerate(inputs.mean(dim=1).numpy()):
            _, _, stats, centres = cv2.connectedComponentsWithStats((grey > 0).astype(np.uint8))
            largest = np.argsort(-stats[1:, cv2.CC_STAT_AREA])[:2] + 1
            right, left = sorted(centres[largest].tolist())
            for keypoint, (column, row) in ((5, left), (6, right)):
                x[number, keypoint, round(2 * column)] = y[number, keypoint, round(2 * row)] = 0.9
        return x, y


def test_the_answers_of_all_views_are_of_the_picture(training: Any) -> None:
    bystanders = training("bystanders")
    picture = np.zeros((240, 200, 3), dtype=np.uint8)
    for x, y in (LEFT, RIGHT):
        cv2.circle(picture, (round(x), round(y)), 4, (255, 255, 255), -1)
    views = bystanders.views_of(np.random.default_rng(2), BOX)
    assert {view.mirrored for view in views} == {True, False} and len(views) == bystanders.VIEWS
    found = bystanders.answers(Shoulders(), picture, views)
    np.testing.assert_allclose(found[:, 5, :2], [LEFT] * len(views), atol=1.0)
    np.testing.assert_allclose(found[:, 6, :2], [RIGHT] * len(views), atol=1.0)
    labels = bystanders.agreed(found, BOX)
    assert labels[5, :2] == pytest.approx(LEFT, abs=0.5)
    assert np.flatnonzero(labels[:, 2]).tolist() == [5, 6]  # the others had no score


def test_views_that_differ_label_little_or_nothing(training: Any) -> None:
    bystanders = training("bystanders")
    random = np.random.default_rng(0)
    found = np.full((bystanders.VIEWS, 17, 3), 0.8, dtype=np.float32)
    found[..., :2] = 100 + random.normal(0, 0.5, (bystanders.VIEWS, 17, 2))
    found[:4, 9, :2] += 40.0  # a third of the views saw another place
    found[0, 10, :2] += 40.0  # one of them did
    found[:4, 13, 0] += 10.5  # a third saw a place near by
    found[:, 16, 2] = 0.2
    weights = bystanders.agreed(found, BOX)[:, 2]
    assert weights[9] == weights[16] == 0.0
    assert weights[13] == bystanders.FAINT_WEIGHT
    assert np.count_nonzero(weights == bystanders.LABEL_WEIGHT) == 14


def test_the_main_person_small_and_doubtful_boxes_are_no_bystanders(training: Any) -> None:
    others = training("bystanders").others
    kept = [150, 10, 190, 110, 0.8]
    boxes = [
        [62, 45, 118, 185, 0.9],  # the main person
        [80, 50, 110, 105, 0.7],  # a part of them
        kept,
        [152, 12, 192, 112, 0.6],  # the same one again
        [10, 10, 30, 40, 0.9],  # small
        [200, 10, 240, 110, 0.3],  # doubtful
    ]
    found = others(np.array(boxes, dtype=np.float32), BOX)
    np.testing.assert_array_equal(found, [[150, 10, 40, 100]])
    assert others(np.zeros((0, 5), dtype=np.float32), BOX) == []


def test_what_is_written_is_read(training: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bystanders, sources = training("bystanders"), training("sources")
    picture = np.zeros((240, 200, 3), dtype=np.uint8)
    for x, y in (LEFT, RIGHT):
        cv2.circle(picture, (round(x), round(y)), 4, (255, 255, 255), -1)
    np.savez(
        tmp_path / "labels.npz",
        boxes_xywh=np.array([[0, 0, 20, 20], [0, 0, 20, 20]], dtype=np.float32),
        det_counts=np.array([0, 2]),
        det_boxes_xyxys=np.array([[60, 40, 120, 190, 0.9], [0, 0, 20, 20, 0.9]], dtype=np.float32),
    )
    monkeypatch.setattr(bystanders, "MIN_LABELS", 2)
    photographs = sources.Source([picture, picture], [])
    persons = list(bystanders.label(photographs, tmp_path, Shoulders()))
    (person,) = persons
    assert person.picture == 1 and np.array_equal(person.box_xywh, BOX)
    bystanders.write(tmp_path / "bystanders.npz", persons)
    (again,) = bystanders.read(tmp_path / "bystanders.npz")
    np.testing.assert_array_equal(again.keypoints, person.keypoints)
    assert again.picture == 1 and np.array_equal(again.box_xywh, BOX)
    monkeypatch.setattr(bystanders, "AGREED", 0.0)  # faint labels alone are not enough
    assert not list(bystanders.label(photographs, tmp_path, Shoulders()))
    monkeypatch.undo()
    monkeypatch.setattr(bystanders, "MIN_LABELS", 3)
    assert not list(bystanders.label(photographs, tmp_path, Shoulders()))
