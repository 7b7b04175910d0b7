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
from edgepose.nets.gau import GauDims
from edgepose.nets.pafpn import NeckDims
from edgepose.nets.rtmpose import Rtmpose, RtmposeDims, SimccHeadDims
from edgepose.nets.rtmw import Rtmw, RtmwDims

State = dict[str, Any]


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
