"""Cross-stage-partial layers and the backbones made of them: CSPNeXt (RTMPose, RTMDet) and CSPDarknet (RTMO).

Source of the structure: mmpose 1.3.2, models/utils/csp_layer.py, models/backbones/{cspnext,csp_darknet}.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgepose.nets.conv import ConvBnAct, SeparableConv, make_conv


@dataclass(frozen=True, slots=True)
class StageDims:
    """One backbone stage: a stride-2 convolution to out_channels, then a CSP layer of `blocks` blocks.

    mid_channels: width of each of the CSP layer's two branches. identity: blocks add their input.
    spp: spatial pyramid pooling stands before the CSP layer.
    """

    out_channels: int
    mid_channels: int
    blocks: int
    identity: bool
    spp: bool


@dataclass(frozen=True, slots=True)
class BackboneDims:
    """A backbone. stem_channels: (3 widths) for CSPNeXt, (1 width) for CSPDarknet's Focus stem."""

    stem_channels: tuple[int, ...]
    stages: tuple[StageDims, ...]
    separable: bool
    eps: float

    @property
    def out_channels(self) -> tuple[int, int, int]:
        """Widths of the three last stages (strides 8, 16, 32)."""
        low, mid, high = (stage.out_channels for stage in self.stages[-3:])
        return low, mid, high


class ChannelAttention(nn.Module):
    """Scale every channel by a hard sigmoid of a linear map of the channel means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Conv2d(channels, channels, 1)
        self.gate = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (N, C, H, W)."""
        y: Tensor = x * self.gate(self.fc(self.pool(x)))
        return y


class SpatialPyramidPooling(nn.Module):
    """Join max pools over 5, 9 and 13 pixels, computed as three 5-pixel pools in a row (the same maxima)."""

    def __init__(self, channels: int, *, eps: float) -> None:
        super().__init__()
        self.conv1 = ConvBnAct(channels, channels // 2, 1, eps=eps)
        self.pool = nn.MaxPool2d(5, stride=1, padding=2)
        self.conv2 = ConvBnAct(channels // 2 * 4, channels, 1, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (N, C, H, W)."""
        maps = [self.conv1(x)]
        for _ in range(3):
            maps.append(self.pool(maps[-1]))
        y: Tensor = self.conv2(torch.cat(maps, dim=1))
        return y


class CspNextBlock(nn.Module):
    """3x3 convolution, then a separable 5x5 one."""

    def __init__(self, channels: int, *, identity: bool, separable: bool, eps: float) -> None:
        super().__init__()
        self.conv1 = make_conv(channels, channels, separable=separable, eps=eps)
        self.conv2 = SeparableConv(channels, channels, 5, eps=eps)
        self.identity = identity

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (N, C, H, W)."""
        y: Tensor = self.conv2(self.conv1(x))
        return x + y if self.identity else y


class DarknetBlock(nn.Module):
    """1x1 convolution, then a 3x3 one."""

    def __init__(self, channels: int, *, identity: bool, separable: bool, eps: float) -> None:
        super().__init__()
        self.conv1 = ConvBnAct(channels, channels, 1, eps=eps)
        self.conv2 = make_conv(channels, channels, separable=separable, eps=eps)
        self.identity = identity

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (N, C, H, W)."""
        y: Tensor = self.conv2(self.conv1(x))
        return x + y if self.identity else y


class CspLayer(nn.Module):
    """Run blocks on one half of the channels, join the other half, attend if asked, and mix."""

    def __init__(
        self,
        in_channels: int,
        mid_channels: int,
        out_channels: int,
        blocks: int,
        *,
        identity: bool,
        separable: bool,
        attention: bool,
        eps: float,
        darknet: bool = False,
    ) -> None:
        super().__init__()
        kind = DarknetBlock if darknet else CspNextBlock
        self.main_conv = ConvBnAct(in_channels, mid_channels, 1, eps=eps)
        self.short_conv = ConvBnAct(in_channels, mid_channels, 1, eps=eps)
        self.final_conv = ConvBnAct(2 * mid_channels, out_channels, 1, eps=eps)
        self.blocks = nn.Sequential(
            *(kind(mid_channels, identity=identity, separable=separable, eps=eps) for _ in range(blocks))
        )
        self.attention = ChannelAttention(2 * mid_channels) if attention else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in, H, W) to (N, out, H, W)."""
        y = torch.cat((self.blocks(self.main_conv(x)), self.short_conv(x)), dim=1)
        if self.attention is not None:
            y = self.attention(y)
        z: Tensor = self.final_conv(y)
        return z


class FocusStem(nn.Module):
    """Move each 2x2 patch into channels (top-left, bottom-left, top-right, bottom-right), then convolve."""

    def __init__(self, out_channels: int, *, eps: float) -> None:
        super().__init__()
        self.conv = ConvBnAct(12, out_channels, 3, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 3, H, W) to (N, out, H / 2, W / 2); H and W are even."""
        top, bottom = x[..., ::2, :], x[..., 1::2, :]
        patches = (top[..., ::2], bottom[..., ::2], top[..., 1::2], bottom[..., 1::2])
        y: Tensor = self.conv(torch.cat(patches, dim=1))
        return y


class CspBackbone(nn.Module):
    """A stem and four stages; returns the maps of strides 8, 16 and 32."""

    def __init__(self, dims: BackboneDims, *, darknet: bool = False) -> None:
        super().__init__()
        if darknet:
            self.stem: nn.Module = FocusStem(dims.stem_channels[0], eps=dims.eps)
        else:
            first, second, third = dims.stem_channels
            self.stem = nn.Sequential(
                ConvBnAct(3, first, 3, stride=2, eps=dims.eps),
                ConvBnAct(first, second, 3, eps=dims.eps),
                ConvBnAct(second, third, 3, eps=dims.eps),
            )
        width = dims.stem_channels[-1]
        for number, stage in enumerate(dims.stages, start=1):
            layers = [make_conv(width, stage.out_channels, stride=2, separable=dims.separable, eps=dims.eps)]
            width = stage.out_channels
            if stage.spp:
                layers.append(SpatialPyramidPooling(width, eps=dims.eps))
            layers.append(
                CspLayer(
                    width,
                    stage.mid_channels,
                    width,
                    stage.blocks,
                    identity=stage.identity,
                    separable=dims.separable,
                    attention=not darknet,
                    eps=dims.eps,
                    darknet=darknet,
                )
            )
            self.add_module(f"stage{number}", nn.Sequential(*layers))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map (N, 3, H, W) to the maps of strides 8, 16 and 32."""
        x = self.stage1(self.stem(x))
        low = self.stage2(x)
        mid = self.stage3(low)
        return low, mid, self.stage4(mid)
