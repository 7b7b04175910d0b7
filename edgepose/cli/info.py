"""`edgepose info`: what a bundle is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from edgepose.cli.options import PATH
from edgepose.text_table import aligned

_MAX_CELL = 80


@click.command(short_help="Describe a bundle.")
@click.argument("bundle", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="Print the bundle's manifest as one JSON document.")
def info(bundle: Path, as_json: bool) -> None:
    """Describe BUNDLE: networks, inputs, precision, how it was verified, licence, digest.

    Every file is checked against its checksum first.
    """
    from edgepose.bundle.folder import read_manifest
    from edgepose.report.diff_text import printable

    manifest = read_manifest(bundle)
    if as_json:
        click.echo(json.dumps(manifest, indent=1))
        return
    # The validator leaves the members of a stage free, and takes C1 control characters in any text.
    click.echo("\n".join(printable(line) for line in _describe(manifest)))


def _describe(manifest: dict[str, Any]) -> list[str]:
    pipeline = manifest["pipeline"]
    size_bytes = sum(file["bytes"] for file in manifest["files"].values())
    lines = [
        f"{manifest['name']}  ({pipeline['type']}, {manifest['backend']}, {manifest['precision']})",
        *_rows(
            [
                ("digest", manifest["manifest_sha256"]),
                ("files", f"{len(manifest['files'])}, {size_bytes / 1e6:.1f} MB, checksums right"),
                ("made by", manifest["created_by"]),
                ("licence", manifest["license"]["weights"]),
                *(("note", note) for note in manifest["license"]["notes"]),
                *((name.replace("_", " "), str(value)) for name, value in pipeline.items() if name != "type"),
                *([("calibrated on", "synthetic people")] if _is_synthetic(manifest) else []),
            ]
        ),
    ]
    for role, model in manifest["models"].items():
        lines += ["", f"{role}: {model['name']}", *_rows(_model_rows(model))]
    lines += ["", "verified against the float network:", *_verification(manifest["verification"])]
    return lines


def _is_synthetic(manifest: dict[str, Any]) -> bool:
    """Tell whether a network was calibrated on rendered people; the validator leaves arguments free."""
    return any(entry["arguments"].get("synthetic") is True for entry in manifest.get("lineage", ()))


def _model_rows(model: dict[str, Any]) -> list[tuple[str, str]]:
    preprocess, head = model["preprocess"], model["head"]
    height, width = map(int, preprocess["input_hw"])
    rows = [
        ("input", f"{height}x{width} (height x width), {preprocess['color']}, {preprocess['resize']}"),
        ("mean, std", f"{preprocess['mean']}, {preprocess['std']}"),
    ]
    if "points" in head:
        points = head["points"]
        rows.append(("keypoints", f"{len(points['keypoints'])} ({points['name']})"))
    if "classes" in head:
        rows.append(
            ("classes", ", ".join(head["classes"][:8]) + (", ..." if len(head["classes"]) > 8 else ""))
        )
    if "score_threshold" in head:
        rows.append(("score threshold", f"{head['score_threshold']}, NMS IoU {head['nms_iou_threshold']}"))
    rows.append(("files", ", ".join(model["files"].values())))
    return rows


def _verification(verification: dict[str, Any]) -> list[str]:
    columns = ("model", "stage", "engine", "max_abs", "cosine", "mean_px", "max_px")
    table = [
        columns,
        *(tuple(_cell(name, stage.get(name)) for name in columns) for stage in verification["stages"]),
    ]
    return [f"  {line}" for line in aligned(table, texts=len(columns))]


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    digits = 7 if name == "cosine" else 3  # a cosine is judged by how far it is from 1
    text = f"{value:.{digits}g}" if isinstance(value, float) and value != 1 else str(value)
    return text if len(text) <= _MAX_CELL else text[: _MAX_CELL - 3] + "..."


def _rows(rows: list[tuple[str, str]]) -> list[str]:
    width = max(len(name) for name, _ in rows)
    return [f"  {name.ljust(width)}  {value}" for name, value in rows]
