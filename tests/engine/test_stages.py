"""The stages of a pipeline, called one by one: they give what it gives, and refuse what does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose import _core

BUNDLES = Path(__file__).resolve().parents[1] / "bundles" / "v1"
WIDTH_PX, HEIGHT_PX = 64, 48
UNTOUCHED = (1.0, 1.0, 0.0, 0.0)

Array = np.ndarray[Any, np.dtype[np.float32]]
Image = np.ndarray[Any, np.dtype[np.uint8]]


def _picture() -> Image:
    return np.random.default_rng(1).integers(0, 256, (HEIGHT_PX, WIDTH_PX, 3), np.uint8)


def _entry(kind: str, role: str) -> dict[str, Any]:
    manifest = json.loads((BUNDLES / kind / "bundle.json").read_text())
    entry: dict[str, Any] = manifest["models"][role]
    return entry


def _member(kind: str, role: str, name: str) -> str:
    return json.dumps(_entry(kind, role)[name])


def _network(kind: str, role: str) -> _core.Engine:
    entry = _entry(kind, role)
    tensors = (
        [(tensor["name"], tensor["tensor"], tensor["dims"]) for tensor in entry[side]]
        for side in ("inputs", "outputs")
    )
    files = {name: str(BUNDLES / kind / file) for name, file in entry["files"].items() if name == "fake"}
    return _core.Engine("fake", files, *tensors, threads=1)


def _outputs(kind: str, role: str, box: tuple[float, ...] | None = None) -> tuple[list[Array], Any]:
    tensor, transform = _core.preprocess(_picture(), box, _member(kind, role, "preprocess"))
    return _network(kind, role).run([tensor[None]]), transform


def _maps(kind: str, role: str) -> list[Array]:
    return [np.zeros((1, *tensor["dims"][1:]), np.float32) for tensor in _entry(kind, role)["outputs"]]


def _texts(kind: str, role: str) -> tuple[str, str]:
    return _member(kind, role, "head"), _member(kind, role, "preprocess")


def _code(call: Any, *arguments: Any, **options: Any) -> int:
    with pytest.raises(_core.CoreError) as caught:
        call(*arguments, **options)
    assert caught.value.message
    return caught.value.code


def test_a_detector_by_stages() -> None:
    maps, transform = _outputs("detect", "detector")
    size = (HEIGHT_PX, WIDTH_PX)
    found = _core.decode_boxes(maps, *_texts("detect", "detector"), transform, size)
    pipeline = _core.Pipeline(str(BUNDLES / "detect"), threads=1)
    np.testing.assert_array_equal(found, pipeline.detect(_picture()))


def test_a_pose_network_by_stages() -> None:
    box = (4.0, 5.0, 30.0, 40.0)
    rows, transform = _outputs("pose_3d", "pose", box)
    keypoints, z = _core.decode_simcc(
        *(row[0] for row in rows), _member("pose_3d", "pose", "head"), transform
    )
    pipeline = _core.Pipeline(str(BUNDLES / "pose_3d"), threads=1)
    expected, _, _, depths, _ = pipeline.process(_picture(), 0, np.array([box], np.float32))
    np.testing.assert_array_equal(keypoints, expected[0])
    assert z is not None and depths is not None and depths.any()
    np.testing.assert_array_equal(z, depths[0])


def test_a_one_stage_network_by_stages() -> None:
    maps, transform = _outputs("one_stage", "one_stage")
    dcc = str(BUNDLES / "one_stage" / _entry("one_stage", "one_stage")["files"]["dcc"])
    size = (HEIGHT_PX, WIDTH_PX)
    persons, points = _core.decode_rtmo(maps, *_texts("one_stage", "one_stage"), transform, size, dcc)
    keypoints, boxes, *_ = _core.Pipeline(str(BUNDLES / "one_stage"), threads=1).process(_picture(), 0)
    assert len(boxes) > 0
    best = persons[: len(boxes)]
    np.testing.assert_array_equal(best[:, :5], boxes)
    np.testing.assert_array_equal(points[: len(boxes)], keypoints)
    assert (persons[:, 5] == 0).all()


def test_simcc_rows_of_another_shape_are_refused() -> None:
    x, y = np.zeros((3, 48), np.float32), np.zeros((3, 64), np.float32)
    for kind, wrong in (
        ("pose", (x, y[:2], None)),
        ("pose", (x[:, :0], y, None)),
        ("pose", (x, y[:, :0], None)),
        ("pose_3d", (x, y, None)),
        ("pose_3d", (x, y, y[:2])),
        ("pose_3d", (x, y, y[:, :0])),
    ):
        assert _code(_core.decode_simcc, *wrong, _member(kind, "pose", "head"), UNTOUCHED) == 1
    for place in range(3):
        rows: list[Any] = [x, y, y]
        rows[place] = np.zeros((3, 128), np.float32)[:, ::2]
        with pytest.raises(TypeError):
            _core.decode_simcc(*rows, _member("pose_3d", "pose", "head"), UNTOUCHED)


@pytest.mark.parametrize(("kind", "role"), [("detect", "detector"), ("one_stage", "one_stage")])
def test_maps_of_another_shape_or_type_are_refused(kind: str, role: str) -> None:
    more = (str(BUNDLES / kind / "tiny-rtmo.dcc"),) if kind == "one_stage" else ()
    decode = _core.decode_rtmo if kind == "one_stage" else _core.decode_boxes
    rest = (*_texts(kind, role), UNTOUCHED, (HEIGHT_PX, WIDTH_PX), *more)
    maps = _maps(kind, role)
    decode(maps, *rest)
    for first in (maps[0][0], maps[0][None], np.concatenate([maps[0]] * 2), maps[0][:0]):
        assert _code(decode, [first, *maps[1:]], *rest) == 1
    for other in (maps[0].astype(np.float16), np.asfortranarray(np.tile(maps[0], (1, 2, 1, 1)))[:, :2]):
        with pytest.raises(TypeError):
            decode([other, *maps[1:]], *rest)


def test_arrays_of_nms_must_fit_each_other() -> None:
    boxes, scores = np.zeros((3, 4), np.float32), np.zeros(3, np.float32)
    labels = np.zeros(3, np.int32)
    for wrong in (
        (boxes[0], scores, labels),
        (np.zeros((3, 5), np.float32), scores, labels),
        (boxes, scores[:2], labels),
        (boxes, scores[:, None], labels),
        (boxes, scores, labels[:2]),
        (boxes, scores, labels[:, None]),
    ):
        assert _code(_core.nms, *wrong, 0.5, 10) == 1
    assert _code(_core.nms, boxes, scores, labels, 0.5, -1) == 1
    for other in (
        (boxes.astype(np.float16), scores, labels),
        (boxes, np.zeros(6, np.float32)[::2], labels),
        (boxes, scores, labels.astype(np.int16)),
    ):
        with pytest.raises(TypeError):
            _core.nms(*other, 0.5, 10)


def test_planes_of_a_camera_frame_are_taken_as_they_are() -> None:
    spec = _member("detect", "detector", "preprocess")
    pixels = _picture().ravel()
    size = (WIDTH_PX, HEIGHT_PX)
    bgr, nv12 = 0, 4
    expected, _ = _core.preprocess(_picture(), None, spec)
    padded = np.full((HEIGHT_PX, 200), 77, np.uint8)
    padded[:, : WIDTH_PX * 3] = pixels.reshape(HEIGHT_PX, -1)
    found, _ = _core.preprocess_camera([padded.ravel()], bgr, *size, 200, None, spec)
    np.testing.assert_array_equal(found, expected)
    luma, chroma = pixels[: WIDTH_PX * HEIGHT_PX], pixels[: WIDTH_PX * HEIGHT_PX // 2]
    strides = {"chroma_row_stride_bytes": WIDTH_PX}
    _core.preprocess_camera([luma, chroma], nv12, *size, WIDTH_PX, None, spec, **strides)
    for planes in ([luma.reshape(HEIGHT_PX, -1), chroma], [luma, chroma[:0]]):
        assert _code(_core.preprocess_camera, planes, nv12, *size, WIDTH_PX, None, spec, **strides) == 1
    quarter = chroma[: chroma.size // 2]
    halves = {"chroma_row_stride_bytes": WIDTH_PX // 2, "chroma_pixel_stride_bytes": 1}
    yuv420 = (6, *size, WIDTH_PX, None, spec)
    _core.preprocess_camera([luma, quarter, quarter], *yuv420, **halves)
    with pytest.raises(_core.CoreError, match="1 to 3 planes"):
        _core.preprocess_camera([luma, quarter, quarter, quarter], *yuv420, **halves)
    for other in (np.repeat(chroma, 2)[::2], chroma > 127, chroma.astype(np.int64)):
        with pytest.raises(TypeError):
            _core.preprocess_camera([luma, other], nv12, *size, WIDTH_PX, None, spec, **strides)


def test_interleaved_planes_are_those_of_nv12_in_the_colours_of_a_phone() -> None:
    spec = _member("detect", "detector", "preprocess")
    pixels = _picture().ravel()
    luma, chroma = pixels[: WIDTH_PX * HEIGHT_PX], pixels[: WIDTH_PX * HEIGHT_PX // 2]
    size, nv12, yuv420, bt601_full, bt601_limited = (WIDTH_PX, HEIGHT_PX, WIDTH_PX), 4, 6, 0, 1
    rows = {"chroma_row_stride_bytes": WIDTH_PX}
    found, _ = _core.preprocess_camera([luma, chroma], nv12, *size, None, spec, **rows)
    planes = [luma, chroma[:-1], chroma[1:]]
    step = {"chroma_pixel_stride_bytes": 2, **rows}
    np.testing.assert_array_equal(
        _core.preprocess_camera(planes, yuv420, *size, None, spec, **step)[0], found
    )
    for colour in (bt601_full, bt601_limited):
        other, _ = _core.preprocess_camera(planes, yuv420, *size, None, spec, colour=colour, **step)
        assert np.array_equal(other, found) == (colour == bt601_full)
