"""Which layers of an ncnn network keep float32 at half precision."""

from __future__ import annotations

from pathlib import Path

from edgepose.converters.ncnn_float_head import keep_head_float

PARAM = """7767517
9 10
Input                    in0                      0 1 in0
Convolution              stem                     1 1 in0 1 0=8 1=3
Split                    split                    1 2 1 2 3
Convolution              branch                   1 1 2 4 0=8 1=3
BinaryOp                 sum                      2 1 3 4 5 0=0
Convolution              last                     1 1 5 6 0=17 1=7
MemoryData               constant                 0 1 7 0=17
BinaryOp                 scale                    2 1 6 7 8 0=2
Gemm                     classifier               1 1 8 out0 8=384
"""


def test_the_last_convolution_and_what_follows_stay_float(tmp_path: Path) -> None:
    param = tmp_path / "pose.param"
    param.write_text(PARAM, encoding="utf-8")
    assert keep_head_float(param) == ["last", "constant", "scale", "classifier"]
    before, after = PARAM.splitlines(), param.read_text(encoding="utf-8").splitlines()
    assert after[:2] == [before[0], "10 11"]
    assert after[2:7] == before[2:7]  # the backbone is left alone
    assert after[7].split() == ["Dropout", "float_5", "1", "1", "5", "5_float", "0=1.0"]
    assert after[8] == before[7].replace(" 5 6 ", " 5_float 6 ") + " 31=3"
    assert after[9:] == [f"{line} 31=3" for line in before[8:]]


def test_parallel_heads_both_stay_float(tmp_path: Path) -> None:
    param = tmp_path / "pose.param"
    param.write_text(
        "7767517\n5 5\n"
        "Convolution a 1 1 in0 1\nConvolution b 1 1 1 2\nConvolution c 1 1 1 3\n"
        "Concat join 2 1 2 3 4\nGemm out 1 1 4 out0\n",
        encoding="utf-8",
    )
    assert keep_head_float(param) == ["b", "c", "join", "out"]
    after = param.read_text(encoding="utf-8")
    assert after.count("Dropout") == 1  # both take the same tensor
