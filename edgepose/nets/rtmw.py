"""RTMW and RTMW3D: CSPNeXt, path-aggregation neck and a SimCC head on two strides.

Source of the structure: mmpose 1.3.2, models/heads/coord_cls_heads/rtmw_head.py and
projects/rtmpose3d/rtmpose3d/rtmw3d_head.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgepose.nets.conv import ConvBnAct
from edgepose.nets.csp import BackboneDims, CspBackbone
from edgepose.nets.gau import GatedAttentionUnit, ScaleNorm
from edgepose.nets.pafpn import CspNextPafpn, NeckDims
from edgepose.nets.rtmpose import SimccHeadDims


@dataclass(frozen=True, slots=True)
class RtmwDims:
    """Everything that a checkpoint's shapes say about an RTMW network; with three bin counts it is RTMW3D."""

    backbone: BackboneDims
    neck: NeckDims
    head: SimccHeadDims


class RtmwHead(nn.Module):
    """Half of each keypoint's token from stride 32, half from stride 16; then as in RTMPose."""

    def __init__(self, dims: SimccHeadDims) -> None:
        super().__init__()
        channels, points, kernel = dims.in_channels, dims.keypoints, dims.kernel
        half = dims.gau.width // 2

        def conv(in_channels: int, out_channels: int) -> ConvBnAct:
            return ConvBnAct(in_channels, out_channels, kernel, activation=nn.ReLU())

        self.shuffle = nn.PixelShuffle(2)
        self.conv_dec = conv(channels // 4, channels // 4)
        self.final_layer = conv(channels, points)
        self.final_layer2 = conv(channels // 2 + channels // 4, points)
        self.mlp = nn.Sequential(ScaleNorm(dims.cells), nn.Linear(dims.cells, half, bias=False))
        self.mlp2 = nn.Sequential(ScaleNorm(4 * dims.cells), nn.Linear(4 * dims.cells, half, bias=False))
        self.gau = GatedAttentionUnit(dims.gau)
        self.cls_x = nn.Linear(dims.gau.width, dims.bins[0], bias=False)
        self.cls_y = nn.Linear(dims.gau.width, dims.bins[1], bias=False)
        self.cls_z = nn.Linear(dims.gau.width, dims.bins[2], bias=False) if len(dims.bins) == 3 else None

    def forward(self, mid: Tensor, high: Tensor) -> tuple[Tensor, ...]:
        """Map the maps of strides 16 and 32 to the bins of every axis, each (N, K, bins), not normalised."""
        coarse = self.mlp(torch.flatten(self.final_layer(high), 2))
        fine = torch.cat((self.conv_dec(self.shuffle(high)), mid), dim=1)
        fine = self.mlp2(torch.flatten(self.final_layer2(fine), 2))
        tokens = self.gau(torch.cat((coarse, fine), dim=2))
        if self.cls_z is None:
            return self.cls_x(tokens), self.cls_y(tokens)
        return self.cls_x(tokens), self.cls_y(tokens), self.cls_z(tokens)


class Rtmw(nn.Module):
    """forward: (N, 3, H, W) to simcc_x (N, K, 2W), simcc_y (N, K, 2H) and, in 3-D, simcc_z (N, K, 2D)."""

    def __init__(self, dims: RtmwDims) -> None:
        super().__init__()
        self.dims = dims
        self.backbone = CspBackbone(dims.backbone)
        self.neck = CspNextPafpn(dims.neck)
        self.head = RtmwHead(dims.head)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return simcc_x, simcc_y and, in 3-D, simcc_z."""
        _, mid, high = self.neck(self.backbone(x))
        y: tuple[Tensor, ...] = self.head(mid, high)
        return y
