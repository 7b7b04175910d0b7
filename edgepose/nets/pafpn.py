"""The path-aggregation neck of RTMDet and RTMW.

Source of the structure: mmpose 1.3.2, models/necks/cspnext_pafpn.py (mmdet 3.3.0 has the same).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgepose.nets.conv import ConvBnAct, make_conv
from edgepose.nets.csp import CspLayer


@dataclass(frozen=True, slots=True)
class NeckDims:
    """in_channels: of the strides 8, 16, 32; blocks: per CSP layer; out_channels: None keeps the widths."""

    in_channels: tuple[int, int, int]
    blocks: int
    separable: bool
    out_channels: int | None
    eps: float


class CspNextPafpn(nn.Module):
    """Pass three maps down and up again; the CSP layers have half the output's width in each branch."""

    def __init__(self, dims: NeckDims) -> None:
        super().__init__()
        low, mid, high = dims.in_channels
        eps, separable = dims.eps, dims.separable

        def mix(in_channels: int, out_channels: int) -> CspLayer:
            return CspLayer(
                in_channels,
                out_channels // 2,
                out_channels,
                dims.blocks,
                identity=False,
                separable=separable,
                attention=False,
                eps=eps,
            )

        self.reduce_layers = nn.ModuleList(
            [ConvBnAct(high, mid, 1, eps=eps), ConvBnAct(mid, low, 1, eps=eps)]
        )
        self.top_down_blocks = nn.ModuleList([mix(2 * mid, mid), mix(2 * low, low)])
        self.downsamples = nn.ModuleList(
            make_conv(width, width, stride=2, separable=separable, eps=eps) for width in (low, mid)
        )
        self.bottom_up_blocks = nn.ModuleList([mix(2 * low, mid), mix(2 * mid, high)])
        self.out_convs: nn.ModuleList | None = None
        if dims.out_channels is not None:
            self.out_convs = nn.ModuleList(
                make_conv(width, dims.out_channels, separable=separable, eps=eps)
                for width in dims.in_channels
            )

    def forward(self, maps: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, ...]:
        """Map the maps of strides 8, 16, 32 to mixed maps of the same strides."""
        low, mid, high = maps
        high = self.reduce_layers[0](high)
        mid = self.top_down_blocks[0](torch.cat((double(high), mid), dim=1))
        mid = self.reduce_layers[1](mid)
        low = self.top_down_blocks[1](torch.cat((double(mid), low), dim=1))
        mid = self.bottom_up_blocks[0](torch.cat((self.downsamples[0](low), mid), dim=1))
        high = self.bottom_up_blocks[1](torch.cat((self.downsamples[1](mid), high), dim=1))
        outputs = (low, mid, high)
        if self.out_convs is None:
            return outputs
        return tuple(conv(y) for conv, y in zip(self.out_convs, outputs, strict=True))


def double(x: Tensor) -> Tensor:
    """Repeat every pixel twice along both sides: (N, C, H, W) to (N, C, 2H, 2W)."""
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")
