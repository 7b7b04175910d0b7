"""What `edgepose bench run` does: sessions, their progress, the results in words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from edgepose import log
from edgepose.bench.result import Document, describe
from edgepose.bench.session import BenchOptions, Session, with_address
from edgepose.device.connect import open_transport
from edgepose.device.profile import DeviceProfile, load_profile
from edgepose.errors import LimitError, UsageError
from edgepose.progress import Progress


def bench_job(
    bundle: Path,
    devices: tuple[str, ...],
    options: BenchOptions,
    output: Path,
    *,
    resume: bool,
    require_valid: bool,
    as_json: bool,
) -> None:
    """Measure a bundle on each device and print the results."""
    sessions = []
    for text in devices:
        name, _, address = text.partition("=")
        profile = with_address(load_profile(name), address or None)
        sessions.append(_session(bundle, profile, options, output))
    output.mkdir(parents=True, exist_ok=True)
    documents: list[Document] = []
    for device, session in zip(devices, sessions, strict=True):
        with Progress(f"measuring on {device}") as progress:
            session.on_event = _events(progress)
            path, document = session.run(resume=resume)
        documents.append(document)
        log.notice(f"result: {path}")
        if not as_json:
            click.echo("\n".join(describe(document)))
    if as_json:
        click.echo(json.dumps(documents[0] if len(documents) == 1 else documents))
    invalid = [document for document in documents if not document["valid"]]
    if invalid and require_valid:
        finding = invalid[0]["invalid"][0]
        raise LimitError(f"{invalid[0]['device']['name']}: INVALID, {finding['message']}")


def _session(bundle: Path, profile: DeviceProfile, options: BenchOptions, output: Path) -> Session:
    named: Any = options.cpus
    if isinstance(named, str):
        cpus = {"all": (), "big": profile.big, "little": profile.little}[named]
        if named != "all" and not cpus:
            raise UsageError(
                f"{profile.name} has no {named} processors", hint="--cpus all, or a list of numbers"
            )
        options = replace(options, cpus=cpus)
    return Session(bundle, profile, open_transport(profile), options, output)


def _events(progress: Progress) -> Any:
    shown = ""

    def on_event(device: str, event: dict[str, Any]) -> None:
        nonlocal shown
        if event["event"] == "samples":
            if event["phase"] != shown:
                shown = event["phase"]
                progress.stage(shown)
            progress.advance(len(event["rows"]))

    return on_event
