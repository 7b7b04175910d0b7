"""What a network family has to provide, and what several of them share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgepose.artifact import KeypointSet, ModelSpec, Preprocess
from edgepose.errors import CheckpointError, UsageError
from edgepose.models.shapes import Shapes
from edgepose.models.tested_settings import stated_input_hw

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgepose.nets.csp import BackboneDims

MAX_INPUT_SIDE_PX = 2048
_STRIDE = 32
# The eps of batch normalisation in the official networks of CSPNeXt, whose configurations name a SyncBN
# without one: mmpose 1.3.2, projects/rtmpose; mmdet 3.3.0, configs/rtmdet.
CSPNEXT_EPS = 1e-5
UNKNOWN_LICENSE = "unknown (a checkpoint does not state it)"


@dataclass(frozen=True, slots=True)
class Source:
    """A checkpoint's tensors and meta data, and what the user asked for.

    normalisation: the tensors "mean" and "std" of the checkpoint's data_preprocessor, where it has them.
    """

    tensors: Mapping[str, Tensor]
    shapes: Shapes
    meta: Mapping[str, Any]
    keypoints: KeypointSet | None
    input_hw: tuple[int, int] | None
    normalisation: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """How to build the network, and its description: parameters is 0 until it is built, and preprocess is
    what networks of the family usually have.

    restored: tensors in place of the checkpoint's, where their exact values are known.
    """

    make: Callable[[], nn.Module]
    spec: ModelSpec
    notes: tuple[str, ...]
    restored: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Family:
    """How to tell a family from tensor shapes, and how to plan its network from a checkpoint."""

    title: str
    matches: Callable[[Shapes], bool]
    plan: Callable[[Source], Plan]


# (channels after the stem, blocks of the four stages) of CSPNeXt by its deepen and widen factors:
# mmpose 1.3.2, models/backbones/cspnext.py and the configurations of RTMPose, RTMW and RTMDet.
CSPNEXT_SIZES: dict[tuple[int, tuple[int, ...]], str] = {
    (16, (1, 2, 2, 1)): "nano",
    (24, (1, 1, 1, 1)): "tiny",
    (32, (1, 2, 2, 1)): "s",
    (48, (2, 4, 4, 2)): "m",
    (64, (3, 6, 6, 3)): "l",
    (80, (4, 8, 8, 4)): "x",
}


def cspnext_size(dims: BackboneDims) -> str:
    """Name the size of a CSPNeXt backbone; "custom" for one that no official configuration has."""
    blocks = tuple(stage.blocks for stage in dims.stages)
    return CSPNEXT_SIZES.get((dims.stem_channels[-1], blocks), "custom")


def cspnext_dims(shapes: Shapes, *, eps: float) -> BackboneDims:
    """Read the dimensions of a CSPNeXt backbone. Errors: CheckpointError."""
    return backbone_dims(shapes, [f"backbone.stem.{index}" for index in range(3)], eps=eps)


def backbone_dims(shapes: Shapes, stem: Sequence[str], *, eps: float) -> BackboneDims:
    """Read the dimensions of a backbone: the named stem layers, four stages. Errors: CheckpointError."""
    from edgepose.nets.csp import BackboneDims, StageDims

    if shapes.has("backbone.stage5."):
        raise CheckpointError(
            "its backbone has five stages (arch P6); only the four of P5 can be built",
            hint="train with arch='P5', as the official pose networks and detectors are",
        )
    stages = []
    for number in range(1, 5):
        # Only the last stage pools (spatial pyramid) and only its blocks do not add their input.
        last = number == 4
        layer = f"backbone.stage{number}.{2 if last else 1}"
        stages.append(
            StageDims(
                out_channels=shapes.width(f"backbone.stage{number}.0"),
                mid_channels=shapes.width(f"{layer}.main_conv"),
                blocks=shapes.count(f"{layer}.blocks"),
                identity=not last,
                spp=last,
            )
        )
    return BackboneDims(
        stem_channels=tuple(shapes.width(prefix) for prefix in stem),
        stages=tuple(stages),
        separable=shapes.has("backbone.stage1.0.depthwise_conv."),
        eps=eps,
    )


def topdown_preprocess(input_hw: tuple[int, int]) -> Preprocess:
    """Describe the input of RTMPose, RTMW and RTMW3D.

    Source: mmpose 1.3.2, projects/rtmpose/rtmpose/body_2d_keypoint/rtmpose-m_8xb256-420e_coco-256x192.py;
    the same in all its top-down RTMPose and RTMW configurations.
    """
    return Preprocess(
        resize="affine",
        input_hw=input_hw,
        color="rgb",
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
        pad_value=(0, 0, 0),
        box_padding=1.25,
    )


def choose_input_hw(source: Source, usual_side: int) -> tuple[tuple[int, int], list[str]]:
    """Return the input (height, width) of a network that takes any, and what to note.

    First what the user asked for, then what the training configuration states, then the usual square.
    Errors: UsageError (a size that cannot be taken), CheckpointError.
    """
    usual = (usual_side, usual_side)
    stated = stated_input_hw(source.meta)
    chosen, notes = source.input_hw or stated or usual, []
    size = f"{chosen[0]}x{chosen[1]}"
    if source.input_hw is None and stated is None:
        notes.append(f"input size assumed {size}: the checkpoint does not state it")
    elif source.input_hw is None and stated != usual:
        notes.append(f"input size {size} (height x width) as the training configuration has it")
    try:
        check_input_hw(chosen)
    except UsageError as error:
        if source.input_hw is not None:
            raise
        raise UsageError(
            f"{error.message}; it is that of the training configuration",
            hint="give --input-size, such as 640x640",
        ) from error
    return chosen, notes


def check_input_hw(input_hw: tuple[int, int]) -> None:
    """Refuse an input size that the strides do not divide, or that no device runs. Errors: UsageError."""
    if max(input_hw) > MAX_INPUT_SIDE_PX:
        raise UsageError(
            f"the input size {input_hw[0]}x{input_hw[1]} (height x width) is over the limit of "
            f"{MAX_INPUT_SIDE_PX} pixels a side",
            hint="choose a smaller one, for example 640x640",
        )
    if min(input_hw) <= 0 or any(side % _STRIDE for side in input_hw):
        raise UsageError(
            f"the input size {input_hw[0]}x{input_hw[1]} (height x width) is not divisible by {_STRIDE}",
            hint=f"choose multiples of {_STRIDE}, for example 320x320 or 640x640",
        )
