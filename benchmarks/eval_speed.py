"""Compare `edgepose eval`'s run over labelled pictures with the bare engine on crops that are ready.

python benchmarks/eval_speed.py BUNDLE LABELS.json IMAGES [--crops 5000] [--rounds 3]

Both do the same crops in turns, one process with one thread each: eval reads, checks and decodes pictures,
crops, infers, decodes and keeps the results; the engine only infers, one crop at a time. Pictures are taken
several times (under other numbers) until there are enough crops; nothing comes from the cache. By processor
time, which other work on the machine disturbs less than the clock. Last, the time of 10,000 resamplings of
5,000 pictures.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepose import _core
from edgepose.bundle.manifest import preprocess_member
from edgepose.calibration.from_bundle import artifact_of
from edgepose.converters.engine import open_engine
from edgepose.media import read_picture
from edgepose.verify import bootstrap
from edgepose.verify.dataset import Dataset, read_dataset
from edgepose.verify.evaluation import open_subject
from edgepose.verify.oks import Matches
from edgepose.verify.predictions import Recipe, predict

Array = NDArray[np.float32]


def crops_of(bundle: Path, data: Dataset) -> list[Array]:
    """Return the network's inputs, one array [persons, 3, H, W] a picture."""
    spec = json.dumps(preprocess_member(artifact_of(bundle, "pose").spec.preprocess))
    batches = []
    for index, picture in enumerate(data.pictures):
        persons = [p for p in data.boxed.tolist() if data.picture_of[p] == index]
        if persons:
            image = read_picture(picture.file)
            tensors = [_core.preprocess(image, data.boxes[p].tolist(), spec)[0] for p in persons]
            batches.append(np.ascontiguousarray(np.stack(tensors), np.float32))
    return batches


def repeated(data: Dataset, times: int) -> Dataset:
    """Return the data several times over, under new numbers."""
    count = len(data.pictures)
    return dataclasses.replace(
        data,
        pictures=tuple(
            dataclasses.replace(picture, id=turn * count + n)
            for turn in range(times)
            for n, picture in enumerate(data.pictures)
        ),
        annotation_ids=np.arange(times * len(data.boxes)),
        picture_of=np.concatenate([data.picture_of + turn * count for turn in range(times)]),
        boxes=np.tile(data.boxes, (times, 1)),
        areas=np.tile(data.areas, times),
        keypoints=np.tile(data.keypoints, (times, 1, 1)),
        crowd=np.tile(data.crowd, times),
    )


def bootstrap_seconds(random: np.random.Generator, *, pictures: int, samples: int) -> dict[str, float]:
    """Time the resampling of AP of two runs and of the drift's 95th percentile."""

    def run() -> Matches:
        found = round(2.2 * pictures)
        outcome = (random.random(found) < np.linspace(0.95, 0.4, 10)[:, None]).astype(np.int8)
        picture_of = random.integers(0, pictures, found)
        return Matches(picture_of, np.sort(random.random(found))[::-1], outcome, np.full(pictures, 2))

    runs = run(), run()
    values, of = random.exponential(size=17 * pictures), np.repeat(np.arange(pictures), 17)
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    weights = bootstrap.resample(pictures, samples, 0)
    for matches in runs:
        bootstrap.ApOfWeights(matches).of(weights)
    bootstrap.percentiles_95(weights, values, of)
    sums = random.random((pictures, 51))
    bootstrap.ratios(weights, sums, sums)
    return {
        "processor_s": round(time.process_time() - cpu_s, 1),
        "clock_s": round(time.perf_counter() - wall_s, 1),
    }


def main() -> None:
    """Print the throughputs and their ratio as one JSON document."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--crops", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    data = read_dataset(options.labels, options.images, open_subject(options.bundle).points)
    batches = crops_of(options.bundle, data)
    persons = sum(len(batch) for batch in batches)
    repeats = max(1, round(options.crops / options.rounds / persons))
    many = repeated(data, repeats)
    engine = open_engine(artifact_of(options.bundle, "pose"))
    engine.run([batches[0][:1]])
    rates: dict[str, list[float]] = {"engine": [], "eval": []}
    with tempfile.TemporaryDirectory() as cache:
        for turn in range(options.rounds):
            started_s = time.process_time()
            for _ in range(repeats):
                for batch in batches:
                    for crop in batch:
                        engine.run([crop[None]])
            rates["engine"].append(repeats * persons / (time.process_time() - started_s))
            os.environ["EDGEPOSE_CACHE"] = f"{cache}/{turn}"
            started_s = time.process_time()
            found = predict(options.bundle, many, Recipe(), processes=1)
            rates["eval"].append(len(found.boxes) / (time.process_time() - started_s))
            assert found.from_cache == 0 and len(found.boxes) == repeats * persons
    middle: dict[str, Any] = {name: statistics.median(values) for name, values in rates.items()}
    result = {
        "bundle": options.bundle.name, "crops": options.rounds * repeats * persons,
        "crops_in_a_picture": round(persons / len(batches), 2),
        **{f"{name}_crops_per_s": round(value, 1) for name, value in middle.items()},
        "eval_of_engine": round(middle["eval"] / middle["engine"], 3),
        "bootstrap_10000_of_5000": bootstrap_seconds(np.random.default_rng(0), pictures=5000, samples=10_000),
    }  # fmt: skip
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
