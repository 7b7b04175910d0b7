"""PosePipeline, with a stand-in for the compiled runtime."""

from __future__ import annotations

import copy
import errno
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from edgepose import errors
from edgepose.pipeline import MAX_DEFAULT_THREADS, PosePipeline, default_threads

MakeBundle = Callable[..., Path]


def picture() -> Any:
    return np.zeros((100, 200, 3), np.uint8)


def test_importing_edgepose_is_light() -> None:
    code = (
        "import sys, edgepose; before = 'numpy' in sys.modules; from edgepose import PosePipeline, PoseFrame;"
        "print(before, PosePipeline.__name__, PoseFrame.__name__)"
    )
    outcome = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert outcome.stdout == "False PosePipeline PoseFrame\n"
    import edgepose

    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = edgepose.nothing


def test_help_shows_the_two_classes() -> None:
    code = "import edgepose; help(edgepose)"
    outcome = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert "class PosePipeline(" in outcome.stdout and "class PoseFrame(" in outcome.stdout


def test_a_frame(fake_bundle: MakeBundle) -> None:
    with PosePipeline(fake_bundle(), threads=3, device="CPU") as pipeline:
        frame = pipeline(picture(), time_s=1.25)
        assert pipeline._core.options == {"threads": 3, "device": "CPU"}
        assert pipeline._core.calls[0][1] == 1_250_000_000
    assert len(frame) == 1 and frame.keypoints.shape == (1, 17, 3) and frame.keypoints.dtype == np.float32
    assert frame.boxes.tolist() == [[50, 25, 150, 75, 0.5]] and frame.track_ids.tolist() == [-1]
    assert frame.z is None and frame.timings_ms["total"] == 2.0 and "detector" in frame.timings_ms


def test_what_the_bundle_says(fake_bundle: MakeBundle) -> None:
    pipeline = PosePipeline(fake_bundle("pose"))
    assert pipeline.keypoint_set and pipeline.keypoint_set.keypoints[0] == "nose"
    assert pipeline.keypoint_set.skeleton[0] == (15, 13)
    assert (pipeline.digest, pipeline.name, pipeline.pipeline_type) == ("ab" * 32, "test-pose", "pose")
    assert pipeline.keypoint_threshold == 0.3 and pipeline.manifest["backend"] == "fake"
    assert pipeline.threads == default_threads() <= MAX_DEFAULT_THREADS
    assert PosePipeline(fake_bundle("detect")).keypoint_set is None


@pytest.mark.parametrize(
    "boxes",
    [[[10, 20, 60, 90]], np.array([[10, 20, 60, 90]], np.int64), np.array([[10.0, 20, 60, 90, 0]])[:, :4]],
)
def test_boxes_of_any_number_type(boxes: Any, fake_bundle: MakeBundle) -> None:
    assert PosePipeline(fake_bundle())(picture(), boxes=boxes).boxes[0, :4].tolist() == [10, 20, 60, 90]


@pytest.mark.parametrize("boxes", [[], np.zeros((0, 4)), np.zeros((0,))])
def test_no_boxes_are_no_persons(boxes: Any, fake_bundle: MakeBundle) -> None:
    assert len(PosePipeline(fake_bundle())(picture(), boxes=boxes)) == 0


@pytest.mark.parametrize(
    "boxes",
    [
        [1, 2, 3, 4],
        [[1, 2, 3]],
        [["a"] * 4],
        [[0, 0, 0, 5]],
        [[0, 5, 9, 1]],
        [[0, 0, np.nan, 1]],
        [[0, 0, np.inf, 1]],
        [[0, 0, 1e39, 1]],
        [[1, 2], [1]],
    ],
)
def test_wrong_boxes(boxes: Any, fake_bundle: MakeBundle) -> None:
    with pytest.raises(errors.UsageError, match="box"):
        PosePipeline(fake_bundle())(picture(), boxes=boxes)


GREY = np.zeros((4, 5), np.uint8)


@pytest.mark.parametrize(
    ("image", "found", "hint"),
    [
        (np.zeros((4, 5, 3), np.float32), "float32 (4, 5, 3)", "as uint8"),
        (np.zeros((4, 5, 3), np.int8), "int8 (4, 5, 3)", "as uint8"),
        (GREY, "uint8 (4, 5)", "COLOR_GRAY2BGR"),
        (GREY[:, :, None], "uint8 (4, 5, 1)", "COLOR_GRAY2BGR"),
        (np.zeros((4, 5, 4), np.uint8), "uint8 (4, 5, 4)", "COLOR_BGRA2BGR"),
        (np.zeros((1, 4, 5, 3), np.uint8), "uint8 (1, 4, 5, 3)", None),
        ([[1]], "list", None),
        (None, "NoneType", "cv2.imread gives None"),
        ("photo.jpg", "str", "read the file first"),
        (Path("photo.jpg"), type(Path()).__name__, "read the file first"),
    ],
)
@pytest.mark.parametrize("method", ["__call__", "detect"])
def test_what_is_no_picture(
    method: str, image: Any, found: str, hint: str | None, fake_bundle: MakeBundle
) -> None:
    with pytest.raises(errors.UsageError) as caught:
        getattr(PosePipeline(fake_bundle()), method)(image)
    assert caught.value.message == f"a picture is a uint8 array (H, W, 3) in BGR order, got {found}"
    assert hint in caught.value.hint if hint and caught.value.hint else hint is caught.value.hint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": "2"}, "threads is '2'"),
        ({"threads": 2.5}, "threads is 2.5"),
        ({"threads": 10**12}, "threads is 1000000000000"),
        ({"detect_every": "5"}, "detect_every is '5'"),
        ({"detect_delay": 0.5}, "detect_delay is 0.5"),
        ({"device": None}, "device is None"),
        ({"device": "\udcff"}, "the device '\\udcff' is not UTF-8"),
        ({"track": "yes"}, "track is 'yes'"),
        ({"smooth": "no"}, "smooth is 'no'"),
        ({"tracking": "fast"}, "tracking is a mapping of settings, got str"),
        ({"tracking": {"nms_oks": np.float32(0.5)}}, "tracking holds what JSON cannot"),
        ({"tracking": {"nms_oks": float("nan")}}, "tracking holds what JSON cannot"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str, fake_bundle: MakeBundle) -> None:
    with pytest.raises(errors.UsageError) as caught:
        PosePipeline(fake_bundle(), **options)
    assert caught.value.message.startswith(message) and "\n" not in str(caught.value)


def test_numpy_numbers_are_options(fake_bundle: MakeBundle) -> None:
    pipeline = PosePipeline(fake_bundle(), threads=np.int64(2), track=np.bool_(False))  # type: ignore[arg-type]
    assert pipeline._core.options["threads"] == 2 and pipeline.tracks is False


@pytest.mark.parametrize("bundle", [None, 3, b"bundle"])
def test_a_bundle_is_a_path(bundle: Any, fake_core: ModuleType) -> None:
    with pytest.raises(errors.UsageError, match="a bundle is a path, got"):
        PosePipeline(bundle)


@pytest.mark.parametrize("time_s", ["1", float("nan"), 1e10, [1], np.array([1.0, 2.0]), 10**400])
def test_a_wrong_time(time_s: Any, fake_bundle: MakeBundle) -> None:
    with pytest.raises(errors.UsageError, match="time_s is"):
        PosePipeline(fake_bundle())(picture(), time_s=time_s)


@pytest.mark.parametrize(
    "stamp", [np.timedelta64(40_000_000, "ns"), np.array(40, "m8[ms]"), np.datetime64("2026-01-01")]
)
def test_a_time_with_a_unit_of_its_own(stamp: Any, fake_bundle: MakeBundle) -> None:
    with pytest.raises(errors.UsageError, match="time_s is") as caught:
        PosePipeline(fake_bundle())(picture(), time_s=stamp)
    assert "numpy.timedelta64(1, 's')" in str(caught.value.hint)


def test_boxes_of_a_network_in_training(fake_bundle: MakeBundle) -> None:
    torch = pytest.importorskip("torch")
    boxes = torch.tensor([[1.0, 2.0, 30.0, 40.0]], requires_grad=True) * 1
    with pytest.raises(errors.UsageError, match=r"boxes are not numbers .*detach"):
        PosePipeline(fake_bundle())(picture(), boxes=boxes)


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_pipeline_cannot_be_copied(duplicate: Callable[[Any], Any], fake_bundle: MakeBundle) -> None:
    with pytest.raises(TypeError, match="cannot be pickled or copied; open one in each process"):
        duplicate(PosePipeline(fake_bundle()))


def test_views_are_made_contiguous(fake_bundle: MakeBundle) -> None:
    pipeline = PosePipeline(fake_bundle())
    image = np.arange(100 * 200 * 3, dtype=np.uint32).astype(np.uint8).reshape(100, 200, 3)
    pipeline(image[::2, 10:50, ::-1])
    assert np.array_equal(pipeline._core.calls[0][0], image[::2, 10:50, ::-1])


@pytest.mark.parametrize("code", [code for code in errors.CORE_CODES if code])
def test_core_errors_become_ours(code: int, fake_bundle: MakeBundle, fake_core: ModuleType) -> None:
    pipeline = PosePipeline(fake_bundle())

    def fail(*args: Any) -> None:
        raise fake_core.CoreError(code, "it failed", "mend it")

    pipeline._core.process = pipeline._core.detect = pipeline._core.verify_golden = fail
    expected = errors.CORE_CODES[code][1] or RuntimeError
    for call in (lambda: pipeline(picture()), lambda: pipeline.detect(picture()), pipeline.verify_golden):
        with pytest.raises(expected) as caught:
            call()
        assert str(caught.value) == "it failed"
        assert expected is RuntimeError or caught.value.hint == "mend it"


def test_missing_and_broken_bundles(tmp_path: Path, fake_core: ModuleType) -> None:
    with pytest.raises(errors.UsageError, match="no such bundle"):
        PosePipeline(tmp_path / "none")
    with pytest.raises(errors.UsageError, match=r"is no bundle, it has no bundle\.json"):
        PosePipeline(tmp_path)


@pytest.mark.parametrize("number", [errno.EACCES, errno.ESTALE])
@pytest.mark.parametrize("method", ["exists", "is_file"])
def test_a_path_that_cannot_be_looked_at(
    method: str, number: int, fake_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = fake_bundle()

    def fail(self: Path) -> bool:
        raise OSError(number, os.strerror(number), str(self))

    monkeypatch.setattr(Path, method, fail)
    with pytest.raises(errors.ConfigurationError) as caught:
        PosePipeline(bundle)
    assert caught.value.message == f"{bundle}: {os.strerror(number)}"
    assert caught.value.hint == "check the path and its permissions"


def test_a_path_that_is_too_long(fake_core: ModuleType) -> None:
    with pytest.raises(errors.EdgePoseError):
        PosePipeline("x" * 5000)


def test_a_bundle_whose_path_is_not_utf8(fake_bundle: MakeBundle, tmp_path: Path) -> None:
    path = fake_bundle().rename(tmp_path / os.fsdecode(b"caf\xe9"))
    with pytest.raises(errors.UsageError, match="not UTF-8"):
        PosePipeline(path)


def test_a_closed_pipeline_says_so(fake_bundle: MakeBundle) -> None:
    with PosePipeline(fake_bundle()) as pipeline:
        pass
    for call in (lambda: pipeline(picture()), pipeline.reset, pipeline.verify_golden):
        with pytest.raises(errors.UsageError, match="closed"):
            call()


def test_without_the_compiled_runtime(fake_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    import edgepose

    bundle = fake_bundle()
    monkeypatch.delattr(edgepose, "_core")
    monkeypatch.setitem(sys.modules, "edgepose._core", None)
    with pytest.raises(errors.MissingDependencyError, match=r"edgepose\._core cannot be loaded"):
        PosePipeline(bundle)
