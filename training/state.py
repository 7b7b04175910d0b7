"""What survives an interruption of a training, and the file that is stored in the end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgepose.models.checkpoint import is_batch_counter
from edgepose.models.family import Source
from edgepose.models.loading import build
from edgepose.models.shapes import Shapes


class MovingAverage:
    """An exponential moving average of a network's tensors; integers are copied."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.tensors: dict[str, Tensor] = {k: v.detach().clone() for k, v in network.state_dict().items()}
        self.updates = 0

    def update(self, network: nn.Module) -> None:
        """Take in the network's present tensors; the first updates weigh more."""
        self.updates += 1
        decay = min(self.decay, self.updates / (self.updates + 9))
        moving: list[Tensor] = []
        present: list[Tensor] = []
        for key, value in network.state_dict().items():
            average = self.tensors[key]
            if average.is_floating_point():
                moving.append(average)
                present.append(value.detach().float())
            else:
                average.copy_(value)
        torch._foreach_lerp_(moving, present, 1 - decay)  # one launch on a GPU, not one a tensor


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return the trained parameters for the optimiser: weight decay for matrices and kernels alone."""
    trained = [p for p in network.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def save(path: Path, content: dict[str, Any]) -> None:
    """Write a file that is complete or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    torch.save(content, temporary)
    temporary.replace(path)


def constants(network: nn.Module) -> set[str]:
    """Return the names of tensors that training leaves alone, such as the places of bins."""
    return {name for name, _ in network.named_buffers() if "running_" not in name}


def require_told_by_tensors(network: nn.Module) -> None:
    """Refuse a network that its tensors, which are all that is stored, do not describe.

    Such are an eps of batch normalisation or an exp_on_reg that a training configuration states: whoever
    loads the stored file takes the usual ones. Errors: SystemExit.
    """
    tensors = {key: value for key, value in network.state_dict().items() if not is_batch_counter(key)}
    shapes = Shapes({key: tuple(value.shape) for key, value in tensors.items()})
    _, stored, _ = build(Source(tensors=tensors, shapes=shapes, meta={}, keypoints=None, input_hw=None))
    usual = dict(_settings(stored))
    for name, value in _settings(network):
        if value != usual[name]:
            raise SystemExit(
                f"error: the network's {name} is {value}, as its training configuration states; "
                f"the file that is written here would be read with {usual[name]}"
            )


def _settings(network: nn.Module) -> Iterator[tuple[str, Any]]:
    """Give what makes a network besides its tensors: its dimensions, and numbers and flags of its modules."""
    for name, module in network.named_modules():
        for key, value in vars(module).items():
            if is_dataclass(value):
                yield from _fields(key, value)
            elif isinstance(value, (int, float)) and key != "training":
                yield f"{name}.{key}", value


def _fields(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    for field in fields(value):
        member = getattr(value, field.name)
        if is_dataclass(member):
            yield from _fields(f"{name}.{field.name}", member)
        else:
            yield f"{name}.{field.name}", member


def export_half(path: Path, tensors: dict[str, Tensor], meta: dict[str, Any], *, exact: set[str]) -> None:
    """Store tensors, but for the exact ones, as an ordinary checkpoint in half precision.

    Errors: ValueError where one overflows.
    """
    half = {
        k: v.half().contiguous() if v.is_floating_point() and k not in exact else v
        for k, v in tensors.items()
    }
    half = {k: v.cpu() for k, v in half.items()}
    for key, value in half.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise ValueError(f"{key} does not fit in half precision")
    save(path, {"meta": meta, "state_dict": half})
