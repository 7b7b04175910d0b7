"""The COCO-format results."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose.coco_json import open_results
from edgepose.skeletons import KEYPOINT_SETS

COCO = KEYPOINT_SETS["coco17"]


def write(path: Path, *, persons: int = 2, rescore: bool = True) -> dict[str, Any]:
    with open_results(path, info={"bundle": "b ü"}, points=COCO, rescore=rescore) as results:
        first = results.add_image("a.jpg", width_px=640, height_px=480)
        results.add_image("b.jpg", width_px=64, height_px=48, time_ns=1_500_000_000)
        for number in range(persons):
            keypoints = np.zeros((17, 3), np.float32)
            keypoints[:10] = (10.12345 + number, 20.5, 0.6)
            keypoints[10:] = (1, 2, 0.1)
            box = np.array([10, 20, 110, 220, 0.5], np.float32)
            results.add_person(first, keypoints, box, track_id=number - 1)
        results.summary = {"frames": 2}
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def test_the_document(tmp_path: Path) -> None:
    document = write(tmp_path / "r.json")
    assert list(document) == ["info", "categories", "annotations", "images", "summary"]
    assert document["info"] == {"bundle": "b ü"} and document["summary"] == {"frames": 2}
    assert document["images"] == [
        {"id": 1, "file_name": "a.jpg", "width": 640, "height": 480},
        {"id": 2, "file_name": "b.jpg", "width": 64, "height": 48, "time_s": 1.5},
    ]
    (category,) = document["categories"]
    assert category["keypoints"] == list(COCO.keypoints) and category["skeleton"][0] == [16, 14]
    first, second = document["annotations"]
    assert (first["image_id"], first["category_id"], first["bbox"]) == (1, 1, [10, 20, 100, 200])
    assert len(first["keypoints"]) == 51 and first["keypoints"][:3] == [10.123, 20.5, 0.6]
    assert "track_id" not in first and second["track_id"] == 0


def test_scores_follow_the_usual_rule_of_ap(tmp_path: Path) -> None:
    # Box score 0.5 times the mean of the keypoint scores above 0.2, which are all 0.6.
    assert write(tmp_path / "r.json")["annotations"][0]["score"] == pytest.approx(0.3)
    assert write(tmp_path / "r.json", rescore=False)["annotations"][0]["score"] == pytest.approx(0.5)


def test_no_persons(tmp_path: Path) -> None:
    assert write(tmp_path / "r.json", persons=0)["annotations"] == []


def test_depth_and_boxes_without_keypoints(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    with open_results(path, info={}, points=None, classes=("person", "dog")) as results:
        image = results.add_image("a", width_px=1, height_px=1)
        box = np.array([0, 0, 1, 1, 0.25], np.float32)
        results.add_person(image, np.zeros((0, 3), np.float32), box, category_id=2)
        depth = np.array([0.5, np.nan], np.float32)
        results.add_person(image, np.ones((2, 3), np.float32), box, z_m=depth)
    document = json.loads(path.read_text())
    assert [c["name"] for c in document["categories"]] == ["person", "dog"]
    assert document["annotations"][0]["score"] == 0.25 and document["annotations"][0]["category_id"] == 2
    assert document["annotations"][1]["keypoints_z_m"] == [0.5, None]


def test_names_that_are_not_utf8_are_escaped(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    with open_results(tmp_path / "r.json", info={"input": name}, points=None) as results:
        results.add_image(name, width_px=8, height_px=6)
    document = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert document["info"]["input"] == document["images"][0]["file_name"] == name


def test_cocos_own_reader_understands_it(tmp_path: Path) -> None:
    document = write(tmp_path / "r.json")
    images = {image["id"] for image in document["images"]}
    for person in document["annotations"]:
        assert person["image_id"] in images and person["category_id"] in {
            c["id"] for c in document["categories"]
        }
        assert len(person["keypoints"]) == 3 * len(document["categories"][0]["keypoints"])
        assert len(person["bbox"]) == 4 and 0 <= person["score"] <= 1
    assert len({person["id"] for person in document["annotations"]}) == len(document["annotations"])


def test_a_number_that_json_lacks_is_never_written(tmp_path: Path) -> None:
    box = np.array([0, 0, 1, np.nan, 1], np.float32)
    with (
        pytest.raises(ValueError, match="JSON"),
        open_results(tmp_path / "r.json", info={}, points=COCO) as results,
    ):
        results.add_person(
            results.add_image("a", width_px=1, height_px=1), np.zeros((17, 3), np.float32), box
        )
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("optional: this system has no /dev/full")
    target = tmp_path / "r.json"
    plain_open = Path.open

    def open_full(path: Path, *args: Any, **options: Any) -> Any:
        return plain_open(Path("/dev/full") if path.parent == tmp_path else path, *args, **options)

    monkeypatch.setattr(Path, "open", open_full)
    with pytest.raises(OSError) as caught, open_results(target, info={}, points=COCO) as results:
        for _ in range(200):
            results.add_image("a", width_px=1, height_px=1)
    assert caught.value.filename == str(target) and caught.value.strerror == "No space left on device"
    assert list(tmp_path.iterdir()) == []
