"""What changed between two bundles: constants, layers, precision, figures, sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgepose import __version__
from edgepose.bundle.tracking import flat_tracking
from edgepose.report.bundles import OpenedBundle
from edgepose.report.inventory import Inventory, Layer

DIFF_FORMAT = "edgepose-diff"
DIFF_VERSION = 1

_FIGURES = (
    "max_abs", "relative", "cosine", "mean_px", "p95_px", "max_px", "depth_mean_px", "ambiguous", "recall",
    "false_boxes",
)  # fmt: skip


def diff_bundles(a: OpenedBundle, b: OpenedBundle) -> dict[str, Any]:
    """Return the document edgepose-diff; empty lists where nothing differs."""
    roles = [role for role in ("detector", "pose", "one_stage") if role in a.manifest["models"]]
    shared = [role for role in roles if role in b.manifest["models"]]
    return {
        "format": DIFF_FORMAT,
        "format_version": DIFF_VERSION,
        "created_by": f"edgepose {__version__}",
        "a": a.identity(),
        "b": b.identity(),
        "identical": a.digest == b.digest,
        "constants": _changes(constants(a.manifest), constants(b.manifest)),
        "layers": {
            role: _layers(
                a.inventories[role],
                b.inventories[role],
                same_format=a.manifest["backend"] == b.manifest["backend"],
            )
            for role in shared
        },
        "precision": {
            role: _changes(a.inventories[role].precisions(), b.inventories[role].precisions())
            for role in shared
        },
        "figures": _figures(a.manifest["verification"], b.manifest["verification"]),
        "sizes": {"total": {"a": a.total_bytes, "b": b.total_bytes}, "files": _sizes(a, b)},
        "tools": _changes(_tools(a.manifest["lineage"]), _tools(b.manifest["lineage"])),
        "license": _changes(_license(a.manifest), _license(b.manifest)),
    }


def constants(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything but the weights that decides a result, flat: {"pose.preprocess.color": "rgb"}."""
    found: dict[str, Any] = {f"pipeline.{name}": value for name, value in manifest["pipeline"].items()}
    for role, model in manifest["models"].items():
        found[f"{role}.name"] = model["name"]
        for part in ("preprocess", "head"):
            for name, value in model[part].items():
                if isinstance(value, dict):
                    found.update({f"{role}.{name}.{inner}": v for inner, v in value.items()})
                else:
                    found[f"{role}.{part}.{name}"] = value
        for side in ("inputs", "outputs"):
            found.update({f"{role}.{side}.{tensor['name']}": tensor["dims"] for tensor in model[side]})
    return found | flat_tracking(manifest.get("tracking", {}))


def _changes(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[dict[str, Any]]:
    """List the names whose values differ; None stands for a name that one side lacks."""
    names = [*a, *(name for name in b if name not in a)]
    return [
        {"name": name, "a": a.get(name), "b": b.get(name)}
        for name in names
        if (name in a) != (name in b) or a.get(name) != b.get(name)
    ]


def _layers(a: Inventory, b: Inventory, *, same_format: bool) -> dict[str, Any]:
    """Compare layer by layer, by name, in one format; by the counts of the types otherwise."""
    note = a.note or b.note
    if note is None and not same_format:
        note = "other backends have other layers: only the constants and figures can be compared"
    by_name = note is None
    mine = {layer.name: layer for layer in a.layers} if by_name else {}
    theirs = {layer.name: layer for layer in b.layers} if by_name else {}
    both = [name for name in mine if name in theirs]
    return {
        "count": {"a": len(a.layers), "b": len(b.layers)},
        "note": note,
        "types": _changes(a.types(), b.types()) if by_name else [],
        "removed": [_named(layer) for name, layer in mine.items() if name not in theirs],
        "added": [_named(layer) for name, layer in theirs.items() if name not in mine],
        "changed": [change for name in both if (change := _changed(mine[name], theirs[name]))],
        "weights_changed": [
            name
            for name in both
            if mine[name].weights_sha256 != theirs[name].weights_sha256
            and mine[name].stored == theirs[name].stored
        ],
    }


def _named(layer: Layer) -> dict[str, Any]:
    return {"name": layer.name, "type": layer.type, "precision": layer.precision}


def _changed(a: Layer, b: Layer) -> dict[str, Any] | None:
    """Return what differs between two layers of one name but the values of the weights."""
    changes = _changes(
        {"type": a.type, "precision": a.precision, "parameters": a.parameters},
        {"type": b.type, "precision": b.precision, "parameters": b.parameters},
    )
    for change in _changes(a.attributes, b.attributes):
        changes.append({**change, "name": f"attribute {change['name']}"})
    return {"name": a.name, "type": a.type, "changes": changes} if changes else None


def _figures(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[dict[str, Any]]:
    """List the last stage of each network on both sides: what ships, against torch."""
    mine, theirs = final_stages(a["stages"]), final_stages(b["stages"])
    rows = []
    for model in [*mine, *(m for m in theirs if m not in mine)]:
        first, second = mine.get(model, {}), theirs.get(model, {})
        changes = [
            {"name": name, "a": first.get(name), "b": second.get(name)}
            for name in _FIGURES
            if first.get(name) != second.get(name)
        ]
        if changes:
            stages = {"a": first.get("stage"), "b": second.get("stage")}
            rows.append({"model": model, "stage": stages, "changes": changes})
    return rows


def final_stages(stages: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return the last stage of each network."""
    return {str(stage["model"]): stage for stage in stages}


def _sizes(a: OpenedBundle, b: OpenedBundle) -> list[dict[str, Any]]:
    mine = {name: file for name, file in a.manifest["files"].items() if name not in a.golden_files}
    theirs = {name: file for name, file in b.manifest["files"].items() if name not in b.golden_files}
    return [
        {
            "name": name,
            "a": mine[name]["bytes"] if name in mine else None,
            "b": theirs[name]["bytes"] if name in theirs else None,
        }
        for name in sorted({*mine, *theirs})
        if name not in mine or name not in theirs or mine[name]["sha256"] != theirs[name]["sha256"]
    ]


def _tools(lineage: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the version and arguments of each step by what it made or read."""
    found: dict[str, Any] = {}
    for number, entry in enumerate(lineage, start=1):
        files = sorted({name.partition(".")[0] for name in (*entry["inputs"], *entry["outputs"])})
        key = f"{'+'.join(files) or number} {entry['step']} ({entry['tool']})"
        found[key if key not in found else f"{key} {number}"] = {
            "version": entry["version"],
            **entry["arguments"],
        }
    return found


def _license(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {"weights": manifest["license"]["weights"], "notes": manifest["license"]["notes"]}
