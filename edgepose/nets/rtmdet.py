"""RTMDet: CSPNeXt, path-aggregation neck and an anchor-free head with its own normalisation per stride.

Source of the structure: mmdet 3.3.0, models/dense_heads/rtmdet_head.py (RTMDetSepBNHead).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgepose.nets.conv import ConvBnAct, make_conv
from edgepose.nets.csp import BackboneDims, CspBackbone
from edgepose.nets.pafpn import CspNextPafpn, NeckDims

STRIDES = (8, 16, 32)


@dataclass(frozen=True, slots=True)
class RtmdetDims:
    """Everything that a checkpoint says about an RTMDet network.

    share_conv: the head's convolutions are one set for all strides. exp_on_distances: distances are
    exp(raw) * stride, otherwise raw * stride.
    """

    backbone: BackboneDims
    neck: NeckDims
    channels: int
    stacked_convs: int
    classes: int
    separable: bool
    share_conv: bool
    exp_on_distances: bool
    eps: float


class RtmdetHead(nn.Module):
    """Class logits and raw box distances of every stride."""

    def __init__(self, dims: RtmdetDims) -> None:
        super().__init__()
        width = dims.channels

        def stack() -> nn.ModuleList:
            return nn.ModuleList(
                make_conv(width, width, separable=dims.separable, eps=dims.eps)
                for _ in range(dims.stacked_convs)
            )

        self.cls_convs = nn.ModuleList(stack() for _ in STRIDES)
        self.reg_convs = nn.ModuleList(stack() for _ in STRIDES)
        self.rtm_cls = nn.ModuleList(nn.Conv2d(width, dims.classes, 1) for _ in STRIDES)
        self.rtm_reg = nn.ModuleList(nn.Conv2d(width, 4, 1) for _ in STRIDES)
        if dims.share_conv:
            for branch in (self.cls_convs, self.reg_convs):
                self._tie(branch)

    @staticmethod
    def _tie(branch: nn.ModuleList) -> None:
        for level in list(branch)[1:]:
            for own, first in zip(level, branch[0], strict=True):
                assert isinstance(own, ConvBnAct) and isinstance(first, ConvBnAct)
                own.conv = first.conv

    def forward(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Map the neck's maps to the class logits of every stride, then the raw distances of every stride."""
        logits, distances = [], []
        for level, x in enumerate(maps):
            cls, reg = x, x
            for conv in self.cls_convs[level]:
                cls = conv(cls)
            for conv in self.reg_convs[level]:
                reg = conv(reg)
            logits.append(self.rtm_cls[level](cls))
            distances.append(self.rtm_reg[level](reg))
        return (*logits, *distances)


class Rtmdet(nn.Module):
    """forward: (N, 3, H, W) to cls_8, cls_16, cls_32 (N, classes, h, w), box_8, ... (N, 4, h, w), raw."""

    def __init__(self, dims: RtmdetDims) -> None:
        super().__init__()
        self.dims = dims
        self.backbone = CspBackbone(dims.backbone)
        self.neck = CspNextPafpn(dims.neck)
        self.bbox_head = RtmdetHead(dims)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return cls_8, cls_16, cls_32 (logits) and box_8, box_16, box_32 (raw: see `distances`)."""
        y: tuple[Tensor, ...] = self.bbox_head(self.neck(self.backbone(x)))
        return y

    def distances(self, raw_boxes: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Turn raw box maps into distances left, top, right, bottom in pixels from the cell i * stride."""
        values = (torch.exp(raw) if self.dims.exp_on_distances else raw for raw in raw_boxes)
        return tuple(value * stride for value, stride in zip(values, STRIDES, strict=True))
