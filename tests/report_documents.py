"""Documents and bundles for the report's tests, complete and small."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from bundles.make_bundles import sign

V1 = Path(__file__).resolve().parent / "bundles" / "v1"
NAMES = ["nose", "left_eye", "right_eye"]


def digest_of(bundle: Path) -> str:
    return str(json.loads((bundle / "bundle.json").read_text())["manifest_sha256"])


def eval_document(bundle: Path, **members: Any) -> dict[str, Any]:
    """Return a complete edgepose-eval document about a bundle of three keypoints."""
    spread = {"mean": 0.4, "p95": 1.0, "max": 3.0}
    joint = {
        "compared": 5, "mean_px": 0.4, "p95_px": 1.0, "max_px": 3.0, "pck_0.1": 90.0,
        "mean_input_px": 0.3, "p95_input_px": 0.9, "bias_input_px": [0.3, None],
    }  # fmt: skip
    member = {"name": "tiny", "digest": digest_of(bundle), "backend": "fake", "precision": "fp32"}
    return {
        "format": "edgepose-eval",
        "format_version": 1,
        "bundle": member,
        "data": {"annotations": "persons.json", "digest": "12" * 32, "images": 2, "persons": 3},
        "settings": {"boxes": "labelled"},
        "skeleton": {"name": "three", "keypoints": NAMES, "links": [[0, 1], [0, 2]], "flip_pairs": [[1, 2]]},
        "accuracy": {
            "parts": {"body": dict.fromkeys(("AP", "AP50", "AP75", "APM", "APL", "AR"), 61.25)},
            "AP_interval": [58.5, 64.75],
            "pck": {"0.05": 70.0, "0.1": 80.0, "0.2": None},
            "unmatched_persons": 2,
            "error_px": {**spread, "compared": 9},
            "per_keypoint": [{"name": name, **joint} for name in NAMES],
        },
        "drift": {
            "reference": member, "persons": 3, "unmatched_persons": 0, "added_persons": 0, "compared": 9,
            "px": spread, "input_px": spread, "depth_mm": None,
            "per_keypoint": [{"name": name, **joint, "bias_input_px": [0.5, -0.5]} for name in NAMES],
        },
        "worst": [
            {
                "image": "a.png", "keypoint": "left_eye", "distance_px": 3.0, "against": "reference",
                "box_xyxy": [2, 2, 30, 30],
                "candidate": [[8, 8, 0.9], [20, 9, 0.8], [5, 20, 0.1]],
                "other": [[8, 8, 0.9], [17, 9, 0.8], [5, 20, 0.9]],
            }
        ],
        **members,
    }  # fmt: skip


def gate_document(bundle: Path) -> dict[str, Any]:
    """Return an edgepose-gate document that failed."""
    whole = eval_document(bundle)
    check = {
        "name": "joint_bias", "title": "bias of a joint", "unit": "px", "estimate": 1.5,
        "interval": [1.2, 1.9], "limit": 0.5, "verdict": "FAIL", "keypoint": "left_eye",
        "images_needed": None,
    }  # fmt: skip
    unsure = {
        **check,
        "verdict": "INCONCLUSIVE",
        "keypoint": None,
        "images_needed": 740.0,
        "interval": [0.1, 1.9],
    }
    return {
        "format": "edgepose-gate",
        "format_version": 1,
        "verdict": "FAIL",
        "summary": "left_eye moved by 1.5 px",
        "candidate": whole["bundle"],
        "reference": {**whole["bundle"], "kind": "bundle"},
        "checks": [check, unsure, {**check, "interval": None, "limit": None, "estimate": None}],
        "diagnosis": [{"cause": "swapped_joints", "message": "left and right are exchanged"}],
        "data": whole["data"],
        "settings": whole["settings"],
        "skeleton": whole["skeleton"],
        "accuracy": {
            "reference": {"AP": 61.0, "AP50": 80.0, "AP75": 60.0, "AR": 70.0},
            "candidate": {"AP": 59.5, "AP50": 80.0, "AP75": 58.0, "AR": 69.0},
        },
        "scores": {"reference_mean": 0.71, "candidate_mean": 0.69},
        "drift": whole["drift"],
        "video": {
            "name": "clip.mp4",
            "frames": 300,
            "fps": 30.0,
            "persons": 600,
            "unmatched_persons": 0,
            "id_switches": 3,
            "lag_frames": 0.25,
            "reference": {"jitter_input_px": 0.51},
            "candidate": {"jitter_input_px": 0.62},
        },
        "worst": whole["worst"],
    }


def bench_document(bundle: Path, *, emulated: bool = False) -> dict[str, Any]:
    """Return a result of edgepose bench with 60 frames."""
    rows = [[i, 20_000_000 + 100_000 * (i % 7), 15_000_000] for i in range(60)]

    def summary(value: float) -> dict[str, Any]:
        point = {"value": value, "low": value - 1e5, "high": value + 1e5}
        return {"max": 2 * value, "p50": point, "p90": point, "p95": point, "p99": point}

    return {
        "format": "edgepose-bench-result",
        "format_version": 1,
        "valid": not emulated,
        "invalid": [{"rule": "throttled", "message": "the clock fell"}] if emulated else [],
        "warnings": [],
        "emulated": emulated,
        "bundle": eval_document(bundle)["bundle"],
        "device": {"name": "pi5", "title": "a board", "facts": {"processor": "Cortex-A76", "cores": [1, 2]}},
        "engine": {"backend": "fake", "device": "CPU", "threads": 4, "affinity": [0, 1, 2, 3]},
        "load_ns": 12_345_678,
        "cold_ns": 23_456_789,
        "rss_peak_bytes": 50_000_000,
        "columns": ["at_ns", "total_ns", "pose_ns"],
        "phases": [
            {
                "name": "burst", "persons": 1, "frames": 60, "samples": rows,
                "summary": {"total_ns": summary(20.3e6), "pose_ns": summary(15e6)},
                "power_w": 3.0, "energy_mj": 61.2,
            }
        ],
    }  # fmt: skip


def save(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document))
    return path


def calibrated(folder: Path, **members: Any) -> Path:
    """Copy a bundle and give its pose stage the record of an INT8 calibration."""
    shutil.copytree(V1 / "top_down", folder)
    manifest = json.loads((folder / "bundle.json").read_text())
    del manifest["manifest_sha256"]

    def figures(error: float) -> dict[str, float]:
        return {"mean_px": 0.3, "p95_px": 0.8, "max_px": 2.0, "similarity": 0.991, "output_error": error}

    layers = [
        {"layer": f"conv_{n}", "kind": "Convolution", "alone_int8": figures(error), "left_float": None}
        | {"layer_error": None}
        for n, error in enumerate((1e-4, 0.0, 0.5, 2e-3))
    ]
    manifest["verification"]["stages"][1].update(
        agreement=figures(0.6),
        budget={"similarity": 0.98, "p95_px": 0.5},
        sensitivity={
            "similarity": "OKS", "samples": 64, "all_int8": figures(0.9), "bad_layers": ["conv_2"],
            "layers": layers, **members,
        },
    )  # fmt: skip
    manifest["lineage"][0]["arguments"] = {"calibration": [{"sha256": "ab" * 32}] * 50}
    (folder / "bundle.json").write_bytes(sign(manifest))
    return folder
