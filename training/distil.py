"""Loss of a detector against the answers of another one, cell by cell."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from edgepose.nets.rtmdet import STRIDES

LEVELS = 3
BOX_FLOOR = 0.1  # the teacher's boxes count in cells where it sees a person at least this surely
BOX_WEIGHT = 2.0
# The teacher is made this sure of a labelled person whom it hardly sees: in cells whose boxes overlap the
# label's at least that much, and where one of them has at least that score.
SURE, OVERLAP, SEEN = 0.7, 0.5, 0.05


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
    inner, union = _inner_and_union(a, b)
    outer_w = torch.maximum(a[:, 0], b[:, 0]) + torch.maximum(a[:, 2], b[:, 2])
    outer_h = torch.maximum(a[:, 1], b[:, 1]) + torch.maximum(a[:, 3], b[:, 3])
    outer = (outer_w * outer_h).clamp(min=1e-6)
    return inner / union - (outer - union) / outer


def _inner_and_union(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return the areas that boxes, given as for `giou`, share and cover together."""
    inner_w = torch.minimum(a[:, 0], b[:, 0]) + torch.minimum(a[:, 2], b[:, 2])
    inner_h = torch.minimum(a[:, 1], b[:, 1]) + torch.minimum(a[:, 3], b[:, 3])
    inner = inner_w.clamp(min=0) * inner_h.clamp(min=0)
    area_a = (a[:, 0] + a[:, 2]).clamp(min=0) * (a[:, 1] + a[:, 3]).clamp(min=0)
    union = (area_a + (b[:, 0] + b[:, 2]) * (b[:, 1] + b[:, 3]) - inner).clamp(min=1e-6)
    return inner, union


def assured(answers: tuple[Tensor, ...], numbers: Tensor, boxes: Tensor) -> tuple[Tensor, ...]:
    """Return a teacher's answers with scores of at least SURE for the labelled persons that it sees at all.

    answers: as for `distil_loss`. numbers (M): canvases; boxes (M, 4): x1 y1 x2 y2 px. The best of a person's
    cells gets SURE, the others as much more as this one.
    """
    told = [logits.float().sigmoid() for logits in answers[:LEVELS]]
    raised = [scores.clone() for scores in told]
    for number, box in zip(numbers.tolist(), boxes, strict=True):
        cells = []
        for level in range(LEVELS):
            sides = answers[LEVELS + level][number : number + 1].float()
            inner, union = _inner_and_union(sides, _from_cells(box / STRIDES[level], sides))
            cells.append(torch.where(inner >= OVERLAP * union, told[level][number], 0.0))
        best = max(float(scores.max()) for scores in cells)
        if SEEN <= best < SURE:
            for scores, own in zip(raised, cells, strict=True):
                scores[number] = torch.maximum(scores[number], own * (SURE / best))
    return (*(scores.logit(1e-6) for scores in raised), *answers[LEVELS:])


def _from_cells(box: Tensor, like: Tensor) -> Tensor:
    """Return the distances, (1, 4, h, w), to the sides of a box, x1 y1 x2 y2 in strides, from every cell."""
    height, width = like.shape[2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=like.device), torch.arange(width, device=like.device), indexing="ij"
    )
    return torch.stack([x - box[0], y - box[1], box[2] - x, box[3] - y])[None]
