"""The neck of RTMO: attention over the coarsest map, then a path-aggregation pyramid of RepVGG blocks.

Source of the structure: mmpose 1.3.2, models/necks/hybrid_encoder.py, models/utils/transformer.py,
models/utils/reparam_layers.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgepose.nets.conv import ConvBnAct
from edgepose.nets.pafpn import double

HEADS = 8


@dataclass(frozen=True, slots=True)
class HybridEncoderDims:
    """width: channels of every inner map; branch: of the CSP branches; out: of the two returned maps.

    eps: of the batch normalisation outside the CSP layers, to which the original passes no setting.
    """

    in_channels: tuple[int, int, int]
    width: int
    feedforward: int
    encoder_layers: int
    branch: int
    blocks: int
    out: int
    eps: float = 1e-5
    projector_eps: float = 1e-5


class SinePositions(nn.Module):
    """Periods of a sine encoding; a buffer of the checkpoint."""

    def __init__(self, periods: int) -> None:
        super().__init__()
        self.register_buffer("dim_t", torch.ones(periods))
        self.dim_t: Tensor

    def forward(self, position: Tensor) -> Tensor:
        """Map positions (...) to cosines, then sines, of position / period: (..., 2 * periods)."""
        phase = position.unsqueeze(-1) / self.dim_t
        return torch.cat((torch.cos(phase), torch.sin(phase)), dim=-1)

    def grid(self, height: int, width: int) -> Tensor:
        """Encode a map's cells row by row: (height * width, 4 * periods), the row first, then the column."""
        row = torch.arange(height, dtype=self.dim_t.dtype, device=self.dim_t.device)
        column = torch.arange(width, dtype=self.dim_t.dtype, device=self.dim_t.device)
        rows = self(row).unsqueeze(1).expand(-1, width, -1)
        columns = self(column).unsqueeze(0).expand(height, -1, -1)
        return torch.cat((rows, columns), dim=-1).reshape(height * width, -1)


class AttentionWeights(nn.Module):
    """Multi-head attention over tokens; parameter names as in torch.nn.MultiheadAttention."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.in_proj_weight = nn.Parameter(torch.zeros(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, queries_and_keys: Tensor, values: Tensor) -> Tensor:
        """Keep the shape (N, tokens, width)."""
        batch, tokens, width = values.shape

        def project(x: Tensor, part: int) -> Tensor:
            rows = slice(part * width, (part + 1) * width)
            y = functional.linear(x, self.in_proj_weight[rows], self.in_proj_bias[rows])
            return y.reshape(batch, tokens, HEADS, width // HEADS).transpose(1, 2)

        q = project(queries_and_keys, 0) * (width // HEADS) ** -0.5
        k = project(queries_and_keys, 1)
        attention = torch.softmax(torch.matmul(q, k.transpose(2, 3)), dim=-1)
        y = torch.matmul(attention, project(values, 2)).transpose(1, 2).reshape(batch, tokens, width)
        z: Tensor = self.out_proj(y)
        return z


class SelfAttention(nn.Module):
    """Hold the attention under the name that the checkpoints use."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attn = AttentionWeights(width)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """Add attention to the input (N, tokens, width); queries and keys know their positions."""
        y: Tensor = x + self.attn(x + positions, x)
        return y


class FeedForward(nn.Module):
    """Two linear maps with a GELU between them, plus the input."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [nn.Sequential(nn.Linear(width, hidden), nn.GELU()), nn.Linear(hidden, width)]
        )

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (N, tokens, width)."""
        y: Tensor = x + self.layers[1](self.layers[0](x))
        return y


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, each followed by a layer normalisation."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.self_attn = SelfAttention(width)
        self.ffn = FeedForward(width, hidden)
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-5) for _ in range(2))

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """Keep the shape (N, tokens, width)."""
        x = self.norms[0](self.self_attn(x, positions))
        y: Tensor = self.norms[1](self.ffn(x))
        return y


class Encoder(nn.Module):
    """A stack of encoder layers."""

    def __init__(self, dims: HybridEncoderDims) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            EncoderLayer(dims.width, dims.feedforward) for _ in range(dims.encoder_layers)
        )

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """Keep the shape (N, tokens, width)."""
        for layer in self.layers:
            x = layer(x, positions)
        return x


class RepVggBlock(nn.Module):
    """Sum of a 3x3 and a 1x1 convolution, then SiLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch_3x3 = ConvBnAct(channels, channels, 3, activation=nn.Identity())
        self.branch_1x1 = ConvBnAct(channels, channels, 1, activation=nn.Identity())
        self.activate = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (N, C, H, W)."""
        y: Tensor = self.activate(self.branch_3x3(x) + self.branch_1x1(x))
        return y


class CspRepLayer(nn.Module):
    """Add a branch of RepVGG blocks to a 1x1 branch; conv3 restores the width where it differs."""

    def __init__(self, in_channels: int, out_channels: int, *, branch: int, blocks: int) -> None:
        super().__init__()
        self.conv1 = ConvBnAct(in_channels, branch, 1)
        self.conv2 = ConvBnAct(in_channels, branch, 1)
        self.bottlenecks = nn.Sequential(*(RepVggBlock(branch) for _ in range(blocks)))
        self.conv3 = ConvBnAct(branch, out_channels, 1) if branch != out_channels else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in, H, W) to (N, out, H, W)."""
        y: Tensor = self.conv3(self.bottlenecks(self.conv1(x)) + self.conv2(x))
        return y


class ChannelMapper(nn.Module):
    """A 1x1 convolution with normalisation, without activation, for each of the two maps."""

    def __init__(self, in_channels: int, out_channels: int, *, eps: float) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            ConvBnAct(in_channels, out_channels, 1, eps=eps, activation=nn.Identity()) for _ in range(2)
        )

    def forward(self, mid: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Map each (N, in, h, w) to (N, out, h, w)."""
        return self.convs[0](mid), self.convs[1](high)


class HybridEncoder(nn.Module):
    """Map the maps of strides 8, 16, 32 to two of strides 16 and 32."""

    def __init__(self, dims: HybridEncoderDims) -> None:
        super().__init__()
        width, eps = dims.width, dims.eps

        def mix() -> CspRepLayer:
            return CspRepLayer(2 * width, width, branch=dims.branch, blocks=dims.blocks)

        self.input_proj = nn.ModuleList(
            ConvBnAct(channels, width, 1, eps=eps, activation=nn.Identity()) for channels in dims.in_channels
        )
        self.encoder = nn.ModuleList([Encoder(dims)])
        self.sincos_pos_enc = SinePositions(width // 4)
        self.lateral_convs = nn.ModuleList(ConvBnAct(width, width, 1, eps=eps) for _ in range(2))
        self.fpn_blocks = nn.ModuleList(mix() for _ in range(2))
        self.downsample_convs = nn.ModuleList(ConvBnAct(width, width, 3, stride=2, eps=eps) for _ in range(2))
        self.pan_blocks = nn.ModuleList(mix() for _ in range(2))
        self.projector = ChannelMapper(width, dims.out, eps=dims.projector_eps)

    def forward(self, maps: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the maps of strides 16 and 32."""
        low, mid, high = (project(x) for project, x in zip(self.input_proj, maps, strict=True))
        batch, width, rows, columns = high.shape
        tokens = self.encoder[0](high.flatten(2).transpose(1, 2), self.sincos_pos_enc.grid(rows, columns))
        high = tokens.transpose(1, 2).reshape(batch, width, rows, columns)

        high = self.lateral_convs[0](high)
        mid = self.lateral_convs[1](self.fpn_blocks[0](torch.cat((double(high), mid), dim=1)))
        low = self.fpn_blocks[1](torch.cat((double(mid), low), dim=1))
        mid = self.pan_blocks[0](torch.cat((self.downsample_convs[0](low), mid), dim=1))
        high = self.pan_blocks[1](torch.cat((self.downsample_convs[1](mid), high), dim=1))
        y: tuple[Tensor, Tensor] = self.projector(mid, high)
        return y
