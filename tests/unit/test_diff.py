"""`edgepose diff` and the lists of layers that it compares."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles.make_bundles import sign

from edgepose.bundle.manifest import encode
from edgepose.bundle.tracking import tracking_member
from edgepose.calibration.ncnn_model import Layer as NcnnLayer
from edgepose.calibration.ncnn_model import NcnnModel, raw, tagged, write_model
from edgepose.cli.main import main
from edgepose.report.diff_text import value_text
from edgepose.report.inventory import read_inventory

V1 = Path(__file__).resolve().parent.parent / "bundles" / "v1"
Change = Callable[[dict[str, Any]], object]


def changed(tmp_path: Path, change: Change, kind: str = "top_down") -> Path:
    """Copy a bundle and change its manifest, signed again."""
    folder = tmp_path / f"changed-{kind}"
    shutil.copytree(V1 / kind, folder)
    manifest = json.loads((folder / "bundle.json").read_text())
    del manifest["manifest_sha256"]
    change(manifest)
    (folder / "bundle.json").write_bytes(sign(manifest))
    return folder


def diff(a: Path, b: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert main(["diff", str(a), str(b), *options]) == 0
    return capsys.readouterr().out


def test_a_bundle_equals_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert "identical, byte for byte" in diff(V1 / "top_down", V1 / "top_down", capsys)
    document = json.loads(diff(V1 / "top_down", V1 / "top_down", capsys, "--json"))
    assert document["identical"] is True and document["constants"] == document["sizes"]["files"] == []


def test_changed_constants_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["models"]["pose"]["preprocess"]["box_padding"] = 1.2
        manifest["models"]["pose"]["head"]["points"]["keypoints"][0] = "muzzle"
        manifest["pipeline"]["box_score_threshold"] = 0.5

    other = changed(tmp_path, change)
    document = json.loads(diff(V1 / "top_down", other, capsys, "--json"))
    found = {c["name"]: (c["a"], c["b"]) for c in document["constants"]}
    assert found == {
        "pipeline.box_score_threshold": (0.6, 0.5),
        "pose.preprocess.box_padding": (1.25, 1.2),
        "pose.points.keypoints": (["nose", "left_eye", "right_eye"], ["muzzle", "left_eye", "right_eye"]),
    }
    assert "pose.preprocess.box_padding   1.25" in diff(V1 / "top_down", other, capsys)


def test_tracking_constants_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two bundles that differ only in how they track are not "the same"."""

    def change(manifest: dict[str, Any]) -> None:
        manifest["tracking"]["max_lost_s"] = 2.5
        manifest["tracking"]["smoothing"]["min_cutoff_hz"] = 0.9

    def fill(manifest: dict[str, Any]) -> None:
        manifest["tracking"] = tracking_member()

    plain = changed(tmp_path / "a", fill)
    other = changed(tmp_path / "b", lambda manifest: (fill(manifest), change(manifest)))
    document = json.loads(diff(plain, other, capsys, "--json"))
    assert {c["name"]: (c["a"], c["b"]) for c in document["constants"]} == {
        "tracking.max_lost_s": (1.0, 2.5),
        "tracking.smoothing.min_cutoff_hz": (0.6, 0.9),
    }
    assert "tracking.max_lost_s" in diff(plain, other, capsys)


def test_figures_tools_and_licence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["verification"]["stages"][1]["mean_px"] = 0.5
        manifest["lineage"][0]["version"] = "2"
        manifest["license"]["weights"] = "MIT"

    text = diff(V1 / "top_down", changed(tmp_path, change), capsys)
    words = [line.split() for line in text.splitlines()]
    assert ["tiny-pose", "mean_px", "0", "0.5"] in words and "figures against the float network:" in text
    assert ["weights", "Apache-2.0", "MIT"] in words
    assert any(w[-4:] == ["(make_bundles.py)", "version", "1", "2"] for w in words)


def test_other_roles(capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(diff(V1 / "top_down", V1 / "pose", capsys, "--json"))
    names = {c["name"]: c["b"] for c in document["constants"]}
    assert names["pipeline.type"] == "pose" and names["detector.head.classes"] is None
    assert set(document["layers"]) == {"pose"}


def test_control_characters_do_not_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert value_text("\x1b[2Jgone\r\x07") == "?[2Jgone??"

    def change(manifest: dict[str, Any]) -> None:
        manifest["lineage"][0]["arguments"] = {"name\x9b\r": "value\x9b\r"}

    text = diff(changed(tmp_path, change), V1 / "top_down", capsys)
    assert "name??" in text and "value??" in text and "\x9b" not in text and "\r" not in text


def test_a_missing_and_a_damaged_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", str(V1 / "pose"), str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'none'}: no such bundle\nhint: ")
    shutil.copytree(V1 / "pose", tmp_path / "damaged")
    (tmp_path / "damaged" / "golden.json").write_text("{}")
    assert main(["diff", str(V1 / "pose"), str(tmp_path / "damaged")]) == 7
    assert "golden.json" in capsys.readouterr().err


def ncnn_files(
    folder: Path,
    *,
    dtype: type = np.float32,
    stride: int = 2,
    weight: float = 0.0,
    scale: float | None = None,
) -> dict[str, Path]:
    """Write a network of three layers with weights."""
    rng = np.random.default_rng(0)
    width = 4
    sizes = {0: str(width), 1: "1", 2: str(width * width)}
    arrays = {}
    for name in ("q", "k", "v", "out"):
        arrays[f"{name}_weight"] = tagged(rng.normal(size=width * width).astype(dtype))
        arrays[f"{name}_bias"] = raw(np.zeros(width))
    kernel = rng.normal(size=108) + weight
    scales = {} if scale is None else {"weight_scales": raw(np.ones(4)), "input_scales": raw([scale])}
    kernel = kernel.astype(np.int8 if scales else dtype)
    layers = [
        NcnnLayer("Input", "in0", [], ["in0"]),
        NcnnLayer(
            "Convolution", "conv_1", ["in0"], ["1"],
            {0: "4", 1: "3", 3: str(stride), 5: "1", 6: "108", **({8: "1"} if scales else {})},
            {"weight": tagged(kernel), "bias": raw(np.zeros(4)), **scales},
        ),
        NcnnLayer("ReLU", "relu_1", ["1"], ["2"]),
        NcnnLayer(
            "MultiHeadAttention", "attention_1", ["2"], ["out0"], sizes, arrays
        ),
    ]  # fmt: skip
    files = {"param": folder / "n.param", "bin": folder / "n.bin"}
    write_model(NcnnModel(layers), files["param"], files["bin"])
    return files


def test_layers_of_ncnn(tmp_path: Path) -> None:
    inventory = read_inventory("ncnn", ncnn_files(tmp_path, dtype=np.float16))
    assert inventory.note is None
    assert [(x.name, x.type, x.precision, x.parameters) for x in inventory.layers] == [
        ("conv_1", "Convolution", "fp16", 112),
        ("relu_1", "ReLU", None, 0),
        ("attention_1", "MultiHeadAttention", "fp16", 80),
    ]
    assert inventory.precisions() == {"fp16": 192}


def test_a_damaged_network_is_a_note(tmp_path: Path) -> None:
    files = ncnn_files(tmp_path)
    files["bin"].write_bytes(files["bin"].read_bytes()[:-8])
    inventory = read_inventory("ncnn", files)
    assert inventory.layers == () and "end in the middle" in (inventory.note or "")
    assert "rknn" in (read_inventory("rknn", {}).note or "")


def with_network(folder: Path, backend: str, write: Callable[[Path], dict[str, Path]]) -> Path:
    """Make a bundle of the pose network's constants with another network in it."""
    from edgepose.hashing import sha256_file

    shutil.copytree(V1 / "pose", folder)
    files = write(folder)
    manifest = json.loads((folder / "bundle.json").read_text())
    del manifest["manifest_sha256"]
    model = manifest["models"]["pose"]
    del manifest["files"][model["files"]["fake"]]
    (folder / model["files"]["fake"]).unlink()
    model["files"] = {role: path.name for role, path in files.items()}
    for path in files.values():
        manifest["files"][path.name] = {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
    manifest["backend"] = backend
    (folder / "bundle.json").write_bytes(encode(manifest))
    return folder


def as_ncnn(folder: Path, **network: Any) -> Path:
    return with_network(folder, "ncnn", lambda inside: ncnn_files(inside, **network))


def test_changed_layers_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = as_ncnn(tmp_path / "a")
    half = as_ncnn(tmp_path / "half", dtype=np.float16, stride=1)
    layers = json.loads(diff(a, half, capsys, "--json"))["layers"]["pose"]
    changes = {c["name"]: (c["a"], c["b"]) for c in layers["changed"][0]["changes"]}
    assert layers["changed"][0]["name"] == "conv_1"
    assert changes == {"precision": ("fp32", "fp16"), "attribute 3": ("2", "1")}
    text = diff(a, half, capsys)
    assert "precision fp32 -> fp16: 2 layers (conv_1, attention_1)" in text
    assert "parameters in fp16  0    192" in text

    shifted = as_ncnn(tmp_path / "shifted", weight=1.0)
    layers = json.loads(diff(a, shifted, capsys, "--json"))["layers"]["pose"]
    assert layers["weights_changed"] == ["conv_1"] and layers["changed"] == []


def test_scales_of_another_calibration_are_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = (as_ncnn(tmp_path / str(scale), scale=scale) for scale in (20.0, 21.0))
    layers = json.loads(diff(a, b, capsys, "--json"))["layers"]["pose"]
    assert layers["weights_changed"] == ["conv_1"] and layers["changed"] == []


def openvino_files(
    folder: Path, *, kernel: float = 1.0, bias: float = 0.5, limit: float = 6.0, fp16: bool = False
) -> dict[str, Path]:
    """Write a convolution whose input is quantised, with a bias."""
    import openvino
    from openvino import opset13

    x = opset13.parameter([1, 3, 8, 8], np.float32, name="x")
    limits = [opset13.constant(np.float32(value)) for value in (0.0, limit, 0.0, limit)]
    quantised = opset13.fake_quantize(x, *limits, 256, name="quantised")
    weights = opset13.constant(np.full((4, 3, 3, 3), kernel, np.float32))
    conv = opset13.convolution(quantised, weights, [1, 1], [0, 0], [0, 0], [1, 1], name="conv")
    added = opset13.add(conv, opset13.constant(np.full((1, 4, 1, 1), bias, np.float32)), name="added")
    openvino.save_model(openvino.Model([added], [x]), folder / "n.xml", compress_to_fp16=fp16)
    return {role: folder / f"n.{role}" for role in ("xml", "bin")}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"bias": 0.25}, ["added"]),
        ({"limit": 5.0}, ["quantised"]),
        ({"kernel": 2.0}, ["conv"]),
        ({"fp16": True}, []),  # which is another precision, not another bias
    ],
)
def test_constants_of_every_layer_of_openvino_are_seen(
    change: dict[str, Any], named: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = with_network(tmp_path / "a", "openvino", openvino_files)
    b = with_network(tmp_path / "b", "openvino", lambda inside: openvino_files(inside, **change))
    document = json.loads(diff(a, b, capsys, "--json"))
    assert document["layers"]["pose"]["weights_changed"] == named
    if named:
        assert f"other weights or constants: {named[0]}\n" in diff(a, b, capsys)


def test_scales_of_openvinos_weights_are_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are behind layers of their own, which are not listed again."""

    def write(folder: Path, scale: float, weight: int) -> dict[str, Path]:
        import openvino
        from openvino import opset13

        x = opset13.parameter([1, 3, 8, 8], np.float32, name="x")
        weights = opset13.convert(opset13.constant(np.full((4, 3, 3, 3), weight, np.int8)), np.float32)
        scaled = opset13.multiply(weights, opset13.constant(np.full((4, 1, 1, 1), scale, np.float32)))
        conv = opset13.convolution(x, scaled, [1, 1], [0, 0], [0, 0], [1, 1], name="conv")
        openvino.save_model(openvino.Model([conv], [x]), folder / "n.xml", compress_to_fp16=False)
        return {role: folder / f"n.{role}" for role in ("xml", "bin")}

    a, b, c = (
        with_network(tmp_path / name, "openvino", lambda inside, s=scale, w=weight: write(inside, s, w))
        for name, scale, weight in (("a", 0.5, 3), ("b", 0.25, 3), ("c", 0.5, 4))
    )
    for other in (b, c):
        layers = json.loads(diff(a, other, capsys, "--json"))["layers"]["pose"]
        assert layers["weights_changed"] == ["conv"] and layers["changed"] == []


def test_constants_of_every_layer_of_onnx_are_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx = pytest.importorskip("onnx", reason="optional: onnx is not installed")

    def write(folder: Path, scale: float, name: str = "s") -> dict[str, Path]:
        helper = onnx.helper
        graph = helper.make_graph(
            [helper.make_node("Mul", ["x", name], ["y"], name="scaled")],
            "g",
            [helper.make_tensor_value_info("x", 1, [1, 4])],
            [helper.make_tensor_value_info("y", 1, [1, 4])],
            [onnx.numpy_helper.from_array(np.float32(scale), name)],
        )
        onnx.save(helper.make_model(graph), folder / "n.onnx")
        return {"onnx": folder / "n.onnx"}

    a = with_network(tmp_path / "a", "onnx", lambda inside: write(inside, 1.0))
    b = with_network(tmp_path / "b", "onnx", lambda inside: write(inside, 2.0))
    renamed = with_network(tmp_path / "renamed", "onnx", lambda inside: write(inside, 1.0, "onnx::Mul_7"))
    for other, named in ((b, ["scaled"]), (renamed, [])):
        layers = json.loads(diff(a, other, capsys, "--json"))["layers"]["pose"]
        assert layers["weights_changed"] == named and layers["changed"] == []


def onnx_files(
    folder: Path, kernel: float, *, bias: float = 0.0, half: bool = False, group: int = 1
) -> dict[str, Path]:
    """Write a convolution of four channels, its weights as `convert` stores them."""
    onnx = pytest.importorskip("onnx", reason="optional: onnx is not installed")
    from edgepose.converters.onnx_passes import halve_weights

    helper, from_array = onnx.helper, onnx.numpy_helper.from_array
    weights = np.full((4, 4 // group, 5, 5), kernel, np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "k", "b"], ["y"], name="conv", group=group)],
        "g",
        [helper.make_tensor_value_info("x", 1, [1, 4, 8, 8])],
        [helper.make_tensor_value_info("y", 1, [1, 4, 4, 4])],
        [from_array(weights, "k"), from_array(np.full(4, bias, np.float32), "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    if half:
        assert halve_weights(model) == 1
    onnx.save(model, folder / "n.onnx")
    return {"onnx": folder / "n.onnx"}


def test_halved_weights_of_onnx_are_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is behind a Cast, which is no layer of its own."""
    whole = with_network(tmp_path / "whole", "onnx", lambda inside: onnx_files(inside, 1.0))
    half = with_network(tmp_path / "half", "onnx", lambda inside: onnx_files(inside, 1.0, half=True))
    other = with_network(tmp_path / "other", "onnx", lambda inside: onnx_files(inside, 2.0, half=True))
    document = json.loads(diff(whole, half, capsys, "--json"))
    layers = document["layers"]["pose"]
    assert layers["count"] == {"a": 1, "b": 1} and layers["added"] == layers["removed"] == []
    assert layers["changed"][0]["changes"] == [{"name": "precision", "a": "fp32", "b": "fp16"}]
    assert document["precision"]["pose"] == [
        {"name": "fp32", "a": 404, "b": None},
        {"name": "fp16", "a": None, "b": 404},
    ]
    layers = json.loads(diff(half, other, capsys, "--json"))["layers"]["pose"]
    assert layers["weights_changed"] == ["conv"] and layers["changed"] == []


@pytest.mark.parametrize("fp16", [True, False])
def test_depthwise_weights_of_openvino_are_seen(
    fp16: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The front end of ONNX computes the shapes of such a kernel and of the bias from these themselves."""

    def write(folder: Path, kernel: float) -> dict[str, Path]:
        import openvino

        source = onnx_files(folder, kernel, bias=kernel, group=4)["onnx"]
        model = openvino.Core().read_model(str(source))
        source.unlink()
        openvino.save_model(model, folder / "n.xml", compress_to_fp16=fp16)
        return {"xml": folder / "n.xml", "bin": folder / "n.bin"}

    a = with_network(tmp_path / "a", "openvino", lambda inside: write(inside, 1.0))
    b = with_network(tmp_path / "b", "openvino", lambda inside: write(inside, 2.0))
    mine, theirs = (
        read_inventory("openvino", {role: one / f"n.{role}" for role in ("xml", "bin")}).layers
        for one in (a, b)
    )
    (layer,) = (x for x in mine if x.type == "GroupConvolution")
    assert layer.parameters == 100 and layer.precision in ("fp32", "fp16")
    document = json.loads(diff(a, b, capsys, "--json"))
    assert document["layers"]["pose"]["weights_changed"] == [layer.name]
    # OpenVINO numbers the others anew: these are the kernel and the bias.
    other = [x.type for x, y in zip(mine, theirs, strict=True) if x.weights_sha256 != y.weights_sha256]
    assert other == ["GroupConvolution", "Reshape"]


def test_control_characters_of_a_network_do_not_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """XML 1.0 allows those from 0x80 on."""

    def write(folder: Path, kind: str) -> dict[str, Path]:
        (folder / "n.xml").write_text(
            '<net><layers><layer id="0" type="Convolution"/><layer id="1" type="Const">'
            f'<data element_type="{kind}" shape="2" size="8"/></layer></layers>'
            '<edges><edge from-layer="1" to-layer="0" to-port="1"/></edges></net>'
        )
        (folder / "n.bin").write_bytes(bytes(8))
        return {role: folder / f"n.{role}" for role in ("xml", "bin")}

    a = with_network(tmp_path / "a", "openvino", lambda inside: write(inside, "f32"))
    b = with_network(tmp_path / "b", "openvino", lambda inside: write(inside, "odd&#x9b;"))
    text = diff(a, b, capsys)
    assert "parameters in odd?" in text and "\x9b" not in text
