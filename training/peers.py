"""Processes that train one network together: each takes its own batches, and what they find is averaged.

Two processes of one thread are faster on a CPU than one process of two threads. torch.distributed.run starts
them; without it a process is alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
import torch.distributed
from torch import Tensor


class Peers:
    """The processes of a training, of which this one has the number `rank`."""

    def __init__(self) -> None:
        self.rank, self.count = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        if self.count > 1 and not torch.distributed.is_initialized():
            torch.distributed.init_process_group("gloo")

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace float32 tensors, which all have in the same order and shapes, with the mean over all."""
        if self.count == 1:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors]).cpu()
        torch.distributed.all_reduce(flat)
        flat /= self.count
        for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(mean.reshape(tensor.shape))
