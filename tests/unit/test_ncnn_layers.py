"""The layers of an ncnn network that can become int8: what is read of them, and columns of their input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgepose.calibration.ncnn_int8 import default_map
from edgepose.calibration.ncnn_layers import QuantisableLayer, quantisable_layers
from edgepose.calibration.ncnn_model import Layer, NcnnModel, raw, tagged

# ncnn's keys of a convolution: outputs, kernel (w, h), dilation, stride, border (left, top, right, bottom),
# bias, number of weights.
UNEVEN = {0: 4, 1: 2, 11: 3, 2: 1, 12: 2, 3: 2, 13: 1, 4: 1, 14: 2, 15: 3, 16: 4, 5: 1, 6: 72}


def layer(kind: str, name: str, reads: str, makes: str, params: dict[int, int | str]) -> Layer:
    """Make a layer with random weights."""
    random = np.random.default_rng(len(name))
    made = Layer(kind, name, [reads], [makes], {key: str(value) for key, value in params.items()})
    count = {"InnerProduct": 2, "Gemm": 0}.get(kind, 6)
    if kind == "Gemm":
        made.weights["weight"] = tagged(random.standard_normal(int(params[8]) * int(params[9])))
    elif count in params:
        made.weights["weight"] = tagged(random.standard_normal(int(params[count])))
    if params.get(5 if count == 6 else 1) == 1 and kind != "Gemm":
        made.weights["bias"] = raw(random.standard_normal(int(params[0])))
    return made


def network(*layers: Layer) -> NcnnModel:
    return NcnnModel([Layer("Input", "in0", [], ["in0"]), *layers])


def only(*layers: Layer) -> QuantisableLayer:
    (found,) = quantisable_layers(network(*layers))
    return found


def test_columns_give_the_convolution() -> None:
    conv = only(layer("Convolution", "conv", "in0", "out0", UNEVEN))
    assert (conv.kernel_hw, conv.stride_hw, conv.dilation_hw) == ((3, 2), (1, 2), (2, 1))
    assert (conv.padding_tl, conv.padding_br, conv.channels) == ((2, 1), (4, 3), 3)
    blob = np.random.default_rng(0).standard_normal((3, 7, 9)).astype(np.float32)
    padded = np.pad(blob, ((0, 0), (2, 4), (1, 3)))
    weight = conv.weight.reshape(4, 3, 3, 2)
    out_h, out_w = (7 + 6 - 4 - 1) + 1, (9 + 4 - 1 - 1) // 2 + 1
    wanted = np.zeros((out_h, out_w, 4))
    for y in range(out_h):
        for x in range(out_w):
            part = padded[:, y : y + 5 : 2, 2 * x : 2 * x + 2]
            wanted[y, x] = (weight * part).sum(axis=(1, 2, 3))
    order = np.random.default_rng(5).permutation(out_h * out_w)
    columns = conv.patches(blob, 1000, np.random.default_rng(5))
    assert columns @ conv.weight.T == pytest.approx(wanted.reshape(-1, 4)[order], abs=1e-4)
    assert np.array_equal(conv.patches(blob, 7, np.random.default_rng(5)), columns[:7])


def test_what_the_keys_leave_out_is_as_the_other_side() -> None:
    conv = only(layer("Convolution", "conv", "in0", "out0", {0: 4, 1: 3, 4: 1, 6: 108}))
    assert (conv.kernel_hw, conv.stride_hw, conv.dilation_hw) == ((3, 3), (1, 1), (1, 1))
    assert (conv.padding_tl, conv.padding_br, conv.bias) == ((1, 1), (1, 1), None)
    conv = only(layer("Convolution", "conv", "in0", "out0", {0: 4, 1: 3, 4: 1, 14: 2, 6: 108}))
    assert (conv.padding_tl, conv.padding_br) == ((2, 1), (2, 1))


def test_products_take_rows_and_whole_inputs() -> None:
    gemm = only(layer("Gemm", "gemm", "in0", "out0", {3: 1, 5: 1, 8: 10, 9: 6}))
    assert (gemm.weight.shape, gemm.channels, gemm.input_is_static) == ((10, 6), 6, False)
    blob = np.arange(30, dtype=np.float32).reshape(5, 6)
    rows = gemm.patches(blob, 3, np.random.default_rng(1))
    assert rows.shape == (3, 6) and {tuple(row) for row in rows} < {tuple(row) for row in blob}
    inner = only(layer("InnerProduct", "fc", "in0", "out0", {0: 6, 1: 1, 2: 192}))
    assert (inner.weight.shape, inner.channels, inner.input_is_static) == ((6, 32), 32, True)
    assert inner.patches(np.zeros((32, 1, 1), np.float32), 9, np.random.default_rng(1)).shape == (1, 32)


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("Convolution", {**UNEVEN, 8: 2}),  # int8 already
        ("Convolution", {**UNEVEN, 19: 1}),  # weights made at run time
        ("Convolution", {**UNEVEN, 4: -233}),  # automatic border
        ("Convolution", {**UNEVEN, 18: "0.5"}),  # a border of other values
        ("ConvolutionDepthWise", {0: 8, 1: 3, 6: 144, 7: 4}),  # groups of two channels
        ("Gemm", {3: 0, 5: 1, 8: 10, 9: 6}),
        ("Gemm", {2: 1, 3: 1, 5: 1, 8: 10, 9: 6}),
        ("Gemm", {3: 1, 5: 0, 8: 10, 9: 6}),
        ("Gemm", {3: 1, 5: 1, 8: 10, 9: 6, 18: 2}),
        ("Gemm", {0: "0.5", 3: 1, 5: 1, 8: 10, 9: 6}),
        ("Sigmoid", {}),
    ],
)
def test_what_cannot_become_int8_is_left_out(kind: str, params: dict[int, Any]) -> None:
    assert quantisable_layers(network(layer(kind, "one", "in0", "out0", params))) == []


def test_dense_layers_but_the_first_and_the_heads_are_worth_int8() -> None:
    def dense(name: str, reads: str, makes: str, channels: int) -> Layer:
        return layer("Convolution", name, reads, makes, {0: 24, 1: 1, 6: 24 * channels})

    model = network(
        dense("first", "in0", "a", 3),
        layer("ConvolutionDepthWise", "depth", "a", "b", {0: 24, 1: 3, 4: 1, 6: 216, 7: 24}),
        Layer("Split", "split", ["b"], ["c", "d"]),
        dense("thin", "c", "e", 23),
        dense("wide", "d", "f", 24),
        Layer("Sigmoid", "swish", ["f"], ["g"]),
        dense("deep", "g", "h", 24),
        dense("box", "h", "i", 24),
        Layer("Reshape", "reshape", ["i"], ["out0"]),
        layer("InnerProduct", "fc", "e", "j", {0: 6, 1: 0, 2: 144}),
        Layer("Sigmoid", "scores", ["j"], ["out1"]),
    )
    layers = quantisable_layers(model)
    assert [found.name for found in layers if found.feeds_output] == ["thin", "box", "fc"]
    assert [found.name for found in layers if found.reads_input] == ["first"]
    assert [found.blob for found in layers] == ["in0", "a", "b", "b", "g", "h", "e"]
    chosen = [name for name, precision in default_map(layers).items() if precision == "int8"]
    assert chosen == ["wide", "deep"]
