"""RTMO's dynamic coordinate classifier: from a cell's pose vector and box to keypoints.

Source of the structure: mmpose 1.3.2, models/heads/hybrid_heads/rtmo_head.py (DCC).

With the arrays that `DynamicCoordinateClassifier.weights` returns (K points, C pose channels, F token
channels, A attention channels, E gated channels, P periods, Bx and By bins), one kept cell is decoded so:

    input   p (C), box x1 y1 x2 y2 (input pixels, not clipped), stride s,
            prior gx = column * s + (s - 1) / 2, gy = row * s + (s - 1) / 2
    tokens  t = pose_weight p + pose_bias, as (K, F)
    norm    n = t / max(sqrt(sum(t * t) / F), 1e-5) * norm_gain, for each token
    gate    h = silu(n uv_weight^T), (K, 2E + A): u = h[:, :E], v = h[:, E:2E], b = h[:, 2E:]
    mix     q = b * query_scale + query_offset, k = b * key_scale + key_offset, (K, A)
            m = max(q k^T, 0) squared element by element, (K, K)
            t = residual_scale * t + (u * (m v)) out_weight^T, (K, F)
    bins    side = (x2 - x1) * 1.25, centre = (x1 + x2) / 2; x_i = x_bins[i] * side + centre, (Bx); y likewise
    code    phase = (x_i - gx) * frequencies, (Bx, P); e_i = cos(phase), then sin(phase), (Bx, 2P)
    logits  l = t x_weight e_i, (K, Bx); y likewise with y_weight
    output  x = sum_i softmax(l)_i * x_i, for each point; y likewise

t x_weight can be multiplied out first, (K, 2P), which spares the product for each bin. The original adds a
bias to x_weight e_i: the same for all bins of a point, so that the softmax does not see it. It clamps l to
+-5e4 and adds 1e-8 to the softmax's denominator (at least 1), which no finite result in float32 shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from edgepose.nets.gau import GatedAttentionUnit, GauDims
from edgepose.nets.hybrid_encoder import SinePositions

_LARGEST_LOGIT = 5e4
_SOFTMAX_EPS = 1e-8


@dataclass(frozen=True, slots=True)
class DccDims:
    """periods: of the sine encoding of bin positions; x_bins, y_bins: across the padded box."""

    keypoints: int
    pose_channels: int
    gau: GauDims
    periods: int
    x_bins: int
    y_bins: int


class TrainedScale(nn.Module):
    """A scalar of the checkpoint that only training uses."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.1))


class DynamicCoordinateClassifier(nn.Module):
    """Classify each point's coordinate over bins that span the padded box, as the module's text says.

    sigma_fc belongs to the checkpoint but only training uses it.
    """

    def __init__(self, dims: DccDims, *, box_padding: float) -> None:
        super().__init__()
        width = dims.gau.width
        self.keypoints = dims.keypoints
        self.box_padding = box_padding
        self.pos_enc = nn.Parameter(torch.zeros(dims.keypoints, dims.gau.attention))
        self.register_buffer("y_bins", torch.zeros(dims.y_bins))
        self.register_buffer("x_bins", torch.zeros(dims.x_bins))
        self.x_bins: Tensor
        self.y_bins: Tensor
        self.spe = SinePositions(dims.periods)
        self.gau = GatedAttentionUnit(dims.gau)
        self.pose_to_kpts = nn.Sequential(
            nn.Linear(dims.pose_channels, width * dims.keypoints),
            nn.BatchNorm1d(width * dims.keypoints, eps=1e-5),
        )
        self.x_fc = nn.Linear(2 * dims.periods, width)
        self.y_fc = nn.Linear(2 * dims.periods, width)
        self.sigma_fc = nn.Sequential(
            nn.Linear(dims.pose_channels, dims.keypoints), nn.Sigmoid(), TrainedScale()
        )

    def forward(self, pose_vectors: Tensor, boxes: Tensor, priors: Tensor) -> Tensor:
        """Map pose vectors (M, C), boxes (M, 4) x1 y1 x2 y2, priors (M, 2) to points (M, K, 2), pixels."""
        axes = []
        for logits, bins in self.classify(pose_vectors, boxes, priors):
            weights = torch.exp(logits - logits.amax(dim=-1, keepdim=True))
            weights = weights / (weights.sum(dim=-1, keepdim=True) + _SOFTMAX_EPS)
            axes.append((weights * bins.unsqueeze(1)).sum(dim=-1))
        return torch.stack(axes, dim=-1)

    def classify(self, pose_vectors: Tensor, boxes: Tensor, priors: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return for x and y the logits (M, K, bins) and where the bins are, (M, bins), pixels."""
        tokens = self.pose_to_kpts(pose_vectors).reshape(len(pose_vectors), self.keypoints, -1)
        tokens = self.gau(tokens, self.pos_enc)
        centre = (boxes[:, :2] + boxes[:, 2:]) * 0.5
        side = (boxes[:, 2:] - boxes[:, :2]) * self.box_padding
        axes = []
        for axis, (unit, encode) in enumerate(((self.x_bins, self.x_fc), (self.y_bins, self.y_fc))):
            bins = unit * side[:, axis : axis + 1] + centre[:, axis : axis + 1]
            code = encode(self.spe(bins - priors[:, axis : axis + 1]))
            logits = torch.matmul(tokens, code.transpose(1, 2)).clamp(-_LARGEST_LOGIT, _LARGEST_LOGIT)
            axes.append((logits, bins))
        return axes

    def weights(self) -> dict[str, np.ndarray]:
        """Return the arrays of the module's text: float32, C-contiguous, constants folded in.

        pose_weight (K * F, C), pose_bias (K * F): with the batch normalisation. norm_gain (1). uv_weight
        (2E + A, F). query_scale (A), query_offset (K, A): with the position code and the factor A ** -0.5.
        key_scale (A), key_offset (K, A): with the position code. out_weight (F, E). residual_scale (F).
        x_weight, y_weight (F, 2P). frequencies (P): 1 / period. x_bins (Bx), y_bins (By): positions in units
        of the padded box, -0.5 to 0.5.
        """
        linear, norm = self.pose_to_kpts[0], self.pose_to_kpts[1]
        assert isinstance(linear, nn.Linear) and isinstance(norm, nn.BatchNorm1d)
        assert norm.running_mean is not None and norm.running_var is not None
        gain = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
        factor = self.gau.attention**-0.5
        gamma, beta, code = self.gau.gamma.double(), self.gau.beta.double(), self.pos_enc.double()
        tensors = {
            "pose_weight": linear.weight.double() * gain.unsqueeze(1),
            "pose_bias": (linear.bias.double() - norm.running_mean.double()) * gain + norm.bias.double(),
            "norm_gain": self.gau.ln.g,
            "uv_weight": self.gau.uv.weight,
            "query_scale": gamma[0] * factor,
            "query_offset": (beta[0] + code) * factor,
            "key_scale": gamma[1],
            "key_offset": beta[1] + code,
            "out_weight": self.gau.o.weight,
            "residual_scale": self.gau.res_scale.scale,
            "x_weight": self.x_fc.weight,
            "y_weight": self.y_fc.weight,
            "frequencies": 1.0 / self.spe.dim_t.double(),
            "x_bins": self.x_bins,
            "y_bins": self.y_bins,
        }
        return {
            name: np.ascontiguousarray(tensor.detach().cpu().numpy().astype(np.float32))
            for name, tensor in tensors.items()
        }
