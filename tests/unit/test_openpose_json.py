"""OpenPose JSON: the order of the points against OpenPose's documented tables, and what lands on the disk."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose.artifact import KeypointSet
from edgepose.errors import UsageError
from edgepose.openpose_json import OpenPoseWriter
from edgepose.paths import usual_mode
from edgepose.skeletons import KEYPOINT_SETS

# doc/02_output.md of OpenPose 1.7, spelled out here a second time on purpose.
BODY_25 = [
    *("Nose", "Neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist", "MidHip"),
    *("RHip", "RKnee", "RAnkle", "LHip", "LKnee", "LAnkle", "REye", "LEye", "REar", "LEar"),
    *("LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel"),
]
BODY_18 = [name for name in BODY_25[:19] if name != "MidHip"]
# The published index map of DWPose's tools: (OpenPose, COCO) pairs.
DWPOSE = dict(
    zip(
        (0, 2, 3, 4, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16, 17, 5, 11),
        (0, 6, 8, 10, 7, 9, 12, 14, 16, 13, 15, 2, 1, 4, 3, 5, 11),
        strict=True,
    )
)


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture's results: keypoints (N, K, 3) as x px, y px, score; track_ids (N,) where there are any."""

    file_name: str
    width_px: int
    height_px: int
    keypoints: np.ndarray[Any, np.dtype[np.float32]]
    track_ids: Sequence[int] | None = None


def write(
    frame_results: Iterable[Frame], path: Path, *, points: KeypointSet, score_threshold: float, **more: Any
) -> None:
    """Write the results of all frames."""
    with OpenPoseWriter(path, points=points, score_threshold=score_threshold, **more) as writer:
        for frame in frame_results:
            image_id = writer.add_image(frame.file_name, width_px=frame.width_px, height_px=frame.height_px)
            for number, keypoints in enumerate(frame.keypoints):
                track_id = -1 if frame.track_ids is None else int(frame.track_ids[number])
                writer.add_person(image_id, keypoints, track_id=track_id)


def keypoints_of(name: str, *, score: float = 0.9) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Give one person whose point k lies at (k, 1000 + k)."""
    count = len(KEYPOINT_SETS[name].keypoints)
    numbers = np.arange(count, dtype=np.float32)
    return np.stack([numbers, 1000 + numbers, np.full(count, score, np.float32)], axis=1)[None]


def one_person(
    tmp_path: Path,
    name: str,
    keypoints: np.ndarray[Any, Any] | None = None,
    threshold: float = 0.3,
    **more: Any,
) -> dict[str, Any]:
    given = keypoints_of(name) if keypoints is None else keypoints
    frame = Frame("photo.jpg", 640, 480, given)
    path = tmp_path / "out.json"
    write([frame], path, points=KEYPOINT_SETS[name], score_threshold=threshold, **more)
    document = json.loads(path.read_text())
    assert (document["version"], document["canvas_width"], document["canvas_height"]) == (1.3, 640, 480)
    (person,) = document["people"]
    return dict(person)


def sources(numbers: list[float]) -> list[float]:
    """Return which keypoint each point was taken from."""
    assert all(y == 1000 + x for x, y in zip(numbers[::3], numbers[1::3], strict=True))
    return numbers[::3]


def coco_index(openpose_name: str) -> int:
    side = {"R": "right_", "L": "left_"}.get(openpose_name[0], "")
    rest = openpose_name[1:] if side else openpose_name
    special = {"BigToe": "big_toe", "SmallToe": "small_toe", "MidHip": "hip"}
    return KEYPOINT_SETS["halpe26"].keypoints.index(side + special.get(rest, rest.lower()))


@pytest.mark.parametrize("name", ["coco17", "wholebody133"])
def test_body_18(tmp_path: Path, name: str) -> None:
    taken = sources(one_person(tmp_path, name)["pose_keypoints_2d"])
    assert taken[1] == 5.5  # the neck: half way between the shoulders, 5 and 6
    assert taken[:1] + taken[2:] == [coco_index(n) for n in BODY_18 if n != "Neck"]
    assert {place: int(taken[place]) for place in DWPOSE} == DWPOSE


def test_body_25_from_halpe(tmp_path: Path) -> None:
    taken = sources(one_person(tmp_path, "halpe26")["pose_keypoints_2d"])
    assert taken == [coco_index(name) for name in BODY_25]


def test_face_and_hands(tmp_path: Path) -> None:
    person = one_person(tmp_path, "wholebody133")
    assert sources(person["face_keypoints_2d"]) == [*range(23, 91), 2, 1]  # then right and left pupil
    assert sources(person["hand_left_keypoints_2d"]) == list(range(91, 112))
    assert sources(person["hand_right_keypoints_2d"]) == list(range(112, 133))


def test_parts_that_a_network_lacks_are_empty(tmp_path: Path) -> None:
    person = one_person(tmp_path, "coco17")
    assert list(person) == [
        "person_id",
        *(f"{part}_keypoints_2d" for part in ("pose", "face", "hand_left", "hand_right")),
        *(f"{part}_keypoints_3d" for part in ("pose", "face", "hand_left", "hand_right")),
    ]
    assert [person[key] for key in list(person)[2:]] == [[]] * 7 and person["person_id"] == [-1]


def test_a_part_of_which_a_network_has_some_points_is_empty(tmp_path: Path) -> None:
    names = (*KEYPOINT_SETS["coco17"].keypoints, "left_hand_root", "face-0")
    points = dataclasses.replace(KEYPOINT_SETS["coco17"], keypoints=names, sigmas=(0.05,) * len(names))
    keypoints = np.ones((len(names), 3), dtype=np.float32)
    path = tmp_path / "out.json"
    write([Frame("photo.jpg", 640, 480, keypoints[None])], path, points=points, score_threshold=0.3)
    (person,) = json.loads(path.read_text())["people"]
    assert person["hand_left_keypoints_2d"] == person["face_keypoints_2d"] == []


def test_points_below_the_threshold_are_zeros(tmp_path: Path) -> None:
    keypoints = keypoints_of("coco17")
    keypoints[0, 5, 2] = 0.29  # a shoulder, and with it the neck
    keypoints[0, 16, 2] = 1.2
    keypoints[0, 0] = np.nan
    body = np.reshape(one_person(tmp_path, "coco17", keypoints)["pose_keypoints_2d"], (18, 3))
    assert [int(place) for place in np.flatnonzero(~body.any(axis=1))] == [0, 1, 5]
    assert body[10].tolist() == [16, 1016, 1.0]  # OpenPose's confidence ends at 1
    keypoints = keypoints_of("coco17")
    keypoints[0, 6, 2] = 0.5
    body = np.reshape(one_person(tmp_path, "coco17", keypoints)["pose_keypoints_2d"], (18, 3))
    assert body[1].tolist() == [5.5, 1005.5, 0.5]
    nothing = one_person(tmp_path, "coco17", keypoints_of("coco17", score=0.0), threshold=0.0)
    assert nothing["pose_keypoints_2d"] == [0.0] * 54


@pytest.mark.parametrize(("threshold", "missing"), [(3.0, [0]), (4.6, [0, 1, 5])])
def test_a_confidence_means_the_same_whatever_scale_the_scores_have(
    tmp_path: Path, threshold: float, missing: list[int]
) -> None:
    """The threshold from which points count may be another than the bundle's; the scale stays."""
    keypoints = keypoints_of("coco17", score=6.0)
    keypoints[0, [0, 5, 16], 2] = [2.9, 4.5, 12.0]
    person = one_person(tmp_path, "coco17", keypoints, threshold, seen_score=3.0)
    body = np.reshape(person["pose_keypoints_2d"], (18, 3))
    assert np.flatnonzero(~body.any(axis=1)).tolist() == missing
    confidences = {0: 0.0, 1: 0.45, 2: 0.6, 5: 0.45, 10: 1.0} | dict.fromkeys(missing, 0.0)
    assert {place: body[place, 2] for place in confidences} == confidences


def test_a_bundle_that_counts_every_point_keeps_its_scores(tmp_path: Path) -> None:
    person = one_person(tmp_path, "coco17", keypoints_of("coco17", score=0.5), 0.0, seen_score=0.0)
    assert person["pose_keypoints_2d"][2::3] == [0.5] * 18


@pytest.mark.parametrize("name", ["hand21", "lapa106", "ap10k17", "crowdpose14"])
def test_refuses_sets_without_the_body(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=name):
        OpenPoseWriter(tmp_path / "x.json", points=KEYPOINT_SETS[name], score_threshold=0.3)


def frames(*names: str) -> list[Frame]:
    two = np.concatenate([keypoints_of("coco17")] * 2)
    return [Frame(name, 64, 48, two, track_ids=[7, 8]) for name in names]


def test_several_frames_in_one_file_are_a_list(tmp_path: Path) -> None:
    path = tmp_path / "video.json"
    given = frames("v.avi#0", "v.avi#1", "v.avi#2")
    write(given, path, points=KEYPOINT_SETS["coco17"], score_threshold=0.3)
    document = json.loads(path.read_text())
    assert [[person["person_id"] for person in frame["people"]] for frame in document] == [[[7], [8]]] * 3
    write([], path, points=KEYPOINT_SETS["coco17"], score_threshold=0.3)
    assert json.loads(path.read_text()) == []


def test_a_folder_gets_openposes_file_names(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    for _ in range(2):  # new, then there
        given = frames("v.avi#12", "b/photo.jpg", "photo.png")
        write(given, folder, points=KEYPOINT_SETS["coco17"], score_threshold=0.3)
        names = sorted(path.name for path in folder.iterdir())
        assert names == [
            "photo.png_keypoints.json",
            "photo_keypoints.json",
            "v_000000000012_keypoints.json",
        ]
    assert all(json.loads(path.read_text())["version"] == 1.3 for path in folder.iterdir())
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("target", ["out.json", "out"])
@pytest.mark.parametrize("failure", [KeyboardInterrupt(), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))])
def test_nothing_half_written(tmp_path: Path, target: str, failure: BaseException) -> None:
    points = KEYPOINT_SETS["coco17"]
    with (
        pytest.raises(type(failure)) as caught,
        OpenPoseWriter(tmp_path / target, points=points, score_threshold=0.3) as writer,
    ):
        for name in ("a.jpg", "b.jpg", "c.jpg"):
            writer.add_person(writer.add_image(name, width_px=1, height_px=1), keypoints_of("coco17")[0])
        raise failure
    assert list(tmp_path.iterdir()) == []
    if isinstance(caught.value, OSError):
        assert caught.value.filename == str(tmp_path / target)


def test_what_a_killed_run_left_is_no_hindrance(tmp_path: Path) -> None:
    """In a container the next process often has the same number."""
    (tmp_path / f".openpose.{os.getpid()}.part").mkdir()
    with OpenPoseWriter(tmp_path / "openpose", points=KEYPOINT_SETS["coco17"], score_threshold=0.3):
        pass
    assert (tmp_path / "openpose").stat().st_mode & 0o777 == usual_mode()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UsageError, match="is a file"):
        write([], tmp_path / "out", points=KEYPOINT_SETS["coco17"], score_threshold=0.3)
    assert (tmp_path / "out").read_text() == "mine"
