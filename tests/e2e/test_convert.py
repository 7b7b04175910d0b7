"""`edgepose convert` as a user calls it: good runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from e2e.convert_command import edgepose, entries, refused

pytest.importorskip("torch", reason="optional: the extra convert is not installed")


NAME = "rtmdet-nano+rtmpose-t"


def test_two_checkpoints_make_a_pipeline_for_each_target(
    pose: Path, detector: Path, shared_cache: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    outcome = edgepose(detector, pose, "--to", "ncnn", "--to", "openvino", "-o", out, env=shared_cache)
    assert outcome.code == 0, outcome.err
    assert entries(out) == [f"{NAME}.ncnn.fp32", f"{NAME}.openvino.fp32"]
    lines = outcome.out.splitlines()
    assert lines[-2:] == [str(out / f"{NAME}.{target}.fp32") for target in ("ncnn", "openvino")]
    assert lines[0].split()[:4] == ["model", "stage", "engine", "precision"]
    rows = [tuple(line.split()[:2]) for line in lines[1:-2]]
    assert (
        ("rtmpose-t", "ncnn") in rows
        and ("rtmdet-nano", "openvino") in rows
        and ("rtmpose-t", "onnx") in rows
    )
    assert "warning" not in outcome.err.lower()


def test_a_second_run_comes_from_the_cache_without_torch(
    pose: Path, detector: Path, shared_cache: dict[str, str], tmp_path: Path
) -> None:
    code = (
        "import sys; from edgepose.cli.main import main; code = main();"
        "assert not {'torch', 'onnx', 'onnxruntime'} & set(sys.modules); sys.exit(code)"
    )
    args = (detector, pose, "--to", "ncnn", "--to", "openvino", "--json")
    outcome = edgepose(*args, "-o", tmp_path / "out", env=shared_cache, code=code)
    assert outcome.code == 0, outcome.err
    report = outcome.json()
    assert [b["cached"] for b in report["bundles"]] == [True, True]
    assert report["seconds"] < 3
    for bundle in report["bundles"]:
        assert {"step", "tool", "version", "seconds"} == set(bundle["steps"][0])
        assert len(bundle["stages"]) == 4


def test_the_order_of_the_checkpoints_does_not_matter_and_bundles_are_reproducible(
    pose: Path,
    detector: Path,
    temporary: dict[str, str],
    bundles: dict[tuple[str, str], Path],
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    targets = ("--to", "ncnn", "--to", "openvino", "--to", "onnx")
    outcome = edgepose(pose, detector, *targets, "-o", out, "--no-cache", env=temporary)
    assert outcome.code == 0, outcome.err
    assert not (tmp_path / "cache").exists()
    for target in ("ncnn", "openvino", "onnx"):
        made, known = out / f"{NAME}.{target}.fp32", bundles[target, "fp32"]
        assert entries(made) == entries(known)
        assert (made / "bundle.json").read_bytes() == (known / "bundle.json").read_bytes()


def test_one_checkpoint_alone_makes_a_bundle_of_its_kind(
    pose: Path, detector: Path, shared_cache: dict[str, str], tmp_path: Path
) -> None:
    for checkpoint, role, kind in ((pose, "pose", "pose"), (detector, "detector", "detect")):
        outcome = edgepose(
            checkpoint, "--to", "ncnn", "-o", tmp_path, "--name", f"my-{role}", "--json", env=shared_cache
        )
        assert outcome.code == 0, outcome.err
        manifest = json.loads((tmp_path / f"my-{role}.ncnn.fp32" / "bundle.json").read_text())
        assert list(manifest["models"]) == [role]
        assert manifest["pipeline"]["type"] == kind


def test_an_existing_bundle_is_kept_unless_forced(
    pose: Path, shared_cache: dict[str, str], tmp_path: Path
) -> None:
    args = (pose, "--to", "ncnn", "-o", tmp_path / "out", "--name", "mine")
    assert edgepose(*args, env=shared_cache).code == 0
    bundle = tmp_path / "out" / "mine.ncnn.fp32"
    stamp = bundle.stat().st_ino
    refused(edgepose(*args, env=shared_cache), 2, "mine.ncnn.fp32 exists already", "--force")
    assert bundle.stat().st_ino == stamp
    assert edgepose(*args, "--force", env=shared_cache).code == 0
    assert bundle.stat().st_ino != stamp
    assert entries(tmp_path / "out") == ["mine.ncnn.fp32"]


def test_own_pictures_take_part_in_the_comparison(
    pose: Path, shared_dir: Path, temporary: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for picture in sorted((shared_dir / "data" / "coco_dev" / "images").iterdir())[:3]:
        shutil.copy(picture, folder)
    args = (pose, "--to", "ncnn", "-o", tmp_path / "out", "--json")
    outcome = edgepose(*args, "--pictures", folder, env=temporary)
    assert outcome.code == 0, outcome.err
    (bundle,) = outcome.json()["bundles"]
    assert bundle["stages"][0]["real_samples"] == 2 * (3 + 2)


def test_a_detector_that_finds_nobody_is_said_to_be_compared_less(
    detector: Path, temporary: dict[str, str], tmp_path: Path
) -> None:
    import torch

    stored = torch.load(detector, weights_only=True)
    for level in range(3):
        stored["state_dict"][f"bbox_head.rtm_cls.{level}.bias"] -= 8.0
    torch.save(stored, tmp_path / "blind.pth")
    outcome = edgepose(tmp_path / "blind.pth", "--to", "onnx", "-o", tmp_path / "out", env=temporary)
    assert outcome.code == 0, outcome.err
    assert "finds nobody in the pictures compared" in outcome.err and "--pictures" in outcome.err


def test_the_input_size_and_the_keypoints_are_those_asked_for(
    pose: Path, detector: Path, temporary: dict[str, str], tmp_path: Path
) -> None:
    points = {
        "name": "mine",
        "keypoints": [f"p{i}" for i in range(17)],
        "skeleton": [[0, 1]],
        "flip_pairs": [[1, 2]],
    }
    (tmp_path / "mine.json").write_text(json.dumps(points))
    outcome = edgepose(
        *(detector, pose, "--to", "ncnn", "-o", tmp_path / "out", "--name", "x", "--json"),
        *("--input-size", "256x352", "--keypoints", tmp_path / "mine.json"),
        env=temporary,
    )
    assert outcome.code == 0, outcome.err
    models = json.loads((tmp_path / "out" / "x.ncnn.fp32" / "bundle.json").read_text())["models"]
    assert models["detector"]["preprocess"]["input_hw"] == [256, 352]
    assert models["pose"]["preprocess"]["input_hw"] == [256, 192]
    assert models["pose"]["head"]["points"]["keypoints"][16] == "p16"
    assert [len(models[role]["outputs"]) for role in ("detector", "pose")] == [6, 2]


def test_a_damaged_cache_entry_is_made_again(pose: Path, temporary: dict[str, str], tmp_path: Path) -> None:
    args = (pose, "--to", "ncnn", "--json", "--force", "-o", tmp_path / "out")
    first = edgepose(*args, env=temporary)
    assert first.code == 0, first.err
    (weights,) = (tmp_path / "cache").rglob("pose.bin")
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 0xFF
    weights.write_bytes(bytes(data))
    second = edgepose(*args, env=temporary)
    assert second.code == 0, second.err
    assert "a cached result is damaged and is made again" in second.err
    (manifest,) = (tmp_path / "out").glob("*/bundle.json")
    # The digest that every other command shows.
    digest = json.loads(manifest.read_text())["manifest_sha256"]
    assert second.json()["bundles"][0]["digest"] == first.json()["bundles"][0]["digest"] == digest
    assert not second.json()["bundles"][0]["cached"]
    assert edgepose(*args, env=temporary).json()["bundles"][0]["cached"]


def test_help_needs_no_heavy_package() -> None:
    code = (
        "import sys; from edgepose.cli.main import main; code = main();"
        "assert not {'torch', 'onnx', 'numpy', 'cv2'} & set(sys.modules); sys.exit(code)"
    )
    outcome = edgepose("--help", code=code)
    assert outcome.code == 0, outcome.err
    for option in ("--to", "--precision", "--pictures", "--keypoints", "--no-cache", "--force", "--json"):
        assert option in outcome.out
