"""The loop that both trainings share: steps until the budget is spent, resumable, on a CPU or a GPU."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from training.peers import Peers
from training.schedule import Budget, learning_rate
from training.state import (
    MovingAverage,
    constants,
    export_half,
    parameter_groups,
    require_told_by_tensors,
    save,
)

WEIGHT_DECAY = 0.05
AVERAGE_DECAY = 0.998
SAVED_EVERY_S = 180
SHOWN_EVERY = 50


def add_options(parser: argparse.ArgumentParser, *, batch: int, rate: float) -> None:
    """Add the options of every training, with a network's own batch size and peak learning rate."""
    parser.add_argument("--data", type=Path, required=True, help="folder with images.bin and labels.npz")
    parser.add_argument(
        "--synthetic", type=Path, nargs="+", required=True, metavar="DIR", help="made by edgepose synth"
    )
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--rate", type=float, default=rate)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--workers", type=int, default=0, help="processes that make the batches; 0: none")
    parser.add_argument("--threads", type=int, default=1, help="of torch, on a CPU")
    parser.add_argument("--run-name", default="", help="shown in the process list")


def normalise(pixels: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Return inputs (N, 3, H, W), channels_last in memory, of pixels (N, H, W, 3) uint8."""
    rows = pixels.flatten(2).float()  # long rows: arithmetic on three numbers at a time is slow
    times = pixels.shape[2]
    rows.sub_(mean.to(pixels.device).repeat(times)).div_(std.to(pixels.device).repeat(times))
    return rows.view(pixels.shape).permute(0, 3, 1, 2)


class Training:
    """A network in training with its optimiser and its moving average, and the files of both.

    beside: what is trained with the network and not exported. The state lies beside the output (.state); a
    second start with the same output goes on from there. Of several processes that train together the first
    one writes.
    Errors: SystemExit for a network that its tensors do not describe.
    """

    def __init__(
        self, network: nn.Module, options: argparse.Namespace, *, clip: float, beside: nn.Module | None = None
    ) -> None:
        require_told_by_tensors(network)
        torch.set_num_threads(options.threads)
        cv2.setNumThreads(1)
        self.device = torch.device(options.device)
        self.network = network.to(self.device, memory_format=torch.channels_last)
        self.beside = nn.Module() if beside is None else beside.to(self.device)
        self.step, self.peers = 0, Peers()
        self._options, self._clip = options, clip
        self._average = MovingAverage(self.network, AVERAGE_DECAY)
        self._optimiser = torch.optim.AdamW(
            [
                *parameter_groups(self.network, WEIGHT_DECAY),
                *(parameter_groups(self.beside, WEIGHT_DECAY) if beside else []),
            ],
            lr=options.rate,
            fused=True,
        )
        self._kept = options.output.with_suffix(".state")
        spent_s = 0.0
        if self._kept.exists():
            state: dict[str, Any] = torch.load(self._kept, weights_only=True, map_location=self.device)
            self.network.load_state_dict(state["network"])
            self.beside.load_state_dict(state.get("beside", {}))
            self._optimiser.load_state_dict(state["optimiser"])
            self._average.tensors, self._average.updates = state["average"], state["step"]
            self.step, spent_s = state["step"], state["spent_s"]
            print(f"goes on from {self._kept}: step {self.step}, {spent_s / 60:.1f} min spent", flush=True)
        # A number that the processes which make the batches see, too.
        self.share = torch.zeros(()).share_memory_()
        self._budget = Budget(options.minutes * 60, spent_s)

    def batches(self, dataset: IterableDataset[Any]) -> Iterator[Any]:
        """Give the batches of a dataset without end, made by --workers processes."""
        workers = self._options.workers
        return iter(
            DataLoader(
                dataset,
                batch_size=None,
                num_workers=workers,
                pin_memory=self.device.type == "cuda",
                prefetch_factor=4 if workers else None,
                multiprocessing_context="fork" if workers else None,
            )
        )

    def run(self, loss_of: Callable[[], Tensor]) -> None:
        """Take steps on what `loss_of` returns until the budget is spent, then write the result."""
        options, saved = self._options, time.monotonic()
        losses: list[Tensor] = []
        trained = [p for p in self.network.parameters() if p.requires_grad]
        trained += self.beside.parameters()
        share = self._average_with_peers([])
        if share >= 1.0:
            raise SystemExit(
                f"the {options.minutes} minutes are spent: give more --minutes, or another -o to begin anew"
            )
        while share < 1.0:
            self.share.fill_(share)
            for group in self._optimiser.param_groups:
                group["lr"] = learning_rate(share, peak=options.rate)
            loss = loss_of()
            self._optimiser.zero_grad(set_to_none=True)
            loss.backward()
            share = self._average_with_peers(trained)
            nn.utils.clip_grad_norm_(self.network.parameters(), self._clip)
            self._optimiser.step()
            self._average.update(self.network)
            self.step += 1
            losses.append(loss.detach())
            if self.step % SHOWN_EVERY == 0:
                mean = float(torch.stack(losses).mean())  # asked for seldom: a GPU would wait each time
                if self.peers.rank == 0:
                    print(
                        f"{self._budget.spent_s / 60:.1f} min, step {self.step}, loss {mean:.3f}", flush=True
                    )
                losses = []
            if time.monotonic() - saved > SAVED_EVERY_S:
                self._keep()
                saved = time.monotonic()
        self._keep()

    def _average_with_peers(self, trained: list[nn.Parameter]) -> float:
        """Average the gradients over all processes; return the spent share of the budget, the same in all."""
        share = torch.tensor(self._budget.share)
        self.peers.average([*(p.grad for p in trained if p.grad is not None), share])
        return float(share)

    def _keep(self) -> None:
        if self.peers.rank > 0:
            return
        spent_s = self._budget.spent_s
        state = {"network": self.network.state_dict(), "average": self._average.tensors, "step": self.step}
        state |= {"beside": self.beside.state_dict(), "optimiser": self._optimiser.state_dict()}
        save(self._kept, {**state, "spent_s": spent_s})
        meta = {
            "steps": self.step,
            "batch": self._options.batch * self.peers.count,
            "minutes": round(spent_s / 60, 1),
        }
        export_half(self._options.output, self._average.tensors, meta, exact=constants(self.network))
