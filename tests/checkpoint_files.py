"""Small checkpoint files, and what a refused one must say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgepose.errors import CheckpointError, EdgePoseError
from edgepose.models import load_model
from edgepose.nets.csp import BackboneDims, StageDims
from edgepose.nets.dcc import DccDims
from edgepose.nets.gau import GauDims
from edgepose.nets.hybrid_encoder import HybridEncoderDims
from edgepose.nets.pafpn import NeckDims
from edgepose.nets.rtmdet import Rtmdet, RtmdetDims
from edgepose.nets.rtmo import Rtmo, RtmoDims
from edgepose.nets.rtmpose import Rtmpose, RtmposeDims, SimccHeadDims
from edgepose.nets.rtmw import Rtmw, RtmwDims

State = dict[str, Any]

# Official configurations, as a checkpoint quotes them.
DETECTOR = (
    "model = dict(data_preprocessor=dict(mean=[103.53, 116.28, 123.675], std=[57.375, 57.12, 58.395]), "
    "bbox_head=dict(norm_cfg=dict(type='SyncBN'), exp_on_reg=False, "
    "anchor_generator=dict(offset=0, strides=[8, 16, 32])), "
    "test_cfg=dict(nms_pre=1000, score_thr=0.05, nms=dict(type='nms', iou_threshold=0.6), "
    "max_per_img=100))\n"
    "test_pipeline = [\n    dict(type='LoadImageFromFile'),\n    dict(keep_ratio=True, scale=(640, 640), "
    "type='Resize'),\n    dict(pad_val=dict(img=(114, 114, 114)), size=(640, 640), type='Pad'),\n]\n"
)
ONE_STAGE = (
    "model = dict(data_preprocessor=dict(mean=[0, 0, 0], std=[1, 1, 1]), head=dict(bbox_padding=1.25, "
    "prior_generator=dict(centralize_points=True, strides=[16, 32]), "
    "dcc_cfg=dict(gau_cfg=dict(act_fn='SiLU', pos_enc='add'))), "
    "neck=dict(type='HybridEncoder', encoder_cfg=dict(self_attn_cfg=dict(num_heads=8), "
    "ffn_cfg=dict(act_cfg=dict(type='GELU'))), "
    "projector=dict(type='ChannelMapper', act_cfg=None, norm_cfg=dict(type='BN'))), "
    "test_cfg=dict(score_thr=0.1, nms_thr=0.65, nms_pre=100000))\n"
    "val_pipeline = [dict(type='LoadImage'), "
    "dict(input_size=(640, 640), pad_val=(114, 114, 114), type='BottomupResize')]\n"
)
POSE = (
    "model = dict(data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], "
    "bgr_to_rgb=True), "
    "backbone=dict(act_cfg=dict(type='SiLU'), norm_cfg=dict(type='SyncBN'), type='CSPNeXt'), "
    "head=dict(decoder=dict(use_dark=False), input_size=(64, 64), simcc_split_ratio=2.0, "
    "gau_cfg=dict(act_fn='SiLU', pos_enc=False), type='RTMCCHead'))\n"
    "val_pipeline = [dict(type='LoadImage'), dict(type='GetBBoxCenterScale'), "
    "dict(input_size=(64, 64), type='TopdownAffine')]\n"
)


def small_state(points: int = 5, seed: int = 0) -> State:
    """Give the weights of a working RTMPose network of some 20,000 parameters."""
    stages = tuple(StageDims(8, 4, 1, identity=n < 4, spp=n == 4) for n in range(1, 5))
    head = SimccHeadDims(8, points, 7, 4, GauDims(16, 32, 8), (128, 128))
    torch.manual_seed(seed)
    return dict(Rtmpose(RtmposeDims(BackboneDims((4, 4, 8), stages, False, 1e-5), head)).state_dict())


def small_depth_state() -> State:
    """Give the weights of a working RTMW3D network of as few."""
    stages = tuple(StageDims(w, w // 2, 1, identity=w == 8, spp=w == 16) for w in (8, 8, 8, 16))
    backbone = BackboneDims((4, 4, 8), stages, False, 1e-5)
    head = SimccHeadDims(16, 5, 7, 4, GauDims(16, 32, 8), (128, 128, 64))
    torch.manual_seed(0)
    return dict(Rtmw(RtmwDims(backbone, NeckDims((8, 8, 16), 1, False, None, 1e-5), head)).state_dict())


def save(path: Path, document: Any, *, legacy: bool = False) -> Path:
    """Write a checkpoint file."""
    torch.save(document, path, _use_new_zipfile_serialization=not legacy)
    return path


def pose_meta(**extra: Any) -> dict[str, Any]:
    """Give meta data with the NumPy arrays that mmengine writes."""
    info = {"dataset_name": "mine", "sigmas": np.full(5, 0.05, np.float32), "flip_indices": [0, 2, 1, 4, 3]}
    return {"epoch": 3, "dataset_meta": info | {"colours": np.zeros((5, 3), np.uint8)}, **extra}


def refused(path: Path, *parts: str, kind: type[EdgePoseError] = CheckpointError) -> EdgePoseError:
    """Check that loading fails with one line that holds all parts; return the error."""
    with pytest.raises(kind) as caught:
        load_model(path)
    message = str(caught.value)
    assert path.name in message and "\n" not in message
    for part in parts:
        assert part in message, message
    return caught.value


def stages() -> tuple[StageDims, ...]:
    """Give the dimensions of a small backbone's four stages."""
    return tuple(StageDims(8, 4, 1, identity=n < 4, spp=n == 4) for n in range(1, 5))


def detector_state() -> State:
    """Give the weights of a working RTMDet network of one class."""
    torch.manual_seed(0)
    backbone = BackboneDims((4, 4, 8), stages(), False, 1e-5)
    neck = NeckDims((8, 8, 8), 1, False, 8, 1e-5)
    return dict(Rtmdet(RtmdetDims(backbone, neck, 8, 2, 1, False, False, False, 1e-5)).state_dict())


def one_stage_state() -> State:
    """Give the weights of a working RTMO network."""
    torch.manual_seed(0)
    neck = HybridEncoderDims((8, 8, 8), 16, 16, 1, 8, 1, 16)
    dcc = DccDims(5, 8, GauDims(16, 32, 8), 4, 6, 8)
    dims = RtmoDims(BackboneDims((8,), stages(), False, 1e-3), neck, 8, 8, 2, 16, 4, 8, 5, dcc)
    return dict(Rtmo(dims, box_padding=1.25).state_dict())


KINDS = {
    "pose": (small_state, POSE),
    "detector": (detector_state, DETECTOR),
    "one": (one_stage_state, ONE_STAGE),
}


def checkpoint(path: Path, kind: str, old: str = "", new: str = "") -> Path:
    """Write a checkpoint with a kind's official configuration, in which `new` stands in place of `old`."""
    state, text = KINDS[kind]
    assert old in text
    return save(path, {"meta": {"cfg": text.replace(old, new, 1)}, "state_dict": state()})
