"""The canonical ONNX graph: half-precision-safe ScaleNorm, halved weights, no trace of where it was made."""

from __future__ import annotations

import math
import os
import signal
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgepose.converters.to_onnx import SAFE_SUM_OF_SQUARES, choose_prescale

torch = pytest.importorskip("torch", reason="optional: the extra convert is not installed")
onnx = pytest.importorskip("onnx", reason="optional: the extra convert is not installed")

from edgepose import interrupts, log  # noqa: E402
from edgepose.artifact import KeypointSet, ModelSpec, Preprocess, SimccHead  # noqa: E402
from edgepose.converters import onnx_passes, to_onnx  # noqa: E402
from edgepose.converters.base import Context  # noqa: E402
from edgepose.converters.samples import Sample  # noqa: E402
from edgepose.errors import ConversionError  # noqa: E402
from edgepose.nets.gau import GauDims, ScaleNorm  # noqa: E402
from edgepose.nets.rtmpose import RtmposeHead, SimccHeadDims  # noqa: E402

Array = NDArray[np.float32]

HEIGHT, WIDTH, KEYPOINTS = 64, 48, 5
SPEC = ModelSpec(
    name="toy",
    family="rtmpose",
    task="pose",
    preprocess=Preprocess("affine", (HEIGHT, WIDTH), "rgb", (0, 0, 0), (1, 1, 1), (0, 0, 0), 1.25),
    head=SimccHead(2.0, KeypointSet("five", tuple("abcde"), (), (), (0.05,) * KEYPOINTS)),
    input_names=("input",),
    output_names=("simcc_x", "simcc_y"),
    license="Apache-2.0",
    parameters=1,
)


class Toy(torch.nn.Module):  # type: ignore[misc]
    """A stem of one convolution, loud enough for half precision to fail, and the head of RTMPose."""

    def __init__(self, loudness: float) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 8, 8, stride=8)
        dims = SimccHeadDims(8, KEYPOINTS, 3, 48, GauDims(32, 64, 16), (2 * WIDTH, 2 * HEIGHT))
        self.head = RtmposeHead(dims)
        self.loudness = loudness

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        outputs: tuple[torch.Tensor, torch.Tensor] = self.head(self.stem(x) * self.loudness)
        return outputs


def _toy(loudness: float) -> Toy:
    torch.manual_seed(3)
    return Toy(loudness).eval().requires_grad_(False)


def _samples() -> list[Sample]:
    random = np.random.default_rng(5)
    return [
        Sample(str(i), random.standard_normal((1, 3, HEIGHT, WIDTH)).astype(np.float32), is_real=True)
        for i in range(3)
    ]


@pytest.mark.parametrize("call", [1, 3], ids=["before", "behind"])
def test_ctrl_c_leaves_the_terminal_to_its_line(call: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The streams of the process are elsewhere while a tool is at work."""
    calls: list[int] = []

    def interrupted(source: int, target: int) -> int:
        calls.append(target)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGINT)
        return dup2(source, target)

    dup2 = os.dup2
    monkeypatch.setattr(os, "dup2", interrupted)
    before = [os.fstat(number).st_ino for number in (1, 2)]
    try:
        with interrupts.answered(), pytest.raises(KeyboardInterrupt):
            with to_onnx._collected_chatter("tool"):
                time.sleep(2 if call == 1 else 0)
            time.sleep(2)
        after = [os.fstat(number).st_ino for number in (1, 2)]
    finally:
        interrupts.forget()
    assert after == before and len(calls) == 4


def _export(folder: Path, network: Toy) -> tuple[Path, to_onnx.References, dict[str, float]]:
    folder.mkdir()
    references = to_onnx.run_reference(network, SPEC, _samples())
    artifact = to_onnx.export_canonical(
        network, SPEC, checkpoint_sha256="0" * 64, references=references, context=Context(folder, "fp32")
    )
    return artifact.files["onnx"], references, artifact.lineage[0].arguments["prescale"]


def _run_in_half_precision(path: Path, tensor: Array) -> list[Array]:
    """Run a graph with every number and every operation in float16, as a phone's half-precision unit does."""
    from onnx import TensorProto, numpy_helper
    from onnx.reference import ReferenceEvaluator

    model = onnx.load(str(path))
    tensors = [*model.graph.initializer]
    tensors += [a.t for node in model.graph.node for a in node.attribute if a.name == "value"]
    for item in tensors:
        if item.data_type == TensorProto.FLOAT:
            item.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(item).astype(np.float16), item.name))
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    del model.graph.value_info[:]
    with np.errstate(all="ignore"):
        outputs = ReferenceEvaluator(model).run(None, {"input": tensor.astype(np.float16)})
    assert all(output.dtype == np.float16 for output in outputs)
    return [output.astype(np.float32) for output in outputs]


def _relative(reference: list[Array], found: list[Array]) -> float:
    with np.errstate(invalid="ignore"):
        return max(
            float(np.abs(a - b).max() / np.abs(a).max()) if np.isfinite(b).all() else float("inf")
            for a, b in zip(reference, found, strict=True)
        )


def test_the_loudest_sample_is_measured_wherever_it_comes() -> None:
    """The prescale must fit all of them."""
    samples = _samples()
    for sample, factor in zip(samples, (1, 8, 2), strict=True):
        sample.tensor[:] *= factor
    every = to_onnx.run_reference(_toy(1.0), SPEC, samples).sums_of_squares
    alone = [to_onnx.run_reference(_toy(1.0), SPEC, [sample]).sums_of_squares for sample in samples]
    assert every == {name: max(found[name] for found in alone) for name in ("head.mlp.0", "head.gau.ln")}
    assert every["head.mlp.0"] == alone[1]["head.mlp.0"] > alone[2]["head.mlp.0"]


def test_half_precision_fails_without_the_prescale_and_is_right_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = _toy(400.0)
    safe, references, prescales = _export(tmp_path / "safe", network)
    assert min(prescales.values()) < 1
    assert max(references.sums_of_squares.values()) > 65504
    monkeypatch.setattr(to_onnx, "choose_prescale", lambda sum_of_squares: 1.0)
    plain, _, _ = _export(tmp_path / "plain", network)
    for sample, reference in zip(_samples(), references.outputs, strict=True):
        assert _relative(reference, _run_in_half_precision(safe, sample.tensor)) < 0.02
        assert _relative(reference, _run_in_half_precision(plain, sample.tensor)) > 0.5


def test_the_prescale_leaves_single_precision_as_it_was(tmp_path: Path) -> None:
    network = _toy(400.0)
    path, references, _ = _export(tmp_path / "x", network)
    for reference, found in zip(references.outputs, to_onnx.run_onnx(path, SPEC, _samples()), strict=True):
        assert _relative(reference, found) < 1e-5


def test_a_quiet_network_needs_no_prescale(tmp_path: Path) -> None:
    _, references, prescales = _export(tmp_path / "x", _toy(0.01))
    assert set(prescales) == set(references.sums_of_squares) == {"head.mlp.0", "head.gau.ln"}
    assert prescales["head.mlp.0"] == 1


@given(st.floats(0, 1e12))
def test_the_prescale_is_the_largest_power_of_two_that_is_safe(sum_of_squares: float) -> None:
    scale = choose_prescale(sum_of_squares)
    assert 0 < scale <= 1 and np.frexp(scale)[0] == 0.5
    assert sum_of_squares * scale**2 < SAFE_SUM_OF_SQUARES
    assert scale == 1 or sum_of_squares * (2 * scale) ** 2 >= SAFE_SUM_OF_SQUARES


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_prescale_saves_what_is_not_finite(value: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        choose_prescale(value)


def test_the_graph_takes_any_batch(tmp_path: Path) -> None:
    path, references, _ = _export(tmp_path / "x", _toy(1.0))
    import onnxruntime

    batch = np.concatenate([s.tensor for s in _samples()])
    found = onnxruntime.InferenceSession(str(path)).run(None, {"input": batch})
    for index, outputs in enumerate(references.outputs):
        assert _relative(outputs, [a[index : index + 1] for a in found]) < 1e-4


def test_the_graph_uses_reduce_l2_at_opset_17_and_names_no_folder(tmp_path: Path) -> None:
    path, _, _ = _export(tmp_path / "x", _toy(1.0))
    model = onnx.load(str(path))
    assert [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")] == [17]
    assert sum(node.op_type == "ReduceL2" for node in model.graph.node) == 2
    assert b"site-packages" not in path.read_bytes()
    assert str(Path(to_onnx.__file__).parent).encode() not in path.read_bytes()


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    first, _, _ = _export(tmp_path / "a", _toy(1.0))
    second, _, _ = _export(tmp_path / "b", _toy(1.0))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("verbose", [True, False])
def test_what_a_tool_wrote_before_it_failed_is_shown(
    verbose: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        os.write(1, b"from C++\n")
        warnings.warn("doubtful", stacklevel=1)
        raise RuntimeError("no such operator\nat line 7")

    monkeypatch.setattr(torch.onnx, "export", fail)
    monkeypatch.setattr(log, "_level", log.VERBOSE if verbose else log.NORMAL)
    with pytest.raises(ConversionError, match=r"^the export to ONNX failed: no such operator$"):
        _export(tmp_path / "x", _toy(1.0))
    told = (
        "torch.onnx: doubtful\n"
        "torch.onnx: from C++\n"
        "the export to ONNX raised RuntimeError: no such operator\nat line 7\n"
    )
    assert capfd.readouterr() == ("", told if verbose else "")


def test_a_network_that_gives_nan_is_refused_by_name() -> None:
    network = _toy(1.0)
    network.head.cls_y.weight[0, 0] = float("nan")
    with pytest.raises(ConversionError, match="toy: the network itself puts out NaN or infinity in simcc_y"):
        to_onnx.run_reference(network, SPEC, _samples())


def test_halved_weights_halve_the_file_and_keep_the_function(tmp_path: Path) -> None:
    path, references, _ = _export(tmp_path / "x", _toy(1.0))
    model = onnx.load(str(path))
    assert onnx_passes.halve_weights(model) > 4
    onnx.checker.check_model(model)
    half = tmp_path / "half.onnx"
    onnx.save(model, str(half))
    assert half.stat().st_size < 0.65 * path.stat().st_size
    # An eps does not survive half precision, and few numbers make no file smaller.
    small = [t for t in model.graph.initializer if math.prod(t.dims) < 64]
    assert small and not any(t.data_type == onnx.TensorProto.FLOAT16 for t in small)
    for reference, found in zip(references.outputs, to_onnx.run_onnx(half, SPEC, _samples()), strict=True):
        assert _relative(reference, found) < 5e-3


def test_a_weight_beyond_half_precision_is_named() -> None:
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(np.full((100,), 70000, np.float32), "w")
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [100])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [100])
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [value], [result], [weight])
    with pytest.raises(ValueError, match="the weight w does not fit half precision"):
        onnx_passes.halve_weights(helper.make_model(graph))


def test_scale_norm_is_exact_under_every_prescale() -> None:
    norm = ScaleNorm(64)
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((2, 5, 64)) * 100).float()
    x[0, 0] = 0
    with torch.inference_mode():
        reference = norm(x)
        for k in range(9):
            norm.prescale = 2.0**-k
            assert torch.equal(norm(x), reference)
