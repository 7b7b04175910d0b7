"""What a run over pictures gives: scores, the scale of the input, boxes of another size, a video."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgepose.bundle.manifest import MANIFEST_NAME, encode
from edgepose.bundle.tracking import tracking_member
from edgepose.core import load_core
from edgepose.errors import ConfigurationError, UsageError
from edgepose.media import read_picture
from edgepose.pipeline import keypoint_set_of
from edgepose.verify.dataset import Dataset, read_dataset
from edgepose.verify.predictions import Predictions, Recipe, input_scales, predict
from edgepose.verify.video import track
from edgepose.writers import write_picture

BOXES = [[10.0, 20.0, 110.0, 120.0], [0.0, 0.0, 30.0, 200.0], [50.0, 10.0, 250.0, 40.0]]


def manifest_of(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / MANIFEST_NAME).read_text())
    return document


def test_a_person_s_score_is_the_box_s_times_the_mean_of_the_points_above_a_fifth() -> None:
    keypoints = np.zeros((3, 4, 3))
    keypoints[..., 2] = [[0.5, 0.9, 0.1, 0.2], [0.2, 0.1, 0.0, 0.15], [0.25, 0.25, 0.25, 0.25]]
    boxes = np.concatenate([np.zeros((3, 4)), [[0.8], [0.9], [1.0]]], axis=1)
    none = np.zeros(3, np.int64)
    found = Predictions(none, none, boxes, keypoints, np.ones(3), ())
    assert found.scores() == pytest.approx([0.8 * 0.7, 0, 0.25])
    assert Predictions(
        none, none, boxes, keypoints, np.ones(3), (), rescored=False
    ).scores() == pytest.approx([0.8, 0.9, 1.0])


@pytest.mark.parametrize("name", ["pose", "one_stage"])
def test_the_scale_is_that_of_the_preprocessing(bundles_v1: Path, name: str) -> None:
    manifest: dict[str, Any] = manifest_of(bundles_v1 / name)
    preprocess = manifest["models"][name]["preprocess"]
    picture = np.zeros((150, 320, 3), np.uint8)
    scales = input_scales(manifest, np.array(BOXES), (150, 320))
    for box, scale in zip(BOXES, scales, strict=True):
        given = tuple(box) if name == "pose" else None
        _, (x, y, *_) = load_core().preprocess(picture, given, json.dumps(preprocess))
        assert (1 / x, 1 / y) == pytest.approx((scale, scale), rel=1e-5)


@pytest.fixture
def labelled(bundles_v1: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Give a picture with BOXES for the bundle pose, and keep the results' cache beside it."""
    monkeypatch.setenv("EDGEPOSE_CACHE", str(tmp_path / "cache"))
    write_picture(tmp_path / "0.png", np.zeros((300, 400, 3), np.uint8))
    annotations = [
        {"id": n, "image_id": 0, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1]}
        for n, (x1, y1, x2, y2) in enumerate(BOXES)
    ]
    document = {"images": [{"id": 0, "file_name": "0.png"}], "annotations": annotations, "categories": []}
    (tmp_path / "labels.json").write_text(json.dumps(document))
    points = keypoint_set_of(manifest_of(bundles_v1 / "pose"))
    assert points is not None
    return read_dataset(tmp_path / "labels.json", tmp_path, points)


@pytest.mark.parametrize("factor", [1.0, 1.25, 0.8])
def test_boxes_are_scaled_about_their_centre(bundles_v1: Path, labelled: Dataset, factor: float) -> None:
    found = predict(bundles_v1 / "pose", labelled, Recipe(box_scale=factor), processes=1)
    boxes = np.array(BOXES)
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, factor * (boxes[:, 2:] - boxes[:, :2]) / 2
    assert found.boxes[:, :4] == pytest.approx(np.concatenate([centre - half, centre + half], axis=1))
    assert found.person_of.tolist() == [0, 1, 2]


def test_a_flip_test_takes_integers_written_as_2_0(
    bundles_v1: Path, float_bundle: Path, labelled: Dataset
) -> None:
    recipe = Recipe(flip_test=True)
    wanted = predict(bundles_v1 / "pose", labelled, recipe, processes=1)
    found = predict(float_bundle, labelled, recipe, processes=1)
    assert found.from_cache == 0 and np.array_equal(found.keypoints, wanted.keypoints)


def test_a_full_folder_for_temporary_files_is_named(
    bundles_v1: Path, labelled: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as a write, which names no file

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(ConfigurationError, match=f"^{tmp_path}, the folder for temporary files: No") as error:
        predict(bundles_v1 / "pose", labelled, processes=1)
    assert "TMPDIR" in str(error.value.hint)


def test_a_picture_that_changes_while_it_is_read_is_refused(
    bundles_v1: Path, labelled: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the new content gives would be kept, and given again, for the old one."""
    picture = tmp_path / "0.png"
    old = picture.read_bytes()

    def read_late(path: Path) -> Any:
        write_picture(path, np.full((300, 400, 3), 200, np.uint8))
        return read_picture(path)

    with monkeypatch.context() as patch:
        patch.setattr("edgepose.verify.predictions.read_picture", read_late)
        with pytest.raises(UsageError, match=r"0\.png changed while it was read"):
            predict(bundles_v1 / "pose", labelled, processes=1)
    picture.write_bytes(old)
    assert predict(bundles_v1 / "pose", labelled, processes=1).from_cache == 0
    assert predict(bundles_v1 / "pose", labelled, processes=1).from_cache == 1


def video(path: Path, frames: int, fps: float) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), fps, (64, 48))
    for n in range(frames):
        writer.write(np.full((48, 64, 3), 20 * n, np.uint8))
    writer.release()
    return path


def test_a_video_of_less_than_five_seconds_is_refused(bundles_v1: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(bundles_v1 / "top_down", bundle)
    manifest = {**manifest_of(bundle), "tracking": tracking_member()}
    del manifest["manifest_sha256"]
    (bundle / MANIFEST_NAME).write_bytes(encode(manifest))
    with pytest.raises(UsageError, match=r"9 frames at 2 a second are too few to judge motion by"):
        track(bundle, video(tmp_path / "short.avi", 9, 2.0), device="CPU")
    found = track(bundle, video(tmp_path / "long.avi", 11, 2.0), device="CPU")
    assert (found.frames, found.fps, found.seconds, found.block_frames) == (11, 2.0, 5, 2)
    persons = found.persons
    assert len(persons.boxes) == len(found.ids) == len(persons.keypoints) == len(persons.input_scale) > 0
    assert (persons.person_of == -1).all() and set(persons.picture_of) <= set(range(11))
