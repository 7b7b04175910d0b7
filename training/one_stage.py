"""RTMO's cells, labels and loss. The labelled person of a cell is the one in whose middle the cell lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgepose.nets.rtmo import STRIDES, Rtmo, flatten_cells
from training.distil import giou

LARGE_PX = 96.0  # persons with a larger side (root of the area) belong to the coarser map
MIDDLE = 1.5  # strides from a person's middle within which its cells lie
BOX_WEIGHT = 2.0
KEYPOINT_WEIGHT = 1.0
SPREAD = 0.03  # of the person's padded side: standard deviation of a keypoint's label
VISIBILITY_WEIGHT = 1.0
DECODED = 64  # cells of a batch whose keypoints are looked at: the classifier costs as much as the network


@dataclass(frozen=True, slots=True)
class Labels:
    """Persons of a batch: picture (M), boxes (M, 4) x1 y1 x2 y2, keypoints (M, K, 3: x, y, weight), px."""

    picture: Tensor
    boxes: Tensor
    keypoints: Tensor


def assign(labels: Labels, prior: Tensor, stride: Tensor) -> tuple[Tensor, Tensor]:
    """Return pairs (person, cell) of priors (A, 2) and strides (A); a cell has its picture's smallest one."""
    side = (labels.boxes[:, 2:] - labels.boxes[:, :2]).clamp(min=1.0)
    area = side.prod(dim=1)
    middle = (labels.boxes[:, :2] + labels.boxes[:, 2:]) / 2
    away = (prior[None] - middle[:, None]).abs().amax(dim=2) / stride
    coarse = (area.sqrt() > LARGE_PX)[:, None]
    near = (away < MIDDLE) & (torch.where(coarse, float(STRIDES[1]), float(STRIDES[0])) == stride)
    people, cells = torch.nonzero(near, as_tuple=True)
    order = torch.argsort(area[people], stable=True)
    people, cells = people[order], cells[order]
    place = labels.picture[people] * len(prior) + cells
    _, first = np.unique(place.cpu().numpy(), return_index=True)
    return people[first], cells[first]


def one_stage_loss(network: Rtmo, outputs: tuple[Tensor, ...], labels: Labels) -> Tensor:
    """Return the loss of the eight maps.

    Scores: binary cross-entropy with the box's IoU as the target. Boxes: 1 - GIoU. Keypoints: divergence of
    the coordinate classifier's distribution, over the labelled box, from a Gaussian label. Visibility: binary
    cross-entropy with whether the keypoint is labelled.
    """
    outputs = tuple(output.float() for output in outputs)
    prior, stride, boxes = network.decode_cells(outputs)
    logits = flatten_cells(outputs[0:2])[..., 0]
    target = torch.zeros_like(logits)
    people, cells = assign(labels, prior, stride)
    if len(people) < 2:  # the classifier's batch normalisation needs two
        return functional.binary_cross_entropy_with_logits(logits, target, reduction="sum")
    picture = labels.picture[people]
    wanted, points = labels.boxes[people], labels.keypoints[people]
    overlap = giou(distances(boxes[picture, cells], prior[cells]), distances(wanted, prior[cells]))
    target[picture, cells] = overlap.detach().clamp(0.1, 1.0)
    scores = functional.binary_cross_entropy_with_logits(logits, target, reduction="sum") / len(people)

    some = torch.randperm(len(people), device=people.device)[:DECODED]
    picture, cells, wanted, points = picture[some], cells[some], wanted[some], points[some]
    visible = flatten_cells(outputs[4:6])[picture, cells]
    seen = functional.binary_cross_entropy_with_logits(visible, (points[..., 2] > 0).float())
    places = torch.zeros((), device=logits.device)
    for axis, (found, bins) in enumerate(
        network.head.dcc.classify(flatten_cells(outputs[6:8])[picture, cells], wanted, prior[cells])
    ):
        away = (bins[:, None] - points[..., axis, None]) / (SPREAD * (bins[:, -1] - bins[:, 0]))[
            :, None, None
        ]
        label = functional.softmax(-(away**2) / 2, dim=-1)
        divergence = functional.kl_div(functional.log_softmax(found, dim=-1), label, reduction="none").sum(-1)
        places = places + (divergence * points[..., 2]).sum() / points[..., 2].sum().clamp(min=1.0)
    return scores + BOX_WEIGHT * (1 - overlap).mean() + KEYPOINT_WEIGHT * places + VISIBILITY_WEIGHT * seen


def distances(boxes: Tensor, points: Tensor) -> Tensor:
    """Return how far the sides x1 y1 x2 y2 of boxes (M, 4) are from points (M, 2) within them."""
    return torch.cat((points - boxes[:, :2], boxes[:, 2:] - points), dim=1)


def forget(network: Rtmo) -> None:
    """Draw all weights anew: few persons are seen, with boxes of a few strides. Constants stay."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm1d | nn.BatchNorm2d | nn.LayerNorm):
            module.reset_parameters()
    attention = network.head.dcc.gau
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("in_proj_weight"):
                nn.init.xavier_uniform_(parameter)
            elif name.endswith("in_proj_bias"):
                parameter.zero_()
        nn.init.normal_(network.head.dcc.pos_enc, std=0.5)
        nn.init.uniform_(attention.gamma)
        nn.init.uniform_(attention.beta)
        attention.ln.g.fill_(1.0)
        attention.res_scale.scale.fill_(1.0)
        for convolution in network.head.head_module.out_cls:
            assert isinstance(convolution, nn.Conv2d) and convolution.bias is not None
            nn.init.normal_(convolution.weight, std=0.01)
            convolution.bias.fill_(-4.6)
        for convolution in network.head.head_module.out_bbox:
            assert isinstance(convolution, nn.Conv2d) and convolution.bias is not None
            nn.init.normal_(convolution.weight, std=0.01)
            convolution.bias[:2].zero_()
            convolution.bias[2:].fill_(1.5)
