"""AP as COCO's own code has it, and its resamplings."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest

from edgepose.skeletons import KEYPOINT_SETS
from edgepose.verify import bootstrap
from edgepose.verify.coco_library import STATISTICS, _evaluate, average_precision
from edgepose.verify.compared import with_labels
from edgepose.verify.dataset import Dataset, Picture, read_dataset
from edgepose.verify.figures import errors_member
from edgepose.verify.oks import match
from edgepose.verify.predictions import Predictions, subset

POINTS = KEYPOINT_SETS["coco17"]


def test_labelled_persons_that_are_not_found_count_in_pck(coco_dev: Dataset) -> None:
    found = Predictions(
        coco_dev.picture_of, np.full(len(coco_dev.boxes), -1),
        np.concatenate([coco_dev.boxes, np.ones((len(coco_dev.boxes), 1))], axis=1),
        np.nan_to_num(coco_dev.keypoints), np.ones(len(coco_dev.boxes)), (),
    )  # fmt: skip
    every = errors_member(with_labels(coco_dev, found), POINTS.keypoints, coco_dev)
    assert every["pck"]["0.1"] == 100.0 and every["unmatched_persons"] == 0
    half = subset(found, range(len(coco_dev.pictures) // 2))
    pairs = with_labels(coco_dev, half)
    some = errors_member(pairs, POINTS.keypoints, coco_dev)
    labelled = (coco_dev.keypoints[coco_dev.labelled, :, 2] > 0).sum()
    assert some["pck"]["0.1"] == pytest.approx(100 * pairs.counts.sum() / labelled, abs=1e-3)
    assert 0 < some["pck"]["0.1"] < 80 and some["error_px"]["max"] == 0.0
    assert some["unmatched_persons"] == len(coco_dev.labelled) - len(pairs.other)


def found_by_noise(data: Dataset, seed: int, *, share: float = 0.04) -> Predictions:
    """Make detections: the labels moved by noise, some twice, some left out, in no order of score."""
    random = np.random.default_rng(seed)
    keypoints, pictures = [], []
    for row in range(len(data.boxes)):
        sides = data.boxes[row, 2:] - data.boxes[row, :2]
        for _ in range(int(random.choice([0, 1, 1, 1, 2]))):
            points = data.keypoints[row].copy()
            if not points[:, 2].any():
                points[:, :2] = data.boxes[row, :2] + random.uniform(-0.3, 1.3, (17, 2)) * sides
            points[:, :2] += random.normal(0, share * float(np.sqrt(sides.prod())), (17, 2))
            points[:, 2] = random.uniform(0.1, 1, 17)
            keypoints.append(points)
            pictures.append(int(data.picture_of[row]))
    count = len(pictures)
    boxes = np.concatenate(
        [np.tile([0.0, 0, 10, 10], (count, 1)), random.uniform(0.3, 1, (count, 1))], axis=1
    )
    return Predictions(
        np.array(pictures), np.full(count, -1), boxes, np.array(keypoints), np.ones(count), ("0",)
    )  # fmt: skip


@pytest.fixture(scope="module")
def coco_dev(shared_dir: Path) -> Dataset:
    folder = shared_dir / "data" / "coco_dev"
    return read_dataset(folder / "person_keypoints.json", folder / "images", POINTS)


def pycocotools_figures(data: Dataset, found: Predictions, path: Path) -> list[float]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    scores = found.scores()
    results = [
        {
            "image_id": data.pictures[int(found.picture_of[row])].id, "category_id": 1,
            "keypoints": found.keypoints[row].ravel().tolist(), "score": float(scores[row]),
        }
        for row in range(len(scores))
    ]  # fmt: skip
    path.write_text(json.dumps(results))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(data.path))
        evaluation = COCOeval(truth, truth.loadRes(str(path)), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats]


@pytest.mark.parametrize("seed", range(3))
def test_figures_equal_pycocotools(coco_dev: Dataset, tmp_path: Path, seed: int) -> None:
    found = found_by_noise(coco_dev, seed)
    ours = average_precision(coco_dev, found, POINTS)["body"]
    wanted = pycocotools_figures(coco_dev, found, tmp_path / "results.json")
    assert 10 < ours["AP"] < 90  # the comparison means something
    for name, value in zip(STATISTICS, wanted, strict=True):
        assert abs(ours[name] / 100 - value) <= 1e-9, name


@pytest.mark.parametrize("seed", range(5))
def test_ap_of_weights_equals_the_library(coco_dev: Dataset, seed: int) -> None:
    found = found_by_noise(coco_dev, seed, share=0.02 * (1 + seed))
    ap = bootstrap.ApOfWeights(match(coco_dev, found, POINTS.sigmas))
    ones = np.ones((1, len(coco_dev.pictures)), np.uint8)
    assert abs(ap.of(ones)[0] - average_precision(coco_dev, found, POINTS)["body"]["AP"]) <= 1e-7


@pytest.mark.parametrize("name", ["wholebody133", "studio133"])
def test_each_part_of_the_body_has_its_own_points_and_tolerances(name: str) -> None:
    points, count, area = dataclasses.replace(KEYPOINT_SETS["wholebody133"], name=name), 6, 5000.0
    labels = np.full((count, 133, 3), 2.0)
    labels[..., :2] = np.random.default_rng(1).uniform(0, 100, (count, 133, 2))
    boxes = np.tile([0.0, 0.0, 100.0, 100.0], (count, 1))
    pictures = tuple(Picture(n + 1, f"{n}.png", Path(f"{n}.png")) for n in range(count))
    nobody = np.zeros(count, bool)
    data = Dataset(
        Path("labels.json"), "d", pictures, np.arange(count), np.arange(count), boxes,
        np.full(count, area), labels, nobody,
    )  # fmt: skip
    found = labels.copy()
    found[..., 2] = 1.0
    shift_px = 4.0
    found[..., 0] += shift_px
    scored = np.concatenate([boxes, np.ones((count, 1))], axis=1)
    run = Predictions(np.arange(count), np.arange(count), scored, found, np.ones(count), ())
    parts = average_precision(data, run, points)
    chosen = {"body": range(17), "foot": range(17, 23), "face": range(23, 91), "right_hand": range(112, 133)}
    for part, indices in chosen.items():
        spread = 2 * area * np.square(2 * np.array(points.sigmas)[list(indices)])
        oks = np.exp(-(shift_px**2) / spread).mean()
        assert parts[part]["AP"] == pytest.approx(10 * np.count_nonzero(np.arange(0.5, 1, 0.05) <= oks))
    assert len({parts[part]["AP"] for part in chosen}) > 2


def test_a_part_has_the_size_of_its_body() -> None:
    """A hand of a large person is no small result, also where it is nobody's."""
    points, count = KEYPOINT_SETS["wholebody133"], 20
    random = np.random.default_rng(2)
    labels = np.full((count, 133, 3), 2.0)
    labels[..., :2] = random.uniform(0, 300, (count, 133, 2))
    labels[:, 91:112, :2] = random.uniform(100, 130, (count, 21, 2))
    boxes = np.tile([0.0, 0.0, 300.0, 300.0], (count, 1))
    pictures = tuple(Picture(n + 1, f"{n}.png", Path(f"{n}.png")) for n in range(count))
    data = Dataset(
        Path("labels.json"), "d", pictures, np.arange(count), np.arange(count), boxes,
        np.full(count, 40_000.0), labels, np.zeros(count, bool),
    )  # fmt: skip
    found = labels.copy()
    found[..., 2] = random.uniform(0.3, 1, (count, 1))
    found[::2, 91:112, 0] += 120.0
    scored = np.concatenate([boxes, np.ones((count, 1))], axis=1)
    run = Predictions(np.arange(count), np.arange(count), scored, found, np.ones(count), ())
    parts = average_precision(data, run, points)
    assert 10 < parts["left_hand"]["AP"] < 40
    for part in parts.values():
        assert (part["APL"], part["ARL"], part["APM"]) == (part["AP"], part["AR"], -1)


def test_where_nobody_is_found_only_sizes_that_have_labels_count() -> None:
    point = {"image_id": 1, "num_keypoints": 1, "iscrowd": 0}
    labels = {"annotations": [{**point, "area": 96.0**2 + 1}, {**point, "area": 50.0**2, "num_keypoints": 0}]}
    figures = _evaluate(labels, [], [0.1])
    assert {name for name, value in figures.items() if value == -1} == {"APM", "ARM"}
    assert set(figures.values()) == {0, -1}
    labels["annotations"].append({**point, "area": 50.0**2})
    assert set(_evaluate(labels, [], [0.1]).values()) == {0}
    assert set(_evaluate({"annotations": []}, [], [0.1]).values()) == {-1}


@pytest.mark.parametrize("first_picture", [0, 2**60])
def test_labels_and_pictures_may_have_any_ids(coco_dev: Dataset, first_picture: int) -> None:
    """The library reads a match with an id of 0 as none, and takes large ids close together for one."""
    pictures = tuple(
        dataclasses.replace(picture, id=first_picture + n) for n, picture in enumerate(coco_dev.pictures)
    )
    identities = np.arange(len(coco_dev.boxes)) - 1
    data = dataclasses.replace(coco_dev, pictures=pictures, annotation_ids=identities)
    found = found_by_noise(data, 2)
    ap = bootstrap.ApOfWeights(match(data, found, POINTS.sigmas))
    ones = np.ones((1, len(data.pictures)), np.uint8)
    assert abs(ap.of(ones)[0] - average_precision(data, found, POINTS)["body"]["AP"]) <= 1e-7


def test_a_picture_drawn_twice_counts_as_two(coco_dev: Dataset) -> None:
    """AP with weights is the library's AP on data where pictures are repeated."""
    found = found_by_noise(coco_dev, 7)
    weights = bootstrap.resample(len(coco_dev.pictures), 3, seed=1)
    ap = bootstrap.ApOfWeights(match(coco_dev, found, POINTS.sigmas)).of(weights)
    for row, weight in enumerate(weights):
        copies = np.repeat(np.arange(len(weight)), weight)
        data, repeated = repeat(coco_dev, found, copies)
        assert abs(ap[row] - average_precision(data, repeated, POINTS)["body"]["AP"]) <= 1e-7


def repeat(data: Dataset, found: Predictions, copies: np.ndarray) -> tuple[Dataset, Predictions]:
    labels = [np.flatnonzero(data.picture_of == picture) for picture in copies]
    people = [np.flatnonzero(found.picture_of == picture) for picture in copies]
    label_rows, rows = np.concatenate(labels), np.concatenate(people)
    pictures = tuple(
        dataclasses.replace(data.pictures[int(picture)], id=n + 1) for n, picture in enumerate(copies)
    )
    repeated_data = dataclasses.replace(
        data,
        pictures=pictures,
        annotation_ids=np.arange(1, len(label_rows) + 1),
        picture_of=np.repeat(np.arange(len(copies)), [len(rows) for rows in labels]),
        boxes=data.boxes[label_rows],
        areas=data.areas[label_rows],
        keypoints=data.keypoints[label_rows],
        crowd=data.crowd[label_rows],
    )
    repeated_found = dataclasses.replace(
        found,
        picture_of=np.repeat(np.arange(len(copies)), [len(rows) for rows in people]),
        person_of=found.person_of[rows],
        boxes=found.boxes[rows],
        keypoints=found.keypoints[rows],
        input_scale=found.input_scale[rows],
    )
    return repeated_data, repeated_found


def test_percentiles_and_means_of_weights() -> None:
    random = np.random.default_rng(3)
    pictures = 40
    picture_of = np.sort(random.integers(0, pictures, 900))
    values = random.exponential(size=900)
    weights = bootstrap.resample(pictures, 50, seed=2)
    got = bootstrap.percentiles_95(weights, values, picture_of)
    sums = np.bincount(picture_of, values, minlength=pictures)[:, None]
    counts = np.bincount(picture_of, minlength=pictures)[:, None].astype(float)
    means = bootstrap.ratios(weights, sums, counts)[:, 0]
    for row, weight in enumerate(weights):
        drawn = np.repeat(values, weight[picture_of])
        assert got[row] == pytest.approx(np.percentile(drawn, 95, method="inverted_cdf"), rel=0.03)
        assert means[row] == pytest.approx(drawn.mean())
