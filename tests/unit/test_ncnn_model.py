"""The reader and writer of ncnn's files: byte-for-byte round trips, and errors for damaged files."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepose.calibration.ncnn_layouts import KNOWN_LAYERS
from edgepose.calibration.ncnn_model import (
    TAG_FP16,
    TAG_FP32,
    TAG_INT8,
    NcnnModel,
    parse_model,
    raw,
    tagged,
)
from edgepose.converters.ncnn_param import NcnnModelError

PARAM = b"""7767517
5 6
Input                    in0                      0 1 in0
Convolution              conv_0                   1 1 in0 1 0=2 1=1 11=1 5=1 6=6
Split                    split_0                  1 2 1 2 3
MemoryData               shift                    0 1 4 0=3
BinaryOp                 add_0                    2 1 2 4 out0 0=0
"""


def small_bin(tag: int = TAG_FP32) -> bytes:
    weight = np.arange(6, dtype=np.float16 if tag == TAG_FP16 else np.float32)
    return struct.pack("<I", tag) + weight.tobytes() + np.arange(5, dtype=np.float32).tobytes()


@pytest.mark.parametrize("tag", [TAG_FP32, TAG_FP16])
def test_round_trip_of_a_small_network(tag: int) -> None:
    model = parse_model(PARAM, small_bin(tag))
    assert model.param_bytes() == PARAM
    assert model.bin_bytes() == small_bin(tag)
    conv = model.layer("conv_0")
    assert conv.weights["weight"].floats().tolist() == [0, 1, 2, 3, 4, 5]
    assert conv.weights["bias"].floats().tolist() == [0, 1]
    assert model.layer("shift").weights["data"].floats().tolist() == [2, 3, 4]
    assert model.source("3") == "1"


def test_padding_is_kept() -> None:
    param = PARAM.replace(b"6=6", b"6=5")
    weights = struct.pack("<I", TAG_FP16) + np.arange(5, dtype=np.float16).tobytes() + b"\x17\x2a" + bytes(20)
    assert parse_model(param, weights).bin_bytes() == weights


@given(
    st.integers(1, 6),
    st.integers(1, 40),
    st.sampled_from([np.float32, np.float16, np.int8]),
    st.integers(0, 2**32 - 1),
)
def test_round_trip_of_any_inner_product(rows: int, columns: int, dtype: type, seed: int) -> None:
    random = np.random.default_rng(seed)
    values = (random.standard_normal((rows, columns)) * 50).astype(dtype)
    model = parse_model(b"7767517\n1 1\nInput in0 0 1 in0\n", b"")
    line = f"InnerProduct fc 1 1 in0 out0 0={rows} 1=1 2={rows * columns}"
    layer = parse_model(
        f"7767517\n2 2\nInput in0 0 1 in0\n{line}\n".encode(),
        struct.pack("<I", 0) + bytes(4 * rows * (columns + 1)),
    ).layer("fc")
    layer.weights = {"weight": tagged(values), "bias": raw(random.standard_normal(rows))}
    if dtype is np.int8:
        layer.params[8] = "2"
        layer.weights |= {"weight_scales": raw(np.ones(rows)), "input_scales": raw(np.ones(1))}
    model = NcnnModel([*model.layers, layer])
    again = parse_model(model.param_bytes(), model.bin_bytes())
    assert again.bin_bytes() == model.bin_bytes()
    assert len(model.bin_bytes()) % 4 == 0
    stored = again.layer("fc").weights["weight"]
    assert stored.tag == {np.float32: TAG_FP32, np.float16: TAG_FP16, np.int8: TAG_INT8}[dtype]  # type: ignore[index]
    assert np.array_equal(stored.values, values.ravel())


DAMAGED: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes], str]] = {
    "empty": (lambda p: b"", lambda b: b, "does not begin with 7767517"),
    "binary": (lambda p: b"\xff\xfe" + p, lambda b: b, "not a text file"),
    "counts": (lambda p: p.replace(b"5 6", b"5 x"), lambda b: b, "not two counts"),
    "layer count": (lambda p: p.replace(b"5 6", b"6 6"), lambda b: b, "has 5 layers and declares 6"),
    "blob count": (lambda p: p.replace(b"5 6", b"5 7"), lambda b: b, "has 6 blobs and declares 7"),
    "same layer": (lambda p: p.replace(b"shift", b"add_0"), lambda b: b, "two layers named add_0"),
    "same blob": (lambda p: p.replace(b"0 1 4 0=3", b"0 1 3 0=3"), lambda b: b, "two layers make 3"),
    "no source": (lambda p: p.replace(b"1 1 in0 1", b"1 1 in7 1"), lambda b: b, "reads in7"),
    "few words": (lambda p: p.replace(b"1 1 in0 1 0=2", b"9 9 in0 1 0=2"), lambda b: b, "fewer blobs"),
    "no number": (lambda p: p.replace(b"0=2 1=1", b"0=two 1=1"), lambda b: b, "not a whole number"),
    "no parameter": (lambda p: p.replace(b"0=2 1=1", b"0=2 1"), lambda b: b, "not a parameter"),
    "twice": (lambda p: p.replace(b"0=2 1=1", b"0=2 0=1"), lambda b: b, "not a parameter"),
    "negative": (lambda p: p.replace(b"6=6", b"6=-6"), lambda b: b, "would have -6 values"),
    "huge": (lambda p: p.replace(b"6=6", b"6=99999999999"), lambda b: b, "would have 99999999999 values"),
    "unknown": (lambda p: p.replace(b"Convolution ", b"Convolution9"), lambda b: b, "type Convolution9"),
    "tag": (lambda p: p, lambda b: b"\x01\x02\x03\x04" + b[4:], "unknown storage tag 0x04030201"),
    "cut": (lambda p: p, lambda b: b[:-2], "end in the middle of data"),
    "long": (lambda p: p, lambda b: b + bytes(4), "the layers take"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_refused(name: str) -> None:
    change_param, change_bin, message = DAMAGED[name]
    with pytest.raises(NcnnModelError, match=message):
        parse_model(change_param(PARAM), change_bin(small_bin()))


@given(st.integers(0, len(PARAM) - 1), st.integers(0, 255))
def test_a_changed_byte_never_crashes(place: int, value: int) -> None:
    damaged = PARAM[:place] + bytes([value]) + PARAM[place + 1 :]
    try:
        model = parse_model(damaged, small_bin())
    except NcnnModelError:
        return
    assert model.bin_bytes() == small_bin()


def test_arrays_that_do_not_fit_their_line_are_not_written() -> None:
    model = parse_model(PARAM, small_bin())
    model.layer("conv_0").weights["weight"] = tagged(np.zeros(7, np.float32))
    with pytest.raises(NcnnModelError, match="7 values where 6 are expected"):
        model.bin_bytes()
    del model.layer("conv_0").weights["bias"]
    with pytest.raises(NcnnModelError, match="its parameters ask for weight, bias"):
        model.bin_bytes()


def test_the_runtime_has_every_layer_that_may_be_converted() -> None:
    recipe = Path(__file__, "../../../runtime_cpp/cmake/ncnn_from_source.cmake").resolve().read_text()
    found = re.search(r"set\(EDGEPOSE_NCNN_LAYERS\s([^)]*)\)", recipe)
    assert found is not None
    made_at_run_time = {"requantize"}  # by ncnn itself, between two layers in int8
    assert set(found.group(1).split()) - made_at_run_time == {name.lower() for name in KNOWN_LAYERS}
