"""The blocks that rknn-toolkit2's optimised graph is cut into."""

from __future__ import annotations

from edgepose.calibration.agreement import Agreement
from edgepose.calibration.rknn_blocks import Node, blocks
from edgepose.calibration.search import Budget

_STAGE = "/backbone/stage1/stage1.1"
_POSE: list[Node] = [
    ("exDataConvert", "input__cvt_float32_to_int8", ["input"], ["input_int8"]),
    ("Conv", "/backbone/stem/stem.0/conv/Conv", ["input_int8", "w"], ["s"]),
    ("exSwish", "/backbone/stem/stem.0/activate/Mul_2exswish", ["s"], ["t"]),
    ("Conv", f"{_STAGE}/main_conv/conv/Conv", ["t", "w"], ["m"]),
    ("Conv", f"{_STAGE}/blocks/blocks.0/conv1/conv/Conv", ["m", "w"], ["n"]),
    ("Split", "m_split", ["n", "k"], ["u", "v"]),
    ("Resize", "/neck/Resize", ["u"], ["r"]),
    ("Conv", "/head/final_layer/Conv_tile0", ["r", "w"], ["f"]),
    ("Conv", "/head/mlp/mlp.1/MatMul#2", ["f"], ["g"]),
    ("Conv", "/head/cls_x/MatMul#2", ["g"], ["simcc_x_mm"]),
    ("Transpose", "simcc_x_mm_tp", ["simcc_x_mm"], ["simcc_x_int8"]),
    ("exDataConvert", "simcc_x__cvt", ["simcc_x_int8"], ["simcc_x"]),
]


def test_nodes_are_gathered_by_module() -> None:
    tensors = {name for *_, results in _POSE for name in results} - {"r"}
    found = blocks(_POSE, tensors, ["simcc_x"])
    assert list(found) == [
        "backbone/stem/stem.0",
        "backbone/stage1/stage1.1",
        "head/final_layer",
        "head/mlp/mlp.1",
        "head/cls_x",
    ]
    # A node without a path follows what it reads, one tensor stands for a node, and none without a range.
    assert found["backbone/stem/stem.0"].tensors == ("s", "t")
    assert found["backbone/stage1/stage1.1"].tensors == ("m", "n", "u")
    assert found["backbone/stage1/stage1.1"].kind == "Conv x2"
    assert found["head/cls_x"].tensors == ("simcc_x_mm", "simcc_x_int8")
    assert [name for name, block in found.items() if block.is_head] == list(found)[2:]


def test_the_last_layers_of_a_detector_are_heads() -> None:
    nodes: list[Node] = [
        ("Conv", "/bbox_head/cls_convs.0.0/conv/Conv", ["x", "w"], ["c"]),
        ("Conv", "/bbox_head/rtm_cls.0/Conv", ["c", "w"], ["cls_8_int8"]),
        ("exDataConvert", "cls_8__cvt_int8_to_float16", ["cls_8_int8"], ["cls_8"]),
        ("Conv", "/bbox_head/rtm_reg.0/Conv", ["c", "w"], ["box_8"]),
    ]
    found = blocks(nodes, {"c", "cls_8_int8", "box_8"}, ["cls_8", "box_8"])
    assert {name: block.is_head for name, block in found.items()} == {
        "bbox_head/cls_convs.0.0": False,
        "bbox_head/rtm_cls.0": True,
        "bbox_head/rtm_reg.0": True,
    }


def test_a_budget_may_limit_the_mean_too() -> None:
    figures = Agreement(10, mean_px=0.6, p95_px=0.9, max_px=2, similarity=0.999, output_error=0)
    plain = Budget(similarity=0.995, p95_px=1.0)
    assert plain.allows(figures) and plain.to_json() == {"similarity": 0.995, "p95_px": 1.0}
    assert Budget(similarity=0.995, p95_px=1.0, mean_px=0.6).allows(figures)
    assert not Budget(similarity=0.995, p95_px=1.0, mean_px=0.5).allows(figures)
