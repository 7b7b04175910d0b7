"""Convolution with batch normalisation and activation, plain and depthwise separable."""

from __future__ import annotations

from torch import Tensor, nn


def silu() -> nn.Module:
    """Make the activation that nearly every layer of these networks uses."""
    return nn.SiLU()


class ConvBnAct(nn.Module):
    """Apply convolution (no bias, "same" padding for odd kernels), batch normalisation and an activation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        eps: float = 1e-5,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False
        )
        self.bn = nn.BatchNorm2d(out_channels, eps=eps)
        self.activate = activation if activation is not None else silu()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in, H, W) to (N, out, ceil(H / stride), ceil(W / stride))."""
        y: Tensor = self.activate(self.bn(self.conv(x)))
        return y


class SeparableConv(nn.Module):
    """Apply a depthwise convolution, then a pointwise one, each with batch normalisation and SiLU."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, eps: float = 1e-5
    ) -> None:
        super().__init__()
        self.depthwise_conv = ConvBnAct(
            in_channels, in_channels, kernel, stride=stride, groups=in_channels, eps=eps
        )
        self.pointwise_conv = ConvBnAct(in_channels, out_channels, 1, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in, H, W) to (N, out, ceil(H / stride), ceil(W / stride))."""
        y: Tensor = self.pointwise_conv(self.depthwise_conv(x))
        return y


def make_conv(
    in_channels: int, out_channels: int, *, stride: int = 1, separable: bool = False, eps: float = 1e-5
) -> nn.Module:
    """Make a plain or a depthwise separable 3x3 convolution with SiLU."""
    kind = SeparableConv if separable else ConvBnAct
    return kind(in_channels, out_channels, 3, stride=stride, eps=eps)
