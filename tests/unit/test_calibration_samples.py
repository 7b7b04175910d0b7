"""Calibration samples: what is read, in which order, what is recorded, and what is refused."""

from __future__ import annotations

import json
import mmap
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgepose import _core
from edgepose.artifact import Preprocess
from edgepose.bundle.manifest import preprocess_member
from edgepose.calibration.pictures import are_synthetic, digests, read_pictures
from edgepose.calibration.samples import make_samples
from edgepose.coco_json import open_results
from edgepose.errors import CalibrationError, ConfigurationError, UsageError
from edgepose.hashing import sha256_file
from edgepose.skeletons import KEYPOINT_SETS
from edgepose.synth.dataset import DatasetRequest, write_dataset

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
CROP = Preprocess("affine", (32, 24), "rgb", MEAN, STD, (0, 0, 0), 1.25)
LETTERBOX = Preprocess("letterbox", (32, 32), "bgr", MEAN, STD, (114, 114, 114))


def write_pictures(folder: Path, count: int) -> list[Path]:
    """Write pictures of noise, each of another size."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(7)
    paths = []
    for index in range(count):
        path = folder / f"{index}.png"
        cv2.imwrite(str(path), random.integers(0, 256, (40 + index, 60 - index % 20, 3), dtype=np.uint8))
        paths.append(path)
    return paths


def write_coco(path: Path, boxes: dict[str, list[list[float]]]) -> Path:
    images = [{"id": n, "file_name": name} for n, name in enumerate(boxes)]
    annotations = [
        {"image_id": n, "category_id": 1, "bbox": box}
        for n, listed in enumerate(boxes.values())
        for box in listed
    ]
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return path


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "images", 30)
    return write_coco(
        tmp_path / "boxes.json", {f"{n}.png": [[3, 4, 20, 30], [5.5, 1, 9, 30]] for n in range(30)}
    )


def test_the_record_makes_the_same_samples(coco: Path) -> None:
    made = make_samples(read_pictures(coco), CROP, count=12, seed=3)
    files = {sha256_file(path): path for path in coco.parent.glob("images/*.png")}
    for half in (made.calibration, made.held_out):
        assert len(half.tensors) == 12
        for tensor, entry in zip(half.tensors, half.record(), strict=True):
            picture = cv2.imread(str(files[entry["sha256"]]))
            wanted, _ = _core.preprocess(
                picture, tuple(entry["box_xyxy"]), json.dumps(preprocess_member(CROP))
            )
            assert tensor.shape == (1, 3, 32, 24)
            assert np.array_equal(tensor[0], wanted)
    assert not {d for d, _ in made.calibration.made_of} & {d for d, _ in made.held_out.made_of}
    json.dumps(made.record(), allow_nan=False)


def test_no_more_samples_are_made_than_asked_for(coco: Path) -> None:
    """Each picture shows two persons."""
    made = make_samples(read_pictures(coco), CROP, count=7)
    assert len(made.calibration.tensors) == len(made.held_out.tensors) == 7


def test_a_crowd_gives_no_more_than_its_share(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", 10)
    crowds = {f"{n}.png": [[3.0, 4.0, 20.0, 30.0 - k] for k in range(12)] for n in range(8)}
    coco = write_coco(tmp_path / "boxes.json", {**crowds, "8.png": [], "9.png": []})
    made = make_samples(read_pictures(coco), CROP, count=14)  # of 8 pictures with persons: 4 of each
    for half in (made.calibration, made.held_out):
        each = Counter(digest for digest, _ in half.made_of)
        assert sorted(each.values()) == [2, 4, 4, 4]


def test_a_crowd_fills_up_where_samples_lack(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", 8)
    boxes = {f"{n}.png": [[3.0, 4.0, 20.0, 30.0]] for n in range(8)}
    boxes["0.png"] = boxes["1.png"] = [[3.0, 4.0, 20.0, 30.0 - k] for k in range(12)]
    pictures = read_pictures(write_coco(tmp_path / "boxes.json", boxes))
    made = make_samples(pictures, CROP, count=100)
    samples = [*made.calibration.made_of, *made.held_out.made_of]
    assert len(samples) == len(set(samples)) == 6 + 2 * 12
    for half in (made.calibration, made.held_out):
        for tensor, (digest, box) in zip(half.tensors, half.made_of, strict=True):
            (path,) = (picture.path for picture in pictures if sha256_file(picture.path) == digest)
            wanted, _ = _core.preprocess(cv2.imread(str(path)), box, json.dumps(preprocess_member(CROP)))
            assert np.array_equal(tensor[0], wanted)


def test_the_tensors_lie_in_a_file(coco: Path) -> None:
    """A thousand of them do not fit into memory."""
    made = make_samples(read_pictures(coco), CROP, count=12)
    for tensor in (*made.calibration.tensors, *made.held_out.tensors):
        owner: object = tensor
        while isinstance(owner, np.ndarray):
            owner = owner.base
        assert isinstance(owner, mmap.mmap)
        assert tensor.flags.writeable and tensor.flags.c_contiguous
    record = made.record()
    made.forget_tensors()
    assert made.calibration.tensors == made.held_out.tensors == []
    assert made.record() == record


def test_a_full_folder_for_their_file_is_named(coco: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def on_a_full_disk() -> Any:
        return Path("/dev/full").open("w+b")

    monkeypatch.setattr(tempfile, "TemporaryFile", on_a_full_disk)
    with pytest.raises(ConfigurationError, match=f"^{tempfile.gettempdir()}, the folder .*No space") as full:
        make_samples(read_pictures(coco), CROP, count=12)
    assert "TMPDIR" in str(full.value.hint)


def test_the_seed_decides(coco: Path) -> None:
    first, again, other = (
        make_samples(read_pictures(coco), CROP, count=10, seed=seed).record() for seed in (1, 1, 2)
    )
    assert first == again
    assert first["calibration"] != other["calibration"]


def test_letterboxes_need_no_boxes_and_few_pictures_are_halved(tmp_path: Path) -> None:
    write_pictures(tmp_path, 20)
    made = make_samples(read_pictures(tmp_path), LETTERBOX, count=100)
    assert len(made.calibration.tensors) == len(made.held_out.tensors) == 10
    assert made.calibration.record()[0]["box_xyxy"] is None


def test_a_detector_finds_the_persons(tmp_path: Path) -> None:
    write_pictures(tmp_path, 10)
    made = make_samples(
        read_pictures(tmp_path), CROP, count=4, find_persons=lambda image: [(1.0, 2.006, 20.0, 30.0)]
    )
    assert made.held_out.record()[0]["box_xyxy"] == [1.0, 2.01, 20.0, 30.0]
    with pytest.raises(UsageError, match="pose network alone cannot find") as caught:
        make_samples(read_pictures(tmp_path), CROP, count=4)
    assert "COCO" in str(caught.value.hint)


def test_boxes_that_rounding_empties_are_left_out(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", 10)
    boxes = [[5, 1, 9, 30], [3.001, 4, 0.002, 30]]
    coco = write_coco(tmp_path / "boxes.json", {f"{n}.png": boxes for n in range(10)})
    made = make_samples(read_pictures(coco), CROP, count=100)
    assert len(made.calibration.made_of) == len(made.held_out.made_of) == 5


def test_persons_outside_their_pictures_are_left_out_or_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pictures(tmp_path / "images", 30)  # none narrower than 41 px, or higher than 69
    boxes: dict[str, list[list[float]]] = {f"{n}.png": [[3, 4, 20, 30], [40, 1, 90, 30]] for n in range(20)}
    boxes["20.png"] = [[3, 4, 20, 30], [61, 4, 20, 30]]
    coco = write_coco(tmp_path / "boxes.json", boxes)
    made = make_samples(read_pictures(coco), CROP, count=100)
    assert len(made.calibration.made_of) + len(made.held_out.made_of) == 41
    warning = (
        "the boxes of 1 of 42 annotated persons lie outside their pictures, such as [61.0, 4.0, 81.0, 34.0]"
    )
    err = capsys.readouterr().err
    assert (
        err.count(warning) == 1 and "on 20.png of 60x60 pixels: they were left out" in err and "EXIF" in err
    )
    make_samples(read_pictures(coco), CROP, count=100)  # for another target
    assert "outside" not in capsys.readouterr().err
    for name in ("0.png", "1.png"):
        boxes[name][0] = [3, 80, 20, 30]
    write_coco(coco, boxes)
    with pytest.raises(
        CalibrationError, match=r"3 of 42 annotated persons .*over the limit of 5%"
    ) as refused:
        make_samples(read_pictures(coco), CROP, count=100)
    assert "EXIF" in (refused.value.hint or "")
    make_samples(read_pictures(coco), LETTERBOX, count=8)  # needs no boxes


def test_a_corrupt_picture_is_named_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = write_pictures(tmp_path, 40)
    paths[20].write_bytes(paths[20].read_bytes()[:100])
    made = make_samples(read_pictures(tmp_path), LETTERBOX, count=100)
    assert made.unreadable == ("20.png",)
    assert made.record()["unreadable"] == ["20.png"]
    warnings = capsys.readouterr().err
    assert "20.png" in warnings
    assert "1 of 40 calibration pictures could not be read" in warnings
    for path in paths[:2]:
        path.write_bytes(b"no picture")
    with pytest.raises(CalibrationError, match=r"3 of 40 calibration pictures cannot be read, .* 5%"):
        make_samples(read_pictures(tmp_path), LETTERBOX, count=100)


def test_a_bundle_can_hold_the_names_of_corrupt_pictures(tmp_path: Path) -> None:
    write_pictures(tmp_path, 40)
    (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes(b"no picture")
    made = make_samples(read_pictures(tmp_path), LETTERBOX, count=100)
    json.dumps(made.record(), ensure_ascii=False).encode()
    assert made.unreadable == ("caf\\udce9.png",)


def test_too_little_is_refused(tmp_path: Path) -> None:
    write_pictures(tmp_path / "three", 3)
    with pytest.raises(CalibrationError, match=r"3 calibration pictures give 3 samples, .* at least 4"):
        make_samples(read_pictures(tmp_path / "three"), LETTERBOX, count=100)
    with pytest.raises(CalibrationError, match="none of 3 calibration pictures shows a person"):
        make_samples(read_pictures(tmp_path / "three"), CROP, count=10, find_persons=lambda image: [])
    empty = write_coco(tmp_path / "three" / "none.json", {f"{n}.png": [] for n in range(3)})
    with pytest.raises(CalibrationError, match="none of 3 calibration pictures shows a person"):
        make_samples(read_pictures(empty), CROP, count=10)


@pytest.mark.parametrize(("pictures", "count", "few"), [(63, 31, True), (64, 32, False), (8, 4, True)])
def test_few_samples_are_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pictures: int, count: int, few: bool
) -> None:
    write_pictures(tmp_path, pictures)
    make_samples(read_pictures(tmp_path), LETTERBOX, count=count)
    assert (f"only {count} samples to calibrate with" in capsys.readouterr().err) == few


def test_either_half_alone_can_be_too_small(tmp_path: Path) -> None:
    write_pictures(tmp_path, 7)
    with pytest.raises(CalibrationError, match="7 calibration pictures give 7 samples, and both halves need"):
        make_samples(read_pictures(tmp_path), LETTERBOX, count=100)


def test_copies_count_once(tmp_path: Path) -> None:
    first, *others = write_pictures(tmp_path, 9)
    for path in others:
        path.write_bytes(first.read_bytes())
    with pytest.raises(CalibrationError, match="give 1 samples"):
        make_samples(read_pictures(tmp_path), LETTERBOX, count=100)


def test_an_overlap_with_the_evaluation_set_is_refused(coco: Path, tmp_path: Path) -> None:
    others = tmp_path / "evaluation"
    write_pictures(tmp_path / "images", 30)
    others.mkdir()
    for name in ("5", "17"):
        (others / f"other{name}.png").write_bytes((tmp_path / "images" / f"{name}.png").read_bytes())
    with pytest.raises(CalibrationError, match="2 of 30 calibration pictures are also in the eval") as caught:
        make_samples(read_pictures(coco), CROP, count=100, evaluation=digests(others))
    for name in ("5", "17"):
        assert f"{name}.png (there other{name}.png)" in caught.value.message


def test_lists_are_read(tmp_path: Path) -> None:
    write_pictures(tmp_path / "sub", 3)
    text = tmp_path / "list.txt"
    for mark in ("", "\ufeff"):  # which some editors put in front
        text.write_text(f"{mark}sub/2.png\n# mine\n\nsub/0.png\nsub/2.png\n", encoding="utf-8")
        assert [picture.path.name for picture in read_pictures(text)] == ["2.png", "0.png"]


def test_results_of_a_run_serve_as_annotations_but_not_beside_drawn_pictures(tmp_path: Path) -> None:
    write_pictures(tmp_path, 2)
    points = KEYPOINT_SETS["coco17"]
    for drawn in (0, 2):
        with open_results(tmp_path / "results.json", info={}, points=points) as results:
            for index in range(2):
                image = results.add_image(f"{index}.png", width_px=60, height_px=40)
                box = np.array([3, 4, 23, 34, 0.9], np.float32)
                results.add_person(image, np.ones((17, 3), np.float32), box)
            results.summary = {"pictures": drawn}
        if drawn:
            with pytest.raises(UsageError, match=r"results\.json: .*drew on the pictures") as refused:
                read_pictures(tmp_path / "results.json")
            assert "--no-draw" in (refused.value.hint or "")
        else:
            pictures = read_pictures(tmp_path / "results.json")
            found = [(picture.path.name, picture.boxes) for picture in pictures]
            assert found == [(f"{index}.png", ((3, 4, 23, 34),)) for index in range(2)]


def test_results_do_not_serve_beside_pictures_that_an_earlier_run_drew(tmp_path: Path) -> None:
    own, drawn = tmp_path / "photos", tmp_path / "out"
    for folder in (own, drawn, tmp_path / "links"):
        write_pictures(folder, 2)
    cv2.imwrite(str(drawn / "0.png"), np.zeros((40, 60, 3), np.uint8))
    for source in (own, own / "0.png"):
        for folder in (own, drawn):
            info = {"input": source.name, "input_path": str(source)}
            with open_results(folder / "results.json", info=info, points=KEYPOINT_SETS["coco17"]) as results:
                results.add_image("0.png", width_px=60, height_px=40)
                results.summary = {"pictures": 0}
        assert [picture.path for picture in read_pictures(own / "results.json")] == [own / "0.png"]
        with pytest.raises(UsageError, match=r"out/results\.json: .* on .*/photos, .* are others") as refused:
            read_pictures(drawn / "results.json")
        assert "--no-draw" in (refused.value.hint or "")
    link = tmp_path / "links" / "0.png"
    link.unlink()
    link.symlink_to(own / "0.png")
    (drawn / "results.json").rename(link.with_name("results.json"))
    assert [picture.path for picture in read_pictures(link.with_name("results.json"))] == [link]
    copy = shutil.copytree(own, tmp_path / "copy")
    info = {"input": "photos", "input_path": str(own)}
    with open_results(copy / "results.json", info=info, points=KEYPOINT_SETS["coco17"]) as results:
        results.add_image("0.png", width_px=60, height_px=40)
    assert [picture.path for picture in read_pictures(copy / "results.json")] == [copy / "0.png"]
    (own / "0.png").rename(tmp_path / "0.png")  # nothing to compare with
    assert len(read_pictures(copy / "results.json")) == 1
    (tmp_path / "0.png").rename(own / "0.png")
    own.rename(tmp_path / "moved")  # and what was moved takes its results along
    assert len(read_pictures(tmp_path / "moved" / "results.json")) == 1


def test_boxes_are_of_the_class_that_the_detector_looks_for(coco: Path) -> None:
    document = json.loads(coco.read_text())
    document["categories"] = [{"id": 1, "name": "person"}, {"id": 2, "name": "dog"}]
    document["annotations"][1]["category_id"] = 2
    coco.write_text(json.dumps(document))
    for box_class, expected in ((None, ((3, 4, 23, 34),)), ("dog", ((5.5, 1, 14.5, 31),))):
        assert read_pictures(coco, KEYPOINT_SETS["ap10k17"], box_class)[0].boxes == expected


def test_pictures_lie_where_the_annotations_say(tmp_path: Path) -> None:
    boxes: dict[str, list[list[float]]] = {
        "a/0.png": [[1, 2, 3, 4]],
        "b/0.png": [],
        "b/1.png": [[5, 6, 7, 8]],
    }
    coco = write_coco(tmp_path / "boxes.json", boxes)
    write_pictures(tmp_path / "a", 1)
    write_pictures(tmp_path / "images" / "b", 1)
    with pytest.raises(UsageError, match=r"the picture b/1\.png is neither in"):
        read_pictures(coco)
    write_pictures(tmp_path, 2)  # only 1.png is not found elsewhere
    assert [(picture.path, picture.boxes) for picture in read_pictures(coco)] == [
        (tmp_path / "a/0.png", ((1, 2, 4, 6),)),
        (tmp_path / "images/b/0.png", ()),
        (tmp_path / "1.png", ((5, 6, 12, 14),)),
    ]
    windows = write_coco(tmp_path / "windows.json", {r"D:\photos\1.png": []})
    assert [picture.path for picture in read_pictures(windows)] == [tmp_path / "1.png"]
    (tmp_path / "a/0.png").unlink()
    (tmp_path / "images/b/0.png").unlink()
    with pytest.raises(UsageError, match=r"boxes\.json: a/0\.png and b/0\.png are one file, .*/0\.png"):
        read_pictures(coco)
    document = json.loads(coco.read_text())
    document["images"][1]["file_name"] = "./a/0.png"
    coco.write_text(json.dumps(document))
    with pytest.raises(UsageError, match=r"two pictures are called a/0\.png"):
        read_pictures(coco)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent", None, "no such file or folder"),
        ("/dev/null", None, "/dev/null: is not a regular file"),
        ("list.txt", b"1.png\n2.png\n", r"1\.png is no file and 1 more"),
        ("list.txt", b"\n", "lists no pictures"),
        ("list.txt", b"\xff\xfe\x00", "not a text file"),
        ("one.jpg", b"x", "is one picture"),
        ("a.json", b"{", "not JSON"),
        ("a.json", b"[]", "not COCO annotations"),
        ("a.json", b'{"images": [], "annotations": [{}]}', "incomplete COCO annotations"),
        ("a.json", b'{"images": [{"id": 1, "file_name": "x.png"}], "annotations": []}', "x.png is neither"),
    ],
)
def test_bad_sets_are_named(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        read_pictures(tmp_path / name)
    assert name in caught.value.message
    assert caught.value.hint


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no pictures"):
        read_pictures(tmp_path)


def test_rendered_people_are_recorded_as_such(
    coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = write_dataset(tmp_path / "made", DatasetRequest(8, 0, 1, (96, 128), (1, 2)))
    assert made.annotations is not None
    assert are_synthetic(made.annotations) and are_synthetic(tmp_path / "made" / "images")
    for name, pictures in (
        ("made.txt", made.annotations.parent / "images"),
        ("own.txt", coco.parent / "images"),
    ):
        listed = tmp_path / "lists" / name
        listed.parent.mkdir(exist_ok=True)
        listed.write_text("".join(f"{path}\n" for path in pictures.iterdir()))
        assert are_synthetic(listed) == (name == "made.txt")
    monkeypatch.chdir(tmp_path / "made" / "images")
    assert are_synthetic(Path())
    results = tmp_path / "made" / "images" / "results.json"  # of edgepose run, which tells nothing of them
    results.write_text(json.dumps({"info": {"input": "images"}}))
    assert are_synthetic(results)
    results.unlink()
    own = tmp_path / "made" / "photos"  # real pictures with labels, in the folder of a rendered set
    own.mkdir()
    for path in (own / "labels.json", own.parent / "person_val.json"):
        path.write_text(json.dumps({"info": {"description": "mine"}}))
        assert not are_synthetic(path)
        path.write_text(json.dumps({"images": []}))
        assert not are_synthetic(path)
    elsewhere = tmp_path / "results.json"
    for folder, synthetic in ((tmp_path / "made" / "images", True), (coco.parent / "images", False)):
        elsewhere.write_text(json.dumps({"info": {"input": "images", "input_path": str(folder)}}))
        assert are_synthetic(elsewhere) == synthetic
    assert not are_synthetic(coco) and not are_synthetic(coco.parent)
    pictures = read_pictures(made.annotations)
    assert make_samples(pictures, LETTERBOX, count=4, synthetic=True).record()["synthetic"] is True
    assert "synthetic" not in make_samples(pictures, LETTERBOX, count=4).record()
