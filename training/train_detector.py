"""Train the demo detector on the answers of another one.

python -m training.train_detector --data DIR --teacher FILE --minutes N -o FILE
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from edgepose.models.loading import load_model
from edgepose.nets.rtmdet import Rtmdet, RtmdetDims
from training import mosaic
from training.crop import recolour
from training.distil import distil_loss
from training.schedule import Budget, learning_rate
from training.sources import Picture, read_photographs, read_synthetic
from training.state import MovingAverage, export_half, parameter_groups, save

MEAN = torch.tensor([103.53, 116.28, 123.675])
STD = torch.tensor([57.375, 57.12, 58.395])
SIDES_PX = (192, 224, 256)
LAST_SIDE_PX = 320
LAST_SHARE = 0.85  # from here on at the runtime's side only


def untrained(dims: RtmdetDims) -> Rtmdet:
    """Make a detector with random weights that sees few persons, and boxes of a few strides."""
    network = Rtmdet(dims)
    for convolution in network.bbox_head.rtm_cls:
        nn.init.normal_(convolution.weight, std=0.01)
        nn.init.constant_(convolution.bias, -4.6)
    for convolution in network.bbox_head.rtm_reg:
        nn.init.normal_(convolution.weight, std=0.01)
        nn.init.constant_(convolution.bias, 3.0)
    return network


def draw(random: np.random.Generator, photographs: list[Picture], synthetic: list[Picture], size: int,
         side_px: int) -> Tensor:  # fmt: skip
    """Return inputs (N, 3, side, side), normalised B, G, R; one canvas in five is of synthetic scenes."""
    canvases = []
    for number in range(size):
        pictures = synthetic if synthetic and number % 5 == 0 else photographs
        canvases.append(recolour(random, mosaic.compose(random, pictures, side_px)))
    pixels = torch.from_numpy(np.stack(canvases)).float()
    return pixels.sub_(MEAN).div_(STD).permute(0, 3, 1, 2)  # which is channels_last in memory


def main() -> None:
    """Train until the budget is spent; a second start with the same -o goes on where the first stopped."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--synthetic", type=Path, required=True, help="folder made by edgepose synth")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--run-name", default="", help="shown in the process list")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)
    torch.manual_seed(1)

    teacher = load_model(options.teacher).network.to(memory_format=torch.channels_last)
    assert isinstance(teacher, Rtmdet)
    network = untrained(teacher.dims).to(memory_format=torch.channels_last).train()
    average = MovingAverage(network, 0.998)
    optimiser = torch.optim.AdamW(parameter_groups(network, 0.05), lr=options.rate)
    step, spent_s = 0, 0.0
    kept = options.output.with_suffix(".state")
    if kept.exists():
        state: dict[str, Any] = torch.load(kept, weights_only=True)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        average.tensors, average.updates = state["average"], state["step"]
        step, spent_s = state["step"], state["spent_s"]

    random = np.random.default_rng(step + 1)
    photographs = read_photographs(options.data).pictures
    synthetic = read_synthetic(options.synthetic).pictures
    budget = Budget(options.minutes * 60, spent_s)
    saved, losses = time.monotonic(), []

    def keep() -> None:
        parts = {"network": network.state_dict(), "average": average.tensors, "step": step}
        save(kept, {**parts, "optimiser": optimiser.state_dict(), "spent_s": budget.spent_s})
        meta = {"steps": step, "batch": options.batch, "minutes": round(budget.spent_s / 60, 1)}
        export_half(options.output, average.tensors, meta)

    while budget.share < 1.0:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(budget.share, peak=options.rate)
        side_px = int(random.choice(SIDES_PX)) if budget.share < LAST_SHARE else LAST_SIDE_PX
        inputs = draw(random, photographs, synthetic, options.batch, side_px)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            with torch.no_grad():
                answers = teacher(inputs)
            outputs = network(inputs)
        loss = distil_loss(outputs, answers)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimiser.step()
        average.update(network)
        step += 1
        losses.append(float(loss.detach()))
        if step % 50 == 0:
            mean = sum(losses) / len(losses)
            print(f"{budget.spent_s / 60:.1f} min, step {step}, loss {mean:.3f}", flush=True)
            losses = []
        if time.monotonic() - saved > 180:
            keep()
            saved = time.monotonic()
    keep()


if __name__ == "__main__":
    main()
