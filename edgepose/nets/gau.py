"""Gated attention unit with its ScaleNorm, over the tokens of a person's keypoints.

Source of the structure: mmpose 1.3.2, models/utils/rtmcc_block.py and models/utils/transformer.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


class ScaleNorm(nn.Module):
    """Divide by the root mean square of the last axis (not below eps) and multiply by one learned number.

    prescale: a power of two 2**-k (k >= 0). The input and eps are multiplied by it first, which leaves the
    result the same and makes the sum of squares 4**k smaller, so that it fits in half precision.
    """

    def __init__(self, width: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(1))
        self.width = width
        self.eps = eps
        self.prescale = 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (..., width)."""
        if self.prescale != 1.0:
            x = x * self.prescale
        rms = torch.linalg.vector_norm(x, dim=-1, keepdim=True) * self.width**-0.5
        return x / torch.clamp(rms, min=self.eps * self.prescale) * self.g


class ResidualScale(nn.Module):
    """Multiply every channel of the shortcut by a learned number."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (..., width)."""
        return x * self.scale


@dataclass(frozen=True, slots=True)
class GauDims:
    """width: channels of a token; inner: of the gated branch; attention: of queries and keys."""

    width: int
    inner: int
    attention: int


class GatedAttentionUnit(nn.Module):
    """Mix tokens with squared-ReLU attention (no softmax) gated by a second branch, plus the scaled input.

    positions: add a fixed encoding, shape (tokens, attention), to queries and keys.
    """

    def __init__(self, dims: GauDims) -> None:
        super().__init__()
        self.inner = dims.inner
        self.attention = dims.attention
        self.o = nn.Linear(dims.inner, dims.width, bias=False)
        self.uv = nn.Linear(dims.width, 2 * dims.inner + dims.attention, bias=False)
        self.gamma = nn.Parameter(torch.ones(2, dims.attention))
        self.beta = nn.Parameter(torch.zeros(2, dims.attention))
        self.ln = ScaleNorm(dims.width)
        self.activate = nn.SiLU()
        self.res_scale = ResidualScale(dims.width)

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        """Keep the shape (N, tokens, width)."""
        u, v, base = torch.split(
            self.activate(self.uv(self.ln(x))), [self.inner, self.inner, self.attention], dim=2
        )
        q = base * self.gamma[0] + self.beta[0]
        k = base * self.gamma[1] + self.beta[1]
        if positions is not None:
            q = q + positions
            k = k + positions
        weights = torch.relu(torch.matmul(q, k.transpose(1, 2)) * self.attention**-0.5)
        y: Tensor = self.res_scale(x) + self.o(u * torch.matmul(weights * weights, v))
        return y
