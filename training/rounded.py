"""A network with its values rounded as an int8 artifact's are, to train it for that (fake quantisation).

Source of the method: Jacob et al., Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference, CVPR 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from training.simcc import SHARPNESS

WEIGHT_STEPS = 63  # 7 bits, as edgepose.calibration.openvino_int8 stores them
LAYERS = (nn.Conv2d, nn.Linear)


def round_activations(values: Tensor) -> Tensor:
    """Round a tensor to 256 steps from its lowest to its highest value, 0 among them."""
    low, high = torch.aminmax(values.detach().float())
    low, high = low.clamp(max=0.0), high.clamp(min=1e-6)
    scale = (high - low) / 255
    zero = torch.round(-low / scale).to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(values.float(), scale, zero, 0, 255)


def round_weights(weights: Tensor) -> Tensor:
    """Round weights (out, ...) to 7 bits, with a scale for every output channel."""
    scales = weights.detach().flatten(1).abs().amax(dim=1).clamp(min=1e-9) / WEIGHT_STEPS
    zeros = torch.zeros_like(scales, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weights, scales, zeros, 0, -WEIGHT_STEPS, WEIGHT_STEPS)


class Rounded:
    """Runs a network with the inputs and weights of its convolutions and products rounded.

    Layers whose names start with one of `kept` stay as they are. The network itself is unchanged, and its
    parameters receive the gradients.
    """

    def __init__(self, network: nn.Module, kept: Sequence[str] = ()) -> None:
        self._network, self._on = network, False
        self._weights: list[str] = []
        for name, module in network.named_modules():
            if isinstance(module, LAYERS) and not name.startswith(tuple(kept)):
                self._weights.append(f"{name}.weight")
                module.register_forward_pre_hook(self._round_inputs)

    def _round_inputs(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        return tuple(round_activations(each) for each in inputs) if self._on else None

    def __call__(self, inputs: Tensor) -> Any:
        """Return what the network returns, computed with rounded values."""
        own = dict(self._network.named_parameters())
        weights = {name: round_weights(own[name]) for name in self._weights}
        self._on = True
        try:
            return functional_call(self._network, weights, (inputs,))
        finally:
            self._on = False


def departure(outputs: tuple[Tensor, ...], references: tuple[Tensor, ...]) -> Tensor:
    """Return the mean divergence of SimCC outputs (N, K, bins) from other ones, the axes added up."""
    total = outputs[0].new_zeros((), dtype=torch.float32)
    for raw, reference in zip(outputs, references, strict=True):
        logs = functional.log_softmax(raw.float() * SHARPNESS, dim=-1)
        wanted = functional.softmax(reference.float() * SHARPNESS, dim=-1)
        total = total + functional.kl_div(logs, wanted, reduction="none").sum(dim=-1).mean()
    return total
