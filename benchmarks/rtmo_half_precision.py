"""Tell where an RTMO network loses its keypoints in half precision: torch, every activation rounded to fp16.

    python benchmarks/rtmo_half_precision.py CHECKPOINT PICTURES [--count N]

For each part of the network rounded alone: keypoint shifts as edgepose convert measures them, and the
relative error of the pose vectors. Then the largest value of the network, and what a relative change of 1e-4
of the input grows to.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgepose.converters.dcc_file import write_dcc_file
from edgepose.converters.decoded import compare_decoded
from edgepose.converters.limits import LIMITS
from edgepose.converters.samples import make_samples
from edgepose.media import list_pictures
from edgepose.models import load_model


def run(network: Any, inputs: list[Any], part: str | None, seen: list[float]) -> list[tuple[Any, ...]]:
    """Run the network, the leaf modules of a part with rounded results; None rounds nothing."""

    def hook(name: str) -> Callable[..., Any]:
        def after(_module: Any, _inputs: Any, result: Any) -> Any:
            if not isinstance(result, torch.Tensor):
                return result
            seen.append(float(result.abs().max()))
            is_part = part is not None and name.startswith(part)
            return result.half().float() if is_part else result

        return after

    leaves = [(name, m) for name, m in network.named_modules() if not list(m.children())]
    hooks = [module.register_forward_hook(hook(name)) for name, module in leaves]
    with torch.no_grad():
        results = [network(x) for x in inputs]
    for item in hooks:
        item.remove()
    return results


def error(wanted: list[tuple[Any, ...]], got: list[tuple[Any, ...]]) -> float:
    """Return the mean relative error of the pose vectors, the last two outputs."""
    pairs = [(w, g) for a, b in zip(wanted, got, strict=True) for w, g in zip(a[-2:], b[-2:], strict=True)]
    return float(np.mean([float((w - g).norm() / w.norm()) for w, g in pairs]))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--count", type=int, default=4)
    args = parser.parse_args()
    model = load_model(args.checkpoint)
    network = model.network.eval()
    made = make_samples(model.spec.preprocess, tuple(list_pictures(args.pictures)[: args.count]))
    inputs = [torch.from_numpy(sample.tensor) for sample in made if sample.is_real][: args.count]
    largest: list[float] = []
    reference = run(network, inputs, None, largest)
    with tempfile.TemporaryDirectory() as folder:
        dcc_file = Path(folder) / "network.dcc"
        write_dcc_file(network.dcc_weights(), dcc_file)
        for part in ("", "backbone", "neck", "head"):
            rounded = run(network, inputs, part, [])
            arrays = [[[t.numpy() for t in outputs] for outputs in side] for side in (reference, rounded)]
            shifts = compare_decoded(model.spec, *arrays, LIMITS["fp16"], dcc_file=dcc_file).shifts_px
            print(
                f"{part or 'all':9} rounded: mean {np.mean(shifts):.3f} px, median "
                f"{np.median(shifts):.3f} px, pose vectors {error(reference, rounded):.1e}"
            )
    noise = torch.Generator().manual_seed(0)
    changed = [x * (1 + 1e-4 * torch.randn(x.shape, generator=noise)) for x in inputs]
    grown = error(reference, run(network, changed, None, []))
    print(f"largest value {max(largest):.1f}; a relative change of 1e-4 of the input grows to {grown:.1e}")


if __name__ == "__main__":
    main()
