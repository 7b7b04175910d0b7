"""RTMPose and DWPose: recognition and description."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edgepose.artifact import ModelSpec, SimccHead
from edgepose.errors import CheckpointError, UsageError
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
from edgepose.models.fixed_settings import check_no_neck, decoding_notes
from edgepose.models.norm_eps import norm_eps
from edgepose.models.shapes import Shapes
from edgepose.models.tested_settings import check_stated_simcc, stated_keypoint_score
from edgepose.skeletons import choose_keypoints

if TYPE_CHECKING:
    from edgepose.nets.gau import GauDims

STRIDE = 32
# The beta of the loss, in all official configurations of both: mmpose 1.3.2.
_BETA = 10.0


def matches(shapes: Shapes) -> bool:
    """Tell an RTMPose network: SimCC classifiers behind a gated attention unit, and no neck."""
    simcc = shapes.has("head.cls_x.") or shapes.has("head.cls_y.")
    return simcc and shapes.has("head.gau.") and not shapes.has("neck.")


def plan(source: Source) -> Plan:
    """Read the dimensions. Errors: CheckpointError, UsageError (a request that does not fit)."""
    from edgepose.nets.rtmpose import Rtmpose, RtmposeDims, SimccHeadDims

    shapes = source.shapes
    check_no_neck(source.meta)
    eps, eps_notes = norm_eps(source.meta, {"backbone": CSPNEXT_EPS})
    backbone = cspnext_dims(shapes, eps=eps["backbone"])
    keypoints = shapes.agreed(("head.final_layer.weight", 0), ("head.final_layer.bias", 0))
    bins = (shapes.of("head.cls_x.weight", 2)[0], shapes.of("head.cls_y.weight", 2)[0])
    cells = shapes.of("head.mlp.1.weight", 2)[1]
    split_ratio, input_hw = simcc_input(bins, cells)
    check_stated_simcc(source.meta, split_ratio, input_hw)
    check_requested_input(source, input_hw)
    dims = RtmposeDims(
        backbone=backbone,
        head=SimccHeadDims(
            in_channels=backbone.out_channels[-1],
            keypoints=keypoints,
            kernel=shapes.kernel("head.final_layer.weight"),
            cells=cells,
            gau=gau_dims(shapes, "head.gau"),
            bins=bins,
        ),
    )
    points, notes = choose_keypoints(keypoints, source.meta, asked=source.keypoints)
    keypoint_score, score_notes = stated_keypoint_score(source.meta, _BETA)
    notes = (
        *split_ratio_notes(split_ratio),
        *eps_notes,
        *notes,
        *decoding_notes(source.meta),
        *score_notes,
    )
    size = cspnext_size(backbone).replace("tiny", "t")
    spec = ModelSpec(
        name=f"rtmpose-{size}",
        family="rtmpose",
        task="pose",
        preprocess=topdown_preprocess(input_hw),
        head=SimccHead(split_ratio=split_ratio, points=points),
        input_names=("input",),
        output_names=("simcc_x", "simcc_y"),
        license=UNKNOWN_LICENSE,
        parameters=0,
        keypoint_score_threshold=keypoint_score,
    )
    return Plan(make=lambda: Rtmpose(dims), spec=spec, notes=notes)


def gau_dims(shapes: Shapes, prefix: str) -> GauDims:
    """Read the dimensions of a gated attention unit. Errors: CheckpointError."""
    from edgepose.nets.gau import GauDims

    uv_rows, _ = shapes.of(f"{prefix}.uv.weight", 2)
    attention = shapes.agreed((f"{prefix}.gamma", 1), (f"{prefix}.beta", 1))
    if uv_rows < attention + 2:
        raise CheckpointError(
            f"{prefix}.uv.weight has {uv_rows} rows; more than the {attention} columns of {prefix}.gamma are "
            "expected"
        )
    return GauDims(
        width=shapes.agreed(
            (f"{prefix}.o.weight", 0), (f"{prefix}.uv.weight", 1), (f"{prefix}.res_scale.scale", 0)
        ),
        inner=(uv_rows - attention) // 2,
        attention=attention,
    )


def simcc_input(bins: tuple[int, ...], cells: int) -> tuple[float, tuple[int, int]]:
    """Return the split ratio (bins per pixel) and the input size (height, width) that fit bins and cells.

    There is one cell per 32 x 32 input pixels, so the ratio is sqrt(bins_x * bins_y / (32 * 32 * cells)); it
    is 2 in every official network. Errors: CheckpointError.
    """
    ratio = math.sqrt(bins[0] * bins[1] / (STRIDE * STRIDE * cells))
    sides = [round(count / ratio) for count in bins[:2]]
    exact = all(
        math.isclose(side * ratio, count, abs_tol=1e-6) for side, count in zip(sides, bins, strict=False)
    )
    if not exact or any(side % STRIDE for side in sides):
        raise CheckpointError(
            f"head.cls_x.weight and head.cls_y.weight have {bins[0]} and {bins[1]} rows, and "
            f"head.mlp.1.weight has {cells} columns: no input size fits all three",
            hint="the input must be a multiple of 32 pixels with one column per 32 x 32 pixels",
        )
    return ratio, (sides[1], sides[0])


def split_ratio_notes(ratio: float) -> tuple[str, ...]:
    """Say so where the split ratio is not the official one."""
    return (
        ()
        if ratio == 2.0
        else (f"split ratio {ratio:g} concluded from the shapes; official networks have 2",)
    )


def check_requested_input(source: Source, input_hw: tuple[int, int]) -> None:
    """Refuse another input size than the head was trained for. Errors: UsageError."""
    if source.input_hw is not None and tuple(source.input_hw) != input_hw:
        raise UsageError(
            f"this network takes {input_hw[0]}x{input_hw[1]} pixels (height x width), not "
            f"{source.input_hw[0]}x{source.input_hw[1]}",
            hint="the input size of a SimCC network is fixed by its training; leave the option out",
        )


FAMILY = Family("RTMPose and DWPose", matches, plan)
