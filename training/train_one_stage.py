"""Train an RTMO network from nothing.

python -m training.train_one_stage --like FILE --data DIR --minutes N -o FILE

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
from training.crop import FLIP_ORDER, recolour
from training.loop import Training, add_options, normalise
from training.one_stage import Labels, forget, one_stage_loss
from training.sources import Floats, Person, Source, read_photographs, read_synthetic

SIDES_PX = (224, 256, 288)
LAST_SIDE_PX = 416
LAST_SHARE = 0.9  # from here on at the runtime's side only
LEAST_SEEN = 0.5  # of a person's box, and
LEAST_SIDE_PX = 20.0  # on the canvas, or the person is not labelled
MEAN, STD = torch.zeros(3), torch.ones(3)


def place(person: Person, where: mosaic.Placement) -> tuple[Floats, Floats] | None:
    """Return a person's box x1 y1 x2 y2 and keypoints on the canvas; None where most of it is cut off."""
    scale, offset = np.array(where.scale_xy), np.array(where.offset_xy)
    x, y, w, h = person.box_xywh
    corners = np.sort(np.array([[x, y], [x + w, y + h]]) * scale + offset, axis=0)
    low, high = np.array(where.cell[:2]), np.array(where.cell[2:])
    kept = np.clip(corners, low, high)
    seen = np.prod(kept[1] - kept[0])
    if seen < LEAST_SEEN * np.prod(corners[1] - corners[0]) or seen < LEAST_SIDE_PX**2:
        return None
    points = person.keypoints.copy()
    points[:, :2] = points[:, :2] * scale + offset
    if where.scale_xy[0] < 0:
        points = points[FLIP_ORDER]
    points[((points[:, :2] < low) | (points[:, :2] >= high)).any(axis=1), 2] = 0.0
    return kept.ravel().astype(np.float32), np.asarray(points, dtype=np.float32)


class Scenes(IterableDataset[tuple[Tensor, Labels]]):  # type: ignore[misc]
    """Batches (N, side, side, 3) uint8 B, G, R with their labels, without end.

    share: of the canvases, shows synthetic people.
    """

    def __init__(
        self, photographs: Source, synthetic: Source, *, size: int, share: float, seed: int, spent: Tensor
    ) -> None:
        self._photographs = photographs.pictures, _by_picture(photographs)
        self._synthetic = synthetic.pictures, _by_picture(synthetic)
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
            for where in placements:
                for person in people[where.picture]:
                    placed = place(person, where)
                    if placed is not None:
                        numbers.append(number)
                        boxes.append(placed[0])
                        keypoints.append(placed[1])
        labels = Labels(
            torch.tensor(numbers, dtype=torch.long),
            torch.from_numpy(np.array(boxes, dtype=np.float32).reshape(-1, 4)),
            torch.from_numpy(np.array(keypoints, dtype=np.float32).reshape(-1, 17, 3)),
        )
        return torch.from_numpy(np.stack(canvases)), labels


def _by_picture(source: Source) -> list[list[Person]]:
    people: list[list[Person]] = [[] for _ in source.pictures]
    for person in source.persons:
        people[person.picture].append(person)
    return people


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
