"""The border between Python and C++: types, errors and shapes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import cases

from edgepose import _core
from edgepose.bundle.manifest import encode
from edgepose.errors import CORE_CODES

BUNDLES = Path(__file__).resolve().parents[1] / "bundles" / "v1"
KINDS = ("top_down", "detect", "pose", "pose_3d", "one_stage")

Image = np.ndarray[Any, np.dtype[np.uint8]]


def _picture(height: int = 48, width: int = 64, seed: int = 1) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def _open(kind: str, threads: int = 1) -> _core.Pipeline:
    return _core.Pipeline(str(BUNDLES / kind), threads=threads)


def _member(kind: str, role: str, name: str) -> str:
    manifest = json.loads((BUNDLES / kind / "bundle.json").read_text())
    return json.dumps(manifest["models"][role][name])


def test_python_and_cpp_have_the_same_codes() -> None:
    assert _core.code_table() == {code: name for code, (name, _) in CORE_CODES.items()}


def test_an_error_has_a_code_a_message_and_a_hint() -> None:
    with pytest.raises(_core.CoreError) as caught:
        _core.Bundle.open("/nowhere")
    error = caught.value
    assert error.code == 6 and error.hint and str(error) == error.message and "/nowhere" in error.message


@pytest.mark.parametrize("kind", KINDS)
def test_a_bundle_is_opened_and_verified(kind: str) -> None:
    bundle = _core.Bundle.open(str(BUNDLES / kind))
    assert bundle.manifest_json.encode() == (BUNDLES / kind / "bundle.json").read_bytes()
    assert len(bundle.digest) == 64 and Path(bundle.path) == BUNDLES / kind
    pipeline = _open(kind)
    assert pipeline.manifest_json == bundle.manifest_json
    report = pipeline.verify_golden()
    assert report["passed"] is True
    assert report["detections_matched"] + report["keypoints_compared"] > 0


def test_an_error_can_quote_what_is_not_utf8(tmp_path: Path) -> None:
    bundle = tmp_path / "pose"
    shutil.copytree(BUNDLES / "pose", bundle)
    (bundle / os.fsdecode(b"caf\xe9")).touch()
    with pytest.raises(_core.CoreError, match=r"caf\\xe9") as caught:
        _core.Bundle.open(str(bundle))
    assert caught.value.code == 2


def _report(kind: str, folder: Path, golden: Any = None, **members: Any) -> dict[str, Any]:
    """Return what a bundle reports that expects other results."""
    shutil.copytree(BUNDLES / kind, folder)
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["golden"].update(members)
    if golden is not None:
        text = json.dumps(golden).encode()
        (folder / "golden.json").write_bytes(text)
        digest = hashlib.sha256(text).hexdigest()
        manifest["files"]["golden.json"] = {"bytes": len(text), "sha256": digest}
    (folder / "bundle.json").write_bytes(encode(manifest))
    report: dict[str, Any] = _core.Pipeline(str(folder), threads=1).verify_golden()
    assert report["passed"] is False and report["tolerance_px"] == pytest.approx(0.01)
    return report


def test_detections_about_the_decoder_s_threshold_may_come_and_go(tmp_path: Path) -> None:
    folder = tmp_path / "detect"
    shutil.copytree(BUNDLES / "detect", folder)
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["models"]["detector"]["head"]["score_threshold"] = 0.8
    golden = json.loads((folder / "golden.json").read_text())
    golden["detections"].append([0.0, 0.0, 0.5, 0.5, 0.81, 0])  # lost by a last bit
    text = json.dumps(golden).encode()
    (folder / "golden.json").write_bytes(text)
    manifest["files"]["golden.json"] = {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}
    (folder / "bundle.json").write_bytes(encode(manifest))
    report = _core.Pipeline(str(folder), threads=1).verify_golden()
    assert report["passed"] is True
    assert report["detections_expected"] == sum(row[4] >= 0.9 for row in golden["detections"]) > 1


def test_a_report_says_how_far_the_results_are(tmp_path: Path) -> None:
    report = _report("pose", tmp_path / "pose", boxes_xyxy=[[4.0, 2.0, 24.0, 28.0], [7.5, 1.25, 39.0, 29.5]])
    assert report["keypoints_compared"] > 0 and report["detections_expected"] == 0
    assert 0 < report["keypoint_mean_px"] < report["keypoint_max_px"]
    golden = json.loads((BUNDLES / "detect" / "golden.json").read_text())
    golden["detections"][0][0] -= 0.25
    golden["detections"][1][:4] = [0.0, 0.0, 0.5, 0.5]  # where nothing is; and one of another class:
    golden["detections"][2][5] = 1 - golden["detections"][2][5]
    report = _report("detect", tmp_path / "detect", golden)
    assert report["detections_expected"] == report["detections_matched"] + 2 > 3
    assert report["detections_unexpected"] == 2 and report["keypoints_compared"] == 0
    assert report["box_max_px"] == pytest.approx(0.25, abs=1e-5)
    assert report["box_mean_px"] == pytest.approx(0.25 / 4 / report["detections_matched"], abs=1e-5)


def test_depths_are_compared_with_the_expected_ones(tmp_path: Path) -> None:
    """In pixels of the network's input: 64 bins at 2 a pixel are 16 px to either side, or z_range metres."""
    golden = json.loads((BUNDLES / "pose_3d" / "golden.json").read_text())
    boxes = json.loads((BUNDLES / "pose_3d" / "bundle.json").read_text())["golden"]["boxes_xyxy"]
    picture = np.fromfile(BUNDLES / "pose_3d" / "golden.bgr", np.uint8).reshape(30, 40, 3)
    z = _open("pose_3d").process(picture, 0, np.array(boxes, np.float32))[3]
    assert z is not None
    case = {"base": "pose_3d", "golden": {**golden, "depths": z.tolist()}}

    def report(name: str, **changes: Any) -> dict[str, Any]:
        cases.build({**case, **changes}, tmp_path / name)
        return dict(_core.Pipeline(str(tmp_path / name), threads=1).verify_golden())

    assert report("right") == {
        **_open("pose_3d").verify_golden(),
        "keypoint_max_px": pytest.approx(0, abs=1e-4),
    }
    half = [{"op": "replace", "path": "/models/pose/head/z_range", "value": 0.5}]
    assert report("another range", patch=half)["passed"] is False
    off = report("farther", golden={**golden, "depths": (z + 2.17 / 16).tolist()})
    assert off["passed"] is False
    assert [off["keypoint_mean_px"], off["keypoint_max_px"]] == pytest.approx([1, 1], abs=1e-4)


def test_times_are_those_of_the_stages_that_ran() -> None:
    for kind in ("detect", "pose"):
        pipeline = _open(kind)
        frames = [pipeline.process(_picture(), 0)[-1] for _ in range(10)]
        for timings in frames:
            total = timings.pop("total_ns")
            assert sum(timings.values()) <= total
        series = {stage: tuple(timings[stage] for timings in frames) for stage in frames[0]}
        ran = {stage for stage in series if stage.startswith("detector") == (kind == "detect")}
        for stage, times in series.items():
            assert all((time > 0) == (stage in ran) for time in times), (kind, stage)
        assert len({series[stage] for stage in ran}) == 3  # no stage has another one's times


@pytest.mark.parametrize("kind", KINDS)
def test_results_have_the_promised_shapes(kind: str) -> None:
    keypoints, boxes, track_ids, z, timings = _open(kind, threads=2).process(_picture(), 0)
    count = len(boxes)
    points = 0 if kind == "detect" else 3
    assert count > 0
    assert keypoints.shape == (count, points, 3) and keypoints.dtype == np.float32
    assert boxes.shape == (count, 5) and boxes.dtype == np.float32
    assert track_ids.shape == (count,) and track_ids.dtype == np.int64 and (track_ids == -1).all()
    assert (z is not None) == (kind == "pose_3d")
    assert z is None or (z.shape == (count, points) and z.dtype == np.float32)
    assert timings["total_ns"] > 0 and all(isinstance(value, int) for value in timings.values())
    assert (np.diff(boxes[:, 4]) <= 0).all()


def test_a_fixed_batch_of_more_than_one_is_refused(tmp_path: Path) -> None:
    places = [f"/models/pose/{kind}/dims/0" for kind in ("inputs/0", "outputs/0", "outputs/1")]
    patch = [{"op": "replace", "path": place, "value": 2} for place in places]
    cases.build({"base": "pose", "patch": patch}, tmp_path / "pose")
    with pytest.raises(_core.CoreError, match='the input of "tiny-pose" has a batch of 2, not 1'):
        _core.Pipeline(str(tmp_path / "pose"), threads=1)


def test_given_boxes_replace_the_detector() -> None:
    pipeline = _open("top_down", threads=2)
    given = np.array([[4, 5, 30, 40], [10, 3, 60, 44], [0, 0, 20, 20]], np.float32)
    keypoints, boxes, *_ = pipeline.process(_picture(), 0, given)
    np.testing.assert_array_equal(boxes[:, :4], given)
    for index in range(3):
        alone = pipeline.process(_picture(), 0, given[index : index + 1])[0]
        np.testing.assert_array_equal(alone[0], keypoints[index])
    assert pipeline.process(_picture(), 0, np.zeros((0, 4), np.float32))[0].shape == (0, 3, 3)


@pytest.mark.parametrize(
    "image",
    [
        _picture().astype(np.float32),
        _picture().astype(np.int64),
        _picture()[:, ::2],
        _picture()[..., ::-1],
        np.asfortranarray(_picture()),
        [[[1, 2, 3]]],
        None,
    ],
    ids=["float32", "int64", "strided", "reversed", "fortran", "list", "none"],
)
def test_a_picture_is_never_converted(image: Any) -> None:
    with pytest.raises(TypeError):
        _open("pose").process(image, 0)
    with pytest.raises(TypeError):
        _open("detect").detect(image)
    with pytest.raises(TypeError):
        _core.preprocess(image, None, _member("detect", "detector", "preprocess"))


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4), (4, 4, 1), (0, 4, 3), (4, 0, 3), (1, 40000, 3)])
def test_a_picture_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(_core.CoreError) as caught:
        _open("pose").process(np.zeros(shape, np.uint8), 0)
    assert caught.value.code == 1


def test_boxes_are_never_converted() -> None:
    pipeline = _open("pose")
    with pytest.raises(TypeError):
        pipeline.process(_picture(), 0, np.zeros((1, 4), np.float64))
    for boxes in (np.zeros(4, np.float32), np.zeros((1, 5), np.float32), np.full((1, 4), np.nan, np.float32)):
        with pytest.raises(_core.CoreError) as caught:
            pipeline.process(_picture(), 0, boxes)
        assert caught.value.code == 1


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"resize": "affine"}', "null"])
def test_a_wrong_specification_is_refused(text: str) -> None:
    with pytest.raises(_core.CoreError) as caught:
        _core.preprocess(_picture(), None, text)
    assert caught.value.code == 2


def test_simcc_rows_must_fit_the_head() -> None:
    head = _member("pose", "pose", "head")
    x, y = np.zeros((3, 48), np.float32), np.zeros((3, 64), np.float32)
    keypoints, z = _core.decode_simcc(x, y, None, head, (1.0, 1.0, 0.0, 0.0))
    assert keypoints.shape == (3, 3) and z is None
    for wrong in ((x[:2], y, None), (x, y[0], None), (x, y, y)):
        with pytest.raises(_core.CoreError):
            _core.decode_simcc(*wrong, head, (1.0, 1.0, 0.0, 0.0))
    _, depth = _core.decode_simcc(x, y, y, _member("pose_3d", "pose", "head"), (1.0, 1.0, 0.0, 0.0))
    assert depth is not None and depth.shape == (3,)


def test_nms_returns_indices_best_first() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10], [0, 0, 10, 10]], np.float32)
    scores = np.array([0.5, 0.9, 0.7, 0.4], np.float32)
    labels = np.array([0, 0, 0, 1], np.int32)
    assert _core.nms(boxes, scores, labels, 0.6, 10).tolist() == [1, 2, 3]
    assert _core.nms(boxes, scores, labels, 0.6, 2).tolist() == [1, 2]
    assert _core.nms(boxes[:0], scores[:0], labels[:0], 0.6, 2).tolist() == []
    with pytest.raises(_core.CoreError):
        _core.nms(boxes[:3], scores, labels, 0.6, 10)


def test_other_threads_run_during_a_slow_call() -> None:
    pipeline = _open("pose")
    image = _picture(2000, 2000)
    boxes = np.tile(np.array([[0, 0, 2000, 2000]], np.float32), (20000, 1))
    ticks = 0
    done = threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not done.is_set():
            ticks += 1
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    start = time.perf_counter()
    pipeline.process(image, 0, boxes)
    elapsed_s = time.perf_counter() - start
    during = ticks
    done.set()
    thread.join()
    assert elapsed_s > 0.02, "the call must be slow enough to tell"
    assert during > 3


def test_a_pipeline_is_reset_and_goes_on() -> None:
    pipeline = _open("top_down")
    before = pipeline.process(_picture(), 5)[0]
    pipeline.reset()
    np.testing.assert_array_equal(pipeline.process(_picture(), 0)[0], before)


def test_threads_and_device_are_checked() -> None:
    for threads in (0, -3, 1000):
        with pytest.raises(_core.CoreError) as caught:
            _open("pose", threads)
        assert caught.value.code == 1
    with pytest.raises(_core.CoreError) as caught:
        _core.Pipeline(str(BUNDLES / "pose"), threads=1, device="NO_SUCH_DEVICE")
    assert caught.value.code == 4
