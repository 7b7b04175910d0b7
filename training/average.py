"""Average the weights of trainings that began alike: python -m training.average FILE FILE... -o FILE.

Between such weights the mean is often better than each (Wortsman et al., Model soups, ICML 2022).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from edgepose.models.loading import load_model
from training.state import constants, export_half, require_told_by_tensors


def mean_of(weights: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of every floating-point tensor, as float32; others are those of the first."""
    first = weights[0]
    mean = dict(first)
    for key, value in first.items():
        if value.is_floating_point():
            mean[key] = torch.stack([one[key].float() for one in weights]).mean(0)
    return mean


def main() -> None:
    """Average checkpoints of one network and write the result in half precision."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    networks = [load_model(path).network for path in options.files]
    for network in networks:
        require_told_by_tensors(network)
    weights = [network.state_dict() for network in networks]
    shapes = [{key: tuple(value.shape) for key, value in one.items()} for one in weights]
    for path, other in zip(options.files, shapes, strict=True):
        if other != shapes[0]:
            raise SystemExit(f"error: {path} is another network than {options.files[0]}")
    meta = {"averaged": len(networks)}
    export_half(options.output, mean_of(weights), meta, exact=constants(networks[0]))


if __name__ == "__main__":
    main()
