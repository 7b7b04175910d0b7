"""Loss of a detector against the answers of another one, cell by cell."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from edgepose.nets.rtmdet import STRIDES

LEVELS = 3
BOX_FLOOR = 0.1  # the teacher's boxes count in cells where it sees a person at least this surely
BOX_WEIGHT = 2.0
# The teacher is made this sure of a labelled person whom it hardly sees: in cells whose boxes overlap the
# label's at least that much, and where one of them has at least that score. A box of two persons at once
# overlaps the larger one's by half, or more.
SURE, OVERLAP, SEEN = 0.7, 0.7, 0.05
# Where labels are exact they also correct boxes that overlap them this much.
CORRECTED = 0.5
# A person's size in strides of the level whose middle cell is told of somebody whom the teacher does not see.
SIZE_IN_STRIDES = 6.0


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


def assured(answers: tuple[Tensor, ...], numbers: Tensor, boxes: Tensor, exact: Tensor) -> tuple[Tensor, ...]:
    """Return a teacher's answers, surer of the labelled persons whom it sees.

    The best of a person's cells gets the score SURE, the others as much more as this one. answers: as for
    `distil_loss`. numbers (M): canvases; boxes (M, 4): x1 y1 x2 y2 px; exact (M): whether the box is exactly
    the person's. Then it replaces the teacher's boxes of this person, and one cell is told of a person whom
    the teacher does not see.
    """
    told = [logits.float().sigmoid() for logits in answers[:LEVELS]]
    raised = [scores.clone() for scores in told]
    sides = [distances.float().clone() for distances in answers[LEVELS:]]
    overlaps = [torch.zeros_like(scores[:, 0]) for scores in told]
    for number, box, is_exact in zip(numbers.tolist(), boxes, exact.tolist(), strict=True):
        cells = []
        for level in range(LEVELS):
            own = answers[LEVELS + level][number : number + 1].float()
            label = _from_cells(box / STRIDES[level], own)
            inner, union = _inner_and_union(own, label)
            overlap = inner / union
            cells.append(
                torch.where(overlap >= (CORRECTED if is_exact else OVERLAP), told[level][number, :1], 0.0)
            )
            if is_exact:  # of several persons a cell shows the one that its box fits best
                fits = (overlap >= CORRECTED) & (overlap > overlaps[level][number]) & (label > 0).all(dim=1)
                sides[level][number] = torch.where(fits, label, sides[level][number])[0]
                overlaps[level][number] = torch.where(fits, overlap, overlaps[level][number])[0]
        best = max(float(scores.max()) for scores in cells)
        if SEEN <= best < SURE:
            for scores, seen in zip(raised, cells, strict=True):
                # Of a teacher of many classes the first one is the person's.
                scores[number, 0] = torch.maximum(scores[number, 0], seen[0] * (SURE / best))
        elif best < SEEN and is_exact:
            _tell(raised, sides, number, box)
    return (*(scores.logit(1e-6) for scores in raised), *sides)


def _tell(scores: list[Tensor], sides: list[Tensor], number: int, box: Tensor) -> None:
    """Tell the cell in the middle of a box, in place, that a person is there."""
    size_px = float(((box[2] - box[0]) * (box[3] - box[1])).clamp(min=1.0).sqrt())
    level = min(range(LEVELS), key=lambda level: abs(math.log(size_px / (SIZE_IN_STRIDES * STRIDES[level]))))
    height, width = scores[level].shape[2:]
    column, row = ((box[:2] + box[2:]) / 2 / STRIDES[level]).round().long().tolist()
    if 0 <= row < height and 0 <= column < width:
        label = _from_cells(box / STRIDES[level], sides[level])[0, :, row, column]
        scores[level][number, 0, row, column] = SURE
        sides[level][number, :, row, column] = label.clamp(min=0.01)


def _from_cells(box: Tensor, like: Tensor) -> Tensor:
    """Return the distances, (1, 4, h, w), to the sides of a box, x1 y1 x2 y2 in strides, from every cell."""
    height, width = like.shape[2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=like.device), torch.arange(width, device=like.device), indexing="ij"
    )
    return torch.stack([x - box[0], y - box[1], box[2] - x, box[3] - y])[None]
