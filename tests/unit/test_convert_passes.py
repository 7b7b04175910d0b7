"""Rewrites of ONNX graphs, and the small files that conversions write."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

onnx = pytest.importorskip("onnx", reason="optional: the extra convert is not installed")

from edgepose import log  # noqa: E402
from edgepose.artifact import Preprocess  # noqa: E402
from edgepose.converters import base, onnx_passes  # noqa: E402
from edgepose.converters.base import EXPORTERS, SOC_TARGETS, Context, absent, exporter, require, tool_versions  # noqa: E402
from edgepose.converters.dcc_file import write_dcc_file  # noqa: E402
from edgepose.converters.limits import LIMITS  # noqa: E402
from edgepose.converters.onnx_target import OnnxExporter  # noqa: E402
from edgepose.converters.samples import make_samples, picture_files  # noqa: E402
from edgepose.converters.to_ncnn import NcnnExporter  # noqa: E402
from edgepose.converters.to_openvino import OpenvinoExporter  # noqa: E402
from edgepose.errors import (  # noqa: E402
    ConfigurationError,
    ConversionError,
    EdgePoseError,
    MissingDependencyError,
    UsageError,
)
from edgepose.writers import write_picture  # noqa: E402

Array = NDArray[np.float32]

OFFSETS = [(0, 0), (1, 0), (0, 1), (1, 1)]


def _focus_graph(
    offsets: list[tuple[int, int]],
    *,
    kernel: int = 3,
    stride: int = 1,
    step: int = 2,
    group: int = 1,
    end: int = np.iinfo(np.int64).max,
    last_source: str = "input",
) -> Any:
    """Make a graph: four slices of the input, joined, then a convolution with a bias."""
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(7)
    weight = random.standard_normal((8, 12 // group, kernel, kernel)).astype(np.float32)
    constants = {
        "weight": weight,
        "bias": random.standard_normal(8).astype(np.float32),
        "ends": np.array([end] * 2),
        "axes": np.array([2, 3]),
        "steps": np.array([step, step]),
    }
    nodes = []
    for index, offset in enumerate(offsets):
        constants[f"starts{index}"] = np.array(offset)
        source = last_source if index == len(offsets) - 1 else "input"
        inputs = [source, f"starts{index}", "ends", "axes", "steps"]
        nodes.append(helper.make_node("Slice", inputs, [f"part{index}"]))
    nodes.append(helper.make_node("Concat", [f"part{i}" for i in range(len(offsets))], ["joined"], axis=1))
    pad = kernel // 2
    attributes = {"kernel_shape": [kernel] * 2, "pads": [pad] * 4, "strides": [stride] * 2, "group": group}
    nodes.append(helper.make_node("Conv", ["joined", "weight", "bias"], ["output"], **attributes))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 16, 24])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 8, None, None])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def _run(model: Any) -> Array:
    from onnx.reference import ReferenceEvaluator

    tensor = np.random.default_rng(8).standard_normal((1, 3, 16, 24)).astype(np.float32)
    result: Array = ReferenceEvaluator(model).run(None, {"input": tensor})[0]
    return result


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("offsets", [OFFSETS, OFFSETS[::-1]])
def test_slices_and_convolution_become_one_equal_convolution(
    kernel: int, stride: int, offsets: list[tuple[int, int]]
) -> None:
    model = _focus_graph(offsets, kernel=kernel, stride=stride)
    before = _run(model)
    assert onnx_passes.fold_space_to_depth(model) == 1
    assert [node.op_type for node in model.graph.node] == ["Conv"]
    assert len(model.graph.initializer) == 2
    onnx.checker.check_model(model)
    np.testing.assert_allclose(_run(model), before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"offsets": [(0, 0), (0, 0), (0, 1), (1, 1)]},
        {"offsets": OFFSETS, "step": 1},
        {"offsets": OFFSETS, "group": 2},
        {"offsets": [(0, 0), (2, 0), (0, 1), (1, 1)]},
        {"offsets": OFFSETS, "end": 14},
        {"offsets": OFFSETS, "last_source": "another"},
    ],
)
def test_anything_else_is_left_alone(options: dict[str, Any]) -> None:
    model = _focus_graph(**options)
    before = model.SerializeToString()
    assert onnx_passes.fold_space_to_depth(model) == 0
    assert model.SerializeToString() == before


def test_joined_slices_that_another_node_reads_are_left_alone() -> None:
    model = _focus_graph(OFFSETS)
    model.graph.node.append(onnx.helper.make_node("Relu", ["joined"], ["also"]))
    assert onnx_passes.fold_space_to_depth(model) == 0


def _dcc_weights() -> dict[str, Array]:
    points, channels, width, attention, inner, periods, x_bins, y_bins = 2, 3, 4, 5, 6, 7, 8, 9
    shapes: dict[str, tuple[int, ...]] = {
        "pose_weight": (points * width, channels),
        "pose_bias": (points * width,),
        "norm_gain": (1,),
        "uv_weight": (2 * inner + attention, width),
        "query_scale": (attention,),
        "query_offset": (points, attention),
        "key_scale": (attention,),
        "key_offset": (points, attention),
        "out_weight": (width, inner),
        "residual_scale": (width,),
        "x_weight": (width, 2 * periods),
        "y_weight": (width, 2 * periods),
        "frequencies": (periods,),
        "x_bins": (x_bins,),
        "y_bins": (y_bins,),
    }
    return {name: np.full(shape, i + 1, np.float32) for i, (name, shape) in enumerate(shapes.items())}


def test_the_classifiers_file_has_its_dimensions_and_arrays_in_order(tmp_path: Path) -> None:
    weights = _dcc_weights()
    write_dcc_file(weights, tmp_path / "x.dcc")
    data = (tmp_path / "x.dcc").read_bytes()
    assert data[:8] == b"EPDCC001"
    assert struct.unpack("<8I", data[8:40]) == (2, 3, 4, 5, 6, 7, 8, 9)
    assert data[40:] == b"".join(array.tobytes() for array in weights.values())


def test_every_target_has_an_exporter_that_names_its_tools() -> None:
    for target in EXPORTERS.keys() - SOC_TARGETS:
        found = exporter(target)
        assert (found.target, found.source) == (target, "onnx")
        assert absent(found.tools) == []
        assert all(tool_versions(found.tools).values())


def test_an_unknown_target_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="unknown target 'tflite'") as caught:
        exporter("tflite")
    assert all(target in (caught.value.hint or "") for target in EXPORTERS)
    for asked, instead in (("TensorRT", "--device TENSORRT"), ("tflite", "--to ncnn"), ("coreml", "nothing")):
        with pytest.raises(UsageError) as caught:
            exporter(asked)
        assert instead in (caught.value.hint or "")


def test_an_absent_tool_is_a_missing_dependency(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert absent(("pnnx",)) == ["pnnx"]
    with pytest.raises(MissingDependencyError, match="pnnx is not installed") as caught:
        require(("pnnx",), purpose="convert to ncnn")
    assert caught.value.hint == "pip install 'edgepose[convert]'"


def test_half_precision_has_the_wider_limits() -> None:
    narrow, wide = LIMITS["fp32"], LIMITS["fp16"]
    assert (narrow.mean_px, wide.mean_px) == (0.1, 0.3)
    assert narrow.cosine > wide.cosine and narrow.recall > wide.recall


def _artifact(path: Path) -> Any:
    from edgepose.artifact import Artifact, BoxHead, ModelSpec, Preprocess

    spec = ModelSpec(
        name="toy",
        family="rtmdet",
        task="detect",
        preprocess=Preprocess("letterbox", (16, 24), "bgr", (0, 0, 0), (1, 1, 1), (0, 0, 0)),
        head=BoxHead((8,), False, ("person",), 0.1, 0.5, 10, 10),
        input_names=("input",),
        output_names=("output",),
        license="none",
        parameters=1,
    )
    return Artifact(
        spec, "onnx", "fp32", {"onnx": path}, {"input": (-1, 3, 16, 24)}, {"output": (-1, 8, 8, 12)}
    )


def test_what_pnnx_leaves_unconverted_is_refused_by_name(tmp_path: Path) -> None:
    onnx.save(_focus_graph(OFFSETS), str(tmp_path / "x.onnx"))
    (tmp_path / "work").mkdir()
    with pytest.raises(ConversionError, match=r"operators that ncnn does not have: Tensor\.slice"):
        NcnnExporter().run(_artifact(tmp_path / "x.onnx"), Context(tmp_path / "work", "fp32"))


_TOOLS = [NcnnExporter, OpenvinoExporter, OnnxExporter]


def _failed(kind: Any, folder: Path, **context: Any) -> EdgePoseError:
    """Convert what is no graph, of 6 MB; give the error."""
    (folder / "x.onnx").write_bytes(b"no graph at all".ljust(6_000_000))
    (folder / "work").mkdir()
    with pytest.raises(EdgePoseError) as caught:
        kind().run(_artifact(folder / "x.onnx"), Context(folder / "work", "fp32", **context))
    return caught.value


def _free(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Let the disk have so many bytes left."""
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(base.shutil, "disk_usage", lambda path: usage._replace(free=count))


@pytest.mark.parametrize("kind", _TOOLS)
def test_a_tool_that_fails_is_a_conversion_error(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(log, "_level", log.VERBOSE)
    error = _failed(kind, tmp_path)
    assert type(error) is ConversionError and "failed: " in error.message
    assert "-v" in (error.hint or "")
    told = capsys.readouterr().err
    assert "pnnx wrote:" in told if kind is NcnnExporter else " raised " in told


@pytest.mark.parametrize("kind", _TOOLS)
def test_a_tool_that_fails_with_too_little_space_is_no_fault_of_the_network(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it removed the file that it could not finish, as OpenVINO does."""
    _free(monkeypatch, 5_000_000)
    error = _failed(kind, tmp_path)
    assert isinstance(error, ConfigurationError) and "TMPDIR" in (error.hint or "")
    needed = "34.2" if kind is NcnnExporter else "10.2"
    assert f"too little space in {tmp_path}: room for 5.0 MB, up to {needed} MB needed" in error.message


# As pnnx leaves it on a full disk: cut off after some blocks.
_CUT_SHORT = "7767517\n2 2\nInput in0 0 1 in0\nConvolutionDepthW"


@pytest.mark.parametrize("text", [_CUT_SHORT, _CUT_SHORT[: _CUT_SHORT.rindex("\n")], ""])
@pytest.mark.parametrize("full", [True, False])
def test_a_model_that_pnnx_cut_short_is_refused(
    full: bool, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(argv: list[str], *, cwd: Path) -> tuple[int, str]:
        (cwd / "detector.param").write_text(text)
        (cwd / "detector.bin").write_bytes(bytes(25_000_000))
        return 0, "pnnx is content"

    # With the 25 MB that were written there was room for 35 MB.
    _free(monkeypatch, 0 if full else 10_000_000)
    error = _failed(NcnnExporter, tmp_path, children=SimpleNamespace(run=run))
    assert type(error) is (ConfigurationError if full else ConversionError)
    assert error.message.startswith("pnnx failed")


def test_all_that_a_tool_says_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for level, told in ((log.NORMAL, ""), (log.VERBOSE, "a tool raised ValueError: wrong\nin line 7\n")):
        monkeypatch.setattr(log, "_level", level)
        error = base.tool_failure("a tool", ValueError("wrong\nin line 7"), folder=tmp_path, writes_bytes=0)
        assert (error.message, error.exit_code) == ("a tool failed: wrong", 5)
        assert capsys.readouterr().err == told


@pytest.mark.parametrize(
    "lacking",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] . can't allocate memory"),
        RuntimeError("can't start new thread"),
    ],
)
def test_a_lack_of_memory_or_threads_is_no_failure_of_the_tool(lacking: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(lacking)) as caught:
        base.tool_failure("a tool", lacking, folder=tmp_path, writes_bytes=0)
    assert caught.value is lacking


def test_pictures_to_compare_on_are_read_as_all_others(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.tif", np.full((8, 8, 3), 7, np.uint8))
    write_picture(tmp_path / "b.png", np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8))
    data = (tmp_path / "b.png").read_bytes()
    (tmp_path / "b.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "._a.tif").write_bytes(b"a Mac's notes")
    files = picture_files(tmp_path)
    assert [file.name for file in files[-2:]] == ["a.tif", "b.png"]
    spec = Preprocess("letterbox", (32, 32), "bgr", (0, 0, 0), (1, 1, 1), (114, 114, 114))
    with pytest.raises(UsageError, match=r"b\.png: the picture is cut short"):
        make_samples(spec, files)
