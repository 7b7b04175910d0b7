"""Train the demo detector on the answers of another one.

python -m training.train_detector --data DIR --teacher FILE --minutes N -o FILE
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import IterableDataset, get_worker_info

from edgepose.models.loading import load_model
from edgepose.nets.rtmdet import Rtmdet, RtmdetDims
from training import mosaic
from training.crop import recolour
from training.distil import distil_loss
from training.loop import Training, add_options, normalise
from training.sources import Picture, read_photographs, read_synthetic

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


class Canvases(IterableDataset[Tensor]):  # type: ignore[misc]
    """Batches (N, side, side, 3) uint8 B, G, R without end; one canvas in five is of synthetic scenes.

    spent: the share of the training's time that is over, a tensor in shared memory.
    """

    def __init__(
        self, photographs: list[Picture], synthetic: list[Picture], *, size: int, seed: int, spent: Tensor
    ) -> None:
        self._photographs, self._synthetic = photographs, synthetic
        self._size, self._seed, self._spent = size, seed, spent

    def __iter__(self) -> Iterator[Tensor]:
        """Draw batches; each process of a loader draws others."""
        worker = get_worker_info()
        random = np.random.default_rng([self._seed, worker.id if worker else 0])
        while True:
            last = float(self._spent) >= LAST_SHARE
            yield self.draw(random, LAST_SIDE_PX if last else int(random.choice(SIDES_PX)))

    def draw(self, random: np.random.Generator, side_px: int) -> Tensor:
        """Return one batch of a side."""
        canvases = []
        for number in range(self._size):
            pictures = self._synthetic if self._synthetic and number % 5 == 0 else self._photographs
            canvas, _ = mosaic.compose(random, pictures, side_px)
            canvases.append(recolour(random, canvas))
        return torch.from_numpy(np.stack(canvases))


def main() -> None:
    """Train until the budget is spent; a second start with the same -o goes on where the first stopped."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    add_options(parser, batch=16, rate=2e-3)
    parser.add_argument("--teacher", type=Path, required=True)
    options = parser.parse_args()
    teacher = load_model(options.teacher).network
    assert isinstance(teacher, Rtmdet)
    torch.manual_seed(options.seed)  # the first weights
    training = Training(untrained(teacher.dims).train(), options, clip=10.0)
    teacher = teacher.to(training.device, memory_format=torch.channels_last)
    batches = training.batches(
        Canvases(
            read_photographs(options.data).pictures,
            read_synthetic(options.synthetic).pictures,
            size=options.batch,
            seed=options.seed + training.step,
            spent=training.share,
        )
    )

    def loss_of_next() -> Tensor:
        inputs = normalise(next(batches).to(training.device, non_blocking=True), MEAN, STD)
        with torch.autocast(training.device.type, dtype=torch.bfloat16):
            with torch.no_grad():
                answers = teacher(inputs)
            outputs = training.network(inputs)
        return distil_loss(outputs, answers)

    training.run(loss_of_next)


if __name__ == "__main__":
    main()
