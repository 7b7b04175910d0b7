"""Train an RTMO network from nothing.

python -m training.train_one_stage --like FILE --data DIR --synthetic DIR --minutes N -o FILE

The checkpoint --like only gives the sizes and the constants.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from edgepose.models.loading import load_model
from edgepose.nets.rtmo import Rtmo
from training import mosaic
from training.crop import recolour
from training.loop import Training, add_options, normalise
from training.one_stage import Labels, forget, one_stage_loss
from training.sources import Source, by_picture, read_photographs, read_synthetic

SIDES_PX = (224, 256, 288)
LAST_SIDE_PX = 416
LAST_SHARE = 0.9  # from here on at the runtime's side only
MEAN, STD = torch.zeros(3), torch.ones(3)


class Scenes(IterableDataset[tuple[Tensor, Labels]]):  # type: ignore[misc]
    """Batches (N, side, side, 3) uint8 B, G, R with their labels, without end.

    share: of the canvases, shows synthetic people.
    """

    def __init__(
        self, photographs: Source, synthetic: Source, *, size: int, share: float, seed: int, spent: Tensor
    ) -> None:
        self._photographs = photographs.pictures, by_picture(photographs)
        self._synthetic = synthetic.pictures, by_picture(synthetic)
        self._size, self._share, self._seed, self._spent = size, share, seed, spent

    def __iter__(self) -> Iterator[tuple[Tensor, Labels]]:
        """Draw batches; each process of a loader draws others."""
        worker = get_worker_info()
        random = np.random.default_rng([self._seed, worker.id if worker else 0])
        while True:
            last = float(self._spent) >= LAST_SHARE
            yield self.draw(random, LAST_SIDE_PX if last else int(random.choice(SIDES_PX)))

    def draw(self, random: np.random.Generator, side_px: int) -> tuple[Tensor, Labels]:
        """Return one batch of a side."""
        canvases, numbers, boxes, keypoints = [], [], [], []
        for number in range(self._size):
            pictures, people = self._synthetic if random.random() < self._share else self._photographs
            canvas, placements = mosaic.compose(random, pictures, side_px)
            canvases.append(recolour(random, canvas))
            for box, points in mosaic.labelled(people, placements):
                numbers.append(number)
                boxes.append(box)
                keypoints.append(points)
        labels = Labels(
            torch.tensor(numbers, dtype=torch.long),
            torch.from_numpy(np.array(boxes, dtype=np.float32).reshape(-1, 4)),
            torch.from_numpy(np.array(keypoints, dtype=np.float32).reshape(-1, 17, 3)),
        )
        return torch.from_numpy(np.stack(canvases)), labels


def main() -> None:
    """Train until the budget is spent; a second start with the same -o goes on where the first stopped."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    add_options(parser, batch=16, rate=1e-3)
    parser.add_argument("--like", type=Path, required=True)
    parser.add_argument("--synthetic-share", type=float, default=0.33)
    options = parser.parse_args()
    network = load_model(options.like).network
    assert isinstance(network, Rtmo)
    torch.manual_seed(options.seed)  # the first weights
    forget(network)
    training = Training(network.train().requires_grad_(True), options, clip=10.0)
    batches = training.batches(
        Scenes(
            read_photographs(options.data),
            read_synthetic(options.synthetic),
            size=options.batch,
            share=options.synthetic_share,
            seed=options.seed + training.step,
            spent=training.share,
        )
    )

    def loss_of_next() -> Tensor:
        pixels, labels = next(batches)
        inputs = normalise(pixels.to(training.device, non_blocking=True), MEAN, STD)
        with torch.autocast(training.device.type, dtype=torch.bfloat16):
            outputs = network(inputs)
        moved = Labels(*(t.to(training.device) for t in (labels.picture, labels.boxes, labels.keypoints)))
        return one_stage_loss(network, outputs, moved)

    training.run(loss_of_next)


if __name__ == "__main__":
    main()
