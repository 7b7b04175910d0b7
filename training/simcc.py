"""SimCC labels and loss. Source of the loss: mmpose 1.3.2, models/losses/classification_loss.py."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

SPLIT_RATIO = 2.0
SIGMAS = (4.9, 5.66)  # of x and y, in bins; mmpose's RTMPose at 256x192
SHARPNESS = 10.0
# Of its inputs, R, G, B.
MEAN = torch.tensor([123.675, 116.28, 103.53])
STD = torch.tensor([58.395, 57.12, 57.375])


def axis_labels(positions_px: Tensor, bins: int, sigma: float) -> Tensor:
    """Return the distribution over the bins of one axis, (N, K, bins), for positions (N, K) in pixels."""
    centres = torch.arange(bins, dtype=torch.float32, device=positions_px.device)
    gaussian = torch.exp(-((centres - positions_px[..., None] * SPLIT_RATIO) ** 2) / (2 * sigma**2))
    return functional.softmax(gaussian * SHARPNESS, dim=-1)


def simcc_loss(outputs: tuple[Tensor, Tensor], keypoints: Tensor) -> Tensor:
    """Return the mean divergence from the labels of keypoints (N, K, 3: x px, y px, weight), by weight."""
    weights = keypoints[..., 2]
    total = torch.zeros((), device=keypoints.device)
    for axis, raw in enumerate(outputs):
        labels = axis_labels(keypoints[..., axis], raw.shape[-1], SIGMAS[axis])
        logs = functional.log_softmax(raw.float() * SHARPNESS, dim=-1)
        divergence = functional.kl_div(logs, labels, reduction="none").sum(dim=-1)
        total = total + (divergence * weights).sum()
    return total / weights.sum().clamp(min=1.0)
