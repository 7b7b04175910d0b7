"""The comparison that decides whether a bundle may be written: what it measures, and what it refuses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from edgepose.artifact import BoxHead, KeypointSet, ModelSpec, Precision, Preprocess, SimccHead
from edgepose.cli.convert import table
from edgepose.converters import decoded, parity
from edgepose.converters.limits import LIMITS, Limits
from edgepose.converters.parity import ParityError, StageResult, compare_stage

Array = NDArray[np.float32]

KEYPOINTS = 6
HEIGHT, WIDTH = 64, 48
POINTS = KeypointSet("six", tuple("abcdef"), (), (), (0.05,) * KEYPOINTS)
POSE = ModelSpec(
    name="toy-pose",
    family="rtmpose",
    task="pose",
    preprocess=Preprocess("affine", (HEIGHT, WIDTH), "rgb", (1, 2, 3), (4, 5, 6), (0, 0, 0), 1.25),
    head=SimccHead(2.0, POINTS),
    input_names=("input",),
    output_names=("simcc_x", "simcc_y"),
    license="Apache-2.0",
    parameters=1,
)
UNSEEN = dataclasses.replace(POSE, keypoint_score_threshold=9.0)
POSE_3D = dataclasses.replace(
    POSE, head=SimccHead(2.0, POINTS, z_range=2.17), output_names=("simcc_x", "simcc_y", "simcc_z")
)
DETECTOR = ModelSpec(
    name="toy-detector",
    family="rtmdet",
    task="detect",
    preprocess=Preprocess("letterbox", (HEIGHT, HEIGHT), "bgr", (1, 2, 3), (4, 5, 6), (114, 114, 114)),
    head=BoxHead((8, 16, 32), False, ("person",), 0.05, 0.6, 1000, 100),
    input_names=("input",),
    output_names=("cls_8", "cls_16", "cls_32", "box_8", "box_16", "box_32"),
    license="Apache-2.0",
    parameters=1,
)


def _rows(bins: int, seed: int) -> Array:
    """Make peaked rows [1, K, bins] with scores 0.5, 0.6, ... and a little noise."""
    random = np.random.default_rng(seed)
    peaks = random.integers(10, bins - 10, KEYPOINTS)
    rows = (
        np.exp(-(((np.arange(bins) - peaks[:, None]) / 3.0) ** 2))
        * (0.5 + 0.1 * np.arange(KEYPOINTS))[:, None]
    )
    return (rows + random.uniform(0, 0.01, rows.shape)).astype(np.float32)[None]


def _pose_outputs(count: int = 4) -> list[list[Array]]:
    return [[_rows(2 * WIDTH, seed), _rows(2 * HEIGHT, 100 + seed)] for seed in range(count)]


def _compare(
    references: list[list[Array]],
    candidates: list[list[Array]],
    spec: ModelSpec = POSE,
    precision: Precision = "fp32",
) -> StageResult:
    return compare_stage(
        spec,
        "toy",
        "engine 1",
        precision=precision,
        references=references,
        candidates=candidates,
        is_real=[True] * (len(references) - 1) + [False],
    )


def _changed(change: Callable[[Array], Array], output: int = 0) -> list[list[Array]]:
    outputs = _pose_outputs()
    for sample in outputs:
        sample[output] = change(sample[output])
    return outputs


def test_equal_outputs_have_no_difference() -> None:
    result = _compare(_pose_outputs(), _pose_outputs())
    assert (result.max_abs, result.cosine, result.mean_px, result.max_px) == (0, 1, 0, 0)
    assert (result.real_samples, result.random_samples) == (3, 1)
    # The upper half of all and, since all are seen, that of each joint.
    assert result.compared == 3 * KEYPOINTS // 2 + 2 * KEYPOINTS // 2
    assert result.recall is None


def test_a_shift_is_measured_in_input_pixels() -> None:
    moved = _changed(lambda rows: np.roll(rows, 3, axis=2))
    with pytest.raises(ParityError) as caught:
        _compare(_pose_outputs(), moved, precision="fp16")
    (result,) = caught.value.stages
    assert result.mean_px == pytest.approx(1.5)
    assert result.max_px == pytest.approx(1.5)
    assert "try --precision fp32" in str(caught.value.hint)


def test_raw_differences_are_given_to_three_digits() -> None:
    """More would be noise, and a bundle made again would be another one."""
    references = _pose_outputs()
    louder = [[a * np.float32(1.0123456) for a in outputs] for outputs in references]
    result = _compare(references, louder)
    largest = max(float(a.max()) for outputs in references for a in outputs)
    assert result.relative == 0.0123 and result.max_abs == float(f"{0.0123456 * largest:.3g}")
    assert result.cosine == 1


def test_of_points_that_are_not_seen_only_the_upper_half_counts() -> None:
    def move_the_weak(rows: Array) -> Array:
        rows = rows.copy()
        rows[:, : KEYPOINTS // 2 - 1] = np.roll(rows[:, : KEYPOINTS // 2 - 1], 1, axis=2)
        return rows

    result = _compare(_pose_outputs(), _changed(move_the_weak), UNSEEN, "fp16")
    assert result.mean_px == 0
    seen = _compare(_pose_outputs(), _changed(move_the_weak), precision="fp16")
    assert seen.mean_px == pytest.approx(0.5 * 4 / 15, abs=1e-3)


@pytest.mark.parametrize(("moved", "p95"), [(1, 0), (2, 1)])
def test_one_shift_of_24_is_above_the_95th_percentile(moved: int, p95: float) -> None:
    references, candidates = _pose_outputs(9), _pose_outputs(9)
    for sample in candidates[:moved]:
        sample[0][0, -1] = np.roll(sample[0][0, -1], 2)
    result = _compare(references, candidates, UNSEEN, "int8")
    assert (result.compared, result.p95_px, result.max_px) == (24, p95, 1)


def _one_flat(rows: Array) -> Array:
    return np.zeros_like(rows) + np.float32(1e-6)


def _with_nan(rows: Array) -> Array:
    rows = rows.copy()
    rows[0, 1, 5] = np.nan
    return rows


def _coarse(rows: Array) -> Array:
    return np.round(rows * 3).clip(0, 1).astype(np.float32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_with_nan, r"toy-pose, stage toy \(fp32\): output simcc_x has 4 of 2304 values .* NaN or infinite"),
        (lambda rows: np.where(rows > 0.5, np.float32(np.inf), rows), "NaN or infinite"),
        (_one_flat, "all scores ~ 0: output simcc_x is at most"),
        (lambda rows: -rows, r"cosine -1\.0+ is below the limit 0\.999"),
        (
            lambda rows: rows[:, :, :-1],
            r"output shapes are \[\(1, 6, 95\), \(1, 6, 128\)\], where torch has \[\(1, 6, 96\), ",
        ),
        (lambda rows: np.roll(rows, 1, axis=2), "cosine 0"),
    ],
)
def test_what_is_wrong_is_named(change: Callable[[Array], Array], message: str) -> None:
    with pytest.raises(ParityError, match=message) as caught:
        _compare(_pose_outputs(), _changed(change))
    assert caught.value.exit_code == 5 and "--precision" not in str(caught.value.hint)


def test_something_where_torch_has_nothing_is_refused() -> None:
    references, candidates = _pose_outputs(), _pose_outputs()
    references[1][0][:] = 0
    with pytest.raises(ParityError, match=r"cosine 0\.0+ is below"):
        _compare(references, candidates)
    assert _compare(references, references).cosine == 1


def test_the_upper_half_is_from_the_median_on() -> None:
    """Scores of 1, 1, 1, 1, 0.9 and 9: the mean would leave one point of a sample."""
    references = _pose_outputs()
    for sample in references:
        for rows in sample:
            rows *= (np.array([1, 1, 1, 1, 0.9, 9]) / rows.max(axis=2)[0])[None, :, None]
    assert _compare(references, references).compared >= 3 * 3


def test_tied_peaks_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = {**LIMITS, "fp16": Limits(9, 9, -1, 0, 1, 0, 2.5, 0.02)}
    monkeypatch.setattr(parity, "LIMITS", wide)
    with pytest.raises(ParityError, match=r"tied peaks: .* equal maxima in a row, over the limit 2\.5"):
        _compare(_pose_outputs(), _changed(_coarse), precision="fp16")


def test_a_mean_shift_over_the_limit_is_named_with_value_and_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "LIMITS", {**LIMITS, "fp32": Limits(0.1, 0.1, -1, 0, 0, 0, 9, 0.02)})

    def move_one(rows: Array) -> Array:
        rows = rows.copy()
        rows[0, -1] = np.roll(rows[0, -1], 2)
        return rows

    with pytest.raises(
        ParityError, match=r"keypoints shift by 0\.200 px in the mean, over the limit 0\.1 px"
    ):
        _compare(_pose_outputs(), _changed(move_one))


def _two_peaks(first: float, second: float) -> list[list[Array]]:
    """Make outputs whose last keypoint has two peaks in x, far apart."""
    outputs = _pose_outputs()
    for sample in outputs:
        sample[0][0, -1] = 0.01
        sample[0][0, -1, 10], sample[0][0, -1, 80] = first, second
    return outputs


def test_a_jump_between_equal_peaks_is_counted_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "LIMITS", {**LIMITS, "fp16": Limits(0.3, 0.3, 0, 0, 0.4, 0.03, 9, 0.02)})
    result = _compare(_two_peaks(2.0, 1.99), _two_peaks(1.99, 2.0), precision="fp16")
    assert result.mean_px == 0
    assert result.ambiguous == pytest.approx(1 / 5, abs=0.01)


def test_a_jump_to_a_lower_peak_is_a_shift() -> None:
    with pytest.raises(ParityError, match=r"keypoints shift by 7\.000 px"):
        _compare(_two_peaks(2.0, 1.7), _two_peaks(1.7, 2.0), precision="fp16")


def test_too_many_jumps_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "LIMITS", {**LIMITS, "fp32": Limits(9, 9, 0, 0, 0.1, 0.1, 9, 0.02)})
    with pytest.raises(
        ParityError, match=r"20\.0% of the keypoints jump to an equal peak, over the limit 10%"
    ):
        _compare(_two_peaks(2.0, 1.99), _two_peaks(1.99, 2.0))


def _pose_3d_outputs(change: Callable[[Array], Array] = np.copy) -> list[list[Array]]:
    return [[*sample, change(_rows(96, 200 + seed))] for seed, sample in enumerate(_pose_outputs())]


def _ignore_cosine(monkeypatch: pytest.MonkeyPatch) -> None:
    blind = {name: dataclasses.replace(limits, cosine=-1) for name, limits in LIMITS.items()}
    monkeypatch.setattr(parity, "LIMITS", blind)


def test_only_3d_networks_have_depths() -> None:
    assert _compare(_pose_outputs(), _pose_outputs()).depth_mean_px is None
    assert _compare(_pose_3d_outputs(), _pose_3d_outputs(), POSE_3D).depth_mean_px == 0


@pytest.mark.parametrize("precision", ["fp32", "fp16", "mixed", "int8"])
def test_a_wrong_depth_is_refused(monkeypatch: pytest.MonkeyPatch, precision: Precision) -> None:
    blind = dataclasses.replace(LIMITS[precision], cosine=-1)
    monkeypatch.setattr(parity, "LIMITS", {**LIMITS, precision: blind})
    with pytest.raises(
        ParityError, match=r"depths shift by \d+\.\d+ px in the mean \(a bin of z counted"
    ) as e:
        _compare(_pose_3d_outputs(), _pose_3d_outputs(lambda rows: -rows), POSE_3D, precision)
    (result,) = e.value.stages
    assert result.mean_px == 0


def test_a_bin_of_depth_is_as_long_as_one_of_x(monkeypatch: pytest.MonkeyPatch) -> None:
    _ignore_cosine(monkeypatch)
    moved = _pose_3d_outputs(lambda rows: np.roll(rows, 1, axis=2))
    with pytest.raises(ParityError, match=r"depths shift by 0\.500 px .*, over the limit 0\.3 px") as caught:
        _compare(_pose_3d_outputs(), moved, POSE_3D, "fp16")
    assert caught.value.stages[0].mean_px == 0


def test_a_depth_that_jumps_between_equal_peaks_is_counted_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "LIMITS", {**LIMITS, "fp16": Limits(0.3, 0.3, 0, 0, 0.4, 0.03, 9, 0.02)})
    references, candidates = _pose_3d_outputs(), _pose_3d_outputs()
    for outputs, first, second in ((references, 2.0, 1.99), (candidates, 1.99, 2.0)):
        for sample in outputs:
            sample[2][0, -1] = 0.01
            sample[2][0, -1, 10], sample[2][0, -1, 80] = first, second
    result = _compare(references, candidates, POSE_3D, "fp16")
    assert (result.mean_px, result.depth_mean_px) == (0, 0)
    assert result.ambiguous == pytest.approx(1 / 5, abs=0.01)


def _maps(
    seed: int, *, shift_px: float = 0.0, silent: bool = False, other: float | None = None
) -> list[Array]:
    """Make detector outputs with one strong cell at each stride, and another of the score `other`."""
    classes, boxes = [], []
    for stride in (8, 16, 32):
        side = HEIGHT // stride
        logits = np.full((1, 1, side, side), -8, np.float32)
        if not (silent and stride == 16):
            logits[0, 0, seed % side, side - 1] = 3
        if other is not None and stride == 8:
            logits[0, 0, (seed + 4) % side, 0] = np.log(other / (1 - other))
        classes.append(logits)
        distances = np.full((1, 4, side, side), 10.0 / stride, np.float32)
        distances[0, 0] += shift_px / stride
        boxes.append(distances)
    return [*classes, *boxes]


def test_equal_detections_have_full_recall() -> None:
    result = _compare([_maps(i) for i in range(3)], [_maps(i) for i in range(3)], DETECTOR)
    assert (result.recall, result.mean_px) == (1, 0)
    assert result.compared >= 2


def test_a_shifted_box_is_refused() -> None:
    with pytest.raises(ParityError, match=r"boxes shift by 1\.5\d* px in the mean") as caught:
        _compare([_maps(i) for i in range(3)], [_maps(i, shift_px=1.5) for i in range(3)], DETECTOR, "fp16")
    assert caught.value.stages[0].recall == 1


def test_a_lost_box_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "LIMITS", {**LIMITS, "fp32": Limits(9, 9, -1, 0.99, 1, 0, 9, 0.02)})
    with pytest.raises(ParityError, match=r"recall 0\.\d+ is below the limit 0\.99"):
        _compare([_maps(i) for i in range(3)], [_maps(i, silent=True) for i in range(3)], DETECTOR)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "mixed", "int8"])
def test_a_false_box_is_refused(monkeypatch: pytest.MonkeyPatch, precision: Precision) -> None:
    _ignore_cosine(monkeypatch)
    references, candidates = [_maps(i) for i in range(5)], [_maps(i, other=0.6) for i in range(5)]
    with pytest.raises(
        ParityError, match=r"false boxes: \d\d\.\d% of those found are none of the reference's, over"
    ) as caught:
        _compare(references, candidates, DETECTOR, precision)
    (result,) = caught.value.stages
    assert result.recall == 1 and result.false_boxes is not None
    assert result.false_boxes > result.limits["false_boxes"]


@pytest.mark.parametrize(("precision", "offset"), [("fp16", 0.25), ("mixed", 1.0), ("int8", 1.0)])
def test_a_detector_that_is_too_sure_is_refused(
    monkeypatch: pytest.MonkeyPatch, precision: Precision, offset: float
) -> None:
    """Its scores go up everywhere, so that it loses no box, and none is moved."""
    _ignore_cosine(monkeypatch)
    references = [_maps(i) for i in range(3)]
    for outputs in references:
        outputs[0][0, 0].flat = np.linspace(-2, 0, outputs[0].size)
        outputs[3][:] = 0.4  # cells that do not overlap
    surer = [[a + np.float32(offset) if a.shape[1] == 1 else a for a in outputs] for outputs in references]
    _compare(references, references, DETECTOR, precision)
    with pytest.raises(ParityError, match="false boxes: ") as caught:
        _compare(references, surer, DETECTOR, precision)
    assert (caught.value.stages[0].recall, caught.value.stages[0].mean_px) == (1, 0)


@pytest.mark.parametrize("score", [0.31, 0.9])
def test_a_picture_of_nobody_has_no_false_box_but_a_sure_one(score: float) -> None:
    nobody: list[Array] = [a if a.shape[1] == 4 else np.full_like(a, -8) for a in _maps(0)]
    somebody = [a.copy() for a in nobody]
    somebody[0][0, 0, 1, 1] = np.log(score / (1 - score))
    others = [_maps(i) for i in range(1, 4)]
    found = decoded.compare_decoded(DETECTOR, [nobody], [somebody], LIMITS["fp32"])
    assert (found.recall, found.false_boxes) == (None, None if score == 0.31 else 1)
    found = decoded.compare_decoded(DETECTOR, [*others, nobody], [*others, somebody], LIMITS["fp32"])
    assert found.recall == 1 and (found.false_boxes == 0) == (score == 0.31)


@pytest.mark.parametrize(("before", "after"), [(0.29, 0.31), (0.31, 0.29), (0.29, 0.34), (0.25, 0.31)])
def test_a_box_about_the_threshold_is_not_false(before: float, after: float) -> None:
    references, candidates = (
        [_maps(i, other=before) for i in range(5)],
        [_maps(i, other=after) for i in range(5)],
    )
    result = _compare(references, candidates, DETECTOR)
    assert (result.recall, result.false_boxes) == (1, 0)


@pytest.mark.parametrize("stated", [0.05, 0.3, 0.45])
def test_a_box_about_the_threshold_that_a_checkpoint_states_is_not_lost(stated: float) -> None:
    spec = dataclasses.replace(DETECTOR, head=dataclasses.replace(DETECTOR.head, score_threshold=stated))
    above = max(stated, decoded.BOX_SCORE) + 0.001
    references, candidates = ([_maps(i, other=score) for i in range(5)] for score in (above, above - 0.002))
    result = decoded.compare_decoded(spec, references, candidates, LIMITS["fp16"])
    assert (result.recall, result.false_boxes) == (1, 0)
    assert len(result.shifts_px) == 5 * 4


def test_which_of_two_that_overlap_is_kept_does_not_matter() -> None:
    """Suppression keeps the surer one; that is another one where scores differ by a last bit."""
    references, candidates = [_maps(i) for i in range(3)], [_maps(i) for i in range(3)]
    for outputs, scores in ((references, (3.0, 2.99)), (candidates, (2.99, 3.0))):
        for classes, *_, distances, _, _ in outputs:
            classes[0, 0] = -8
            classes[0, 0, 3, 3:5] = scores
            distances[:] = 4  # boxes of 64 px, 8 px apart
    result = _compare(references, candidates, DETECTOR)
    assert (result.recall, result.false_boxes, result.max_px) == (1, 0, 0)


def test_iou_of_known_boxes() -> None:
    box = np.array([0, 0, 10, 10], np.float32)
    others = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [0, 0, 0, 0]], np.float32)
    assert decoded.iou(box, others) == pytest.approx([1, 1 / 3, 0, 0])


def test_a_result_survives_json() -> None:
    result = _compare(_pose_outputs(), _pose_outputs())
    assert StageResult(**result.to_json()) == result


def test_the_table_has_the_columns_that_its_networks_have() -> None:
    pose = _compare(_pose_outputs(), _pose_outputs())
    deep = dataclasses.replace(pose, model="deep", depth_mean_px=0.012)
    boxes = dataclasses.replace(pose, model="boxes", recall=1.0, false_boxes=0.25)
    (head, row) = table([pose, pose]).splitlines()
    assert head.split("  ")[-1] == "limit px" and not {"depth px", "recall", "false"} & set(head.split("  "))
    assert row.split()[-2] == "-"  # ties
    lines = [line.split() for line in table([pose, deep, boxes]).splitlines()[1:]]
    assert [line[9] for line in lines] == ["-", "0.012", "-"]
    assert [line[-3:-1] for line in lines] == [["-", "-"], ["-", "-"], ["1.000", "0.250"]]
