"""Train the demo detector on the answers of another one.

python -m training.train_detector --data DIR --synthetic DIR --teacher FILE --minutes N -o FILE
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import IterableDataset, get_worker_info

from edgepose.models.loading import load_model
from edgepose.nets.rtmdet import Rtmdet, RtmdetDims
from training import mosaic
from training.crop import recolour
from training.crowds import crowd
from training.cutouts import outlined
from training.cutouts import read as read_outlines
from training.distil import assured, distil_loss
from training.frozen import freeze
from training.loop import Training, add_options, normalise
from training.sources import Person, Source, by_picture, read_photographs, read_synthetic
from training.state import require_told_by_tensors

MEAN = torch.tensor([103.53, 116.28, 123.675])
STD = torch.tensor([57.375, 57.12, 58.395])
SIDES_PX = (192, 224, 256)
LAST_SIDE_PX = 320
LAST_SHARE = 0.85  # from here on at the runtime's side only
SYNTHETIC = 0.25  # share of the canvases whose added people are synthetic
RENDERED = 3  # one canvas in so many is of synthetic scenes

Batch = tuple[Tensor, Tensor, Tensor, Tensor]


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


class Canvases(IterableDataset[Batch]):  # type: ignore[misc]
    """Batches without end; one canvas in RENDERED is of synthetic scenes.

    A batch: canvases (N, side, side, 3) uint8 B, G, R; of labelled persons the canvas (M), the box (M, 4),
    x1 y1 x2 y2 px, and whether this is exact (M): in synthetic scenes. sides_px: of the batches, until the
    runtime's alone counts. spent: the share of the training's time that is over, a tensor in shared memory.
    People with outlines stand before some canvases of photographs.
    """

    def __init__(
        self,
        photographs: Source,
        synthetic: Source,
        *,
        sides_px: Sequence[int],
        size: int,
        seed: int,
        spent: Tensor,
    ) -> None:
        self._photographs, self._synthetic = _known(photographs), _known(synthetic)
        self._sides_px, self._size, self._seed, self._spent = sides_px, size, seed, spent

    def __iter__(self) -> Iterator[Batch]:
        """Draw batches; each process of a loader draws others."""
        worker = get_worker_info()
        random = np.random.default_rng([self._seed, worker.id if worker else 0])
        while True:
            last = float(self._spent) >= LAST_SHARE
            yield self.draw(random, LAST_SIDE_PX if last else int(random.choice(self._sides_px)))

    def draw(self, random: np.random.Generator, side_px: int) -> Batch:
        """Return one batch of a side."""
        canvases, numbers, boxes, exact = [], [], [], []
        for number in range(self._size):
            rendered = number % RENDERED == 0 and bool(self._synthetic[0].pictures)
            scenes, people, _ = self._synthetic if rendered else self._photographs
            plain, placements = mosaic.compose(random, scenes.pictures, side_px)
            source, _, cut_out = self._synthetic if random.random() < SYNTHETIC else self._photographs
            canvas = crowd(random, plain, source, cut_out) if cut_out and not rendered else plain
            canvases.append(recolour(random, canvas))
            if canvas is not plain:  # who is behind others may be hidden
                continue
            for box, _ in mosaic.labelled(people, placements):
                numbers.append(number)
                boxes.append(box)
                exact.append(rendered)
        return (
            torch.from_numpy(np.stack(canvases)),
            torch.tensor(numbers, dtype=torch.long),
            torch.from_numpy(np.array(boxes, dtype=np.float32).reshape(-1, 4)),
            torch.tensor(exact, dtype=torch.bool),
        )


def _known(source: Source) -> tuple[Source, list[list[Person]], list[Person]]:
    """Return a source, its persons by picture, and those whose outlines are known."""
    return source, by_picture(source), [person for person in source.persons if person.outline is not None]


def main() -> None:
    """Train until the budget is spent; a second start with the same -o goes on where the first stopped."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    add_options(parser, batch=16, rate=2e-3)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="weights to begin with; without, random ones")
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES_PX, metavar="PX")
    parser.add_argument("--outlines", type=Path, help="file made by training.cutouts")
    parser.add_argument(
        "--synthetic-outlines", type=Path, nargs="+", help="made by training.scenes, one for each folder"
    )
    parser.add_argument(
        "--frozen", nargs="+", default=(), metavar="PART", help="parts that keep their weights"
    )
    options = parser.parse_args()
    teacher = load_model(options.teacher).network
    assert isinstance(teacher, Rtmdet)
    require_told_by_tensors(teacher)  # its raw answers mean what the written file's do
    torch.manual_seed(options.seed)  # the first weights
    network = untrained(teacher.dims) if options.start is None else load_model(options.start).network
    network.train().requires_grad_(True)
    freeze(network, options.frozen)
    training = Training(network, options, clip=10.0)
    teacher = teacher.to(training.device, memory_format=torch.channels_last)
    photographs, synthetic = read_photographs(options.data), read_synthetic(options.synthetic)
    if options.outlines is not None:
        photographs.persons[:] = outlined(photographs.persons, read_outlines(options.outlines))
    if options.synthetic_outlines is not None:
        synthetic.persons[:] = outlined(synthetic.persons, read_outlines(*options.synthetic_outlines))
    batches = training.batches(
        Canvases(
            photographs,
            synthetic,
            sides_px=options.sides,
            size=options.batch,
            seed=options.seed + training.step + 1_000_000 * training.peers.rank,
            spent=training.share,
        )
    )

    def loss_of_next() -> Tensor:
        pixels, *labels = (tensor.to(training.device, non_blocking=True) for tensor in next(batches))
        inputs = normalise(pixels, MEAN, STD)
        with torch.autocast(training.device.type, dtype=torch.bfloat16):
            with torch.no_grad():
                answers = teacher(inputs)
            outputs = training.network(inputs)
        return distil_loss(outputs, assured(answers, *labels))

    training.run(loss_of_next)


if __name__ == "__main__":
    main()
