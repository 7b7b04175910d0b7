"""Parts of a network that a training leaves as they are: no gradients, no new statistics, less to compute."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from edgepose.nets.conv import ConvBnAct


def freeze(network: nn.Module, parts: Sequence[str]) -> None:
    """Leave the parts of a network, by their names, as they are.

    Errors: AttributeError for an unknown name.
    """
    for name in parts:
        _fold(network.get_submodule(name).eval().requires_grad_(False))


def _fold(part: nn.Module) -> None:
    """Let a frozen part compute each convolution and its batch normalisation at once; its tensors stay."""
    folded: list[nn.Module] = []

    def forward(inputs: Tensor) -> Tensor:
        if not folded:  # not before the first call: the part is where it computes by then
            folded.append(copy.deepcopy(part))
            del folded[0].__dict__["forward"]
            for layer in folded[0].modules():
                if isinstance(layer, ConvBnAct):
                    layer.conv, layer.bn = fuse_conv_bn_eval(layer.conv, layer.bn), nn.Identity()
        with torch.no_grad():
            outputs: Tensor = folded[0](inputs)
        return outputs

    part.__dict__["forward"] = forward
