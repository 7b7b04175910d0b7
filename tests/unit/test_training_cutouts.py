"""Persons cut out of the training photographs: outlines, other surroundings, neighbours in front."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from edgepose.synth.dataset import DatasetRequest, write_dataset

RED, GREEN, BLUE = (30, 30, 200), (40, 160, 40), (200, 40, 40)
BOX = np.array([60, 30, 80, 180], dtype=np.float32)
# Of somebody who stands upright: face, shoulders, elbows, wrists, hips, knees, ankles.
AT = (
    *((100, 45), (104, 42), (96, 42), (108, 46), (92, 46), (116, 72), (84, 72), (126, 100), (74, 100)),
    *((132, 126), (68, 126), (110, 130), (90, 130), (112, 165), (88, 165), (112, 200), (88, 200)),
)
LIMBS = ((5, 6), (5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16))


def _keypoints() -> np.ndarray:
    return np.array([(x, y, 1.0) for x, y in AT], dtype=np.float32)


def _figure() -> tuple[np.ndarray, np.ndarray]:
    """Return a picture of a red figure on a speckled green ground, and where the figure is."""
    inside = np.zeros((240, 200), dtype=np.uint8)
    for a, b in LIMBS:
        cv2.line(inside, AT[a], AT[b], 255, 12)
    cv2.fillConvexPoly(inside, np.array([AT[5], AT[6], AT[12], AT[11]]), 255)
    cv2.circle(inside, AT[0], 14, 255, -1)
    ground = np.random.default_rng(3).integers(-25, 25, (240, 200, 3)) + np.array(GREEN)
    picture = np.where(inside[..., None] != 0, np.array(RED), ground).astype(np.uint8)
    return picture, inside


def _person(training: Any, keypoints: np.ndarray, **others: Any) -> Any:
    return training("sources").Person(0, keypoints, BOX, **others)


def test_the_outline_is_where_the_person_is(training: Any) -> None:
    picture, inside = _figure()
    found = training("cutouts").outline(picture, _person(training, _keypoints()))
    assert found is not None and found.shape == inside.shape
    both, either = (found > 127) & (inside > 0), (found > 127) | (inside > 0)
    assert both.sum() > 0.85 * either.sum()


def test_no_outline_where_it_is_not_clear(training: Any) -> None:
    outline = training("cutouts").outline
    picture, _ = _figure()
    without_torso = _keypoints()
    without_torso[[5, 6, 11], 2] = 0.0
    assert outline(picture, _person(training, without_torso)) is None
    assert outline(picture[:, :10], _person(training, _keypoints())) is None
    assert outline(np.zeros_like(picture), _person(training, _keypoints())) is None


def test_another_picture_is_behind_the_person_and_shows_nobody(training: Any) -> None:
    picture, inside = _figure()
    other = np.full((120, 160, 3), BLUE, dtype=np.uint8)
    box = np.array([50, 20, 60, 100], dtype=np.float32)
    other[20:120, 50:110] = (255, 255, 255)  # its own main person
    for seed in range(20):
        shown = training("cutouts").elsewhere(np.random.default_rng(seed), picture, inside, other, box)
        assert np.array_equal(shown[inside > 0], picture[inside > 0])
        assert np.all(shown[inside == 0] == BLUE)


def test_a_picture_that_its_person_fills_is_shown_whole(training: Any) -> None:
    picture, inside = _figure()
    other = np.full((120, 160, 3), BLUE, dtype=np.uint8)
    box = np.array([2, 2, 156, 116], dtype=np.float32)
    shown = training("cutouts").elsewhere(np.random.default_rng(0), picture, inside, other, box)
    assert np.all(shown[inside == 0] == BLUE)


def test_a_neighbour_who_is_cut_out_hides_what_is_behind(training: Any) -> None:
    other, inside = _figure()
    crop = np.full((256, 192, 3), BLUE, dtype=np.uint8)
    points = np.array([(x, y, 1.0) for x in range(5, 192, 10) for y in range(5, 256, 10)], dtype=np.float32)
    shares = []
    for seed in range(8):
        shown, kept = training("neighbours").beside(
            np.random.default_rng(seed), crop, points, other, BOX, inside
        )
        at = points[:, :2].astype(int)
        behind = np.any(shown[at[:, 1], at[:, 0]] != BLUE, axis=1)
        shares.append(behind.mean())
        halved = kept[:, 2] == 0.5
        assert np.all(behind[halved]) and (behind & ~halved).mean() < 0.03  # but for soft edges
        assert not np.any(np.all(np.abs(shown.astype(int) - GREEN) < 20, axis=2))  # nor the ground
    assert max(shares) < 0.4 and sum(share > 0.02 for share in shares) > 4


def test_outlines_are_read_as_they_were_written(training: Any, tmp_path: Path) -> None:
    cutouts = training("cutouts")
    _, inside = _figure()
    outlines = {3: inside, 11: inside[:100, :50]}
    cutouts.write(tmp_path / "outlines.npz", outlines)
    found = cutouts.read(tmp_path / "outlines.npz")
    assert found.keys() == outlines.keys()
    assert all(np.array_equal(found[number], outlines[number]) for number in outlines)
    cutouts.write(tmp_path / "none.npz", {})
    assert cutouts.read(tmp_path / "none.npz") == {}
    person = _person(training, _keypoints())
    assert cutouts.outlined([person], {3: inside}) == [person]
    assert cutouts.outlined([person], {0: inside})[0].outline is inside


@pytest.mark.parametrize("known", [True, False])
def test_training_moves_persons_whose_outline_is_known(
    training: Any, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    train_pose, sources = training("train_pose"), training("sources")
    picture, inside = _figure()
    person = _person(training, _keypoints(), outline=inside if known else None)
    for share in ("UPRIGHT", "PARTIAL", "COARSE", "NEIGHBOUR"):
        monkeypatch.setattr(train_pose, share, 0.0)
    other = sources.Person(1, np.zeros((17, 3), dtype=np.float32), BOX)
    source = sources.Source([picture, np.full_like(picture, BLUE)], [person, other])
    moved = []
    monkeypatch.setattr(
        train_pose, "elsewhere", lambda random, picture, *_: moved.append(1) or np.zeros_like(picture)
    )
    train_pose.Batches(
        source, sources.Source([], []), size=200, share=0.0, seed=1, spent=torch.zeros(())
    ).draw()
    assert 30 < len(moved) < 70 if known else not moved  # half of the person's hundred crops


def test_synthetic_people_stand_in_photographs(training: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    train_pose, sources = training("train_pose"), training("sources")
    picture, inside = _figure()
    for share in ("UPRIGHT", "PARTIAL", "COARSE", "NEIGHBOUR"):
        monkeypatch.setattr(train_pose, share, 0.0)
    photographs = sources.Source([np.full_like(picture, BLUE)], [_person(training, _keypoints())])
    synthetic = sources.Source([picture], [_person(training, _keypoints(), outline=inside)])
    behind = []

    def elsewhere(random: Any, picture: Any, inside: Any, other: Any, box: Any) -> Any:
        behind.append(other)
        return picture

    monkeypatch.setattr(train_pose, "elsewhere", elsewhere)
    train_pose.Batches(photographs, synthetic, size=60, share=1.0, seed=1, spent=torch.zeros(())).draw()
    assert 15 < len(behind) < 45
    assert all(other is photographs.pictures[0] for other in behind)


def test_people_of_synthetic_pictures_are_found_again(
    training: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes, cutouts, sources = training("scenes"), training("cutouts"), training("sources")
    folders, stored = [tmp_path / "people", tmp_path / "faces"], [tmp_path / "a.npz", tmp_path / "b.npz"]
    write_dataset(folders[0], DatasetRequest(3, 0.0, 7, (120, 160), (1, 3)))
    write_dataset(folders[1], DatasetRequest(2, 0.0, 8, (120, 160), (1, 2), shot="portrait"))
    for folder, file in zip(folders, stored, strict=True):
        monkeypatch.setattr("sys.argv", ["scenes", "--synthetic", str(folder), "-o", str(file)])
        scenes.main()
    outlines = cutouts.read(*stored)
    assert set(outlines) == {0, 1, 2, 3, 4}
    people = cutouts.outlined(sources.read_synthetic(folders, min_side_px=8, min_visible=2).persons, outlines)
    assert {person.picture for person in people} == set(outlines)
    seen = 0
    for person in people:
        assert person.outline.shape == (120, 160)
        points = person.keypoints[person.keypoints[:, 2] == 1.0, :2]
        at = np.clip(np.rint(points).astype(int), 0, (159, 119))
        assert (person.outline[at[:, 1], at[:, 0]] > 60).mean() > 0.9
        seen += len(points)
    assert seen > 20
    assert all(0.005 < (inside > 127).mean() < 0.8 for inside in outlines.values())
