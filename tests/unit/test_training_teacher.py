"""The second teacher of the pose network: its files, its opinion of labels, its lesson."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

Weights = dict[str, np.ndarray]


def _graph(folder: Path, weights: Weights, nodes: list[dict[str, Any]]) -> Path:
    """Write a tf.js graph model whose first weights are half precision."""
    entries, stored = [], b""
    for name, values in weights.items():
        half = values.dtype == np.float32
        entry: dict[str, Any] = {"name": name, "shape": list(values.shape), "dtype": str(values.dtype)}
        entries.append({**entry, "quantization": {"dtype": "float16"}} if half else entry)
        stored += (values.astype(np.float16) if half else values).tobytes()
    (folder / "half.bin").write_bytes(stored[:7])
    (folder / "rest.bin").write_bytes(stored[7:])
    constants = [{"name": name, "op": "Const", "attr": {}} for name in weights]
    document = {
        "modelTopology": {"node": [*constants, *nodes]},
        "weightsManifest": [{"paths": ["half.bin", "rest.bin"], "weights": entries}],
    }
    (folder / "model.json").write_text(json.dumps(document))
    return folder / "model.json"


def _node(
    name: str, operation: str, *inputs: str, stride: int = 1, fused: tuple[str, ...] = ()
) -> dict[str, Any]:
    attributes: dict[str, Any] = {"strides": {"list": {"i": ["1", str(stride), str(stride), "1"]}}}
    if fused:
        attributes["fused_ops"] = {"list": {"s": [base64.b64encode(f.encode()).decode() for f in fused]}}
    return {"name": name, "op": operation, "input": list(inputs), "attr": attributes}


def test_a_graph_of_tf_js_computes_what_it_says(training: Any, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    weights = {
        "k1": random.normal(0, 0.5, (3, 3, 3, 4)).astype(np.float16).astype(np.float32),
        "b1": random.normal(0, 0.5, 4).astype(np.float16).astype(np.float32),
        "k2": random.normal(0, 0.5, (3, 3, 4, 1)).astype(np.float16).astype(np.float32),
        "k3": random.normal(0, 0.5, (1, 1, 4, 4)).astype(np.float16).astype(np.float32),
        "n": np.array([7], np.int32),
    }
    start = "StatefulPartitionedCall/sub_1"
    nodes = [
        {"name": start, "op": "Sub", "input": ["x", "n"], "attr": {}},
        _node("a", "_FusedConv2D", start, "k1", "b1", stride=2, fused=("BiasAdd", "Relu6")),
        _node("b", "DepthwiseConv2dNative", "a", "k2"),
        _node("c", "_FusedConv2D", "b", "k3", "b1", fused=("BiasAdd",)),
        _node("d", "AddV2", "c", "a"),
        _node("up", "ResizeBilinear", "d", "n"),
        _node("far/e", "Sigmoid", "up"),
        _node("other", "ArgMax", "c"),
    ]
    movenet = training("movenet")
    model = _graph(tmp_path, weights, nodes)
    pixels = torch.from_numpy(random.normal(0, 1, (2, 3, 8, 6)).astype(np.float32))
    k1, b1, k2, k3 = (torch.from_numpy(weights[name]) for name in ("k1", "b1", "k2", "k3"))
    # TensorFlow pads maps of even sides behind them alone where it takes every second place.
    a = functional.conv2d(functional.pad(pixels, (0, 1, 0, 1)), k1.permute(3, 2, 0, 1), b1, 2).clamp(0, 6)
    b = functional.conv2d(a, k2.permute(2, 3, 0, 1), padding=1, groups=4)
    c = functional.conv2d(b, k3.permute(3, 2, 0, 1), b1)
    with torch.no_grad():
        first, last = movenet.Maps(model, ("b", "far/e"))(pixels)
    torch.testing.assert_close(first, b)
    wanted = functional.interpolate(c + a, scale_factor=2, mode="bilinear", align_corners=False).sigmoid()
    torch.testing.assert_close(last, wanted)
    with pytest.raises(ValueError, match="ArgMax is not known"):
        movenet.Maps(model, ("other",))


BOX = np.array([100, 50, 80, 160], np.float32)


def _answers(places: np.ndarray, scores: np.ndarray, apart: float = 0.0) -> np.ndarray:
    both = np.stack([np.column_stack([places, scores])] * 2).astype(np.float32)
    both[0, :, 0] -= apart / 2
    both[1, :, 0] += apart / 2
    return both


def test_an_answer_counts_where_both_pictures_give_it(training: Any) -> None:
    opinion = training("second_opinion")
    places = np.tile(np.float32([140, 130]), (17, 1))
    scores = np.where(np.arange(17) == 3, 0.3, 0.9)
    sure, mean = opinion.firm(_answers(places, scores, apart=6.0), BOX)
    assert np.allclose(mean[:, :2], places)
    # Six pixels of a person of this size are more than the tolerance of a face, and less than that of a hip.
    assert not sure[:5].any() and sure[5:].all()
    assert opinion.firm(_answers(places, scores), BOX)[0].tolist() == [k != 3 for k in range(17)]


def test_labels_of_main_persons_are_moved_weighed_and_made(training: Any) -> None:
    opinion = training("second_opinion")
    labels = np.tile(np.float32([140, 130, 0.5]), (17, 1))
    labels[5] = 0
    mean = np.tile(np.float32([140, 130, 0.9]), (17, 1))
    mean[6, 0], mean[7, 0], mean[8, 0], mean[9, 0] = 143, 190, 190, 190
    mean[9, 2] = 0.4
    checked = np.arange(17) == 7
    sure = np.arange(17) != 10
    found = opinion.main_person(labels, checked, (sure, mean), BOX)
    assert found[5].tolist() == [140, 130, 0.5]  # there was none
    assert found[6].tolist() == [141, 130, 0.75]  # near: a third of the way
    assert found[7].tolist() == [140, 130, 0.25]  # far from what a human and a network saw
    assert np.allclose(found[8], [190, 130, 0.4])  # far from what one network saw
    assert found[9].tolist() == [140, 130, 0.25]  # the same, and not so sure
    assert found[10].tolist() == labels[10].tolist()


def test_a_bystander_is_not_the_main_person(training: Any) -> None:
    opinion = training("second_opinion")
    mean = np.column_stack([np.linspace(110, 170, 17), np.linspace(60, 200, 17), np.full(17, 0.9)])
    mean = mean.astype(np.float32)
    sure, nobody = np.ones(17, bool), np.zeros((17, 3), np.float32)
    mean[0, 0] = 400  # outside the box
    found = opinion.bystander(None, (sure, mean), BOX, nobody)
    assert found[0].tolist() == [0, 0, 0] and np.allclose(found[1:, :2], mean[1:, :2])
    assert (found[1:, 2] == 0.5).all()
    own = np.column_stack([mean[:, :2] + 0.5, np.full(17, 0.25)]).astype(np.float32)
    own[4, 0] += 60
    found = opinion.bystander(own, (sure, mean), BOX, nobody)
    assert np.allclose(found[7], [*(mean[7, :2] + 0.25), 0.8]) and np.allclose(found[4], [*mean[4, :2], 0.35])
    main = np.column_stack([mean[:, :2], np.ones(17)]).astype(np.float32)
    assert not opinion.bystander(None, (sure, mean), BOX, main).any()


def test_a_lesson_is_learnt(training: Any) -> None:
    lesson = training("lesson")
    torch.manual_seed(0)
    own = [torch.randn(8, 6, 16, 12), torch.randn(8, 10, 8, 6)]
    mixed = [torch.randn(3, 6), torch.randn(5, 10)]
    targets = [torch.einsum("oc,nchw->nohw", m, x) * 9 + 4 for m, x in zip(mixed, own, strict=True)]
    made = lesson.Lesson([6, 10], [3, 5])
    optimiser = torch.optim.Adam(made.parameters(), 0.03)
    losses = []
    for _ in range(150):
        loss = made(own, targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 20
    assert (lesson.weight(0.0), lesson.weight(1.0)) == (1.0, pytest.approx(0.2))
