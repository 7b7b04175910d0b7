"""`edgepose run` with a stand-in for the runtime: inputs and outputs."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from run_inputs import picture, results, video

from edgepose import media
from edgepose.cli import run_job
from edgepose.cli.main import main
from edgepose.coco_json import CocoResults
from edgepose.media import Frame
from edgepose.writers import VideoWriter

MakeBundle = Callable[..., Path]
STOPS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out" / "deeper"


def test_a_picture(
    fake_bundle: MakeBundle, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = picture(tmp_path / "in" / "a.png")
    assert main(["run", str(fake_bundle()), str(source), "-o", str(out)]) == 0
    text, err = capsys.readouterr()
    assert err == "" and text.startswith(
        "1 frame, 1 person; pipeline 500.0 frames/s (2.0 ms a frame), whole run"
    )
    assert str(out / "results.json") in text and sorted(p.name for p in out.iterdir()) == [
        "a.png",
        "results.json",
    ]
    drawn, plain = media.read_picture(out / "a.png"), media.read_picture(source)
    assert drawn.shape == plain.shape and (drawn != plain).any() and (drawn == plain).any()
    document = results(out)
    assert document["info"]["bundle_digest"] == "ab" * 32 and document["info"]["input"] == "a.png"
    assert document["images"] == [{"id": 1, "file_name": "a.png", "width": 64, "height": 48}]
    (person,) = document["annotations"]
    assert person["bbox"] == [16, 12, 32, 24] and person["keypoints"][:3] == [16, 12, 0.2]
    assert document["summary"]["persons"] == 1 and document["summary"]["mean_ms"]["total"] == 2.0


def test_a_folder(fake_bundle: MakeBundle, tmp_path: Path, out: Path) -> None:
    for name in ("10.jpg", "9.png", "1.jpg"):
        picture(tmp_path / "in" / name)
    assert main(["run", str(fake_bundle()), str(tmp_path / "in"), "-o", str(out), "--max-frames", "2"]) == 0
    assert [image["file_name"] for image in results(out)["images"]] == ["1.jpg", "9.png"]
    assert sorted(p.name for p in out.iterdir()) == ["1.jpg", "9.png", "results.json"]


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".ppm", ".pgm", ".jp2"])
def test_an_unusual_name_of_a_picture_is_kept(
    suffix: str, fake_bundle: MakeBundle, tmp_path: Path, out: Path
) -> None:
    source = picture(tmp_path / "in" / f"a{suffix}")
    assert main(["run", str(fake_bundle()), str(source), "-o", str(out)]) == 0
    assert (media.read_picture(out / source.name) != media.read_picture(source)).any()


def test_names_of_pictures_need_not_be_utf8(fake_bundle: MakeBundle, tmp_path: Path, out: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    picture(tmp_path / "in" / name)
    assert main(["run", str(fake_bundle()), str(tmp_path / "in"), "-o", str(out)]) == 0
    assert results(out)["images"][0]["file_name"] == name and (out / name).is_file()


def test_a_video(fake_bundle: MakeBundle, tmp_path: Path, out: Path) -> None:
    source = video(tmp_path / "v.avi.mp4")
    assert main(["run", str(fake_bundle()), str(source), "-o", str(out)]) == 0
    made = media.open_source(str(out / "v.avi.mp4"))
    assert (made.frame_count, made.fps) == (12, 10)
    document = results(out)
    assert [image["time_s"] for image in document["images"]] == pytest.approx([i / 10 for i in range(12)])
    assert [person["image_id"] for person in document["annotations"]] == list(range(1, 13))
    assert document["summary"]["frames"] == document["summary"]["frames_expected"] == 12


def test_the_default_folder_is_below_the_working_folder(
    fake_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bundle = fake_bundle()
    assert main(["run", str(bundle), str(picture(tmp_path / "in" / "cat.jpg"))]) == 0
    assert (tmp_path / "edgepose-run" / "cat" / "cat.jpg").is_file()


def test_no_draw_writes_the_json_alone(fake_bundle: MakeBundle, tmp_path: Path, out: Path) -> None:
    assert main(["run", str(fake_bundle()), str(video(tmp_path / "v.mp4")), "-o", str(out), "--no-draw"]) == 0
    assert [p.name for p in out.iterdir()] == ["results.json"]


def test_json_prints_the_document_and_nothing_else(
    fake_bundle: MakeBundle, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(fake_bundle()), str(picture(tmp_path / "a.jpg")), "-o", str(out), "--json"]) == 0
    text, err = capsys.readouterr()
    assert json.loads(text) == results(out) and err == ""


def test_json_is_json_whatever_the_encoding_of_stdout(
    fake_bundle: MakeBundle, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = picture(tmp_path / "\u00e9\U0001f600.jpg")
    raw = io.BytesIO()
    for stdout in (io.TextIOWrapper(raw, encoding="ascii", errors="backslashreplace"), io.StringIO()):
        monkeypatch.setattr("sys.stdout", stdout)
        assert main(["run", str(fake_bundle()), str(source), "-o", str(out), "--json"]) == 0
        text = raw.getvalue().decode() if hasattr(stdout, "buffer") else stdout.getvalue()
        assert json.loads(text)["images"][0]["file_name"] == source.name


def test_openpose_files_on_demand(fake_bundle: MakeBundle, tmp_path: Path, out: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        picture(tmp_path / "in" / name)
    command = ["run", str(fake_bundle()), str(tmp_path / "in"), "-o", str(out), "--format", "openpose"]
    assert main(command) == 0
    assert sorted(p.name for p in (out / "openpose").iterdir()) == ["a_keypoints.json", "b_keypoints.json"]
    (person,) = json.loads((out / "openpose" / "a_keypoints.json").read_text())["people"]
    assert len(person["pose_keypoints_2d"]) == 54
    assert len(results(out)["annotations"]) == 2
    command[1] = str(fake_bundle("detect"))
    assert main(command) == 2


def test_openposes_confidence_is_of_the_bundles_threshold(
    fake_bundle: MakeBundle, tmp_path: Path, out: Path
) -> None:
    """Not of --keypoint-threshold, which only chooses the points."""
    settings = {
        "type": "pose",
        "person_label": 0,
        "box_score_threshold": 0.3,
        "keypoint_score_threshold": 0.6,
    }
    bundle = fake_bundle("pose", pipeline=settings)
    command = ["run", str(bundle), str(picture(tmp_path / "a.jpg")), "-o", str(out), "--format", "openpose"]
    assert main([*command, "--keypoint-threshold", "0.4"]) == 0
    (person,) = json.loads((out / "openpose" / "a_keypoints.json").read_text())["people"]
    # The scores rise from 0.2, of the nose, to 0.9, of the right knee, and 1, of the ankle.
    confidences = person["pose_keypoints_2d"][2::3]
    assert [confidences[place] for place in (0, 9, 10)] == [0.0, 0.45, 0.5]


def test_boxes_stand_in_for_the_detector(fake_bundle: MakeBundle, tmp_path: Path, out: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        picture(tmp_path / "in" / name)
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({"b.jpg": [[1, 2, 11, 22], [5, 5, 20, 30]]}))
    command = ["run", str(fake_bundle("pose")), str(tmp_path / "in"), "-o", str(out), "--boxes", str(boxes)]
    assert main(command) == 0
    found = [(p["image_id"], p["bbox"]) for p in results(out)["annotations"]]
    assert found == [(2, [1, 2, 10, 20]), (2, [5, 5, 15, 25])]


def test_boxes_are_of_the_class_that_the_detector_looks_for(
    fake_bundle: MakeBundle, tmp_path: Path, out: Path
) -> None:
    categories = [{"id": n, "name": name} for n, name in ((1, "person"), (2, "bicycle"))]
    annotations = [{"image_id": 1, "category_id": n, "bbox": [n, 2, 10, 20]} for n in (1, 2)]
    images, boxes = [{"id": 1, "file_name": "a.jpg"}], tmp_path / "boxes.json"
    boxes.write_text(json.dumps({"images": images, "categories": categories, "annotations": annotations}))
    source = str(picture(tmp_path / "a.jpg"))
    for label in (0, 1):
        settings = json.loads((fake_bundle() / "bundle.json").read_text())["pipeline"]
        bundle = fake_bundle(pipeline={**settings, "person_label": label})
        command = ["run", str(bundle), source, "-o", str(out / str(label)), "--boxes", str(boxes)]
        assert main(command) == 0
        document = results(out / str(label))
        assert [p["bbox"][0] for p in document["annotations"]] == [label + 1]
        assert [(c["id"], c["name"]) for c in document["categories"]] == [(1, categories[label]["name"])]
        assert document["annotations"][0]["category_id"] == 1


def test_a_pose_network_alone_says_that_a_picture_is_one_person(
    fake_bundle: MakeBundle, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Several people in it become one skeleton of parts of them."""
    source, boxes = picture(tmp_path / "in" / "a.png"), tmp_path / "boxes.json"
    boxes.write_text("[[1, 2, 11, 22]]")
    command = ["run", str(fake_bundle("pose")), str(source), "-o", str(out), "--json"]
    assert main(command) == 0
    text, err = capsys.readouterr()
    assert json.loads(text)["summary"]["persons"] == 1
    assert err.startswith("no detector in this bundle: each picture is taken as one person")
    for bundle, more in (("pose", ["--boxes", str(boxes)]), ("top_down", []), ("detect", [])):
        assert main(["run", str(fake_bundle(bundle)), *command[2:], *more]) == 0
        assert capsys.readouterr().err == ""


def test_earlier_results_can_serve_as_boxes(fake_bundle: MakeBundle, tmp_path: Path, out: Path) -> None:
    bundle, source = fake_bundle(), video(tmp_path / "v.mp4", 3)
    assert main(["run", str(bundle), str(source), "-o", str(out)]) == 0
    again = tmp_path / "again"
    command = ["run", str(bundle), str(source), "-o", str(again), "--boxes", str(out / "results.json")]
    assert main(command) == 0
    assert [p["bbox"] for p in results(again)["annotations"]] == [
        p["bbox"] for p in results(out)["annotations"]
    ]


def test_a_detector_alone_draws_boxes(fake_bundle: MakeBundle, tmp_path: Path, out: Path) -> None:
    source = picture(tmp_path / "in" / "a.png")
    assert main(["run", str(fake_bundle("detect")), str(source), "-o", str(out)]) == 0
    document = results(out)
    assert [c["name"] for c in document["categories"]] == ["person", "bicycle"]
    assert [(p["category_id"], p["score"], p["keypoints"]) for p in document["annotations"]] == [
        (1, 0.9, []),
        (2, 0.8, []),
    ]
    assert (media.read_picture(out / "a.png") != media.read_picture(source)).any()


@pytest.mark.parametrize("kind", ["detect"])
def test_boxes_for_a_detector_are_refused(
    kind: str, fake_bundle: MakeBundle, tmp_path: Path, out: Path
) -> None:
    boxes = tmp_path / "boxes.json"
    boxes.write_text("[[1, 2, 3, 4]]")
    command = ["run", str(fake_bundle(kind)), str(picture(tmp_path / "a.jpg")), "-o", str(out)]
    assert main([*command, "--boxes", str(boxes)]) == 2
    assert not out.parent.exists()


class FakeCamera:
    """A camera that goes on until a signal or a limit stops the run."""

    kind = "camera"
    name = "camera0"
    frame_count = None
    fps = None

    def __init__(self) -> None:
        self.unreadable: list[str] = []

    def __iter__(self) -> Iterator[Frame]:
        for index in range(1000):
            time.sleep(0.002)
            yield Frame(np.full((48, 64, 3), 90, np.uint8), index, f"camera0#{index}", index * 40_000_000)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("number", STOPS)
def test_a_signal_ends_a_camera_in_good_order(
    number: signal.Signals,
    fake_bundle: MakeBundle,
    fake_core: ModuleType,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    process = fake_core.Pipeline.process

    def interrupt(pipeline: Any, *args: Any) -> Any:
        if len(pipeline.calls) == 20:
            os.kill(os.getpid(), number)
            time.sleep(5)
        return process(pipeline, *args)

    monkeypatch.setattr(fake_core.Pipeline, "process", interrupt)
    monkeypatch.setattr(run_job, "open_source", lambda target: FakeCamera())
    assert main(["run", str(fake_bundle()), "0", "-o", str(out)]) == 0
    text, err = capsys.readouterr()
    assert "20 frames" in text and "camera stopped" in err and "no frame rate is given" in err
    # 25 frames a second came, and the video shows 30: some of them twice, so that it is as long as it was.
    document = results(out)
    assert len(document["images"]) == 20 and document["info"]["input"] == "camera0"
    shown = media.open_source(str(out / "camera0.mp4")).frame_count
    assert shown == round(document["images"][-1]["time_s"] * 30) + 1


@pytest.mark.parametrize("number", STOPS)
def test_a_signal_before_the_first_frame_of_a_camera(
    number: signal.Signals,
    fake_bundle: MakeBundle,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Waiting(FakeCamera):
        def __iter__(self) -> Iterator[Frame]:
            os.kill(os.getpid(), number)
            time.sleep(1)
            yield from ()

    monkeypatch.setattr(run_job, "open_source", lambda target: Waiting())
    code = main(["run", str(fake_bundle()), "0", "-o", str(out)])
    assert code == 128 + number and not out.exists()
    assert "not one frame" not in capsys.readouterr().err


@pytest.mark.parametrize("number", STOPS)
def test_a_second_signal_does_not_lose_what_a_camera_recorded(
    number: signal.Signals,
    fake_bundle: MakeBundle,
    fake_core: ModuleType,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process, finish = fake_core.Pipeline.process, CocoResults.finish

    def interrupt(pipeline: Any, *args: Any) -> Any:
        if len(pipeline.calls) == 3:
            os.kill(os.getpid(), number)
            time.sleep(5)
        return process(pipeline, *args)

    def interrupted(written: CocoResults) -> None:
        os.kill(os.getpid(), number)
        time.sleep(0.2)
        finish(written)

    monkeypatch.setattr(fake_core.Pipeline, "process", interrupt)
    monkeypatch.setattr(run_job, "open_source", lambda target: FakeCamera())
    monkeypatch.setattr(CocoResults, "finish", interrupted)
    assert main(["run", str(fake_bundle()), "0", "-o", str(out)]) in (0, 130, 143)
    assert len(results(out)["images"]) == 3
    assert media.open_source(str(out / "camera0.mp4")).frame_count


@pytest.mark.parametrize("where", [(CocoResults, "finish"), (VideoWriter, "check_complete")])
@pytest.mark.parametrize("kind", ["camera", "video"])
def test_ctrl_c_behind_the_last_frame_loses_nothing(
    kind: str,
    where: tuple[type, str],
    fake_bundle: MakeBundle,
    tmp_path: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither what is live, nor one of the results and the video, beside an older one of the other."""
    finish = getattr(*where)

    def interrupted(written: Any) -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
        finish(written)

    target = str(video(tmp_path / "camera0.mp4"))
    if kind == "camera":
        monkeypatch.setattr(run_job, "open_source", lambda target: FakeCamera())
    monkeypatch.setattr(*where, interrupted)
    assert main(["run", str(fake_bundle()), target, "-o", str(out), "--max-frames", "3"]) in (0, 130)
    assert len(results(out)["images"]) == 3
    assert media.open_source(str(out / "camera0.mp4")).frame_count


def test_what_fails_after_a_camera_was_stopped_is_named(
    fake_bundle: MakeBundle,
    fake_core: ModuleType,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    process = fake_core.Pipeline.process

    def interrupt(pipeline: Any, *args: Any) -> Any:
        if len(pipeline.calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        return process(pipeline, *args)

    def full(results: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(fake_core.Pipeline, "process", interrupt)
    monkeypatch.setattr(run_job, "open_source", lambda target: FakeCamera())
    monkeypatch.setattr(CocoResults, "finish", full)
    assert main(["run", str(fake_bundle()), "0", "-o", str(out), "--no-draw"]) == 3
    err = capsys.readouterr().err
    assert "camera stopped" in err and "No space left on device" in err and "interrupted" not in err


def test_a_camera_does_not_replace_somebody_else_s_video(
    fake_bundle: MakeBundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "o").mkdir()
    video = tmp_path / "o" / "camera0.mp4"
    video.write_bytes(b"mine")
    monkeypatch.setattr(run_job, "open_source", lambda target: FakeCamera())
    assert main(["run", str(fake_bundle()), "0", "-o", str(video.parent)]) == 2
    assert f"{video}: is there already" in capsys.readouterr().err
    assert [path.read_bytes() for path in video.parent.iterdir()] == [b"mine"]


def test_results_of_pictures_name_no_video(fake_bundle: MakeBundle, tmp_path: Path, out: Path) -> None:
    assert main(["run", str(fake_bundle()), str(picture(tmp_path / "a.jpg")), "-o", str(out)]) == 0
    assert results(out)["info"]["video"] is None
