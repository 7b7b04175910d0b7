"""RTMPose (and DWPose, the same network trained by distillation): CSPNeXt with a SimCC head.

Source of the structure: mmpose 1.3.2, models/heads/coord_cls_heads/rtmcc_head.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgepose.nets.csp import BackboneDims, CspBackbone
from edgepose.nets.gau import GatedAttentionUnit, GauDims, ScaleNorm


@dataclass(frozen=True, slots=True)
class SimccHeadDims:
    """cells: positions of the last feature map (H / 32 * W / 32); bins: of the axes x, y and, in 3-D, z."""

    in_channels: int
    keypoints: int
    kernel: int
    cells: int
    gau: GauDims
    bins: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RtmposeDims:
    """Everything that a checkpoint's shapes say about an RTMPose network."""

    backbone: BackboneDims
    head: SimccHeadDims


class RtmposeHead(nn.Module):
    """One token per keypoint from its response map, attention over the tokens, one classifier per axis."""

    def __init__(self, dims: SimccHeadDims) -> None:
        super().__init__()
        self.final_layer = nn.Conv2d(dims.in_channels, dims.keypoints, dims.kernel, padding=dims.kernel // 2)
        self.mlp = nn.Sequential(ScaleNorm(dims.cells), nn.Linear(dims.cells, dims.gau.width, bias=False))
        self.gau = GatedAttentionUnit(dims.gau)
        self.cls_x = nn.Linear(dims.gau.width, dims.bins[0], bias=False)
        self.cls_y = nn.Linear(dims.gau.width, dims.bins[1], bias=False)

    def forward(self, high: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, C, H / 32, W / 32) to the bins of x and y, each (N, K, bins), not normalised."""
        tokens = self.gau(self.mlp(torch.flatten(self.final_layer(high), 2)))
        return self.cls_x(tokens), self.cls_y(tokens)


class Rtmpose(nn.Module):
    """forward: (N, 3, H, W) to simcc_x (N, K, 2W) and simcc_y (N, K, 2H)."""

    def __init__(self, dims: RtmposeDims) -> None:
        super().__init__()
        self.dims = dims
        self.backbone = CspBackbone(dims.backbone)
        self.head = RtmposeHead(dims.head)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return simcc_x, simcc_y."""
        y: tuple[Tensor, Tensor] = self.head(self.backbone(x)[-1])
        return y
