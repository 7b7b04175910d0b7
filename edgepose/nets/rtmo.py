"""RTMO: CSPDarknet, hybrid encoder and a one-stage head; the coordinate classifier runs on kept cells only.

Source of the structure: mmpose 1.3.2, models/heads/hybrid_heads/rtmo_head.py.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from edgepose.nets.conv import ConvBnAct
from edgepose.nets.csp import BackboneDims, CspBackbone
from edgepose.nets.dcc import DccDims, DynamicCoordinateClassifier
from edgepose.nets.hybrid_encoder import HybridEncoder, HybridEncoderDims

STRIDES = (16, 32)


@dataclass(frozen=True, slots=True)
class RtmoDims:
    """Everything that a checkpoint's shapes say about an RTMO network.

    in_channels: of each of the head's two branches; pose_width: of the pose branch, in `groups` groups.
    head_eps: of the batch normalisation in both; the coordinate classifier's is fixed.
    """

    backbone: BackboneDims
    neck: HybridEncoderDims
    in_channels: int
    cls_width: int
    cls_convs: int
    pose_width: int
    pose_convs: int
    groups: int
    keypoints: int
    dcc: DccDims
    head_eps: float = 1e-3


class RtmoHeadModule(nn.Module):
    """Class, box, visibility and pose-vector maps of every stride; out_kpt_reg only serves training."""

    def __init__(self, dims: RtmoDims) -> None:
        super().__init__()
        eps = dims.head_eps

        def cls_branch() -> nn.Sequential:
            widths = [dims.in_channels, *[dims.cls_width] * dims.cls_convs]
            return nn.Sequential(*(ConvBnAct(a, b, 3, eps=eps) for a, b in itertools.pairwise(widths)))

        def pose_branch() -> nn.Sequential:
            first = ConvBnAct(dims.in_channels, dims.pose_width, 3, eps=eps)
            others = (
                ConvBnAct(dims.pose_width, dims.pose_width, 3, groups=dims.groups, eps=eps)
                for _ in range(dims.pose_convs - 1)
            )
            return nn.Sequential(first, *others)

        def outputs(in_channels: int, out_channels: int) -> nn.ModuleList:
            return nn.ModuleList(nn.Conv2d(in_channels, out_channels, 1) for _ in STRIDES)

        self.conv_cls = nn.ModuleList(cls_branch() for _ in STRIDES)
        self.out_cls = outputs(dims.cls_width, 1)
        self.conv_pose = nn.ModuleList(pose_branch() for _ in STRIDES)
        self.out_bbox = outputs(dims.pose_width, 4)
        self.out_kpt_reg = outputs(dims.pose_width, 2 * dims.keypoints)
        self.out_kpt_vis = outputs(dims.pose_width, dims.keypoints)
        self.out_pose = outputs(dims.pose_width, dims.dcc.pose_channels)

    def forward(self, maps: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        """Return class logits, boxes, visibility logits and pose vectors, each of both strides."""
        levels = []
        for level, x in enumerate(maps):
            for_class, for_pose = torch.chunk(x, 2, dim=1)
            pose = self.conv_pose[level](for_pose)
            levels.append(
                (
                    self.out_cls[level](self.conv_cls[level](for_class)),
                    self.out_bbox[level](pose),
                    self.out_kpt_vis[level](pose),
                    self.out_pose[level](pose),
                )
            )
        return tuple(level[kind] for kind in range(4) for level in levels)


class OksSigmas(nn.Module):
    """The sigmas that training used; a buffer of the checkpoint."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.register_buffer("sigmas", torch.zeros(count))


class RtmoHead(nn.Module):
    """The convolutions and the coordinate classifier, under the checkpoint's names."""

    def __init__(self, dims: RtmoDims, *, box_padding: float) -> None:
        super().__init__()
        self.loss_oks = OksSigmas(dims.keypoints)
        self.head_module = RtmoHeadModule(dims)
        self.dcc = DynamicCoordinateClassifier(dims.dcc, box_padding=box_padding)


class Rtmo(nn.Module):
    """forward: (N, 3, H, W) to eight raw convolution outputs.

    cls_16, cls_32 (N, 1, h, w), box_16, box_32 (N, 4, h, w), vis_16, vis_32 (N, K, h, w), pose_16, pose_32
    (N, C, h, w).
    """

    def __init__(self, dims: RtmoDims, *, box_padding: float) -> None:
        super().__init__()
        self.dims = dims
        self.backbone = CspBackbone(dims.backbone, darknet=True)
        self.neck = HybridEncoder(dims.neck)
        self.head = RtmoHead(dims, box_padding=box_padding)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the eight maps, which the C++ decoder turns into persons."""
        y: tuple[Tensor, ...] = self.head.head_module(self.neck(self.backbone(x)))
        return y

    def dcc_weights(self) -> dict[str, np.ndarray]:
        """Return the arrays that decoding needs; edgepose.nets.dcc says how to use them."""
        return self.head.dcc.weights()

    def decode_cells(self, outputs: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """Return priors (A, 2), strides (A), boxes (N, A, 4) x1 y1 x2 y2 of all cells, row by row per stride.

        A cell's prior is its index * stride + (stride - 1) / 2. The box centre is raw * stride + prior, its
        sides are exp(raw) * stride.
        """
        raw_boxes = outputs[2:4]
        priors, strides = [], []
        for raw, stride in zip(raw_boxes, STRIDES, strict=True):
            rows, columns = raw.shape[2:]
            offset = (stride - 1) / 2
            y = torch.arange(rows, dtype=raw.dtype, device=raw.device) * stride + offset
            x = torch.arange(columns, dtype=raw.dtype, device=raw.device) * stride + offset
            priors.append(torch.stack((x.repeat(rows), y.repeat_interleave(columns)), dim=1))
            strides.append(torch.full((rows * columns,), float(stride), dtype=raw.dtype, device=raw.device))
        prior, step = torch.cat(priors), torch.cat(strides)
        raw = flatten_cells(raw_boxes)
        centre = raw[..., :2] * step[:, None] + prior
        half = torch.exp(raw[..., 2:]) * step[:, None] * 0.5
        return prior, step, torch.cat((centre - half, centre + half), dim=-1)


def flatten_cells(maps: tuple[Tensor, ...]) -> Tensor:
    """Join maps (N, C, h, w) of several strides to (N, cells, C), row by row."""
    return torch.cat([x.flatten(2).transpose(1, 2) for x in maps], dim=1)
