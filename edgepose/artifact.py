"""What flows through the pipeline: the description of a network, its files, and how they came to be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Resize = Literal["letterbox", "letterbox_centred", "affine"]
Task = Literal["detect", "pose", "one_stage"]
Precision = Literal["fp32", "fp16", "bf16", "int8", "mixed"]

# Control characters, and the halves of surrogate pairs, which UTF-8 does not have.
_NO_TEXT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_MAX_CHARACTERS = 1000


def is_text(value: Any) -> bool:
    """Tell whether a value is a text that a bundle can hold: 1 to 1000 characters, none of control."""
    return isinstance(value, str) and 0 < len(value) <= _MAX_CHARACTERS and not _NO_TEXT.search(value)


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How a picture becomes the network's input; see preprocess.h for the exact arithmetic.

    mean, std and pad_value are grey levels 0..255 in the channel order of `color`; box_padding is the factor
    on the sides of a person's box (1 for letterboxes).
    """

    resize: Resize
    input_hw: tuple[int, int]
    color: Literal["rgb", "bgr"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    pad_value: tuple[int, int, int]
    box_padding: float = 1.0


@dataclass(frozen=True, slots=True)
class KeypointSet:
    """Names and geometry of a set of keypoints (0-based indices); sigmas are those of OKS."""

    name: str
    keypoints: tuple[str, ...]
    skeleton: tuple[tuple[int, int], ...]
    flip_pairs: tuple[tuple[int, int], ...]
    sigmas: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SimccHead:
    """SimCC outputs in order: x, y and (3-D networks) z, each [N, K, bins]; z_range in metres."""

    split_ratio: float
    points: KeypointSet
    score: Literal["min"] = "min"
    z_range: float | None = None
    type: Literal["simcc"] = "simcc"


@dataclass(frozen=True, slots=True)
class BoxHead:
    """RTMDet outputs in order: class logits of every stride, then raw box distances of every stride."""

    strides: tuple[int, ...]
    exp_on_distances: bool
    classes: tuple[str, ...]
    score_threshold: float
    nms_iou_threshold: float
    max_candidates_per_level: int
    max_detections: int
    type: Literal["rtmdet"] = "rtmdet"


@dataclass(frozen=True, slots=True)
class OneStageHead:
    """RTMO outputs in order: class logits, boxes, visibilities, pose vectors, each of every stride.

    The dynamic coordinate classifier runs in C++ on the kept cells only; its weights are a file of the
    bundle.
    """

    strides: tuple[int, ...]
    points: KeypointSet
    score_threshold: float
    nms_iou_threshold: float
    max_candidates: int
    max_detections: int
    box_padding: float
    x_bins: int
    y_bins: int
    type: Literal["rtmo"] = "rtmo"


Head = SimccHead | BoxHead | OneStageHead


# The score from which a keypoint counts as seen, in networks trained with the usual loss; mmpose's threshold.
USUAL_KEYPOINT_SCORE = 0.3


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Everything about a network but its weights. name: for example "rtmpose-t"; family: "rtmpose", ...

    keypoint_score_threshold: from which score on a keypoint counts as seen.
    """

    name: str
    family: str
    task: Task
    preprocess: Preprocess
    head: Head
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    license: str
    parameters: int
    keypoint_score_threshold: float = USUAL_KEYPOINT_SCORE


@dataclass(frozen=True, slots=True)
class LineageEntry:
    """One step: what ran, on which inputs, into which outputs (relative path or role -> sha256)."""

    step: str
    tool: str
    version: str
    arguments: Mapping[str, Any]
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    seconds: float


@dataclass(frozen=True, slots=True)
class Artifact:
    """The files of one network in one format, by role ("onnx"; "param", "bin"; "xml", "bin"), with lineage.

    input_shapes and output_shapes map a tensor name to its dims, the batch first; -1 means any batch.
    tensor_names maps it to the format's own name of the tensor, where that differs.
    """

    spec: ModelSpec
    format: str
    precision: Precision
    files: Mapping[str, Path]
    input_shapes: Mapping[str, tuple[int, ...]]
    output_shapes: Mapping[str, tuple[int, ...]]
    tensor_names: Mapping[str, str] = field(default_factory=dict)
    lineage: tuple[LineageEntry, ...] = field(default=())
