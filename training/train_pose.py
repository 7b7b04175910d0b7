"""Train the demo pose network: python -m training.train_pose --data DIR --start FILE --minutes N -o FILE."""

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
from training import crop
from training.schedule import Budget, learning_rate
from training.simcc import simcc_loss
from training.sources import Source, read_photographs, read_synthetic
from training.state import MovingAverage, export_half, parameter_groups, save

FROZEN = ("backbone.stem", "backbone.stage1", "backbone.stage2")
MEAN = torch.tensor([123.675, 116.28, 103.53])
STD = torch.tensor([58.395, 57.12, 57.375])


class Batches:
    """Draw batches without end; a part of the crops, `share`, shows synthetic people."""

    def __init__(self, photographs: Source, synthetic: Source, *, size: int, share: float, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._photographs, self._synthetic = photographs, synthetic
        self._size, self._share = size, share
        self._order: list[int] = []
        self.epochs = 0

    def _next_photograph(self) -> int:
        if not self._order:
            self._order = self._random.permutation(len(self._photographs.persons)).tolist()
            self.epochs += 1
        return self._order.pop()

    def draw(self) -> tuple[Tensor, Tensor]:
        """Return inputs (N, 3, 256, 192), normalised R, G, B, and keypoints (N, 17, 3) in input pixels."""
        random, crops, labels = self._random, [], []
        for _ in range(self._size):
            if random.random() < self._share:
                source = self._synthetic
                person = source.persons[int(random.integers(len(source.persons)))]
            else:
                source = self._photographs
                person = source.persons[self._next_photograph()]
            view = crop.random_view(random, person.box_xywh, person.keypoints)
            picture = crop.recolour(random, crop.cut(source.pictures[person.picture], view))
            crops.append(np.ascontiguousarray(picture))
            labels.append(crop.move_keypoints(person.keypoints, view))
        for number in range(self._size):
            if random.random() < 0.25:
                crop.cover(random, crops[number], crops[int(random.integers(self._size))])
        pixels = torch.from_numpy(np.stack(crops)[..., ::-1].copy()).float()
        inputs = pixels.sub_(MEAN).div_(STD).permute(0, 3, 1, 2)  # which is channels_last in memory
        return inputs, torch.from_numpy(np.stack(labels))


def prepare(start: Path, frozen: tuple[str, ...]) -> nn.Module:
    """Load the network for training; the frozen parts keep their weights and statistics."""
    network = load_model(start).network.to(memory_format=torch.channels_last)
    network.train().requires_grad_(True)
    for name in frozen:
        network.get_submodule(name).eval().requires_grad_(False)
    return network


def main() -> None:
    """Train until the budget is spent; a second start with the same -o goes on where the first stopped."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--start", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=8e-4)
    parser.add_argument("--synthetic", type=Path, required=True, help="folder made by edgepose synth")
    parser.add_argument("--synthetic-share", type=float, default=0.4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--run-name", default="", help="shown in the process list")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)
    torch.manual_seed(1)

    network = prepare(options.start, FROZEN)
    average = MovingAverage(network, 0.998)
    optimiser = torch.optim.AdamW(parameter_groups(network, 0.05), lr=options.rate)
    step, spent_s, seed = 0, 0.0, options.seed
    kept = options.output.with_suffix(".state")
    if kept.exists():
        state: dict[str, Any] = torch.load(kept, weights_only=True)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        average.tensors, average.updates = state["average"], state["step"]
        step, spent_s, seed = state["step"], state["spent_s"], options.seed + state["step"]

    photographs = read_photographs(options.data)
    synthetic = read_synthetic(options.synthetic)
    print(
        f"{len(photographs.persons)} persons in photographs, {len(synthetic.persons)} synthetic", flush=True
    )
    batches = Batches(photographs, synthetic, size=options.batch, share=options.synthetic_share, seed=seed)
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
        inputs, keypoints = batches.draw()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            outputs = network(inputs)
        loss = simcc_loss(outputs, keypoints)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
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
