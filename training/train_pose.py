"""Train the demo pose network.

python -m training.train_pose --data DIR --synthetic DIR --start FILE --minutes N -o FILE
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
from training import crop
from training.bystanders import read as read_bystanders
from training.clothes import other_clothes
from training.crop import Floats, Picture
from training.cutouts import elsewhere, outlined
from training.cutouts import read as read_outlines
from training.frozen import freeze
from training.lesson import ADAPTERS_ALONE, Lesson, Teacher, channels_of, weight
from training.loop import Training, add_options, normalise
from training.neighbours import beside
from training.partial import MIN_POINTS, partly_seen
from training.second_look import read as read_labels
from training.second_look import relabelled
from training.simcc import MEAN, STD, simcc_loss
from training.sources import Source, read_photographs, read_synthetic
from training.upright import stand_up

FROZEN = ("backbone.stem", "backbone.stage1", "backbone.stage2")
# Shares of the crops: leaning persons turned upright, persons of whom a part is seen, of few pixels, with
# another one close by, behind a piece of another crop. The photographs show people in sports, whole, large
# and alone; COCO seldom does.
UPRIGHT, PARTIAL, COARSE, NEIGHBOUR, COVERED = 0.75, 0.55, 0.3, 0.35, 0.25
# In photographs: in other clothes. Where a person's outline is known: before another picture; as a neighbour,
# cut out.
CLOTHES, ELSEWHERE, CUT_OUT = 0.5, 0.5, 0.6
# In the last part of the budget what real pictures do not show (other clothes, other surroundings, pieces in
# front, neighbours) comes half as often, and the views are half as far off.
EASED_FROM, EASED = 0.8, 0.5


class Batches(IterableDataset[tuple[Tensor, Tensor]]):  # type: ignore[misc]
    """Batches without end; a part of the crops, `share`, shows synthetic people.

    spent: the share of the training's time that is over, a tensor in shared memory.
    """

    def __init__(
        self,
        photographs: Source,
        synthetic: Source,
        *,
        size: int,
        share: float,
        seed: int,
        spent: Tensor,
    ) -> None:
        self._seed, self._random = seed, np.random.default_rng(seed)
        self._photographs, self._synthetic = photographs, synthetic
        self._size, self._share, self._spent = size, share, spent
        self._order: list[int] = []
        self.epochs = 0

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Draw batches; each process of a loader draws others."""
        worker = get_worker_info()
        if worker is not None:
            self._random = np.random.default_rng([self._seed, worker.id])
        while True:
            yield self.draw()

    def _next_photograph(self) -> int:
        if not self._order:
            self._order = self._random.permutation(len(self._photographs.persons)).tolist()
            self.epochs += 1
        return self._order.pop()

    def draw(self) -> tuple[Tensor, Tensor]:
        """Return crops (N, 256, 192, 3) uint8 R, G, B, and keypoints (N, 17, 3) in input pixels."""
        ease = EASED if float(self._spent) >= EASED_FROM else 1.0
        crops, labels = zip(*(self._one(ease) for _ in range(self._size)), strict=True)
        for crop_of_one in crops:
            if self._random.random() < COVERED * ease:
                crop.cover(self._random, crop_of_one, crops[int(self._random.integers(self._size))])
        pixels = torch.from_numpy(np.stack(crops)[..., ::-1].copy())
        return pixels, torch.from_numpy(np.stack(labels))

    def _one(self, ease: float) -> tuple[Picture, Floats]:
        """Return a crop (256, 192, 3) B, G, R, and its keypoints (17, 3) in input pixels."""
        random = self._random
        if random.random() < self._share:
            source = self._synthetic
            person = source.persons[int(random.integers(len(source.persons)))]
        else:
            source = self._photographs
            person = source.persons[self._next_photograph()]
        picture = source.pictures[person.picture]
        if source is self._photographs and random.random() < CLOTHES * ease:
            picture = other_clothes(random, picture, person.keypoints, person.outline)
        if person.outline is not None and random.random() < ELSEWHERE * ease:
            place = self._photographs.persons[int(random.integers(len(self._photographs.persons)))]
            behind = self._photographs.pictures[place.picture]
            picture = elsewhere(random, picture, person.outline, behind, place.box_xywh)
        whole = picture, person.box_xywh, person.keypoints
        if random.random() < UPRIGHT:
            whole = stand_up(random, *whole)
        picture, box, keypoints = whole
        if random.random() < PARTIAL:
            other = source.pictures[int(random.integers(len(source.pictures)))]
            picture, box, keypoints = partly_seen(random, *whole, other)
        view = crop.random_view(random, box, keypoints, ease)
        shown = crop.recolour(random, crop.cut(picture, view))
        moved = crop.move_keypoints(keypoints, view)
        if random.random() < NEIGHBOUR * ease:
            next_one = source.persons[int(random.integers(len(source.persons)))]
            outline = next_one.outline if random.random() < CUT_OUT else None
            shown, moved = beside(
                random, shown, moved, source.pictures[next_one.picture], next_one.box_xywh, outline
            )
        if random.random() < COARSE:
            shown = crop.coarsen(random, shown)
        return np.ascontiguousarray(shown), moved


def prepare(start: Path, frozen: Sequence[str]) -> nn.Module:
    """Load the network for training; the frozen parts keep their weights and statistics."""
    network = load_model(start).network
    network.train().requires_grad_(True)
    freeze(network, frozen)
    return network


def main() -> None:
    """Train until the budget is spent; a second start with the same -o goes on where the first stopped."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    add_options(parser, batch=32, rate=8e-4)
    parser.add_argument("--start", type=Path, required=True)
    parser.add_argument("--synthetic-share", type=float, default=0.4)
    parser.add_argument("--bystanders", type=Path, help="file made by training.bystanders")
    # They are few, and more like the persons elsewhere than those in sports are.
    parser.add_argument("--bystander-times", type=int, default=2, help="how often each of them is drawn")
    parser.add_argument("--labels", type=Path, help="file made by training.second_look")
    parser.add_argument("--teacher", type=Path, help="MoveNet's movenet-thunder.json (training/movenet.py)")
    parser.add_argument("--lesson", type=float, default=30.0, help="how much its maps count at first")
    parser.add_argument("--outlines", type=Path, help="file made by training.cutouts")
    parser.add_argument(
        "--synthetic-outlines", type=Path, nargs="+", help="made by training.scenes, one for each folder"
    )
    parser.add_argument(
        "--float32", action="store_true", help="not bfloat16, which is slower on a CPU without AVX512-BF16"
    )
    parser.add_argument(
        "--frozen",
        nargs="*",
        default=FROZEN,
        metavar="PART",
        help="parts that keep their weights; alone: none",
    )
    options = parser.parse_args()
    network = prepare(options.start, options.frozen)
    teacher = lesson = None
    if options.teacher is not None:
        teacher = Teacher(options.teacher, max(1, options.batch // 2))
        torch.manual_seed(options.seed)  # the same adapters in all processes
        lesson = Lesson(*channels_of(load_model(options.start).network, teacher))
    training = Training(network, options, clip=5.0, beside=lesson)
    photographs = read_photographs(options.data)
    if options.labels is not None:
        photographs.persons[:] = relabelled(photographs.persons, read_labels(options.labels))
    if options.outlines is not None:
        photographs.persons[:] = outlined(photographs.persons, read_outlines(options.outlines))
    if options.bystanders is not None:
        photographs.persons.extend(options.bystander_times * read_bystanders(options.bystanders))
    synthetic = read_synthetic(options.synthetic, min_visible=MIN_POINTS)
    if options.synthetic_outlines is not None:
        synthetic.persons[:] = outlined(synthetic.persons, read_outlines(*options.synthetic_outlines))
    print(
        f"{len(photographs.persons)} persons in photographs, {len(synthetic.persons)} synthetic", flush=True
    )
    batches = training.batches(
        Batches(
            photographs,
            synthetic,
            size=options.batch,
            share=options.synthetic_share,
            seed=options.seed + training.step + 1_000_000 * training.peers.rank,
            spent=training.share,
        )
    )

    def loss_of_next() -> Tensor:
        pixels, keypoints = (tensor.to(training.device, non_blocking=True) for tensor in next(batches))
        with torch.autocast(training.device.type, dtype=torch.bfloat16, enabled=not options.float32):
            maps = training.network.backbone(normalise(pixels, MEAN, STD))
            loss = simcc_loss(training.network.head(maps[-1]), keypoints)
            if teacher is None or lesson is None:
                return loss
            share = float(training.share)
            seen = [own[: teacher.crops] for own in maps[-2:]]
            if share < ADAPTERS_ALONE:
                seen = [own.detach() for own in seen]
            return loss + options.lesson * weight(share) * lesson(seen, teacher(pixels[: teacher.crops]))

    training.run(loss_of_next)


if __name__ == "__main__":
    main()
