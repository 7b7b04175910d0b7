"""The gate on the demo network: unchanged bundles pass at every precision, and planted defects fail."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose.bundle.manifest import MANIFEST_NAME, encode
from edgepose.hashing import sha256_file
from edgepose.synth.dataset import DatasetRequest, write_dataset
from edgepose.verify.gate import GateRequest, gate

pytest.importorskip("torch", reason="optional: the extra convert is not installed")

Bundles = dict[tuple[str, str], Path]
DEMO = Path(__file__).resolve().parents[2] / "demo"
NETWORKS = [DEMO / "rtmdet-nano-demo.pth", DEMO / "rtmpose-t-demo.pth"]
PICTURES, SAMPLES = 120, 1000  # a PASS takes 99 that have something to compare


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Render labelled people."""
    folder = tmp_path_factory.mktemp("gate") / "people"
    write_dataset(folder, DatasetRequest(PICTURES, 0, 5, (288, 384), (1, 2), ".png"))
    return folder


def run(candidate: Path, reference: Path, people: Path, **more: Any) -> dict[str, Any]:
    labels = people / "annotations.json"
    return gate(
        GateRequest(candidate, reference, people, labels, samples=SAMPLES, processes=1, **more)
    )  # fmt: skip


def copy(bundle: Path, target: Path, edit: Callable[[dict[str, Any]], None], **members: Any) -> Path:
    """Copy a bundle with another manifest, signed anew."""
    shutil.copytree(bundle, target)
    manifest = json.loads((target / MANIFEST_NAME).read_text())
    edit(manifest)
    manifest.update(members)
    manifest["files"] = {
        name: {"bytes": (target / name).stat().st_size, "sha256": sha256_file(target / name)}
        for name in manifest["files"]
    }
    del manifest["manifest_sha256"]
    (target / MANIFEST_NAME).write_bytes(encode(manifest))
    return target


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("target", ["ncnn", "openvino"])
def test_the_demo_network_passes(demo_bundles: Bundles, people: Path, target: str, precision: str) -> None:
    """EdgePose gates its own demo networks: each engine and precision against the ONNX bundle at fp32."""
    result = run(demo_bundles[target, precision], demo_bundles["onnx", "fp32"], people)
    assert result["verdict"] == "PASS", result["summary"]
    assert result["accuracy"]["reference"]["AP"] > 45  # the model card: 68 on such pictures
    assert result["data"]["images"] == PICTURES and result["diagnosis"] == []


def test_the_demo_detector_passes(demo_bundles: Bundles, people: Path) -> None:
    """With the boxes that each bundle finds itself, as `gate --boxes detected` does it."""
    # Fewer pictures than 299 cannot show that at most one person in a hundred is lost.
    result = run(
        demo_bundles["ncnn", "fp32"], demo_bundles["onnx", "fp32"], people,
        boxes="detected", budgets=("unmatched_persons=3",),
    )  # fmt: skip
    assert result["verdict"] == "PASS", result["summary"]
    assert result["settings"]["boxes"] == "detected"
    assert result["accuracy"]["reference"]["AP"] > 45
    assert {"unmatched_persons", "added_persons"} <= {check["name"] for check in result["checks"]}


def test_a_recorded_baseline_stands_for_its_bundle(
    demo_bundles: Bundles, people: Path, tmp_path: Path
) -> None:
    """The commands of docs/ci.md: a bundle that passes against another passes against its baseline, too."""
    from edgepose.cli.main import main

    data = ["--data", f"{people / 'annotations.json'}", "--images", f"{people}", "--processes", "1"]
    baseline, answer = tmp_path / "baseline.json", tmp_path / "gate.json"
    assert main(["baseline", "record", f"{demo_bundles['onnx', 'fp32']}", "-o", f"{baseline}", *data]) == 0
    command = ["gate", f"{demo_bundles['ncnn', 'fp32']}", "--reference", f"{baseline}", "--json", f"{answer}"]
    assert main([*command, "--samples", f"{SAMPLES}", *data]) == 0
    found = json.loads(answer.read_text())
    wanted = run(demo_bundles["ncnn", "fp32"], demo_bundles["onnx", "fp32"], people)
    assert (found["reference"]["kind"], found["verdict"]) == ("baseline", "PASS")
    for mine, theirs in zip(found["checks"], wanted["checks"], strict=True):
        assert mine["name"] == theirs["name"]
        # The file has two digits of a pixel, and four of a score.
        assert mine["estimate"] == pytest.approx(theirs["estimate"], abs=0.02)


def test_bfloat16_keeps_to_its_limits(demo_bundles: Bundles, people: Path, tmp_path: Path) -> None:
    """It is refused where the processor has none; else it moves points more than fp16, and not too far."""
    from edgepose.converters import convert
    from edgepose.errors import EdgePoseError, UsageError

    with pytest.raises(UsageError, match="bf16 is for openvino, not for ncnn"):
        convert(NETWORKS, ["openvino", "ncnn"], precision="bf16", out_dir=tmp_path)
    ov = pytest.importorskip("openvino", reason="openvino is not installed")
    if "BF16" not in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        with pytest.raises(EdgePoseError, match="this processor does not compute in bfloat16"):
            convert(NETWORKS, ["openvino"], precision="bf16", out_dir=tmp_path)
        assert not list(tmp_path.iterdir())
        return
    (made,) = convert(NETWORKS, ["openvino"], precision="bf16", out_dir=tmp_path)
    result = run(made.path, demo_bundles["onnx", "fp32"], people)
    assert result["verdict"] in ("PASS", "INCONCLUSIVE"), result["summary"]
    assert result["limits"]["name"] == "bf16" and result["accuracy"]["candidate"]["AP"] > 45
    (drift,) = (check for check in result["checks"] if check["name"] == "drift_mean")
    assert 0.02 < drift["estimate"] < 0.3


@pytest.fixture(scope="module")
def pose_alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Convert the demo pose network alone; fp32 bundles by target."""
    from edgepose.converters import convert

    made = convert(NETWORKS[1:], ["ncnn", "openvino"], out_dir=tmp_path_factory.mktemp("pose") / "fp32")
    return {bundle.backend: bundle.path for bundle in made}


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Render other labelled people to calibrate with."""
    folder = tmp_path_factory.mktemp("calibration") / "others"
    write_dataset(folder, DatasetRequest(24, 0, 105, (288, 384), (2, 3), ".png"))
    return folder / "annotations.json"


class ObservedOnce:
    """A calibrator that observes its network once, which takes long: the modes differ after that only."""

    def __init__(self, target: str) -> None:
        from edgepose.calibration.base import calibrator

        self._real, self._seen = calibrator(target), None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def observe(self, *arguments: Any) -> Any:
        self._seen = self._seen or self._real.observe(*arguments)
        return self._seen


@pytest.fixture(scope="module")
def makers() -> dict[str, Any]:
    """Give a calibrator for each target."""
    return {target: ObservedOnce(target) for target in ("ncnn", "openvino")}


@pytest.mark.parametrize(
    ("target", "mode"),
    [("ncnn", "int8"), ("ncnn", "mixed"), ("ncnn", "auto"), ("openvino", "mixed"), ("openvino", "auto")],
)
def test_calibrated_bundles_get_the_verdict_that_they_earn(
    target: str,
    mode: str,
    demo_bundles: Bundles,
    pose_alone: dict[str, Path],
    others: Path,
    makers: dict[str, Any],
    people: Path,
    tmp_path: Path,
) -> None:
    """Int8 everywhere may fail, by its precision; with sensitive layers in float none does."""
    pytest.importorskip("nncf", reason="optional: the extra calibrate is not installed")
    from edgepose.calibration.calibrate import CalibrationRequest, calibrate
    from edgepose.errors import CalibrationError

    request = CalibrationRequest(others, mode=mode, samples=32)
    try:
        made = calibrate(pose_alone[target], request, out_dir=tmp_path / "calibrated", maker=makers[target])
        candidate = made.path
    except CalibrationError as refused:
        # Calibration has judged it already: off, or (auto) not worth it on this machine.
        assert "limit" in refused.message or (mode == "auto" and "gains from int8" in refused.message)
        # ncnn's int8 and mixed keep to the golden check; OpenVINO rounds in other ways on other processors.
        assert mode == "auto" or target == "openvino"
        assert not (tmp_path / "calibrated").exists()
        return
    if mode == "auto":
        stage = json.loads((candidate / MANIFEST_NAME).read_text())["verification"]["stages"][-1]
        found, budget = stage["agreement"], stage["budget"]
        assert found["similarity"] >= budget["similarity"] and found["p95_px"] <= budget["p95_px"]
    result = run(candidate, demo_bundles["onnx", "fp32"], people)
    if result["verdict"] == "FAIL":
        assert mode == "int8", result["summary"]
        assert [cause["cause"] for cause in result["diagnosis"]] == ["low_precision"]
    else:
        assert result["verdict"] in ("PASS", "INCONCLUSIVE"), result["summary"]
        assert result["accuracy"]["candidate"]["AP"] > 45


def test_a_bundle_equals_itself(demo_bundles: Bundles, people: Path) -> None:
    result = run(demo_bundles["onnx", "fp32"], demo_bundles["onnx", "fp32"], people)
    assert result["verdict"] == "PASS"
    assert all(check["estimate"] == 0 for check in result["checks"])


def preprocess_of(manifest: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = manifest["models"]["pose"]["preprocess"]
    return found


def swap_colours(manifest: dict[str, Any]) -> None:
    """Do what a wrong conversion does: the manifest says RGB, with the means of BGR's order."""
    preprocess_of(manifest)["color"] = "bgr"


def test_bgr_for_rgb_fails(demo_bundles: Bundles, people: Path, tmp_path: Path) -> None:
    broken = copy(demo_bundles["onnx", "fp32"], tmp_path / "bgr", swap_colours)
    result = run(broken, demo_bundles["onnx", "fp32"], people)
    assert result["verdict"] == "FAIL"
    first = result["diagnosis"][0]
    assert first["cause"] == "colour_order" and "'bgr' in the candidate" in first["message"]


def test_wrong_padding_fails(demo_bundles: Bundles, people: Path, tmp_path: Path) -> None:
    def narrower(manifest: dict[str, Any]) -> None:
        preprocess_of(manifest)["box_padding"] = 1.2

    broken = copy(demo_bundles["onnx", "fp32"], tmp_path / "padding", narrower)
    result = run(broken, demo_bundles["onnx", "fp32"], people)
    assert result["verdict"] == "FAIL"
    first = result["diagnosis"][0]
    assert first["cause"] == "box_padding" and "box_padding is 1.2 in the candidate, 1.25" in first["message"]


def change_network(bundle: Path, target: Path, edit: Callable[[dict[str, np.ndarray]], None]) -> Path:
    """Copy a bundle with changed weights: a defect that no constant shows."""
    import onnx
    from onnx import numpy_helper

    name = json.loads((bundle / MANIFEST_NAME).read_text())["models"]["pose"]["files"]["onnx"]
    model = onnx.load(bundle / name)
    weights = {w.name: numpy_helper.to_array(w).copy() for w in model.graph.initializer}
    edit(weights)
    for initializer in model.graph.initializer:
        initializer.CopyFrom(numpy_helper.from_array(weights[initializer.name], initializer.name))
    shutil.copytree(bundle, target.with_suffix(".work"))
    onnx.save(model, target.with_suffix(".work") / name)
    return copy(target.with_suffix(".work"), target, lambda manifest: None)


def test_bgr_in_the_weights_fails(shared_dir: Path, bundles: Bundles, people: Path, tmp_path: Path) -> None:
    """The carried network hardly looks at colours, and exchanging them explains little."""

    def swap(weights: dict[str, np.ndarray]) -> None:
        (first,) = (n for n, w in weights.items() if w.shape[1:] == (3, 3, 3))
        weights[first] = np.ascontiguousarray(weights[first][:, ::-1])

    result = run(
        change_network(bundles["onnx", "fp32"], tmp_path / "c", swap), bundles["onnx", "fp32"], people
    )
    assert result["verdict"] == "FAIL"
    assert result["diagnosis"][0]["cause"] == "colour_order"
    assert "red and blue are exchanged" in result["diagnosis"][0]["message"]


def test_swapped_joints_fail(demo_bundles: Bundles, people: Path, tmp_path: Path) -> None:
    def swap(weights: dict[str, np.ndarray]) -> None:
        """Exchange the rows of left and right shoulder."""
        for weight in weights.values():
            if weight.shape in ((17, 384, 7, 7), (17,)):
                weight[[5, 6]] = weight[[6, 5]]

    broken = change_network(demo_bundles["onnx", "fp32"], tmp_path / "swapped", swap)
    result = run(broken, demo_bundles["onnx", "fp32"], people)
    assert result["verdict"] == "FAIL"
    messages = [c["message"] for c in result["diagnosis"] if c["cause"] == "swapped_joints"]
    assert messages == ["left_shoulder and right_shoulder are exchanged"]
    assert "left_shoulder and right_shoulder are exchanged" in result["summary"]


def test_a_shift_of_one_bin_fails(demo_bundles: Bundles, people: Path, tmp_path: Path) -> None:
    def roll(weights: dict[str, np.ndarray]) -> None:
        for name, weight in weights.items():
            if weight.shape == (256, 384):
                weights[name] = np.roll(weight, 1, axis=1)
            elif weight.shape == (384, 256):
                weights[name] = np.roll(weight, 1, axis=0)

    broken = change_network(demo_bundles["onnx", "fp32"], tmp_path / "bin", roll)
    result = run(broken, demo_bundles["onnx", "fp32"], people)
    assert result["verdict"] == "FAIL"
    (cause,) = result["diagnosis"]
    assert cause["cause"] == "bin_shift"
    assert (
        "moved by (+0.50, +0.00) px of the network's input, that is one SimCC bin (x +1" in cause["message"]
    )


def test_int8_everywhere_fails(shared_dir: Path, bundles: Bundles, people: Path, tmp_path: Path) -> None:
    """The carried network stands it too well to be judged by so few pictures."""
    pytest.importorskip("ncnn", reason="optional: the extra calibrate is not installed")
    from edgepose import _core
    from edgepose.bundle.manifest import preprocess_member
    from edgepose.calibration.from_bundle import artifact_of
    from edgepose.calibration.ncnn_activations import collect
    from edgepose.calibration.ncnn_int8 import Quantiser, layers_of
    from edgepose.calibration.plan import load_plan
    from edgepose.media import read_picture

    reference = bundles["ncnn", "fp32"]
    artifact = artifact_of(reference, "pose")
    spec = json.dumps(preprocess_member(artifact.spec.preprocess))
    labels = json.loads((people / "annotations.json").read_text())
    names = {image["id"]: image["file_name"] for image in labels["images"]}
    samples = []
    for item in labels["annotations"][:16]:
        x, y, width, height = item["bbox"]
        picture = read_picture(people / names[item["image_id"]])
        tensor, _ = _core.preprocess(picture, (x, y, x + width, y + height), spec)
        samples.append(tensor[None].copy())
    everything = {layer.name: "int8" for layer in layers_of(artifact)}
    made = Quantiser(artifact, collect(artifact, samples), load_plan("plain")).write(everything, tmp_path)
    shutil.copytree(reference, tmp_path / "work")
    for role, file in made.files.items():
        shutil.copyfile(file, tmp_path / "work" / artifact.files[role].name)
    broken = copy(tmp_path / "work", tmp_path / "int8", lambda manifest: None, precision="int8")
    result = run(broken, reference, people)
    assert result["verdict"] == "FAIL"
    assert [cause["cause"] for cause in result["diagnosis"]] == ["low_precision"]
    assert "rounding to int8" in result["diagnosis"][0]["message"]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Render one person who moves."""
    folder = tmp_path_factory.mktemp("gate") / "video"
    return write_dataset(folder, DatasetRequest(0, 5, 11, (288, 384), (1, 1), ".png")).video


def test_a_video_passes_and_tells_slower_smoothing(
    demo_bundles: Bundles, people: Path, video: Path, tmp_path: Path
) -> None:
    reference = demo_bundles["onnx", "fp32"]
    # Five seconds do not show how seldom persons are lost or exchanged.
    few = ("unmatched_persons=50", "id_switches=20")
    result = run(demo_bundles["ncnn", "fp32"], reference, people, video=video, budgets=few)
    assert result["verdict"] == "PASS", result["summary"]
    assert "seconds of video" in result["summary"]
    seen = result["video"]
    assert seen["persons"] == seen["frames"] == 150 and seen["unmatched_persons"] == seen["id_switches"] == 0
    assert seen["lag_frames"] == pytest.approx(0, abs=0.02)
    assert {"id_switches", "jitter", "lag"} <= {check["name"] for check in result["checks"]}

    def sluggish(manifest: dict[str, Any]) -> None:
        manifest["tracking"]["smoothing"].update(min_cutoff_hz=0.3, cutoff_per_speed=0.1)

    broken = copy(reference, tmp_path / "sluggish", sluggish)
    result = run(broken, reference, people, video=video)
    failed = [check["name"] for check in result["checks"] if check["verdict"] == "FAIL"]
    assert result["verdict"] == "FAIL" and failed == ["lag"]
    assert result["video"]["lag_frames"] > 1
    messages = [cause["message"] for cause in result["diagnosis"]]
    assert "tracking.smoothing.min_cutoff_hz is 0.3 in the candidate, 0.6 in the reference" in messages
