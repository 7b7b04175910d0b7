"""Camera frames (YUV, turned, mirrored) against cv2.cvtColor, cv2.rotate and cv2.flip, bit for bit."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from oracle import numeric as oracle

from edgepose import _core

NV12, NV21, YUV420 = 4, 5, 6
LIMITED = 1
TO_BGR = {NV12: cv2.COLOR_YUV2BGR_NV12, NV21: cv2.COLOR_YUV2BGR_NV21, YUV420: cv2.COLOR_YUV2BGR_I420}
TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}

Image = NDArray[np.uint8]


def _frame(format: int, height: int, width: int) -> tuple[list[Image], dict[str, int], Image]:
    """Give the planes of random noise, their strides, and the BGR picture that OpenCV makes of them."""
    data = np.random.default_rng(format).integers(0, 256, (height * 3 // 2, width), dtype=np.uint8)
    luma, chroma = data[:height].ravel(), data[height:].ravel()
    bgr: Any = cv2.cvtColor(data, TO_BGR[format])
    if format == YUV420:
        half = chroma.size // 2
        strides = {"chroma_row_stride_bytes": width // 2, "chroma_pixel_stride_bytes": 1}
        return [luma, chroma[:half], chroma[half:]], strides, bgr
    return [luma, chroma], {"chroma_row_stride_bytes": width}, bgr


@pytest.mark.parametrize("format", [NV12, NV21, YUV420])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("resize", ["affine", "letterbox", "letterbox_centred"])
def test_a_camera_frame_equals_opencvs_upright_picture(
    format: int, rotation: int, mirrored: bool, resize: str
) -> None:
    planes, strides, bgr = _frame(format, 90, 122)
    upright: Any = cv2.rotate(bgr, TURNS[rotation]) if rotation else bgr
    upright = np.ascontiguousarray(cv2.flip(upright, 1) if mirrored else upright)
    spec = oracle.preprocess_json(resize, (64, 48), color="rgb", pad_value=(1, 2, 3))
    box = (-4.0, 7.0, 70.0, 100.0) if resize == "affine" else None
    expected, transform = _core.preprocess(upright, box, spec)
    found, found_transform = _core.preprocess_camera(
        planes, format, 122, 90, 122, box, spec, colour=LIMITED, rotation_deg=rotation, mirrored=mirrored,
        **strides,
    )  # fmt: skip
    np.testing.assert_array_equal(found, expected)
    assert found_transform == transform


@pytest.mark.parametrize(
    "change",
    [
        {"width_px": 0},
        {"height_px": -90},
        {"row_stride_bytes": -122},
        {"row_stride_bytes": 2**40},
        {"chroma_row_stride_bytes": -61},
        {"chroma_pixel_stride_bytes": 0},
        {"rotation_deg": 30},
        {"colour": 7},
        {"format": 9},
        {"height_px": 92},
        {"planes": []},
        {"planes": [np.zeros(122 * 90, np.uint8)]},
        {"planes": [np.zeros(0, np.uint8)] * 3},
    ],
)
def test_a_frame_that_cannot_be_read_is_refused(change: dict[str, Any]) -> None:
    planes, strides, _ = _frame(YUV420, 90, 122)
    arguments = {
        "planes": planes,
        "format": YUV420,
        "width_px": 122,
        "height_px": 90,
        "row_stride_bytes": 122,
    }
    spec = oracle.preprocess_json("letterbox", (64, 48))
    with pytest.raises(_core.CoreError) as caught:
        _core.preprocess_camera(**{**arguments, "box": None, "spec_json": spec, **strides, **change})
    assert caught.value.code == 1
