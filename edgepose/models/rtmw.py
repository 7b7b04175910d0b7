"""RTMW and RTMW3D: recognition and description."""

from __future__ import annotations

from edgepose.artifact import ModelSpec, SimccHead
from edgepose.models.family import (
    CSPNEXT_EPS,
    UNKNOWN_LICENSE,
    Family,
    Plan,
    Source,
    cspnext_dims,
    cspnext_size,
    topdown_preprocess,
)
from edgepose.models.fixed_settings import decoding_notes
from edgepose.models.norm_eps import norm_eps
from edgepose.models.rtmpose import check_requested_input, gau_dims, simcc_input, split_ratio_notes
from edgepose.models.shapes import Shapes
from edgepose.models.tested_settings import check_stated_simcc, stated_keypoint_score, stated_z_range
from edgepose.skeletons import choose_keypoints

# Half the depth range in metres: mmpose 1.3.2, projects/rtmpose3d/rtmpose3d/simcc_3d_label.py.
Z_RANGE_M = 2.1744869
# The beta of the loss, by the axes: mmpose 1.3.2, projects/rtmpose/rtmpose/wholebody_2d_keypoint/rtmw-*.py
# and projects/rtmpose3d/configs.
_BETA = {"xy": 1.0, "xyz": 10.0}


def matches(shapes: Shapes) -> bool:
    """Tell an RTMW network: SimCC classifiers fed by two strides."""
    simcc = shapes.has("head.cls_x.") or shapes.has("head.cls_y.")
    return simcc and (shapes.has("head.mlp2.") or shapes.has("head.final_layer2."))


def plan(source: Source) -> Plan:
    """Read the dimensions. Errors: CheckpointError, UsageError (a request that does not fit)."""
    from edgepose.nets.pafpn import NeckDims
    from edgepose.nets.rtmpose import SimccHeadDims
    from edgepose.nets.rtmw import Rtmw, RtmwDims

    shapes = source.shapes
    # The head has no such setting: mmpose 1.3.2, models/heads/coord_cls_heads/rtmw_head.py.
    eps, eps_notes = norm_eps(source.meta, {"backbone": CSPNEXT_EPS, "neck": CSPNEXT_EPS})
    backbone = cspnext_dims(shapes, eps=eps["backbone"])
    keypoints = shapes.width("head.final_layer")
    kernel = shapes.kernel(*(f"head.{n}.conv.weight" for n in ("final_layer", "final_layer2", "conv_dec")))
    axes = "xyz" if shapes.has("head.cls_z.") else "xy"
    bins = tuple(shapes.of(f"head.cls_{axis}.weight", 2)[0] for axis in axes)
    cells = shapes.of("head.mlp.1.weight", 2)[1]
    split_ratio, input_hw = simcc_input(bins, cells)
    check_stated_simcc(source.meta, split_ratio, input_hw)
    check_requested_input(source, input_hw)
    dims = RtmwDims(
        backbone=backbone,
        neck=NeckDims(
            in_channels=backbone.out_channels,
            blocks=shapes.count("neck.top_down_blocks.0.blocks"),
            separable=shapes.has("neck.downsamples.0.depthwise_conv."),
            out_channels=None,
            eps=eps["neck"],
        ),
        head=SimccHeadDims(
            in_channels=backbone.out_channels[-1],
            keypoints=keypoints,
            kernel=kernel,
            cells=cells,
            gau=gau_dims(shapes, "head.gau"),
            bins=bins,
        ),
    )
    points, notes = choose_keypoints(keypoints, source.meta, asked=source.keypoints)
    keypoint_score, score_notes = stated_keypoint_score(source.meta, _BETA[axes])
    notes = (
        *split_ratio_notes(split_ratio),
        *eps_notes,
        *notes,
        *decoding_notes(source.meta),
        *score_notes,
    )
    z_range = stated_z_range(source.meta, Z_RANGE_M) if axes == "xyz" else None
    if z_range is not None and z_range != Z_RANGE_M:
        notes = (*notes, f"z_range {z_range:g} m as the training configuration has it")
    family = "rtmw3d" if axes == "xyz" else "rtmw"
    spec = ModelSpec(
        name=f"{family}-{cspnext_size(backbone)}",
        family=family,
        task="pose",
        preprocess=topdown_preprocess(input_hw),
        head=SimccHead(split_ratio=split_ratio, points=points, z_range=z_range),
        input_names=("input",),
        output_names=tuple(f"simcc_{axis}" for axis in axes),
        license=UNKNOWN_LICENSE,
        parameters=0,
        keypoint_score_threshold=keypoint_score,
    )
    return Plan(make=lambda: Rtmw(dims), spec=spec, notes=notes)


FAMILY = Family("RTMW and RTMW3D", matches, plan)
