"""RTMO bundles through the whole C++ pipeline, against the persons that the original code finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import packs
import pytest
from tolerances import RTMO_PERSON_PX, RTMO_PERSON_SCORE

pytest.importorskip("torch", reason="optional: the extra convert is not installed")


@pytest.mark.usefixtures("shared_dir", "cache_root")
@pytest.mark.parametrize("pack", ["rtmo-t_body7_416x416", "rtmo-s_coco_640x640"])
def test_the_pipeline_finds_the_original_persons(tmp_path: Path, pack: str) -> None:
    from edgepose import PosePipeline
    from edgepose.converters import convert

    golden = packs.load_pack(pack)
    checkpoint = tmp_path / f"{pack}.pth"
    packs.reader().write_checkpoint(golden, str(checkpoint))
    for bundle in convert([checkpoint], ("ncnn", "openvino"), out_dir=tmp_path / "bundles"):
        with PosePipeline(bundle.path, threads=2) as pipeline:
            frame = pipeline(golden.image)
            threshold = pipeline.manifest["pipeline"]["box_score_threshold"]
        wanted = np.flatnonzero(golden.outputs["pred_bbox_scores"] >= threshold)
        assert len(wanted) >= 5 and len(frame.boxes) == len(wanted)
        order = np.argsort(-golden.outputs["pred_bbox_scores"][wanted], kind="stable")
        wanted = wanted[order]
        boxes = np.abs(frame.boxes[:, :4] - golden.outputs["pred_bboxes"][wanted])
        points = np.abs(frame.keypoints[..., :2] - golden.outputs["pred_keypoints"][wanted])
        scores = np.abs(frame.boxes[:, 4] - golden.outputs["pred_bbox_scores"][wanted])
        visible = np.abs(frame.keypoints[..., 2] - golden.outputs["pred_keypoint_scores"][wanted])
        assert boxes.max() <= RTMO_PERSON_PX, bundle.backend
        assert points.max() <= RTMO_PERSON_PX, bundle.backend
        assert max(scores.max(), visible.max()) <= RTMO_PERSON_SCORE, bundle.backend
