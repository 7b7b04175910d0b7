"""Doubtful labels of the training photographs: which of them another look changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

BOX = np.array([60, 40, 60, 150], dtype=np.float32)
FIRM, FAINT, SURE, UNSURE, ABSENT, HUMAN = 7, 8, 9, 10, 13, 14


def test_only_doubtful_labels_change(training: Any) -> None:
    second_look, bystanders = training("second_look"), training("bystanders")
    keypoints = np.full((17, 3), 0.5, dtype=np.float32)
    keypoints[:, :2] = 100
    keypoints[ABSENT] = (-500, 0, 0)
    found = np.full((bystanders.VIEWS, 17, 3), 0.8, dtype=np.float32)
    found[..., :2] = 100
    found[:, [FIRM, FAINT, ABSENT, HUMAN, UNSURE], 0] = 60  # all views agree on another place
    found[:4, FAINT, 0] += 9.0  # but for a third of them, which saw one near by
    found[:4, UNSURE, 0] = 140  # but for a third of them, which saw yet another one
    found[:6, SURE, 0] = 104
    found[6:, SURE, 0] = 90
    doubtful = np.ones(17, dtype=bool)
    doubtful[HUMAN] = False
    changed = second_look.looked_at(found, keypoints, doubtful, BOX)
    assert changed[FIRM].tolist() == [60, 100, bystanders.LABEL_WEIGHT]
    assert changed[ABSENT].tolist() == [60, 100, bystanders.LABEL_WEIGHT]
    assert changed[FAINT].tolist() == [60, 100, bystanders.FAINT_WEIGHT]
    assert changed[UNSURE, 2] == 0  # the views agree on nothing, but not on the label either
    np.testing.assert_array_equal(changed[HUMAN], keypoints[HUMAN])
    np.testing.assert_array_equal(changed[SURE], keypoints[SURE])  # nearly agreed, and near the label
    assert keypoints[FIRM, 0] == 100  # what was given stays


def test_labels_find_their_person_again(training: Any, tmp_path: Path) -> None:
    second_look, sources = training("second_look"), training("sources")
    labels = {4: np.full((17, 3), 4.0, dtype=np.float32), 2: np.full((17, 3), 2.0, dtype=np.float32)}
    np.savez(tmp_path / "labels.npz", pictures=np.array(list(labels)), keypoints=np.array([*labels.values()]))
    persons = [sources.Person(number, np.zeros((17, 3), dtype=np.float32), BOX) for number in (2, 4)]
    again = second_look.relabelled(persons, second_look.read(tmp_path / "labels.npz"))
    assert [(person.picture, float(person.keypoints[0, 0])) for person in again] == [(2, 2.0), (4, 4.0)]
