"""RTMPose's ScaleNorm on a processor that computes in half precision (Cortex-A76 under QEMU)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="optional: the extra convert is not installed")
pytest.importorskip("pnnx", reason="optional: the extra convert is not installed")

from edgepose.bench.plan import Plan  # noqa: E402
from edgepose.bundle.pack import stage_bundle  # noqa: E402
from edgepose.converters import convert, to_ncnn, to_onnx  # noqa: E402
from edgepose.converters.base import Context  # noqa: E402
from edgepose.converters.ncnn_float_head import behind_convolutions  # noqa: E402
from edgepose.converters.ncnn_param import parse_line  # noqa: E402
from edgepose.converters.samples import make_samples, picture_files  # noqa: E402
from edgepose.models import load_model  # noqa: E402
from edgepose.pipeline import PosePipeline  # noqa: E402

# What enters the first ScaleNorm stays within half precision (65504), but its norm does not. A power of two:
# ScaleNorm takes it out again, so in float32 the network computes the same as before.
LOUDER = 2048.0
LIMIT_MEAN_PX = 2.0  # with the whole head in half precision, some peaks move by a bin


def _louder(source: Path, target: Path) -> None:
    """Multiply what goes into the first ScaleNorm."""
    checkpoint = torch.load(source, weights_only=True)
    for name in ("head.final_layer.weight", "head.final_layer.bias"):
        checkpoint["state_dict"][name] *= LOUDER
    torch.save(checkpoint, target)


def _keep_all_but_the_head_float(param: Path) -> list[str]:
    """Have the head alone compute in half precision: QEMU needs a minute for the rest of it."""
    magic, counts, *rest = param.read_text().splitlines()
    layers = [parse_line(line, param.name) for line in rest]
    head = behind_convolutions(layers)
    lines = [
        layer.line() if layer.name in head or layer.type == "Input" else f"{layer.line()} 31=3"
        for layer in layers
    ]
    param.write_text("\n".join([magic, counts, *lines]) + "\n")
    return [layer.name for layer in layers if layer.name not in head]


def _convert_louder(checkpoint: Path, bundle: Path, folder: Path) -> tuple[Path, dict[str, float]]:
    """Convert as `convert` does, but compare nothing; a bundle like the one given, and the prescales."""
    model = load_model(checkpoint)
    samples = make_samples(model.spec.preprocess, picture_files(None)[:1])
    contexts = [Context(folder / name, "fp16") for name in ("onnx", "ncnn")]
    for context in contexts:
        context.work_dir.mkdir(parents=True)
    references = to_onnx.run_reference(model.network, model.spec, samples)
    assert references.sums_of_squares["head.mlp.0"] > 65504**2
    artifact = to_onnx.export_canonical(
        model.network,
        model.spec,
        checkpoint_sha256=model.sha256,
        references=references,
        context=contexts[0],
    )
    files = to_ncnn.NcnnExporter().run(artifact, contexts[1]).files
    manifest = json.loads((bundle / "bundle.json").read_text())
    del manifest["manifest_sha256"]
    content: dict[str, Path | bytes] = {name: bundle / name for name in manifest["files"]}
    content |= {"pose.param": files["param"], "pose.bin": files["bin"]}
    # One person of the golden picture is enough: emulated frames take their time.
    expected = json.loads((bundle / manifest["golden"]["expected"]).read_text())
    expected["poses"] = expected["poses"][:1]
    manifest["golden"]["boxes_xyxy"] = manifest["golden"]["boxes_xyxy"][:1]
    content[manifest["golden"]["expected"]] = json.dumps(expected).encode()
    with stage_bundle(folder / "bundle", manifest, content) as staged:
        staged.publish()
    return folder / "bundle", artifact.lineage[0].arguments["prescale"]


def _on_a_phone(runner: Path, bundle: Path, folder: Path) -> Any:
    """Give the keypoints that an emulated Cortex-A76 finds on the golden picture: (persons, 17, 3)."""
    plan = folder / "plan.json"
    plan.write_text(json.dumps(Plan(phases=(), warmup_seconds=0).to_json()))
    command = ["qemu-aarch64-static", "-cpu", "cortex-a76", runner, bundle, "--plan", plan]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=900, check=True)
    events = {event["event"]: event for event in map(json.loads, outcome.stdout.splitlines())}
    assert "asimdhp" in events["start"]["facts"]["features"] and events["end"]["complete"]
    return np.array([person["keypoints"] for person in events["result"]["persons"]], float)


def test_scale_norm_overflows_without_the_prescale_and_is_right_with_it(
    aarch64_runner: Path,
    shared_dir: Path,
    cache_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, louder = shared_dir / "weights" / "rtmpose-t-demo.pth", tmp_path / "louder.pth"
    _louder(source, louder)
    (converted,) = convert([source], ["ncnn"], precision="fp16", out_dir=tmp_path / "out")
    bundle = converted.path
    golden = json.loads((bundle / "bundle.json").read_text())["golden"]
    image = np.fromfile(bundle / golden["picture"], np.uint8)
    with PosePipeline(bundle, threads=1) as pipeline:
        here = pipeline(image.reshape(golden["height_px"], golden["width_px"], 3)).keypoints

    def shift_px(there: Any) -> float:
        assert there.shape == here.shape
        return float(np.linalg.norm(there[..., :2] - here[..., :2], axis=2).mean())

    monkeypatch.setattr(to_ncnn, "keep_head_float", _keep_all_but_the_head_float)
    safe, prescales = _convert_louder(louder, bundle, tmp_path / "safe")
    assert prescales["head.mlp.0"] < 1
    assert shift_px(_on_a_phone(aarch64_runner, safe, tmp_path)) <= LIMIT_MEAN_PX

    monkeypatch.setattr(to_onnx, "choose_prescale", lambda sum_of_squares: 1.0)
    plain, prescales = _convert_louder(louder, bundle, tmp_path / "plain")
    assert prescales["head.mlp.0"] == 1
    # Everything divided by infinity: all points lie in a corner.
    assert shift_px(_on_a_phone(aarch64_runner, plain, tmp_path)) > 10 * LIMIT_MEAN_PX
