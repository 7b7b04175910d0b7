"""Parts of a conversion that need no network: the class of persons, inputs that are too large, the cache."""

from __future__ import annotations

import dataclasses
import errno
import os
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np
import pytest

from edgepose.artifact import BoxHead, KeypointSet, ModelSpec, Preprocess, SimccHead
from edgepose.converters import conversion, golden, samples, steps
from edgepose.converters.assemble import person_label, person_notes
from edgepose.errors import ConfigurationError, ConversionError, UsageError
from edgepose.models import LoadedModel
from edgepose.skeletons import KEYPOINT_SETS, numbered_points
from edgepose.zoo import find

LETTERBOX = Preprocess("letterbox", (32, 32), "bgr", (0, 0, 0), (1, 1, 1), (114, 114, 114))
CROP = Preprocess("affine", (32, 24), "rgb", (0, 0, 0), (1, 1, 1), (0, 0, 0), 1.25)


def boxes(*classes: str) -> BoxHead:
    return BoxHead((8, 16, 32), False, classes, 0.05, 0.6, 1000, 100)


def pose_spec(preprocess: Preprocess) -> ModelSpec:
    head = SimccHead(2.0, KeypointSet("one", ("a",), (), (), (0.1,)))
    return ModelSpec("net", "rtmpose", "pose", preprocess, head, ("input",), ("x", "y"), "", 1)


@pytest.mark.parametrize(
    ("classes", "label"),
    [
        (("person",), 0),
        (("face",), 0),
        (("car", "person"), 1),
        (("car", "Person"), 1),
        (("helmet", "PEDESTRIAN "), 1),
        (("pedestrian", "people", "person"), 2),
        (("hand", "human"), 1),
    ],
)
def test_the_class_of_persons_is_found(classes: tuple[str, ...], label: int) -> None:
    assert person_label(boxes(*classes)) == label
    part = part_of(boxes(*classes))
    assert person_notes(part, [part], None) == []


def part_of(head: Any) -> Any:
    return SimpleNamespace(
        artifact=SimpleNamespace(spec=SimpleNamespace(head=head), lineage=()),
        canonical=SimpleNamespace(notes=("first",)),
        stage=SimpleNamespace(compared=1),
    )


def test_a_guessed_class_of_persons_is_said() -> None:
    head = boxes("helmet", "vest")
    assert person_label(head) == 0
    part, pose = part_of(head), part_of(pose_spec(CROP).head)
    (note,) = person_notes(part, [part], None)
    assert "'helmet'" in note and "2 classes" in note and "--box-class" not in note
    assert conversion._notes(part, [part], None) == ["first", note]  # what the command prints
    assert person_notes(part, [part, pose], None) == [f"{note}; --box-class names another"]
    assert person_notes(part, [part, pose], "vest") == person_notes(pose, [part, pose], None) == []


@pytest.mark.parametrize(
    ("points", "noted"),
    [
        *((points, name in ("hand21", "lapa106", "ap10k17")) for name, points in KEYPOINT_SETS.items()),
        (numbered_points(4), False),
        (KeypointSet("zebra", ("Snout", "left_shoulder", "left_knee"), (), (), (0.1,) * 3), True),
        (KeypointSet("mouse", ("RFPaw", "leftHip"), (), (), (0.1,) * 2), True),
        (
            KeypointSet("dancers", ("tailbone", "left_shoulder", "l_hip", "ponytail"), (), (), (0.1,) * 4),
            False,
        ),
        (KeypointSet("gripper", ("base", "tip"), (), (), (0.1,) * 2), True),
        (KeypointSet("climbers", ("Left Hip", "RKnee", "rope"), (), (), (0.1,) * 3), False),
        (KeypointSet("runners", ("leftankle", "rknee"), (), (), (0.1,) * 2), False),
        (KeypointSet("bottle", ("shoulder_left", "shoulder_right", "chip_tl"), (), (), (0.1,) * 3), True),
        (KeypointSet("boat", ("ship_bow", "elbow_in", "elbow_out"), (), (), (0.1,) * 3), True),
    ],
    ids=lambda value: value.name if isinstance(value, KeypointSet) else "",
)
def test_boxes_of_persons_for_points_of_something_else_are_said(points: KeypointSet, noted: bool) -> None:
    detector, pose = part_of(boxes("person", "dog")), part_of(SimccHead(2.0, points))
    notes = person_notes(detector, [detector, pose], None)
    assert len(notes) == noted
    assert all("boxes of 'person'" in n and "--box-class" in n for n in notes)
    assert all(f"({points.name}) are not a person's, by their names" in n for n in notes)
    assert person_notes(detector, [detector, pose], "person") == []
    only = part_of(boxes("person"))
    said = [note.replace("--box-class names the class", "it needs a detector of that") for note in notes]
    assert person_notes(only, [only, pose], None) == said
    assert person_notes(only, [only, pose], "person") == []


@pytest.mark.parametrize(
    ("name", "points", "noted"),
    [
        ("hand", KEYPOINT_SETS["coco17"], True),
        ("Face ", KEYPOINT_SETS["wholebody133"], True),
        ("dog", KEYPOINT_SETS["halpe26"], True),
        ("hand", KEYPOINT_SETS["hand21"], False),
        ("face", KEYPOINT_SETS["lapa106"], False),
        ("dog", KEYPOINT_SETS["ap10k17"], False),
        ("dog", numbered_points(4), False),
        ("dancer", KEYPOINT_SETS["coco17"], False),
        ("tool", KeypointSet("gripper", ("base", "tip"), (), (), (0.1,) * 2), False),
    ],
)
def test_boxes_of_something_else_for_points_of_persons_are_said(
    name: str, points: KeypointSet, noted: bool
) -> None:
    detector, pose = part_of(boxes(name)), part_of(SimccHead(2.0, points))
    notes = person_notes(detector, [detector, pose], None)
    assert notes == noted * [
        f"the pose network gets the boxes of {name!r}, and its keypoints ({points.name}) are a person's, "
        "by their names: it needs a detector of persons"
    ]
    assert person_notes(detector, [detector, pose], name) == []


def test_a_named_class_is_looked_for() -> None:
    head = boxes("person", "Dog ", "hot dog")
    assert [person_label(head, name) for name in ("dog", "Person", "hot dog")] == [1, 0, 2]
    for name in ("cat", "0", ""):
        with pytest.raises(UsageError, match=f"the detector has no class '{name}'") as caught:
            person_label(head, name)
        assert caught.value.hint == "its classes: person, Dog , hot dog"


@pytest.mark.parametrize("preprocess", [LETTERBOX, CROP], ids=["letterbox", "affine"])
def test_a_picture_that_is_too_large_is_named(preprocess: Preprocess, tmp_path: Path) -> None:
    path = tmp_path / "long.png"
    cv2.imwrite(str(path), np.zeros((2, 40000, 3), np.uint8))
    with pytest.raises(UsageError, match=r"long\.png.*40000") as caught:
        samples.make_samples(preprocess, [path])
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("resize", ["letterbox", "affine"])
def test_a_network_whose_input_is_too_large_is_refused(resize: Any) -> None:
    preprocess = Preprocess(resize, (9600, 9600), "bgr", (0, 0, 0), (1, 1, 1), (0, 0, 0))
    picture = samples.GoldenPicture(np.zeros((8, 8, 3), np.uint8), ((0.0, 0.0, 8.0, 8.0),))
    spec = pose_spec(preprocess)
    if resize == "letterbox":
        spec = ModelSpec("net", "rtmdet", "detect", preprocess, boxes("person"), ("input",), ("x",), "", 1)
    with pytest.raises(ConversionError, match=r"fits no bundle: preprocess\.input_hw.* 9600"):
        golden.expected(spec, picture, lambda tensor: [tensor])


@pytest.mark.parametrize(
    ("asked", "alone", "from_cache"),
    [
        (None, True, True),
        ((32, 24), True, True),
        ((320, 320), True, False),
        ((320, 320), False, True),  # a pipeline's size is the detector's
    ],
)
def test_a_cached_network_does_not_hide_an_input_size_that_it_cannot_take(
    asked: tuple[int, int] | None, alone: bool, from_cache: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = SimpleNamespace(role="pose", artifact=SimpleNamespace(spec=pose_spec(CROP)))
    monkeypatch.setattr(steps, "cached_canonical", lambda request, cache: stored)
    monkeypatch.setattr(conversion, "require", lambda tools, **_: None)

    def load_model(path: Path, **options: Any) -> Any:
        raise UsageError(f"this network takes 24x32 pixels, not {options['input_hw']}")

    monkeypatch.setattr("edgepose.models.load_model", load_model)
    request = steps.Request(Path("pose.pth"), "0" * 64, asked, None, ())
    plan: Any = SimpleNamespace(
        requests=[request] * (1 if alone else 2), cache=object(), stage=lambda *_: None
    )
    if from_cache:
        assert conversion._known_or_loaded(plan, request) is stored
    else:
        with pytest.raises(UsageError, match=r"takes 24x32 pixels, not \(320, 320\)"):
            conversion._known_or_loaded(plan, request)


@pytest.mark.parametrize("official", [True, False])
def test_the_licence_of_an_official_checkpoint_is_passed_on(
    official: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / (find("rtmw-m").file if official else "mine.pth")  # upstream gives no SHA-256 of it
    path.write_bytes(b"weights")
    (request,) = conversion._requests([path], None, None, ())
    loaded = LoadedModel(pose_spec(CROP), cast(Any, None), request.checkpoint_sha256, ())
    monkeypatch.setattr("edgepose.models.load_model", lambda path, **_: loaded)
    monkeypatch.setattr(conversion, "require", lambda tools, **_: None)
    plan: Any = SimpleNamespace(requests=[request], cache=None, stage=lambda *_: None)
    model: Any = conversion._known_or_loaded(plan, request)
    assert model.spec.license.startswith("Apache-2.0 (of the upstream") == official


def test_requests_that_differ_do_not_share_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "a.png", tmp_path / "b.png"
    first.write_bytes(b"1")
    second.write_bytes(b"2")
    points = KeypointSet("one", ("nose",), (), (), (0.1,))
    plain = steps.Request(Path("net.pth"), "0" * 64, None, None, (first,))
    changes: list[dict[str, Any]] = [
        {},
        {"checkpoint_sha256": "1" * 64},
        {"input_hw": (256, 192)},
        {"input_hw": (192, 256)},
        {"keypoints": points},
        {"keypoints": dataclasses.replace(points, keypoints=("chin",))},
        {"keypoints": dataclasses.replace(points, sigmas=(0.2,))},
        {"pictures": ()},
        {"pictures": (second,)},
        {"pictures": (first, second)},
        {"license": "Apache-2.0"},
    ]
    keys = {dataclasses.replace(plain, **change).key() for change in changes}
    assert len(keys) == len(changes)
    assert dataclasses.replace(plain, checkpoint=Path("copy.pth")).key() in keys
    for part in ("code_digest", "tool_versions"):
        with monkeypatch.context() as patch:
            patch.setattr(steps, part, lambda *_: "another")
            assert plain.key() not in keys
    first.write_bytes(b"3")
    assert plain.key() not in keys


@pytest.mark.parametrize("step", ["make_canonical", "make_target"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_folder_for_temporary_files_is_named(
    step: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))  # as a write, which names no file

    monkeypatch.setattr(samples, "make_samples", full)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    any_: Any = SimpleNamespace(spec=None, pictures=(), artifact=SimpleNamespace(spec=pose_spec(CROP)))
    any_.spec = any_.artifact.spec
    with pytest.raises(ConfigurationError) as caught:
        if step == "make_canonical":
            steps.make_canonical(any_, any_, None, tmp_path)
        else:
            steps.make_target(any_, any_, "fp32", pictures=(), cache=None, work_dir=tmp_path, children=any_)
    assert caught.value.message == f"{tmp_path}, the folder for temporary files: {os.strerror(number)}"
    assert "TMPDIR" in str(caught.value.hint)
    assert ("ulimit -f" in str(caught.value.hint)) == (number == errno.EFBIG)
