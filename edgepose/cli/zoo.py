"""`edgepose zoo`: list, describe and download the official checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click

from edgepose import zoo as checkpoints
from edgepose.errors import UsageError
from edgepose.zoo import ZooModel
from edgepose.zoo.catalog import license_text
from edgepose.zoo.store import cached_path, receipt

_MB = 1_000_000


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def zoo() -> None:
    """List and download official checkpoints.

    Names work in place of files: edgepose convert rtmpose-s --to ncnn. The downloads lie in $EDGEPOSE_CACHE
    (default ~/.cache/edgepose); $EDGEPOSE_ZOO_MIRROR lists base addresses to try first, separated by commas.
    """


@zoo.command("list")
@click.option("--family", metavar="NAME", help="Only this family, such as rtmpose.")
@click.option("--keypoints", metavar="SET", help="Only this keypoint set (halpe26) or number of points (26).")
@click.option("--task", metavar="TASK", help="Only this task: detect, pose, one_stage or backbone.")
@click.option("--all", "everything", is_flag=True, help="Also what EdgePose cannot convert.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def list_models(
    family: str | None, keypoints: str | None, task: str | None, everything: bool, as_json: bool
) -> None:
    """List the checkpoints."""
    known = checkpoints.models()
    chosen: Iterable[ZooModel] = known if everything else [model for model in known if model.convertible]
    chosen = _filter(chosen, known, "family", family, lambda model: [model.family])
    chosen = _filter(chosen, known, "keypoints", keypoints, _keypoint_names)
    chosen = _filter(chosen, known, "task", task, lambda model: [model.task])
    if as_json:
        click.echo(json.dumps([_facts(model) for model in chosen], indent=2))
        return
    rows = [_row(model) for model in chosen]
    if not rows:
        click.echo("no model matches" if everything else "no model matches; --all lists more")
        return
    header = ("name", "keypoints", "input", "AP", "of", "params", "GFLOPs", "cached")
    click.echo(_table(header, rows, right={3, 5, 6}))


@zoo.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def info(name: str, as_json: bool) -> None:
    """Show everything that is known of one checkpoint."""
    facts = _facts(checkpoints.find(name))
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    label = {
        "ap": "AP (%)",
        "params_m": "parameters (million)",
        "gflops": "GFLOPs",
        "input_hw": "input (h x w)",
    }
    lines = [(label.get(key, key.replace("_", " ")), _text(key, value)) for key, value in facts.items()]
    click.echo(_table(None, [line for line in lines if line[1]], right=set()))


@zoo.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--offline", is_flag=True, help="Only look into the cache.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def pull(names: Sequence[str], offline: bool, as_json: bool) -> None:
    """Download checkpoints, check their SHA-256 and print where they lie.

    A download that was cut or interrupted goes on where it stopped.
    """
    chosen = [checkpoints.find(name) for name in names]
    pulled = []
    for model in dict.fromkeys(chosen):
        path = checkpoints.pull(model, offline=offline)
        pulled.append({"name": model.name, "path": str(path)})
        if not as_json:
            click.echo(str(path))
    if as_json:
        click.echo(json.dumps(pulled, indent=2))


def _filter(
    chosen: Iterable[ZooModel],
    known: Iterable[ZooModel],
    option: str,
    wanted: str | None,
    names_of: Callable[[ZooModel], list[str]],
) -> list[ZooModel]:
    if wanted is None:
        return list(chosen)
    key = wanted.strip().lower().replace("-", "_")
    choices = {name: None for model in known for name in names_of(model)}
    if key not in choices:
        raise UsageError(
            f"--{option} {wanted}: nothing in the zoo has it", hint="one of " + ", ".join(choices)
        )
    return [model for model in chosen if key in names_of(model)]


def _keypoint_names(model: ZooModel) -> list[str]:
    if model.keypoints is None:
        return []
    return [model.keypoints, str(model.keypoint_count)]


def _facts(model: ZooModel) -> dict[str, Any]:
    path = cached_path(model)
    noted = receipt(model)
    cached = path.is_file()
    return {
        **model.as_dict(),
        "cached": str(path) if cached else None,
        "bytes": path.stat().st_size if cached else None,
        "sha256": noted["sha256"] if cached and noted else None,
    }


def _row(model: ZooModel) -> tuple[str, ...]:
    height, width = model.input_hw
    return (
        model.name,
        model.keypoints or "-",
        f"{height}x{width}",
        "-" if model.ap is None else f"{model.ap:.1f}",
        model.metric or "-",
        "-" if model.params_m is None else f"{model.params_m:.2f} M",
        "-" if model.gflops is None else f"{model.gflops:.2f}",
        "yes" if cached_path(model).is_file() else "",
    )


def _text(key: str, value: Any) -> str:
    if key == "sha256_prefix" and value is None:
        return "none given upstream"
    if key == "license":
        return license_text(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if key == "input_hw":
        return f"{value[0]} x {value[1]}"
    if key == "bytes" and value is not None:
        return f"{value} ({value / _MB:.1f} MB)"
    if isinstance(value, list | tuple):
        return ", ".join(value)
    return "" if value is None else str(value)


def _table(header: Sequence[str] | None, rows: Sequence[Sequence[str]], *, right: set[int]) -> str:
    lines = [*([header] if header else []), *rows]
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    text = []
    for line in lines:
        cells = zip(line, widths, strict=True)
        padded = [cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(cells)]
        text.append("  ".join(padded).rstrip())
    return "\n".join(text)
