"""Other clothes in the training photographs, and crops that get easier at the end of a training."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch

GROUND, SKIN = 90, 160
SHOULDERS, HIPS = ((120, 60), (80, 60)), ((112, 130), (88, 130))
BOX = np.array([50, 20, 100, 220], dtype=np.float32)


def _keypoints() -> np.ndarray:
    points = np.zeros((17, 3), dtype=np.float32)
    points[5:7], points[11:13] = ([(x, y, 1.0) for x, y in pair] for pair in (SHOULDERS, HIPS))
    points[13:17] = [(112, 170, 1.0), (88, 170, 1.0), (112, 210, 1.0), (88, 210, 1.0)]
    return points


def _picture() -> np.ndarray:
    picture = np.full((240, 200, 3), GROUND, dtype=np.uint8)
    cv2.circle(picture, (100, 35), 15, (SKIN, SKIN, SKIN), -1)
    return picture


def test_garments_change_and_nothing_else(training: Any) -> None:
    picture, before = _picture(), _picture()
    shirts, trousers = set(), set()
    for seed in range(30):
        shown = training("clothes").other_clothes(np.random.default_rng(seed), picture, _keypoints())
        assert np.array_equal(picture, before)
        changed = (shown != picture).any(axis=2)
        assert not changed[:40].any() and not changed[:, :50].any() and not changed[:, 150:].any()
        shirts.add(tuple(shown[95, 100].tolist()))
        trousers.add(tuple(shown[155, 112].tolist()))
    unchanged = (GROUND,) * 3
    assert unchanged in shirts and unchanged in trousers  # now and then
    assert len(shirts) > 15 and len(trousers) > 15


def test_light_and_shade_stay(training: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training("clothes"), "PATTERNED", 0.0)
    picture = _picture()
    picture[:, :100] //= 2  # the shaded side
    for seed in range(20):
        shown = training("clothes").other_clothes(np.random.default_rng(seed), picture, _keypoints())
        assert (shown[95, 94] <= shown[95, 106]).all()


def test_the_outline_bounds_the_garments(training: Any) -> None:
    outline = np.zeros((240, 200), dtype=np.uint8)
    outline[:, 90:110] = 255
    changed = np.zeros((240, 200), dtype=bool)
    for seed in range(10):
        shown = training("clothes").other_clothes(
            np.random.default_rng(seed), _picture(), _keypoints(), outline
        )
        changed |= (shown != _picture()).any(axis=2)
    assert changed[60:200, 92:108].mean() > 0.8
    assert not changed[:, :88].any() and not changed[:, 112:].any()  # but for the soft edge


@pytest.mark.parametrize("known", [[], [5, 12], [5, 6, 13, 14]])
def test_who_shows_no_side_of_the_torso_keeps_their_clothes(training: Any, known: list[int]) -> None:
    keypoints, picture = _keypoints(), _picture()
    keypoints[[k for k in range(17) if k not in known], 2] = 0.0
    small = _keypoints() * np.array([0.1, 0.1, 1.0], dtype=np.float32)
    for seed in range(10):
        for points in (keypoints, small):
            assert training("clothes").other_clothes(np.random.default_rng(seed), picture, points) is picture


@pytest.mark.parametrize(("spent", "low", "high"), [(0.0, 70, 130), (0.79, 70, 130), (0.8, 30, 70)])
def test_crops_are_easier_at_the_end(
    training: Any, monkeypatch: pytest.MonkeyPatch, spent: float, low: int, high: int
) -> None:
    train_pose, sources = training("train_pose"), training("sources")
    dressed: list[Any] = []
    spreads: set[float] = set()
    random_view = train_pose.crop.random_view

    def other_clothes(random: Any, picture: Any, *_: Any) -> Any:
        dressed.append(picture)
        return picture

    def view(random: Any, box: Any, keypoints: Any, spread: float) -> Any:
        spreads.add(spread)
        return random_view(random, box, keypoints, spread)

    monkeypatch.setattr(train_pose, "other_clothes", other_clothes)
    monkeypatch.setattr(train_pose.crop, "random_view", view)
    source = sources.Source([_picture()], [sources.Person(0, _keypoints(), BOX)])
    train_pose.Batches(
        source, sources.Source([], []), size=200, share=0.0, seed=1, spent=torch.tensor(spent)
    ).draw()
    assert low < len(dressed) < high
    assert spreads == {1.0 if spent < 0.8 else 0.5}


def test_synthetic_people_keep_their_clothes(training: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    train_pose, sources = training("train_pose"), training("sources")
    monkeypatch.setattr(train_pose, "other_clothes", lambda *_: pytest.fail("they have enough of their own"))
    photographs, synthetic = (
        sources.Source([_picture()], [sources.Person(0, _keypoints(), BOX)]) for _ in range(2)
    )
    batches = train_pose.Batches(photographs, synthetic, size=50, share=1.0, seed=1, spent=torch.zeros(()))
    batches.draw()


def test_a_view_without_spread_is_the_runtime_s(training: Any) -> None:
    crop, seen = training("crop"), 0
    for seed in range(20):
        view = crop.random_view(np.random.default_rng(seed), BOX, np.zeros((17, 3), np.float32), 0.0)
        wanted = crop.view_of_box(BOX)
        assert (view.centre, view.height_px, view.turn_degrees) == (wanted.centre, wanted.height_px, 0.0)
        seen += view.mirrored
    assert 0 < seen < 20
