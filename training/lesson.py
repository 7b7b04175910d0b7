"""A second lesson: the pose network's last two maps have to tell what a teacher's maps show of the crops.

Labels tell where points are, a network that has seen more people tells what else is in a picture. Of each
batch the first half is looked at, for the teacher costs about half as much as the training itself.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from training import movenet
from training.crop import INPUT_HW
from training.movenet import Maps, compiled

# The lesson counts fully at first and this share less at the end.
FADES = 0.8
# For so long the adapters learn alone.
ADAPTERS_ALONE = 0.02


class Teacher:
    """MoveNet's maps of strides 16 and 32 for crops; a call takes as many as it was made for."""

    def __init__(self, model: Path, crops: int) -> None:
        self.crops = crops
        maps = Maps(model, (movenet.HEATMAPS, movenet.NECK, movenet.MIDDLE, movenet.DEEP))
        self._request = compiled(maps, (crops, *INPUT_HW), "bf16")

    def __call__(self, pixels: Tensor) -> list[Tensor]:
        """Return two maps (N, channels, H, W) of pixels (N, 256, 192, 3) uint8 R, G, B."""
        inputs = pixels.cpu().permute(0, 3, 1, 2).numpy().astype(np.float32) / 127.5 - 1
        made = self._request.infer([np.ascontiguousarray(inputs)])
        heat, neck, middle, deep = (torch.from_numpy(np.array(made[n])) for n in range(4))
        shallow = torch.cat((functional.max_pool2d(heat, 4), neck, middle), 1)
        return [shallow, torch.cat((deep, functional.avg_pool2d(neck, 2), functional.max_pool2d(heat, 8)), 1)]


class Lesson(nn.Module):  # type: ignore[misc]
    """Adapters from the pose network's maps to the teacher's, and how far off they are."""

    def __init__(self, channels: list[int], teacher_channels: list[int]) -> None:
        super().__init__()
        pairs = list(zip(channels, teacher_channels, strict=True))
        self.adapters = nn.ModuleList(nn.Conv2d(own, theirs, 1) for own, theirs in pairs)
        self.norms = nn.ModuleList(nn.BatchNorm2d(theirs, affine=False, momentum=0.01) for _, theirs in pairs)

    def forward(self, maps: list[Tensor], targets: list[Tensor]) -> Tensor:
        """Return the mean smooth L1 distance to the targets, each channel normalised."""
        losses = []
        for adapter, norm, own, target in zip(self.adapters, self.norms, maps, targets, strict=True):
            with torch.no_grad():
                wanted = norm(target.to(own.device).float()).clamp(-4, 4)
            losses.append(functional.smooth_l1_loss(adapter(own).float(), wanted))
        return torch.stack(losses).mean()


def weight(share: float) -> float:
    """Return how much the lesson counts after a share of the training."""
    return 1.0 - FADES * share


def channels_of(network: nn.Module, teacher: Teacher) -> tuple[list[int], list[int]]:
    """Return the channels of a pose network's last two maps and of the teacher's."""
    blank = torch.zeros(teacher.crops, *INPUT_HW, 3, dtype=torch.uint8)
    with torch.no_grad():
        own = network.eval().backbone(blank.permute(0, 3, 1, 2).float())[-2:]
    return [shown.shape[1] for shown in own], [shown.shape[1] for shown in teacher(blank)]
