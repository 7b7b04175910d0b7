"""Files of persons' boxes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgepose.artifact import KeypointSet
from edgepose.errors import UsageError
from edgepose.person_boxes import PersonBoxes, read_coco_boxes, read_person_boxes
from edgepose.skeletons import KEYPOINT_SETS, numbered_points

BOX = (1.0, 2.0, 30.0, 40.0)
OTHER = (5.0, 5.0, 6.0, 6.5)


def read(tmp_path: Path, data: Any) -> PersonBoxes:
    path = tmp_path / "boxes.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return read_person_boxes(path)


def test_a_list_is_for_every_frame(tmp_path: Path) -> None:
    boxes = read(tmp_path, [BOX, OTHER])
    assert boxes.of("a.jpg", 0) == boxes.of("b.jpg", 7) == [BOX, OTHER]
    boxes.check_used()


def test_a_byte_order_mark_is_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    path.write_text("\ufeff[[1, 2, 3, 4]]", encoding="utf-8")
    assert read_person_boxes(path).of("a.jpg", 0)


def test_names_stems_and_numbers(tmp_path: Path) -> None:
    boxes = read(tmp_path, {"dir/a.jpg": [BOX], "b": [OTHER], "2": [BOX, OTHER], "v.mp4#5": []})
    assert boxes.of("a.jpg", 0) == [BOX]
    assert boxes.of("b.png", 1) == [OTHER]
    assert boxes.of("v.mp4#2", 2) == [BOX, OTHER]
    assert boxes.of("v.mp4#5", 5) == [] and boxes.of("v.mp4#9", 9) == []
    boxes.check_used()


def test_a_number_is_that_of_a_frame_whatever_the_picture_is_called(tmp_path: Path) -> None:
    padded = read(tmp_path, {"000139": [BOX]})
    assert (padded.of("000139.jpg", 5), padded.of("139.jpg", 0)) == ([BOX], [])
    boxes = read(tmp_path, {"0": [BOX], "1": [OTHER], "7.jpg": []})
    assert (boxes.of("1.jpg", 0), boxes.of("2.jpg", 1), boxes.of("7.jpg", 2)) == ([BOX], [OTHER], [])


def test_coco_annotations(tmp_path: Path) -> None:
    data = {
        "images": [{"id": 3, "file_name": "x/a.jpg"}, {"id": 4, "file_name": "b.jpg"}],
        "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}],
        "annotations": [
            {"image_id": 3, "category_id": 1, "bbox": [1, 2, 29, 38]},
            {"image_id": 3, "category_id": 18, "bbox": [1, 2, 3, 4]},
            {"image_id": 3, "category_id": 1, "bbox": [0, 0, 9, 9], "iscrowd": 1},
        ],
    }
    boxes = read(tmp_path, data)
    assert boxes.of("a.jpg", 0) == [BOX] and boxes.of("b.jpg", 1) == []


def test_persons_without_an_area_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """COCO's train2017 has them; they must not make the whole file useless."""
    boxes = [[1, 2, 29, 38], [5, 5, 0, 9], [5, 5, 9, 0], [5, 5, -1, 9], [1e17, 5, 0.5, 9], [600, 5, 1e-6, 9]]
    data = {
        "images": [{"id": 3, "file_name": "a.jpg"}, {"id": 4, "file_name": "b.jpg"}],
        "annotations": [{"image_id": 3, "bbox": box} for box in boxes] + [{"image_id": 4, "bbox": boxes[1]}],
    }
    for _ in range(3):  # a command may read its file several times
        found = read(tmp_path, data)
    assert found.of("a.jpg", 0) == [BOX] and found.of("b.jpg", 1) == []
    warnings = capsys.readouterr().err.splitlines()
    assert warnings == [
        f"warning: {tmp_path / 'boxes.json'}: 6 persons whose boxes have no width or no height are left out"
    ]


@pytest.mark.parametrize("width", ["0", None, True, [0], float("nan"), float("inf"), -float("inf")])
def test_widths_that_are_no_numbers_are_refused(width: Any, tmp_path: Path) -> None:
    data = {
        "images": [{"id": 3, "file_name": "a.jpg"}],
        "annotations": [{"image_id": 3, "bbox": [1, 2, width, 0]}],
    }
    with pytest.raises(UsageError, match=r"boxes\.json"):
        read(tmp_path, data)


def test_two_entries_for_one_frame_are_refused(tmp_path: Path) -> None:
    names = ("x/a.jpg", "y/a.jpg")
    coco = {"images": [{"id": n, "file_name": name} for n, name in enumerate(names)], "annotations": []}
    for data in (coco, {name: [BOX] for name in names}):
        with pytest.raises(UsageError, match=r"boxes\.json: 'x/a\.jpg' and 'y/a\.jpg' are one frame's name"):
            read(tmp_path, data)


def test_a_file_for_other_frames_is_noticed(tmp_path: Path) -> None:
    boxes = read(tmp_path, {"a.jpg": [BOX]})
    assert boxes.of("b.jpg", 0) == []
    with pytest.raises(UsageError, match=r"names no frame of this input \(it names 'a.jpg'"):
        boxes.check_used()


@pytest.mark.parametrize(
    "data",
    [
        "",
        "{",
        "[" * 100_000,
        "3",
        '"text"',
        "{}",
        [[1, 2, 3]],
        [[1, 2, 3, 4, 5]],
        [[3, 2, 1, 4]],
        [[1, 2, 1, 4]],
        [[1, 2, "3", 4]],
        [[1, 2, True, 4]],
        "[[1, 2, NaN, 4]]",
        "[[1, 2, Infinity, 4]]",
        [1, 2, 3, 4],
        {"a.jpg": 3},
        {"a.jpg": {"x": 1}},
        {"a.jpg": "[[1, 2, 3, 4]]"},
        {"annotations": []},
        {"annotations": [], "images": []},
        {"annotations": [{"image_id": 1, "bbox": [1, 2, 3, 4]}], "images": []},
        {"annotations": [{"image_id": 1, "bbox": [1, 2, 3]}], "images": [{"id": 1, "file_name": "a"}]},
        {"annotations": 3, "images": [{"id": 1, "file_name": "a"}]},
        {"annotations": [1], "images": []},
        [[1, 2, 3, 10**400]],
        {"a.jpg": [[-(10**400), 2, 3, 4]]},
        {
            "annotations": [{"image_id": 1, "bbox": [0.5, 2, 10**400, 4]}],
            "images": [{"id": 1, "file_name": "a"}],
        },
    ],
)
def test_wrong_files(data: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, data)
    assert "boxes.json" in caught.value.message and caught.value.hint and len(caught.value.message) < 300


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        read_person_boxes(tmp_path / "none.json")


@pytest.mark.parametrize("reader", [read_person_boxes, read_coco_boxes])
def test_what_git_lfs_has_yet_to_fetch_is_named(reader: Callable[[Path], Any], tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n")
    with pytest.raises(UsageError, match=r"boxes\.json: a Git LFS pointer") as caught:
        reader(path)
    assert caught.value.hint == "run: git lfs pull"


def test_a_binary_file(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_bytes(bytes(range(128, 256)))
    with pytest.raises(UsageError, match="not JSON"):
        read_person_boxes(tmp_path / "b.json")


@pytest.mark.parametrize("content", ["[[0, 0, 1e30, 5]]", '{"a.jpg": [[0, -1e300, 3, 5]]}'])
def test_a_box_beyond_every_picture_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"boxes\.json.*beyond every picture"):
        read_person_boxes(path)


def test_a_picture_id_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    images = [{"id": 1, "file_name": "a.jpg"}, {"id": 1, "file_name": "b.jpg"}]
    path.write_text(json.dumps({"images": images, "annotations": []}))
    with pytest.raises(UsageError, match="id is there twice"):
        read_person_boxes(path)


def test_a_folder_is_no_file_of_boxes(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a folder"):
        read_person_boxes(tmp_path)


GRIPPER = KeypointSet("gripper", ("tip", "base"), (), (), (0.1, 0.1))
PERSON = {"id": 1, "name": "person"}


@pytest.mark.parametrize(
    ("categories", "points", "expected"),
    [
        ([PERSON, {"id": 2, "name": "gripper", "keypoints": ["tip", "base"]}], GRIPPER, [2]),
        (
            [{**PERSON, "keypoints": ["a"] * 17}, {"id": 2, "name": "b", "keypoints": ["x", "y"]}],
            GRIPPER,
            [2],
        ),
        ([PERSON, {"id": 2, "name": "hand", "keypoints": ["a"] * 21}], GRIPPER, [1]),
        ([PERSON, {"id": 2, "name": "claw", "keypoints": ["x", "y"]}], GRIPPER, [1]),
        ([PERSON, {"id": 2, "name": "claw", "keypoints": ["x", "y"]}], numbered_points(2), [2]),
        ([{"id": n, "name": str(n), "keypoints": ["tip", "base"]} for n in (1, 2)], GRIPPER, [1, 2]),
        ([PERSON, {"id": 2, "name": "gripper", "keypoints": ["tip", "base"]}], None, [1]),
        ([{"id": 1, "name": "gripper"}, {"id": 2, "name": "tool"}], GRIPPER, [1, 2]),
        ([{"id": 1, "name": "Person"}, {"id": 2, "name": "car"}], None, [1]),
        ([{"id": 1, "name": "Person"}, {"id": 2, "name": "person"}], GRIPPER, [1, 2]),
        (
            [{"id": n, "name": name, "keypoints": ["x", "y"]} for n, name in ((1, "claw"), (2, "PERSON"))],
            GRIPPER,
            [2],
        ),
        ([], None, [1, 2]),
    ],
)
def test_the_category_with_the_network_s_keypoints_counts(
    categories: list[Any], points: KeypointSet | None, expected: list[int], tmp_path: Path
) -> None:
    path = tmp_path / "boxes.json"
    annotations = [{"image_id": 3, "category_id": n, "bbox": [n, 2, 29, 38]} for n in (1, 2)]
    images = [{"id": 3, "file_name": "a.jpg"}]
    path.write_text(json.dumps({"images": images, "categories": categories, "annotations": annotations}))
    for boxes in (read_person_boxes(path, points).of("a.jpg", 0), read_coco_boxes(path, points)["a.jpg"]):
        assert [box[0] for box in boxes] == expected


def test_boxes_of_other_categories_alone_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = {
        "images": [{"id": 3, "file_name": "a.jpg"}],
        "categories": [PERSON, {"id": 2, "name": "dog"}],
        "annotations": [{"image_id": 3, "category_id": 2, "bbox": [1, 2, 29, 38]}],
    }
    assert read(tmp_path, data).of("a.jpg", 0) == []
    assert "all 1 boxes are of other categories than the persons'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "box_class", "expected", "told"),
    [
        ("ap10k17", None, 1, True),
        ("ap10k17", "person", 1, True),
        ("ap10k17", "Dog", 2, False),
        ("ap10k17", "cat", 1, True),
        ("points9", None, 1, True),
        ("coco17", None, 1, False),
    ],
)
def test_the_boxes_of_persons_are_not_taken_unsaid_for_points_of_something_else(
    name: str,
    box_class: str | None,
    expected: int,
    told: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As results of a detector of many classes are, none of which lists keypoints."""
    points = KEYPOINT_SETS.get(name) or numbered_points(9)
    path = tmp_path / "results.json"
    images, categories = [{"id": 3, "file_name": "a.jpg"}], [PERSON, {"id": 2, "name": "dog"}]
    annotations = [{"image_id": 3, "category_id": n, "bbox": [n, 2, 29, 38]} for n in (1, 2)]
    path.write_text(json.dumps({"images": images, "categories": categories, "annotations": annotations}))
    assert [box[0] for box in read_coco_boxes(path, points, box_class)["a.jpg"]] == [expected]
    assert ("the boxes of persons are taken, and 1 of other" in capsys.readouterr().err) == told
    assert read_person_boxes(path, points, box_class).of("a.jpg", 0)[0][0] == expected


@pytest.mark.parametrize(("name", "told"), [("hand21", True), ("coco17", False), ("halpe26", False)])
def test_a_hand_in_the_boxes_of_persons_is_told(
    name: str, told: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As COCO's own files are, whose persons list their points."""
    path = tmp_path / "person_keypoints.json"
    category = {**PERSON, "keypoints": list(KEYPOINT_SETS["coco17"].keypoints)}
    annotation = {"image_id": 3, "category_id": PERSON["id"], "bbox": [1, 2, 29, 38]}
    images = [{"id": 3, "file_name": "a.jpg"}]
    path.write_text(json.dumps({"images": images, "categories": [category], "annotations": [annotation]}))
    assert read_coco_boxes(path, KEYPOINT_SETS[name])["a.jpg"]
    assert ("boxes of persons are taken: none lists the network's" in capsys.readouterr().err) == told


def test_a_pipe_without_json_is_refused_and_not_opened_again(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "boxes")
    writer = subprocess.Popen(["/bin/sh", "-c", f"echo no > '{tmp_path}/boxes'"])
    with writer, pytest.raises(UsageError, match="not JSON"):
        read_person_boxes(tmp_path / "boxes")


def test_the_class_of_the_detector_goes_before_as_many_points_of_a_person(tmp_path: Path) -> None:
    path, points = tmp_path / "labels.json", KEYPOINT_SETS["ap10k17"]
    person = {**PERSON, "keypoints": list(KEYPOINT_SETS["coco17"].keypoints)}
    animal = {"id": 3, "name": "animal", "keypoints": list(points.keypoints)}
    annotations = [{"image_id": 3, "category_id": n, "bbox": [n, 2, 29, 38]} for n in (1, 2, 3)]
    for categories, expected in (([person, {"id": 2, "name": "dog"}], 2), ([person, animal], 3)):
        images = [{"id": 3, "file_name": "a.jpg"}]
        path.write_text(json.dumps({"images": images, "categories": categories, "annotations": annotations}))
        assert [box[0] for box in read_coco_boxes(path, points, "dog")["a.jpg"]] == [expected]
