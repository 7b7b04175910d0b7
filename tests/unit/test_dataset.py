"""Labels in the forms that COCO files have beside the plain one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose.artifact import KeypointSet
from edgepose.errors import UsageError
from edgepose.skeletons import KEYPOINT_SETS
from edgepose.verify.dataset import Dataset, read_dataset
from edgepose.writers import write_picture

# A checkpoint's own name of the set says nothing about its points.
WHOLE, BODY = replace(KEYPOINT_SETS["wholebody133"], name="studio133"), KEYPOINT_SETS["coco17"]
PARTS = {"foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}


def flat(points: list[list[float]]) -> list[float]:
    return [value for point in points for value in point]


def read(folder: Path, annotations: list[dict[str, Any]], categories: Any, points: Any) -> Dataset:
    write_picture(folder / "0.png", np.zeros((8, 8, 3), np.uint8))
    document = {
        "images": [{"id": 5, "file_name": "0.png"}],
        "annotations": [{"image_id": 5, "bbox": [1, 2, 4, 5], **a} for a in annotations],
        "categories": categories,
    }
    (folder / "labels.json").write_text(json.dumps(document))
    return read_dataset(folder / "labels.json", folder, points)


def test_the_parts_of_a_whole_body_are_put_together(tmp_path: Path) -> None:
    """COCO-WholeBody names the body's points alone, and keeps the others in members of their own."""
    values = [[float(n), float(n + 1), 2.0] for n in range(133)]
    person: dict[str, Any] = {"id": 1, "category_id": 1, "keypoints": flat(values[:17])}
    start = 17
    for name, count in PARTS.items():
        person[name] = flat(values[start : start + count])
        start += count
    category = [{"id": 1, "name": "person", "keypoints": list(BODY.keypoints)}]
    assert read(tmp_path, [person], category, WHOLE).keypoints.tolist() == [values]
    del person["face_kpts"]
    with pytest.raises(UsageError, match="annotation 1 has keypoints of 195 values, not 133 times x, y, v"):
        read(tmp_path, [person], category, WHOLE)


def test_a_category_may_name_more_points_than_its_annotations_have(tmp_path: Path) -> None:
    """Human-Art names 21 points, COCO's first, and keeps those 17 apart from all 21."""
    values = [[float(n), float(n + 1), 2.0] for n in range(21)]
    more = ["left_toe", "right_toe", "left_finger", "right_finger"]
    art = {"id": 1, "name": "person", "keypoints": [*BODY.keypoints, *more]}
    person = {"id": 1, "category_id": 1, "keypoints": flat(values[:17]), "keypoints_21": flat(values)}
    assert read(tmp_path, [person], [art], BODY).keypoints.tolist() == [values[:17]]
    with pytest.raises(UsageError, match="annotation 1 has keypoints of 63 values, not 17 times x, y, v"):
        read(tmp_path, [{**person, "keypoints": flat(values)}], [art], BODY)
    with pytest.raises(UsageError, match="labels 21 keypoints, the network finds 17"):
        read(tmp_path, [person], [{**art, "keypoints": [*more, *BODY.keypoints]}], BODY)
    # Those who have the network's points alone are nearer.
    plain = {"id": 2, "name": "person", "keypoints": list(BODY.keypoints)}
    other = {"id": 2, "category_id": 2, "keypoints": flat(values[:17])}
    assert read(tmp_path, [person, other], [art, plain], BODY).annotation_ids.tolist() == [2]


def test_names_that_are_not_the_networks_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """PoseTrack18 has head_bottom and head_top where COCO has the eyes."""
    posetrack = ["nose", "head_bottom", "head_top", *BODY.keypoints[3:]]
    for names, more in ((posetrack, ", and 1 more"), ([*posetrack[:2], *BODY.keypoints[2:]], "")):
        read(tmp_path, [{"id": 1, "category_id": 1}], [{"id": 1, "keypoints": names}], BODY)
        assert f"labels.json: head_bottom is taken as left_eye{more}, by" in capsys.readouterr().err
    read(tmp_path, [{"id": 1, "category_id": 1}], [{"id": 1, "keypoints": list(BODY.keypoints)}], BODY)
    assert not capsys.readouterr().err


def test_an_empty_box_without_labelled_keypoints_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """COCO's train2017 has such persons."""
    empty: dict[str, Any] = {"id": 2, "bbox": [3, 3, 0, 5], "keypoints": [0, 0, 0] * 17}
    data = read(tmp_path, [{"id": 1}, empty, {**empty, "id": 3, "keypoints": []}], [], BODY)
    assert data.annotation_ids.tolist() == [1] and data.boxed.tolist() == [0]
    assert "labels.json: 2 persons whose boxes have no width" in capsys.readouterr().err
    with pytest.raises(UsageError, match="annotation 2 has an empty box"):
        read(tmp_path, [{"id": 1}, {**empty, "keypoints": [4, 4, 2] * 17}], [], BODY)
    with pytest.raises(UsageError, match="holds no persons"):
        read(tmp_path, [empty], [], BODY)


def test_a_crowd_may_have_an_empty_box_and_is_no_person(tmp_path: Path) -> None:
    crowd = {"id": 2, "category_id": 1, "iscrowd": 1, "bbox": [3, 3, 0, 0]}
    data = read(tmp_path, [{"id": 1, "category_id": 1}, crowd], [], BODY)
    assert data.crowd.tolist() == [False, True] and data.boxed.tolist() == [0]
    # An outline fills about half of a box, where the file does not say how much; some tools say 0 then.
    assert data.areas.tolist() == [pytest.approx(0.53 * 20), 0]
    assert read(tmp_path, [{"id": 1, "category_id": 1, "area": 0}], [], BODY).areas.tolist() == [
        pytest.approx(0.53 * 20)
    ]


@pytest.mark.parametrize(
    ("categories", "ids"),
    [
        ([], [1]),
        ([{"id": 2, "name": "person"}], [2]),
        ([{"id": 1, "name": "dog"}, {"id": 2, "name": "person"}], [2]),
        ([{"id": 3, "name": "athlete"}], [3]),
        ([{"id": 1, "name": "car"}, {"id": 2, "name": "Person"}], [2]),
        ([{"id": 1, "name": "Person"}, {"id": 2, "name": "person"}], [1, 2]),
        ([{"id": 1}, {"id": 2, "name": "person"}], [2]),
    ],
)
def test_persons_are_told_by_their_category(tmp_path: Path, categories: Any, ids: list[int]) -> None:
    people = [{"id": n, "category_id": n} for n in (1, 2, 3)]
    assert read(tmp_path, people, categories, BODY).annotation_ids.tolist() == ids


def test_ids_have_64_bits_at_most(tmp_path: Path) -> None:
    for identity in (-(2**63), 2**63 - 1):
        assert read(tmp_path, [{"id": identity}], [], BODY).annotation_ids.tolist() == [identity]
    for identity in (-(2**63) - 1, 2**63):
        with pytest.raises(UsageError, match="has more than 64 bits"):
            read(tmp_path, [{"id": identity}], [], BODY)


def test_one_category_without_names_is_that_of_the_persons(tmp_path: Path) -> None:
    person: dict[str, Any] = {"id": 1, "category_id": 3, "keypoints": [4.0, 4.0, 2.0] * 17}
    gripper = {"id": 3, "name": "gripper"}
    assert read(tmp_path, [person], [gripper], BODY).labelled.tolist() == [0]
    with pytest.raises(UsageError, match=r'no category is called person: 3 "gripper", 1 "tool"$'):
        read(tmp_path, [person], [gripper, {"id": 1, "name": "tool"}], BODY)
    with pytest.raises(UsageError, match="none of its 1 annotations is of the category 7"):
        read(tmp_path, [person], [{"id": 7, "name": "person"}, gripper], BODY)


def test_the_first_pictures_without_persons_are_said_to_be_the_first(tmp_path: Path) -> None:
    for name in ("0.png", "1.png"):
        write_picture(tmp_path / name, np.zeros((8, 8, 3), np.uint8))
    document = {
        "images": [{"id": 5, "file_name": "0.png"}, {"id": 6, "file_name": "1.png"}],
        "annotations": [{"id": 1, "image_id": 6, "bbox": [1, 2, 4, 5], "keypoints": [4, 4, 2] * 17}],
    }
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(document))
    with pytest.raises(UsageError, match="its first 1 pictures, by id, show no persons") as caught:
        read_dataset(path, tmp_path, BODY, max_pictures=1)
    assert caught.value.hint == "raise --max-images"
    assert len(read_dataset(path, tmp_path, BODY, max_pictures=2).boxes) == 1


def test_keypoints_that_are_not_there_are_not_labelled(tmp_path: Path) -> None:
    assert not read(tmp_path, [{"id": 1, "keypoints": []}], [], BODY).keypoints.any()
    assert not read(tmp_path, [{"id": 1, "keypoints": None}], [], BODY).keypoints.any()


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, None, "annotation 1 has null as the x of nose, which is no number"),
        (4, float("nan"), "annotation 1 has NaN as the y of left_eye, which is no number"),
        (50, True, "annotation 1 has true as the v of right_ankle, which is no number"),
    ],
)
def test_a_value_that_is_no_number_is_named(tmp_path: Path, place: int, value: Any, message: str) -> None:
    keypoints: list[Any] = [4.0, 4.0, 2.0] * 17
    keypoints[place] = value
    with pytest.raises(UsageError, match=message) as refused:
        read(tmp_path, [{"id": 1, "keypoints": keypoints}], [], BODY)
    assert "0, 0, 0" in (refused.value.hint or "")


def test_pictures_are_found_by_names_of_another_system(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    write_picture(tmp_path / "1.png", np.zeros((8, 8, 3), np.uint8))
    write_picture(folder / "0.png", np.zeros((8, 8, 3), np.uint8))
    path = tmp_path / "labels.json"
    for name, found in ((r"D:\photos\0.png", True), (r"photos\0.png", True), (r"images\..\1.png", False)):
        images = [{"id": 5, "file_name": name}]
        path.write_text(
            json.dumps({"images": images, "annotations": [{"id": 1, "image_id": 5, "bbox": [1, 2, 4, 5]}]})
        )
        if found:
            assert read_dataset(path, folder, BODY).pictures[0].file == folder / "0.png"
        else:
            with pytest.raises(UsageError, match="1 of 1 pictures are missing"):
                read_dataset(path, folder, BODY)


def test_names_that_differ_in_their_spelling_alone_are_told_apart(tmp_path: Path) -> None:
    names = ("A", "a", "p1_11", "p11_1", "x-1", "x1")
    points = KeypointSet("thing", names, (), (), (0.1,) * 6)
    labelled: list[dict[str, Any]] = [{"id": 1, "category_id": 1, "keypoints": [1, 1, 2] * 6}]
    for right in (names, ("a1", "b1", "P1-11", "P11-1", "X 1", "x_1")):
        category = {"id": 1, "name": "thing", "keypoints": list(right)}
        assert read(tmp_path, labelled, [category], points).annotation_ids.tolist() == [1]
    for wrong in (("a", "A", *names[2:]), (*names[:4], "x1", "x-1"), ("P1-11", *names[1:])):
        category = {"id": 1, "name": "thing", "keypoints": list(wrong)}
        with pytest.raises(UsageError, match="in another order"):
            read(tmp_path, labelled, [category], points)
