"""`edgepose synth`: complete folders or nothing, and one line for every mistake."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose.cli.main import main
from edgepose.cli.synth import synth
from edgepose.media import load_cv2, open_source, read_picture
from edgepose.synth import dataset, render_scene, render_video
from edgepose.synth.dataset import picture_seed
from edgepose.synth.scene import SHOTS
from edgepose.writers import VideoWriter

_SMALL = ["--size", "96x64", "--persons", "1-2"]


def _left_in(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def _check_coco(document: dict[str, Any], width: int, height: int) -> None:
    assert document["info"]["source"] == "synthetic"
    (category,) = document["categories"]
    assert category["name"] == "person" and len(category["keypoints"]) == 17
    image_ids = [image["id"] for image in document["images"]]
    assert len(set(image_ids)) == len(image_ids)
    ids = [annotation["id"] for annotation in document["annotations"]]
    assert len(set(ids)) == len(ids) > 0
    for image in document["images"]:
        assert (image["width"], image["height"]) == (width, height)
    for annotation in document["annotations"]:
        assert annotation["image_id"] in image_ids
        assert annotation["category_id"] == category["id"] and annotation["iscrowd"] == 0
        points = np.array(annotation["keypoints"]).reshape(17, 3)
        assert set(points[:, 2]) <= {0, 1, 2}
        assert annotation["num_keypoints"] == np.count_nonzero(points[:, 2])
        x, y, box_width, box_height = annotation["bbox"]
        assert x >= 0 and y >= 0 and x + box_width <= width and y + box_height <= height
        assert 0 < annotation["area"] <= box_width * box_height


def test_pictures_and_annotations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "made" / "set"
    assert main(["synth", "--images", "4", "-o", str(out), "--seed", "5", *_SMALL]) == 0
    assert capsys.readouterr().out.split() == [str(out / "annotations.json")]
    document = json.loads((out / "annotations.json").read_text())
    _check_coco(document, 96, 64)
    assert document["info"]["seed"] == 5
    assert len(document["images"]) == 4
    pictures = [f"set/{image['file_name']}" for image in document["images"]]
    assert _left_in(tmp_path / "made") == sorted(["set", "set/annotations.json", "set/images", *pictures])
    for index, image in enumerate(document["images"]):
        expected = render_scene(picture_seed(5, index), size_hw=(64, 96), persons=(1, 2))
        assert image["seed"] == expected.seed
        assert np.array_equal(read_picture(out / image["file_name"]), expected.image)


def test_video_and_its_tracks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set"
    arguments = ["synth", "--video", "0.5", "-o", str(out), "--size", "97x65", "--persons", "3", "--json"]
    assert main(arguments) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["frames"] == 15 and result["images"] == 0 and result["source"] == "synthetic"
    document = json.loads((out / "video.json").read_text())
    _check_coco(document, 96, 64)  # the encoder stores even sizes only
    assert {a["track_id"] for a in document["annotations"]} <= {1, 2, 3}
    frames = list(open_source(str(out / "video.mp4")))
    assert len(frames) == 15 == len(document["images"])
    # `edgepose run` names a video's frames alike, so that its results can be compared with the annotations.
    assert [frame.name for frame in frames] == [image["file_name"] for image in document["images"]]
    rendered = list(render_video(0, seconds=0.5, size_hw=(64, 96), persons=3))
    for frame, picture in zip(frames, rendered, strict=True):
        assert np.abs(frame.image.astype(int) - picture.image).mean() < 16
    assert sorted(p.name for p in out.iterdir()) == ["video.json", "video.mp4"]


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    for name, extra in (("a", []), ("b", []), ("c", ["--seed", "1"])):
        assert main(["synth", "--images", "2", "-o", str(tmp_path / name), *_SMALL, *extra]) == 0
    a, b, c = ((tmp_path / name / "images" / "000001.png").read_bytes() for name in "abc")
    assert a == b != c
    a, b = ((tmp_path / name / "annotations.json").read_bytes() for name in "ab")
    assert a == b


def test_more_pictures_begin_with_the_same_ones(tmp_path: Path) -> None:
    for count in (1, 2):
        assert main(["synth", "--images", str(count), "-o", str(tmp_path / str(count)), *_SMALL]) == 0
    first, second = (tmp_path / name / "images" / "000000.png" for name in ("1", "2"))
    assert first.read_bytes() == second.read_bytes()


def test_jpeg_pictures(tmp_path: Path) -> None:
    assert main(["synth", "--images", "1", "-o", str(tmp_path / "x"), "--format", "jpg", *_SMALL]) == 0
    assert (tmp_path / "x" / "images" / "000000.jpg").read_bytes()[:2] == b"\xff\xd8"


def test_a_shot_for_all_pictures(tmp_path: Path) -> None:
    out = tmp_path / "set"
    assert main(["synth", "--images", "2", "-o", str(out), "--shot", "portrait", *_SMALL]) == 0
    document = json.loads((out / "annotations.json").read_text())
    assert document["info"]["shot"] == "portrait"
    for index, image in enumerate(document["images"]):
        expected = render_scene(picture_seed(0, index), size_hw=(64, 96), persons=(1, 2), shot="portrait")
        assert np.array_equal(read_picture(out / image["file_name"]), expected.image)


def test_every_shot_can_be_asked_for() -> None:
    (option,) = (p for p in synth.params if p.name == "shot")
    assert tuple(option.type.choices) == SHOTS


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to render"),
        (["--images", "-1"], "-1"),
        (["--images", "two"], "two"),
        (["--video", "nan"], "nan"),
        (["--video", "-3"], "-3"),
        (["--video", "0.001"], "0.001"),
        (["--images", "1", "--size", "640"], "640"),
        (["--images", "1", "--size", "0x480"], "0x480"),
        (["--images", "1", "--size", "99999x480"], "99999x480"),
        (["--images", "1", "--persons", "4-1"], "4-1"),
        (["--images", "1", "--persons", "many"], "many"),
        (["--images", "1", "--persons", "1-99"], "1-99"),
        (["--images", "1", "--seed", "-1"], "-1"),
        (["--images", "1", "--format", "gif"], "gif"),
        (["--images", "1", "--shot", "far"], "far"),
        (["--video", "1", "--shot", "wide"], "--shot"),
        (["--video", "1", "--format", "png"], "--format"),
    ],
)
def test_wrong_options_end_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["synth", "-o", str(tmp_path / "out"), *arguments]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors[0].startswith("error: ") and message in errors[0]
    assert len(errors) <= 2
    assert _left_in(tmp_path) == []


def test_a_folder_with_files_is_not_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["synth", "--images", "1", "-o", str(tmp_path), *_SMALL]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert _left_in(tmp_path) == ["mine.txt"]
    assert main(["synth", "--images", "1", "-o", str(tmp_path / "mine.txt"), *_SMALL]) == 2
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["synth", "--images", "1", "-o", str(tmp_path / "empty"), *_SMALL]) == 0
    assert (tmp_path / "empty" / "annotations.json").is_file()


def test_the_working_folder_is_filled_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    inode = tmp_path.stat().st_ino
    assert main(["synth", "--images", "1", "-o", ".", *_SMALL]) == 0
    assert tmp_path.stat().st_ino == inode
    assert capsys.readouterr().out.split() == ["annotations.json"]
    assert _left_in(tmp_path) == ["annotations.json", "images", "images/000000.png"]
    assert main(["synth", "--images", "1", "-o", "none/..", *_SMALL]) == 2


def test_a_link_to_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk")
    assert main(["synth", "--images", "1", "-o", str(tmp_path / "link"), *_SMALL]) == 0
    assert _left_in(tmp_path / "disk") == ["annotations.json", "images", "images/000000.png"]


def test_a_file_in_the_way_of_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["synth", "--images", "1", "-o", str(tmp_path / "file" / "out"), *_SMALL]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'file'}: is no folder\nhint: -o ")
    assert _left_in(tmp_path) == ["file"]


def test_nothing_is_rendered_into_a_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its check would not take it any more."""
    (tmp_path / "bundle.json").write_text('{"format": "edgepose-bundle"}')
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        assert main(["synth", "--images", "1", "-o", str(tmp_path / name), *_SMALL]) == 2
        assert f"error: {tmp_path / name}: the results would lie in the bundle" in capsys.readouterr().err
    assert _left_in(tmp_path) == ["bundle.json", "empty"]


@pytest.mark.skipif(os.geteuid() == 0, reason="optional: root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert main(["synth", "--images", "1", "-o", str(tmp_path / "out"), *_SMALL]) == 3
    finally:
        tmp_path.chmod(0o700)


def test_a_full_disk_is_named_where_the_user_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, image: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(dataset, "write_picture", full)
    assert main(["synth", "--images", "1", "-o", str(tmp_path / "out"), *_SMALL]) == 3
    assert f"error: {tmp_path / 'out' / 'images' / '000000.png'}: No space left" in capsys.readouterr().err


def test_errors_of_the_video_name_the_folder_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(VideoWriter, "release", lambda writer: None)  # as if the disk were full
    assert main(["synth", "--video", "0.2", "-o", str(tmp_path / "out"), *_SMALL]) == 3
    assert f"error: {tmp_path / 'out' / 'video.mp4'}: " in capsys.readouterr().err


def test_a_name_that_no_video_can_have_is_refused_before_the_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "render_scene", None)
    name = os.fsdecode(os.fsencode(tmp_path) + b"/x\xff")
    assert main(["synth", "--images", "1", "--video", "0.2", "-o", name, *_SMALL]) == 2
    assert _left_in(tmp_path) == []


def test_a_name_that_is_too_long_is_the_one_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["synth", "--images", "1", "-o", str(tmp_path / ("x" * 255)), *_SMALL]) == 0
    out = tmp_path / ("x" * 256)
    assert main(["synth", "--images", "1", "-o", str(out), *_SMALL]) == 3
    assert f"error: {out}: File name too long" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (KeyboardInterrupt(), 130),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "picture"), 3),
        (OSError(errno.EACCES, os.strerror(errno.EACCES), "picture"), 3),
    ],
)
def test_nothing_is_left_after_a_failure_in_the_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException, code: int
) -> None:
    written = dataset.write_picture

    def fail_at_third(path: Path, image: Any, **options: Any) -> None:
        if path.name.startswith("000002"):
            raise failure
        written(path, image, **options)

    monkeypatch.setattr(dataset, "write_picture", fail_at_third)
    assert main(["synth", "--images", "5", "-o", str(tmp_path / "new" / "out"), *_SMALL]) == code
    assert _left_in(tmp_path) == []


def test_nothing_is_left_when_the_video_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def frames(*arguments: Any, **options: Any) -> Any:
        yield next(iter(render_video(*arguments, **options)))
        raise KeyboardInterrupt

    monkeypatch.setattr(dataset, "render_video", frames)
    assert main(["synth", "--images", "1", "--video", "1", "-o", str(tmp_path / "out"), *_SMALL]) == 130
    assert _left_in(tmp_path) == []


def test_a_video_without_persons_can_be_made(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["synth", "--video", "0.2", "--persons", "0", "-o", str(out), "--size", "96x64"]) == 0
    assert json.loads((out / "video.json").read_text())["annotations"] == []
    assert load_cv2().VideoCapture(str(out / "video.mp4")).isOpened()
