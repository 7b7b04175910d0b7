"""The C++ RTMO decoder on the golden networks' maps against the original code's persons."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import packs
import pytest

from edgepose import _core

torch = pytest.importorskip("torch")

HERE = Path(__file__).resolve().parent


@pytest.mark.usefixtures("shared_dir")
@pytest.mark.parametrize("pack", ["rtmo-t_body7_416x416", "rtmo-s_coco_640x640"])
def test_persons_equal_the_golden_ones(pack: str, tmp_path: Path) -> None:
    from edgepose.bundle.manifest import head_member, preprocess_member
    from edgepose.converters.dcc_file import write_dcc_file
    from edgepose.models import load_model

    golden = packs.load_pack(pack)
    packs.reader().write_checkpoint(golden, str(tmp_path / "network.pth"), "plain")
    model = load_model(tmp_path / "network.pth")
    dcc_file = tmp_path / "network.dcc"
    write_dcc_file(model.network.dcc_weights(), dcc_file)
    rules = golden.meta["test_cfg"]
    head = head_member(model.spec.head) | {
        "score_threshold": rules["score_thr"],
        "nms_iou_threshold": rules["nms_thr"],
        "max_detections": 1000,
    }
    # Maps in double precision, so that the comparison is of the decoder alone.
    with torch.no_grad():
        outputs = model.network.double()(torch.from_numpy(golden.input).double())
    maps = [np.ascontiguousarray(y.numpy(), np.float32) for y in outputs]
    persons, keypoints = _core.decode_rtmo(
        maps,
        json.dumps(head),
        json.dumps(preprocess_member(model.spec.preprocess)),
        (1.0, 1.0, 0.0, 0.0),
        model.spec.preprocess.input_hw,
        str(dcc_file),
    )
    expected = golden.outputs
    np.testing.assert_allclose(persons[:, :4], expected["pred_bboxes"], atol=1e-3)
    np.testing.assert_allclose(persons[:, 4], expected["pred_bbox_scores"], atol=1e-6)
    np.testing.assert_allclose(keypoints[..., :2], expected["pred_keypoints"], atol=2e-3)
    np.testing.assert_allclose(keypoints[..., 2], expected["pred_keypoint_scores"], atol=1e-6)


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    points = {"name": "x", "keypoints": ["a"], "skeleton": [], "flip_pairs": [], "sigmas": [0.1]}
    head = {
        "type": "rtmo",
        "strides": [16, 32],
        "points": points,
        "score_threshold": 0.1,
        "nms_iou_threshold": 0.65,
        "max_candidates": 100,
        "max_detections": 10,
        "box_padding": 1.25,
        "x_bins": 192,
        "y_bins": 256,
    }
    preprocess = {
        "resize": "letterbox_centred",
        "input_hw": [64, 64],
        "color": "bgr",
        "mean": [0.0, 0.0, 0.0],
        "std": [1.0, 1.0, 1.0],
        "pad_value": [114, 114, 114],
        "box_padding": 1.0,
    }
    bad = tmp_path / "bad.dcc"
    bad.write_bytes(b"EPDCC001" + bytes(40))
    arguments = (json.dumps(head), json.dumps(preprocess), (1.0, 1.0, 0.0, 0.0), (64, 64))
    with pytest.raises(_core.CoreError, match="coordinate classifier") as error:
        _core.decode_rtmo([], *arguments, str(bad))
    assert _core.code_table()[error.value.code] == "invalid_bundle"
    with pytest.raises(_core.CoreError) as error:
        _core.decode_rtmo([], *arguments, str(tmp_path / "absent.dcc"))
    assert _core.code_table()[error.value.code] == "io"
