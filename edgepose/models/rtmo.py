"""RTMO: recognition and description."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgepose.artifact import ModelSpec, OneStageHead, Preprocess
from edgepose.errors import CheckpointError
from edgepose.models.family import UNKNOWN_LICENSE, Family, Plan, Source, backbone_dims, choose_input_hw
from edgepose.models.norm_eps import norm_eps
from edgepose.models.rtmpose import gau_dims
from edgepose.models.shapes import Shapes
from edgepose.models.tested_settings import stated_box_padding, tested_head
from edgepose.skeletons import choose_keypoints

if TYPE_CHECKING:
    from torch import Tensor

# Source: mmpose 1.3.2, configs/body_2d_keypoint/rtmo/coco/rtmo-s_8xb32-600e_coco-640x640.py and
# models/heads/hybrid_heads/rtmo_head.py. The original limits neither candidates nor detections; 640 x 640
# pixels have 2000 cells, and 1000 is far above the persons in any picture.
BOX_PADDING = 1.25
_SCORE_THRESHOLD = 0.1
_NMS_IOU_THRESHOLD = 0.65
_MAX_CANDIDATES = 2000
_MAX_DETECTIONS = 1000
# The longest period of a sine encoding, over which its periods are spread: the same source, and
# models/necks/hybrid_encoder.py.
_TEMPERATURES = {"head.dcc.spe.dim_t": 300.0, "neck.sincos_pos_enc.dim_t": 10000.0}

# The eps of batch normalisation by the place of its norm_cfg: the same sources.
_EPS = {"backbone": 1e-3, "neck": 1e-5, "neck.projector": 1e-5, "head.head_module_cfg": 1e-3}

# (channels after the stem, blocks of the four stages) of CSPDarknet by its deepen and widen factors.
_SIZES: dict[tuple[int, tuple[int, ...]], str] = {
    (24, (1, 3, 3, 1)): "t",
    (32, (1, 3, 3, 1)): "s",
    (48, (2, 6, 6, 2)): "m",
    (64, (3, 9, 9, 3)): "l",
}


def matches(shapes: Shapes) -> bool:
    """Tell an RTMO network by its dynamic coordinate classifier."""
    return shapes.has("head.dcc.")


def plan(source: Source) -> Plan:
    """Read the dimensions. Errors: CheckpointError, UsageError (an input size that 32 does not divide)."""
    import torch

    from edgepose.nets.dcc import DccDims
    from edgepose.nets.hybrid_encoder import HybridEncoderDims
    from edgepose.nets.rtmo import STRIDES, Rtmo, RtmoDims

    shapes = source.shapes
    eps, eps_notes = norm_eps(source.meta, _EPS)
    backbone = backbone_dims(shapes, ["backbone.stem.conv"], eps=eps["backbone"])
    module = "head.head_module"
    sigmas = "head.loss_oks.sigmas"
    keypoints = shapes.agreed(*_outputs("out_kpt_vis"), ("head.dcc.pos_enc", 0), (sigmas, 0))
    pose_channels = shapes.agreed(*_outputs("out_pose"), ("head.dcc.pose_to_kpts.0.weight", 1))
    feedforward = "neck.encoder.0.layers.0.ffn.layers.0.0"
    dcc = DccDims(
        keypoints=keypoints,
        pose_channels=pose_channels,
        gau=gau_dims(shapes, "head.dcc.gau"),
        periods=shapes.agreed(("head.dcc.x_fc.weight", 1), ("head.dcc.y_fc.weight", 1)) // 2,
        x_bins=shapes.of("head.dcc.x_bins", 1)[0],
        y_bins=shapes.of("head.dcc.y_bins", 1)[0],
    )
    neck_out = shapes.width("neck.projector.convs.0")
    pose_width = shapes.width(f"{module}.conv_pose.0.0")
    dims = RtmoDims(
        backbone=backbone,
        neck=HybridEncoderDims(
            in_channels=backbone.out_channels,
            width=shapes.width("neck.input_proj.0"),
            feedforward=shapes.agreed(
                (f"{feedforward}.weight", 0),
                (f"{feedforward}.bias", 0),
                ("neck.encoder.0.layers.0.ffn.layers.1.weight", 1),
            ),
            encoder_layers=shapes.count("neck.encoder.0.layers"),
            branch=shapes.width("neck.fpn_blocks.0.conv1"),
            blocks=shapes.count("neck.fpn_blocks.0.bottlenecks"),
            out=neck_out,
            eps=eps["neck"],
            projector_eps=eps["neck.projector"],
        ),
        in_channels=neck_out // 2,
        cls_width=shapes.width(f"{module}.conv_cls.0.0"),
        cls_convs=shapes.count(f"{module}.conv_cls.0"),
        pose_width=pose_width,
        pose_convs=shapes.count(f"{module}.conv_pose.0"),
        groups=_groups(shapes, pose_width),
        keypoints=keypoints,
        dcc=dcc,
        head_eps=eps["head.head_module_cfg"],
    )
    blocks = tuple(stage.blocks for stage in backbone.stages)
    size = _SIZES.get((backbone.stem_channels[0], blocks), "custom")
    points, notes = choose_keypoints(
        keypoints, source.meta, asked=source.keypoints, trained_sigmas=source.tensors.get(sigmas)
    )
    notes = (*eps_notes, *notes)
    input_hw, input_notes = choose_input_hw(source, 416 if size == "t" else 640)
    box_padding = stated_box_padding(source.meta, BOX_PADDING)
    head, test_notes = tested_head(
        OneStageHead(
            strides=STRIDES,
            points=points,
            score_threshold=_SCORE_THRESHOLD,
            nms_iou_threshold=_NMS_IOU_THRESHOLD,
            max_candidates=_MAX_CANDIDATES,
            max_detections=_MAX_DETECTIONS,
            box_padding=box_padding,
            x_bins=dcc.x_bins,
            y_bins=dcc.y_bins,
        ),
        source.meta,
    )
    notes = (*notes, *input_notes, *test_notes)
    if box_padding != BOX_PADDING:
        notes = (*notes, f"bbox_padding {box_padding:g} as the training configuration has it")
    spec = ModelSpec(
        name=f"rtmo-{size}",
        family="rtmo",
        task="one_stage",
        preprocess=Preprocess(
            resize="letterbox_centred",
            input_hw=input_hw,
            color="bgr",
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            pad_value=(114, 114, 114),
        ),
        head=head,
        input_names=("input",),
        output_names=tuple(f"{kind}_{s}" for kind in ("cls", "box", "vis", "pose") for s in STRIDES),
        license=UNKNOWN_LICENSE,
        parameters=0,
    )
    restored = _exact_constants(source)
    if restored:
        names = ", ".join(key.removeprefix("head.") for key in restored)
        notes = (*notes, f"constants that half precision had rounded are exact again: {names}")
    if sigmas not in source.tensors:  # without a metainfo in loss_oks; training alone uses them
        restored[sigmas] = torch.zeros(keypoints)
    return Plan(make=lambda: Rtmo(dims, box_padding=box_padding), spec=spec, notes=notes, restored=restored)


def _exact_constants(source: Source) -> dict[str, Tensor]:
    """Return the buffers that half precision rounded, as training made them: no weight makes up for them.

    The decoder relies on even steps of the bins; the phase of a sine encoding far from 0 shows every error of
    its period.
    """
    import torch

    restored = {}
    for key in ("head.dcc.x_bins", "head.dcc.y_bins", *_TEMPERATURES):
        stored = source.tensors.get(key)
        if stored is None or stored.ndim != 1 or len(stored) < 2 or not stored.is_floating_point():
            continue  # refused later, by name
        if key in _TEMPERATURES:
            exact = _TEMPERATURES[key] ** (torch.arange(len(stored), dtype=torch.float32) / len(stored))
        else:
            exact = torch.linspace(float(stored[0]), float(stored[-1]), len(stored))
        rounded = (exact.to(kind).float() for kind in (torch.float16, torch.bfloat16))
        if not torch.equal(stored, exact) and any(torch.equal(stored, other) for other in rounded):
            restored[key] = exact
    return restored


def _outputs(name: str) -> list[tuple[str, int]]:
    """List the places of an output layer's channels in the two strides."""
    return [(f"head.head_module.{name}.{n}.{part}", 0) for n in range(2) for part in ("weight", "bias")]


def _groups(shapes: Shapes, pose_width: int) -> int:
    """Return the groups of the pose branch's convolutions after the first. Errors: CheckpointError."""
    keys = [f"head.head_module.conv_pose.{n}.{layer}.conv.weight" for n in range(2) for layer in range(1, 4)]
    per_group = shapes.agreed(*((key, 1) for key in keys))
    if pose_width % per_group:
        raise CheckpointError(
            f"{keys[0]} has {per_group} input channels, which do not divide the {pose_width} of its layer"
        )
    return pose_width // per_group


FAMILY = Family("RTMO", matches, plan)
