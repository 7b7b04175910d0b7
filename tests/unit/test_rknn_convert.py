"""RKNN conversion without the toolkit: chips, the worker's failures, graph passes, pre-flight, placement."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgepose import interrupts, log
from edgepose.calibration.rknn_int8 import RknnCalibrator
from edgepose.converters import base
from edgepose.converters.base import Children
from edgepose.converters.rknn import client, graph, preflight
from edgepose.converters.rknn.environment import Environment
from edgepose.converters.rknn.exporter import prepare
from edgepose.converters.rknn.soc import SOCS, check_precision, resolve_soc
from edgepose.errors import ConfigurationError, ConversionError, UsageError


def test_chips_are_known_by_any_spelling() -> None:
    assert resolve_soc("RK3588").name == resolve_soc(" rk3588s ").name == "rk3588"
    for wrong, close in (("rk3858", "rk3588"), ("rk-3566", "rk3566"), ("rv1160", "rv1106")):
        with pytest.raises(UsageError, match=f"unknown Rockchip SoC '{wrong}'") as caught:
            resolve_soc(wrong)
        assert close in (caught.value.hint or "")
    with pytest.raises(UsageError) as caught:
        resolve_soc("snapdragon")
    assert all(name in (caught.value.hint or "") for name in SOCS)
    for other in ("RV1126", "rk1808", "rk3399pro", "rk3528"):
        with pytest.raises(
            UsageError, match=f"rknn-toolkit2 does not compile for {other.lower()}$"
        ) as caught:
            resolve_soc(other)
        assert caught.value.hint == "for its CPU: --to ncnn"


def test_fp16_is_refused_where_the_npu_has_none() -> None:
    check_precision(SOCS["rk3588"], "fp16")
    with pytest.raises(
        UsageError, match="rv1106 cannot run a network at fp16: its NPU computes with integers"
    ):
        check_precision(SOCS["rv1106"], "fp16")
    for mode in ("mixed", "auto"):
        with pytest.raises(UsageError, match=f"rv1103 cannot run a network at {mode}"):
            RknnCalibrator("rv1103").check(mode)
    check_precision(SOCS["rv1106"], "int8")
    for chip, other in (("rk3588", "fp16"), ("rv1106", "int8")):
        with pytest.raises(UsageError, match="do not compute at fp32") as caught:
            check_precision(SOCS[chip], "fp32")
        assert caught.value.hint == f"give --precision {other}"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a job with a shell script in place of the environment's Python; $4 is the result file."""
    monkeypatch.setenv("EDGEPOSE_CACHE", str(tmp_path / "cache"))
    python = tmp_path / "environment" / "bin" / "python"
    python.parent.mkdir(parents=True)
    work = tmp_path / "work"
    work.mkdir()

    def run(script: str) -> client.Answer:
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
        return client.run_job(
            {"a": 1},
            title="net for rk3588",
            environment=Environment("ready", tmp_path / "environment", "2.5.0"),
            work_dir=work,
            children=Children(),
        )

    return run


def test_a_good_answer_is_read_and_its_log_kept(run: Any) -> None:
    ok = '{"ok": true, "step": "inference", "seconds": {"build": 1.5}}'
    answer = run(f"printf '\\033[1;31mhello\\033[0m'; echo '{ok}' > $4")
    assert answer.seconds == {"build": 1.5}
    assert answer.log_text == answer.log_file.read_text() == "hello"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'E RKNN: [01:02:03.4] too big'; echo more; kill -SEGV $$", r"crashed \(signal 11\): too big"),
        ("echo the last line; exit 3", r"crashed \(exit status 3\): the last line"),
        ("echo '{' > $4", "result cannot be read"),
        ("echo '[]' > $4", "result cannot be read"),
        (
            'printf "\\033[1;31mE\\033[0m \\033[1;31mbuild: no\\033[0m\\n";'
            'echo \'{"ok": false, "step": "build", "seconds": {}}\' > $4',
            "failed in build: build: no",
        ),
        (
            "echo 'I rknn building ...';"
            'echo \'{"ok": false, "step": "build", "seconds": {}, "message": "build answered -1"}\' > $4',
            "failed in build: build answered -1",
        ),
    ],
)
def test_every_failure_is_named_with_its_log(run: Any, script: str, words: str) -> None:
    with pytest.raises(ConversionError, match=words) as caught:
        run(script)
    assert caught.value.message.startswith("net for rk3588: rknn-toolkit2")
    if caught.value.hint:
        assert Path(caught.value.hint.removeprefix("its log: ")).is_file()


@pytest.mark.parametrize(
    "script",
    [
        "echo 'OSError: [Errno 28] No space left on device'; exit 1",
        'echo \'{"ok": false, "step": "build", "seconds": {}, "message": "No space left on device"}\' > $4',
    ],
)
def test_a_full_disk_is_not_the_networks_fault(run: Any, script: str) -> None:
    with pytest.raises(ConfigurationError, match=r"net for rk3588: .*No space left") as caught:
        run(script)
    assert "TMPDIR" in (caught.value.hint or "")


def test_what_every_build_calls_an_error_is_no_reason(run: Any) -> None:
    lines = r"E RKNN: [18:02:13.741] Unkown op target: 0\nE build: the true reason\n"
    with pytest.raises(ConversionError, match="exit status 1\\): build: the true reason"):
        run(f"printf '{lines}'; exit 1")


def test_a_toolkit_that_hangs_is_ended(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(client.TIMEOUT_VARIABLE, "0.5")
    with pytest.raises(ConversionError, match=r"was not done after 0\.5 s and was ended"):
        run("echo started; sleep 300 & sleep 300")
    (log,) = (tmp_path / "cache" / "rknn" / "logs").iterdir()
    assert log.read_text() == "started\n"
    for wrong in ("soon", "-1", "0", "nan"):
        monkeypatch.setenv(client.TIMEOUT_VARIABLE, wrong)
        with pytest.raises(ConfigurationError, match=client.TIMEOUT_VARIABLE):
            run("true")


def test_a_toolkit_whose_run_is_interrupted_is_ended(run: Any, tmp_path: Path) -> None:
    """A calibration runs it in the main thread, where a signal arrives in the middle of waiting for it."""
    process = tmp_path / "process"

    def interrupt() -> None:
        end_s = time.monotonic() + 60
        while not process.exists() and time.monotonic() < end_s:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with interrupts.answered(), pytest.raises(KeyboardInterrupt):
        run(f"echo $$ > '{process}.tmp'; mv '{process}.tmp' '{process}'; sleep 300")
    with pytest.raises(ProcessLookupError):
        os.kill(int(process.read_text()), 0)


def test_old_logs_are_removed(run: Any, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "rknn" / "logs"
    folder.mkdir(parents=True)
    for index in range(30):
        (folder / f"20000101-0000{index:02d}-old.log").write_text("old")
    with pytest.raises(ConversionError):
        run("exit 1")
    assert len(list(folder.iterdir())) == 20


def test_a_log_is_kept_where_the_clock_was_set_back(run: Any, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "rknn" / "logs"
    folder.mkdir(parents=True)
    for index in range(30):
        (folder / f"29990101-0000{index:02d}-late.log").write_text("late")
    with pytest.raises(ConversionError) as failed:
        run("exit 1")
    assert failed.value.hint is not None
    assert Path(failed.value.hint.removeprefix("its log: ")).is_file()


def _model(nodes: list[Any], opset: int = 17, dims: tuple[Any, ...] = (1, 2, 16, 16)) -> Any:
    onnx = pytest.importorskip("onnx", reason="optional: the extra convert is not installed")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    last = nodes[-1].output[0]
    values = [helper.make_tensor_value_info(name, kind, list(dims)) for name in ("x", last)]
    made = helper.make_graph(nodes, "g", values[:1], values[1:])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def _pool(side: int, **attributes: Any) -> Any:
    from onnx import helper

    values = {"kernel_shape": [side, side], "strides": [1, 1], "pads": [side // 2] * 4, **attributes}
    return helper.make_node("MaxPool", ["x"], ["y"], name=f"pool{side}", **values)


@pytest.mark.parametrize("side", [3, 5, 9, 13])
def test_cascaded_pools_are_the_same_maxima(side: int) -> None:
    pytest.importorskip("onnxruntime", reason="optional: the extra convert is not installed")
    import onnxruntime

    x = np.random.default_rng(side).standard_normal((1, 2, 16, 16), dtype=np.float32)

    def outputs(model: Any) -> Any:
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        return session.run(None, {"x": x})[0]

    before = outputs(_model([_pool(side)]))
    model, count = graph.cascade_pools(_model([_pool(side)]))
    assert count == (side > 5)
    assert all(
        max(n.attribute[0].ints) <= 5 for n in model.graph.node if n.attribute[0].name == "kernel_shape"
    )
    np.testing.assert_array_equal(outputs(model), before)


def test_pools_of_another_kind_are_left_alone() -> None:
    for node in (_pool(9, strides=[2, 2]), _pool(7), _pool(9, pads=[0, 0, 8, 8]), _pool(9, ceil_mode=1)):
        model, count = graph.cascade_pools(_model([node]))
        assert count == 0 and len(model.graph.node) == 1


def test_shapes_are_fixed_and_what_is_constant_folded() -> None:
    pytest.importorskip("onnxsim", reason="optional: the extra convert is not installed")
    from onnx import helper

    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Reshape", ["x", "s"], ["y"], name="r"),
    ]
    model, changed = graph.prepare(_model(nodes, dims=("n", 2, 16, 16)), "x", (1, 2, 16, 16))
    assert changed["fix shapes"] >= 1 and changed["cascade pools"] == 0
    assert [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim] == [1, 2, 16, 16]
    assert not any(node.op_type == "Shape" for node in model.graph.node)


def test_the_preflight_names_nodes() -> None:
    from onnx import helper

    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], name="turn", perm=[0, 1, 3, 2]),
        helper.make_node("NonMaxSuppression", ["t"], ["n"], name="nms"),
        helper.make_node("Conv", ["t"], ["c"], name="other", domain="com.example"),
        _pool(7),
    ]
    soc = SOCS["rk3566"]
    findings = preflight.check(_model(nodes, opset=20, dims=("n", 2, 16, 16)), soc)
    assert [finding.refused for finding in findings] == [True] * 5 + [False]
    text = preflight.refusal(findings) or ""
    for words in (
        "opset 20",
        "input x: the compiler takes no dynamic shape",
        "NonMaxSuppression nms",
        "Conv other",
        "pool7",
    ):
        assert words in text
    assert str(findings[-1]) == "Transpose turn: runs on the CPU of rk3566"
    assert preflight.check(_model(nodes[:1]), SOCS["rk3588"]) == []
    assert preflight.refusal(preflight.check(_model(nodes[:1]), soc)) is None


def test_a_node_that_the_npu_does_not_take_stops_the_conversion(tmp_path: Path) -> None:
    pytest.importorskip("onnxsim", reason="optional: the extra convert is not installed")
    onnx = pytest.importorskip("onnx", reason="optional: the extra convert is not installed")
    helper, kinds = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("Reshape", ["x", "dims"], ["boxes"]),
        helper.make_node("NonMaxSuppression", ["boxes", "scores"], ["y"], name="nms"),
    ]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", kinds.FLOAT, (1, 3, 4, 4))],
            [helper.make_tensor_value_info("y", kinds.INT64, (None, 3))],
            [
                helper.make_tensor("dims", kinds.INT64, (3,), (1, 12, 4)),
                helper.make_tensor("scores", kinds.FLOAT, (1, 1, 12), (0.5,) * 12),
            ],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    with pytest.raises(ConversionError, match=r"^net cannot run on rk3588: NonMaxSuppression nms: not known"):
        prepared(model, "rk3588", tmp_path)
    assert not (tmp_path / "prepared.onnx").exists()


@pytest.mark.parametrize(("turns", "told"), [(1, "1 node is"), (3, "3 nodes are")])
def test_a_node_that_leaves_the_npu_is_told(
    turns: int, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxsim", reason="optional: the extra convert is not installed")
    onnx = pytest.importorskip("onnx", reason="optional: the extra convert is not installed")
    nodes = []
    for n in range(turns):
        nodes.append(
            onnx.helper.make_node(
                "Transpose", [f"r{n}" if n else "x"], [f"t{n}"], f"turn{n}", perm=[0, 1, 3, 2]
            )
        )
        nodes.append(onnx.helper.make_node("Relu", [f"t{n}"], [f"r{n + 1}"], f"relu{n}"))
    prepared(_model(nodes, dims=(1, 3, 4, 4)), "rk3566", tmp_path)
    assert capsys.readouterr().err == (
        f"net: {told} known beforehand to leave the NPU of rk3566 (-v: which); the build says how many do\n"
    )


def test_all_nodes_that_the_npu_does_not_take_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxsim", reason="optional: the extra convert is not installed")
    onnx = pytest.importorskip("onnx", reason="optional: the extra convert is not installed")
    nodes = [
        onnx.helper.make_node("Sin", [f"s{n}" if n else "x"], [f"s{n + 1}"], f"sin{n}") for n in range(7)
    ]
    monkeypatch.setattr(log, "_level", log.VERBOSE)
    with pytest.raises(ConversionError, match=r"Sin sin4: .* and 2 more \(-v lists them\)$"):
        prepared(_model(nodes, dims=(1, 3, 4, 4)), "rk3588", tmp_path)
    told = capsys.readouterr().err
    assert all(f"net: Sin sin{n}: not known to run on a Rockchip NPU\n" in told for n in range(7))


@pytest.mark.parametrize(("free", "kind"), [(5_000_000, ConfigurationError), (50_000_000, ConversionError)])
def test_a_graph_that_cannot_be_prepared_is_told_from_a_full_disk(
    free: int, kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx = pytest.importorskip("onnx", reason="optional: the extra convert is not installed")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(base.shutil, "disk_usage", lambda path: usage._replace(free=free))
    monkeypatch.setattr(
        onnx, "save", lambda model, path: Path(path).write_bytes(b"no graph".ljust(6_000_000))
    )
    (tmp_path / "work").mkdir()
    with pytest.raises(kind, match=r"^preparing the graph for RKNN failed"):
        prepared(None, "rk3588", tmp_path, target=tmp_path / "work" / "prepared.onnx")


def prepared(model: Any, soc: str, folder: Path, target: Path | None = None) -> None:
    """Prepare a network of an input 4 by 4 for a chip."""
    import onnx

    onnx.save(model, str(folder / "net.onnx"))
    spec = SimpleNamespace(name="net", input_names=("x",), preprocess=SimpleNamespace(input_hw=(4, 4)))
    artifact: Any = SimpleNamespace(spec=spec, files={"onnx": folder / "net.onnx"})
    prepare(artifact, target or folder / "prepared.onnx", SOCS[soc])


def test_the_placement_is_read_from_the_log() -> None:
    log = (
        "D RKNN: [04:23] ID   OpType  DataType Target InputShape  OutputShape  Cycles  FullName\n"
        "D RKNN: [04:23] 0    InputOperator  FLOAT16  CPU    \\  (1,3,8,8)  0/0/0  0  InputOperator:input\n"
        "D RKNN: [04:23] 1    ConvExSwish  FLOAT16  NPU  (1,3,8,8)  (1,4,8,8)  1/2/3  9  Conv:/stem/Conv\n"
        "D RKNN: [04:23] 2    Transpose  FLOAT16  CPU  (1,4,8,8)  (1,8,8,4)  0/0/0  9  Transpose:/t#1_tp\n"
        "D RKNN: [04:23] 3    OutputOperator  FLOAT16  CPU  (1,8,8,4)  \\  0/0/0  9  OutputOperator:y\n"
    )
    placed = preflight.placement(log)
    assert placed is not None
    assert placed.on_npu == 1 and placed.elsewhere == (("Transpose", "/t#1_tp"),)
    assert placed.summary() == "1 of 2 layers run on the CPU: Transpose x1"
    assert preflight.Placement(3, ()).summary() == "all 3 layers run on the NPU"
    assert preflight.placement("nothing of the kind") is None
