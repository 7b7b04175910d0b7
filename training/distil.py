"""Loss of a detector against the answers of another one, cell by cell."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

LEVELS = 3
BOX_FLOOR = 0.1  # the teacher's boxes count in cells where it sees a person at least this surely
BOX_WEIGHT = 2.0


def distil_loss(student: tuple[Tensor, ...], teacher: tuple[Tensor, ...]) -> Tensor:
    """Return the loss of raw outputs: 3 maps of logits (N, 1, h, w), 3 of distances in strides (N, 4, h, w).

    Scores: binary cross-entropy with the teacher's score, weighted by the squared difference (quality focal
    loss). Boxes: 1 - GIoU in the same cell, weighted by the teacher's score.
    """
    zero = student[0].new_zeros((), dtype=torch.float32)
    classes, boxes, amount = zero, zero, zero
    for level in range(LEVELS):
        logits, target = student[level].float(), teacher[level].float().sigmoid()
        entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
        classes = classes + (entropy * (logits.sigmoid() - target).square()).sum()
        weights = torch.where(target > BOX_FLOOR, target, 0.0)[:, 0]
        overlap = giou(student[LEVELS + level].float(), teacher[LEVELS + level].float().clamp(min=0.01))
        boxes = boxes + (weights * (1.0 - overlap)).sum()
        amount = amount + weights.sum()
    return (classes + BOX_WEIGHT * boxes) / amount.clamp(min=1.0)


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Return the generalised IoU, (N, h, w), of boxes given as distances l, t, r, b from one point."""
    inner_w = torch.minimum(a[:, 0], b[:, 0]) + torch.minimum(a[:, 2], b[:, 2])
    inner_h = torch.minimum(a[:, 1], b[:, 1]) + torch.minimum(a[:, 3], b[:, 3])
    outer_w = torch.maximum(a[:, 0], b[:, 0]) + torch.maximum(a[:, 2], b[:, 2])
    outer_h = torch.maximum(a[:, 1], b[:, 1]) + torch.maximum(a[:, 3], b[:, 3])
    inner = inner_w.clamp(min=0) * inner_h.clamp(min=0)
    area_a = (a[:, 0] + a[:, 2]).clamp(min=0) * (a[:, 1] + a[:, 3]).clamp(min=0)
    union = (area_a + (b[:, 0] + b[:, 2]) * (b[:, 1] + b[:, 3]) - inner).clamp(min=1e-6)
    outer = (outer_w * outer_h).clamp(min=1e-6)
    return inner / union - (outer - union) / outer
