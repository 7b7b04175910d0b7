"""Training of the detector: canvases of scenes, people added to them, the loss, the recall."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from checkpoint_files import save

from edgepose.models import load_model

ROOT = Path(__file__).resolve().parents[2]


def test_canvases_have_no_gaps(training: Any) -> None:
    mosaic = training("mosaic")
    pictures = [np.full((90, 60, 3), 200, dtype=np.uint8), np.full((40, 80, 3), 20, dtype=np.uint8)]
    for seed in range(8):
        canvas, _ = mosaic.compose(np.random.default_rng(seed), pictures, 96)
        assert canvas.shape == (96, 96, 3)
        assert set(np.unique(canvas).tolist()) <= {20, mosaic.PAD, 200}


def test_giou(training: Any) -> None:
    giou = training("distil").giou

    def box(*sides: float) -> torch.Tensor:
        return torch.tensor(sides).reshape(1, 4, 1, 1)

    assert float(giou(box(1, 1, 1, 1), box(1, 1, 1, 1))) == pytest.approx(1.0)
    assert float(giou(box(1, 1, 1, 1), box(1, 1, 0, 1))) == pytest.approx(0.5)
    assert float(giou(box(1, 1, -0.5, 1), box(-0.5, 1, 1, 1))) == pytest.approx(-0.5)


def test_the_loss_is_least_at_the_teacher_s_answer(training: Any) -> None:
    distil_loss = training("distil").distil_loss
    generator = torch.Generator().manual_seed(0)
    logits = tuple(torch.randn(1, 1, s, s, generator=generator) for s in (4, 2, 1))
    sides = tuple(torch.rand(1, 4, s, s, generator=generator) + 0.5 for s in (4, 2, 1))
    same = float(distil_loss((*logits, *sides), (*logits, *sides)))
    other = float(distil_loss((*(x + 1 for x in logits), *(x + 1 for x in sides)), (*logits, *sides)))
    assert same == pytest.approx(0.0, abs=1e-4)
    assert other > 0.1


def test_every_label_is_found_once(training: Any) -> None:
    found = training("detector_recall").found
    labels = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], dtype=np.float32)
    twice = np.array([[0, 0, 10, 10, 0.9], [0, 1, 10, 10, 0.8]], dtype=np.float32)
    assert found(twice, labels) == 1
    assert found(np.vstack([twice, [[20, 0, 30, 9, 0.1]]]).astype(np.float32), labels) == 2
    assert found(np.zeros((0, 5), dtype=np.float32), labels) == 0


def person_on_green(training: Any) -> tuple[Any, Any]:
    """Return a source with one red person, 60 px high, on a green picture, and the person with an outline."""
    picture = np.full((120, 100, 3), (0, 255, 0), dtype=np.uint8)
    outline = np.zeros((120, 100), dtype=np.uint8)
    cv2.ellipse(outline, (50, 60), (15, 30), 0, 0, 360, 255, -1)
    picture[outline > 0] = (0, 0, 255)
    box = np.array([35, 30, 30, 60], dtype=np.float32)
    person = training("sources").Person(0, np.zeros((17, 3), dtype=np.float32), box, outline)
    return training("sources").Source([picture], [person]), person


def test_only_people_are_added_to_a_canvas(training: Any) -> None:
    crowds = training("crowds")
    source, person = person_on_green(training)
    added = nobody = 0
    for seed in range(60):
        canvas = np.full((128, 128, 3), 90, dtype=np.uint8)
        shown = crowds.crowd(np.random.default_rng(seed), canvas, source, [person])
        assert shown.shape == canvas.shape and shown.dtype == np.uint8 and (canvas == 90).all()
        red, green = (shown == (0, 0, 255)).all(axis=-1), (shown == (0, 255, 0)).all(axis=-1)
        assert not green.any()
        added, nobody = added + red.any(), nobody + (shown == 90).all()
    assert added > 20 and nobody > 12


def test_an_added_person_has_the_drawn_height(training: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    crowds = training("crowds")
    source, person = person_on_green(training)
    monkeypatch.setattr(crowds, "HEIGHTS", (0.25, 0.25))
    whole = []
    for seed in range(60):
        canvas = np.zeros((160, 160, 3), dtype=np.uint8)
        rows, columns = np.nonzero(
            crowds._in_front(np.random.default_rng(seed), canvas, source.pictures[0], person)[..., 2] > 127
        )
        if len(rows) and min(*rows, *columns, 159 - rows.max(), 159 - columns.max()) > 0:
            whole.append((np.ptp(rows) + 1, np.ptp(columns) + 1))
    assert len(whole) > 20
    np.testing.assert_allclose(whole, [(40, 20)] * len(whole), atol=2)


def canvases(training: Any, source: Any, **others: Any) -> Any:
    """Return canvases of a source, 4 a batch, without synthetic pictures."""
    options = {"sides_px": (64,), "size": 4, "seed": 1, "spent": torch.tensor(0.0), **others}
    return training("train_detector").Canvases(source, training("sources").Source([], []), **options)


def test_batches_have_the_asked_sides_then_the_runtime_s(training: Any) -> None:
    source, _ = person_on_green(training)
    spent = torch.tensor(0.0)
    drawn = iter(canvases(training, source, sides_px=(64, 96), spent=spent))
    assert {tuple(next(drawn)[0].shape) for _ in range(12)} == {(4, 64, 64, 3), (4, 96, 96, 3)}
    spent.fill_(0.9)
    assert next(drawn)[0].shape == (4, 320, 320, 3)


def test_people_stand_before_canvases_where_outlines_are_known(
    training: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, person = person_on_green(training)
    counted: list[Any] = []
    monkeypatch.setattr(
        training("train_detector"),
        "crowd",
        lambda random, canvas, source, people: counted.append(people) or canvas,
    )
    next(iter(canvases(training, source)))
    assert 0 < len(counted) <= 4 and all(people == [person] for people in counted)
    counted.clear()
    plain = training("sources").Person(0, person.keypoints, person.box_xywh)
    next(iter(canvases(training, training("sources").Source(source.pictures, [plain]))))
    assert not counted


def answers(scores: dict[tuple[int, int, int, int], float]) -> tuple[torch.Tensor, ...]:
    """Return a teacher's answers for two canvases of 64 px: scores by canvas, level, row and column.

    Every cell's box reaches 16 px to each side.
    """
    sides, strides = (8, 4, 2), (8, 16, 32)
    logits = [torch.full((2, 1, side, side), -6.0) for side in sides]
    for (canvas, level, row, column), score in scores.items():
        logits[level][canvas, 0, row, column] = torch.tensor(score).logit()
    return (
        *logits,
        *(torch.full((2, 4, side, side), 16.0 / s) for side, s in zip(sides, strides, strict=True)),
    )


def test_a_teacher_becomes_sure_of_labelled_persons_that_it_sees(training: Any) -> None:
    # A person of 32 px around (32, 32): cells at that point, in all levels, have the label's box.
    at, near, far = (0, 0, 4, 4), (0, 1, 2, 2), (0, 0, 1, 1)
    told = answers({at: 0.2, near: 0.1, far: 0.3, (1, 0, 4, 4): 0.2})
    numbers, boxes = torch.tensor([0]), torch.tensor([[16.0, 16.0, 48.0, 48.0]])
    found = training("distil").assured(told, numbers, boxes, torch.tensor([False]))
    for cell, wanted in ((at, 0.7), (near, 0.35), (far, 0.3), ((1, 0, 4, 4), 0.2)):
        canvas, level, row, column = cell
        assert float(found[level][canvas, 0, row, column].sigmoid()) == pytest.approx(wanted, abs=1e-3), cell
    assert all(torch.equal(a, b) for a, b in zip(found[3:], told[3:], strict=True))


def test_of_a_teacher_of_many_classes_only_the_person_becomes_surer(training: Any) -> None:
    told = answers({(0, 0, 4, 4): 0.2})
    bench = torch.tensor(0.4).logit()
    two = [torch.cat((scores, torch.full_like(scores, float(bench))), dim=1) for scores in told[:3]]
    found = training("distil").assured(
        (*two, *told[3:]), torch.tensor([0]), torch.tensor([[16.0, 16.0, 48.0, 48.0]]), torch.tensor([False])
    )
    assert float(found[0][0, 0, 4, 4].sigmoid()) == pytest.approx(0.7, abs=1e-3)
    for scores in found[:3]:
        assert torch.allclose(scores[:, 1], bench, atol=1e-4)


def test_a_box_of_two_persons_at_once_is_nobody_s(training: Any) -> None:
    told = answers({(0, 0, 4, 4): 0.2})
    half = torch.tensor([[16.0, 16.0, 34.0, 48.0]])  # 0.56 of the cell's box
    found = training("distil").assured(told, torch.tensor([0]), half, torch.tensor([False]))
    assert float(found[0][0, 0, 4, 4].sigmoid()) == pytest.approx(0.2, abs=1e-3)


def test_exact_labels_correct_the_boxes_of_their_cells(training: Any) -> None:
    # Two persons, of whom the teacher's box around (32, 32) is the better one of the second.
    cell, numbers = (0, 0, 4, 4), torch.tensor([0, 0, 1])
    told = answers({cell: 0.4, (1, 0, 4, 4): 0.4})
    boxes = torch.tensor([[16.0, 16.0, 36.0, 48.0], [18.0, 16.0, 46.0, 48.0], [0.0, 0.0, 8.0, 8.0]])
    found = training("distil").assured(told, numbers, boxes, torch.tensor([True, True, False]))
    assert (found[3][0, :, 4, 4] * 8).tolist() == [14.0, 16.0, 14.0, 16.0]
    assert float(found[0][0, 0, 4, 4].sigmoid()) == pytest.approx(0.7, abs=1e-3)
    assert torch.equal(found[3][1], told[3][1])
    # A cell outside the label's box cannot give it: its distances would be negative.
    assert torch.equal(found[3][0, :, 0, 0], told[3][0, :, 0, 0])
    assert all((sides > 0).all() for sides in found[3:])


@pytest.mark.parametrize(
    ("box", "level", "row", "column"),
    [
        ((8.0, 8.0, 32.0, 56.0), 0, 4, 2),
        ((2.0, 0.0, 62.0, 64.0), 0, 4, 4),
        ((-60.0, -60.0, 124.0, 124.0), 2, 1, 1),
    ],
)
def test_exact_labels_tell_of_persons_whom_the_teacher_does_not_see(
    training: Any, box: tuple[float, ...], level: int, row: int, column: int
) -> None:
    told = answers({})
    found = training("distil").assured(told, torch.tensor([1]), torch.tensor([box]), torch.tensor([True]))
    scores = [logits.sigmoid() for logits in found[:3]]
    assert float(scores[level][1, 0, row, column]) == pytest.approx(0.7, abs=1e-3)
    assert sum(int((score > 0.1).sum()) for score in scores) == 1
    stride = (8, 16, 32)[level]
    x, y = column * stride, row * stride
    wanted = [x - box[0], y - box[1], box[2] - x, box[3] - y]
    assert (found[3 + level][1, :, row, column] * stride).tolist() == pytest.approx(wanted)


@pytest.mark.parametrize("score", [0.02, 0.9])
def test_who_is_not_seen_or_is_sure_stays_as_is(training: Any, score: float) -> None:
    told = answers({(0, 0, 4, 4): score})
    boxes = torch.tensor([[16.0, 16.0, 48.0, 48.0]])
    found = training("distil").assured(told, torch.tensor([0]), boxes, torch.tensor([False]))
    for a, b in zip(found, told, strict=True):
        torch.testing.assert_close(a.sigmoid(), b.sigmoid())


def test_persons_are_labelled_where_nobody_was_added(training: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source, _ = person_on_green(training)
    script = training("train_detector")
    monkeypatch.setattr(script, "recolour", lambda random, canvas: canvas)
    monkeypatch.setattr(script, "crowd", lambda random, canvas, source, people: canvas)
    pixels, numbers, boxes, exact = next(iter(canvases(training, source, sides_px=(192,), size=8)))
    assert len(numbers) == len(boxes) == len(exact) > 4 and not exact.any()
    for number, box in zip(numbers.tolist(), boxes, strict=True):
        x1, y1, x2, y2 = box.round().int().tolist()
        reds = pixels[number, y1:y2, x1:x2, 2] > 127
        assert 0.6 < float(reds.float().mean()) < 0.95  # an ellipse in its box
        assert reds.any(0).float().mean() > 0.85 and reds.any(1).float().mean() > 0.85
    monkeypatch.setattr(script, "crowd", lambda random, canvas, source, people: canvas.copy())
    monkeypatch.setattr(script, "SYNTHETIC", 0.0)
    _, numbers, boxes, exact = next(iter(canvases(training, source)))
    assert numbers.shape == exact.shape == (0,) and boxes.shape == (0, 4)


def test_synthetic_scenes_are_labelled_exactly_and_nobody_stands_before_them(
    training: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, _ = person_on_green(training)
    script = training("train_detector")
    monkeypatch.setattr(script, "crowd", lambda random, canvas, source, people: canvas.copy())
    drawn = script.Canvases(source, source, sides_px=(192,), size=9, seed=1, spent=torch.tensor(0.0))
    _, numbers, boxes, exact = next(iter(drawn))
    assert exact.all() and set(numbers.tolist()) <= {0, 3, 6} and len(boxes) > 2


def test_a_start_goes_on_and_frozen_parts_stay(
    training: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = ROOT / "demo" / "rtmdet-nano-demo.pth"
    source, _ = person_on_green(training)
    script, clock = training("train_detector"), itertools.count(0.0, 0.1)
    monkeypatch.setattr(training("schedule"), "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(script, "read_photographs", lambda folder: source)
    monkeypatch.setattr(script, "read_synthetic", lambda folder: training("sources").Source([], []))
    output = tmp_path / "detector.pth"
    arguments = [
        *("train_detector", "--data", ".", "--synthetic", ".", "--teacher", str(start), "--batch", "2"),
        *("--start", str(start), "--frozen", "backbone.stem", "--sides", "64"),
        *("--minutes", "0.02", "-o", str(output)),
    ]
    monkeypatch.setattr("sys.argv", arguments)
    script.main()
    before, after = (load_model(path).network.state_dict() for path in (start, output))
    assert all(torch.equal(before[key], after[key]) for key in before if key.startswith("backbone.stem."))
    assert any(not torch.equal(before[key], after[key]) for key in before if key.startswith("bbox_head."))


def test_a_teacher_whose_answers_mean_something_else_is_refused(
    training: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = ROOT / "demo" / "rtmdet-nano-demo.pth"
    configuration = "model = dict(bbox_head=dict(type='RTMDetSepBNHead', num_classes=1, exp_on_reg=True))\n"
    tensors = torch.load(start, weights_only=True)["state_dict"]
    teacher = save(tmp_path / "teacher.pth", {"meta": {"cfg": configuration}, "state_dict": tensors})
    arguments = [
        *("train_detector", "--data", ".", "--synthetic", ".", "--teacher", str(teacher)),
        *("--start", str(start), "--minutes", "1", "-o", str(tmp_path / "detector.pth")),
    ]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit, match="exp_on_distances is True"):
        training("train_detector").main()
    assert not (tmp_path / "detector.pth").exists()
