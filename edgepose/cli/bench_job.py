"""What `edgepose bench run` does: sessions, their progress, the results in words."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from edgepose import log
from edgepose.bench.fleet import Outcome, attached_devices, run_fleet
from edgepose.bench.plan import BenchOptions
from edgepose.bench.result import Document, describe, device_text
from edgepose.bench.session import Session
from edgepose.bundle.folder import require_bundle
from edgepose.cli.options import check_output_folder
from edgepose.device.connect import open_transport
from edgepose.device.profile import load_profile, with_address
from edgepose.errors import DeviceError, EdgePoseError, LimitError, UsageError
from edgepose.progress import Progress


def bench_job(
    bundle: Path,
    devices: tuple[str, ...],
    options: BenchOptions,
    output: Path,
    *,
    every_device: bool,
    resume: bool,
    require_valid: bool,
    as_json: bool,
) -> None:
    """Measure a bundle on each device and print the results."""
    require_bundle(bundle)
    check_output_folder(output)
    named: dict[str, str | EdgePoseError] = {text: text for text in devices}
    if every_device:
        named = attached_devices()
        if not named:
            raise DeviceError(
                "no device is attached, and no profile of yours has an address",
                hint="see edgepose devices detect and edgepose devices add",
            )
    failed: dict[str, EdgePoseError] = {}
    sessions: dict[str, Session] = {}
    for name, text in named.items():
        try:
            if isinstance(text, EdgePoseError):
                raise text
            session = open_session(bundle, text, options, output)
            _require_new(name, session, sessions, DeviceError if every_device else UsageError)
            sessions[name] = session
        except EdgePoseError as error:
            # A device of --all that cannot be used is one of many; a wrong command line ends the command.
            if len(named) == 1 or (error is not text and not isinstance(error, DeviceError)):
                raise
            failed[name] = error
    made = [folder for folder in (output, *output.parents) if not folder.exists()]
    output.mkdir(parents=True, exist_ok=True)
    try:
        documents = _run(sessions, failed, resume=resume, alone=len(named) == 1, as_json=as_json)
    finally:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()  # a folder with a result in it, or with samples to go on from, stays
    if as_json and documents:
        click.echo(json.dumps(documents[0] if len(named) == 1 else documents))
    if failed:
        _report_failures(failed, len(named))
    invalid = [document for document in documents if not document["valid"]]
    if invalid and require_valid:
        finding = invalid[0]["invalid"][0]
        raise LimitError(f"{device_text(invalid[0])}: INVALID, {finding['message']}")


def _require_new(name: str, session: Session, others: dict[str, Session], kind: type[EdgePoseError]) -> None:
    """Refuse a device that is named twice: two measurements at once would measure each other."""
    if session.is_local:
        return
    (transport, address, *_) = session.device
    for twin, other in others.items():
        # adb takes the one phone that is attached where no serial is given.
        if transport == other.device[0] == "adb" and None in (address, other.device[1]):
            raise kind(
                f"{twin} and {name} may be the same device", hint="name each phone: --device NAME=SERIAL"
            )
        if session.device == other.device:
            raise kind(f"{twin} and {name} are the same device", hint="name it once with --device")


def _run(
    sessions: dict[str, Session],
    failed: dict[str, EdgePoseError],
    *,
    resume: bool,
    alone: bool,
    as_json: bool,
) -> list[Document]:
    documents: list[Document] = []

    def on_done(name: str, outcome: Outcome) -> None:
        if isinstance(outcome, EdgePoseError):
            failed[name] = outcome
            return
        path, document = outcome
        documents.append(document)
        log.notice(f"result: {path}")
        if not as_json:
            click.echo("\n".join(describe(document)))

    if not alone:
        for name, session in sessions.items():
            session.on_event = _notes(name)
        run_fleet(sessions, resume=resume, on_done=on_done)
        return documents
    for name, session in sessions.items():
        with Progress(f"measuring on {name}") as progress:
            session.on_event = _events(progress)
            outcome = session.run(resume=resume)
        on_done(name, outcome)
    return documents


def _report_failures(failed: dict[str, EdgePoseError], count: int) -> None:
    for name, error in failed.items():
        log.warning(f"{name}: {error.message}" + (f" ({error.hint})" if error.hint else ""))
    raise DeviceError(
        f"{len(failed)} of {count} devices gave no result: {', '.join(failed)}",
        hint="the results of the others are written; see the warnings above",
    )


def open_session(bundle: Path, text: str, options: BenchOptions, output: Path) -> Session:
    """Make the session for a bundle on a device that is named as in --device. Nothing is contacted yet."""
    name, _, address = text.partition("=")
    profile = with_address(load_profile(name), address or None)
    named: Any = options.cpus
    if isinstance(named, str):
        cpus = {"all": (), "big": profile.big, "little": profile.little}[named]
        if named != "all" and not cpus:
            raise UsageError(
                f"{profile.name} has no {named} processors", hint="--cpus all, or a list of numbers"
            )
        options = replace(options, cpus=cpus)
    label = re.sub(r"[^A-Za-z0-9.-]+", "_", text)
    return Session(bundle, profile, open_transport(profile), options, output, label=label)


def _notes(name: str) -> Any:
    """Say with -v what each of several devices is doing."""
    shown = ""

    def on_event(event: dict[str, Any]) -> None:
        nonlocal shown
        if event["event"] == "samples" and event["phase"] != shown:
            shown = event["phase"]
            log.info(f"{name}: {shown}")

    return on_event


def _events(progress: Progress) -> Any:
    shown = ""

    def on_event(event: dict[str, Any]) -> None:
        nonlocal shown
        if event["event"] == "samples":
            if event["phase"] != shown:
                shown = event["phase"]
                progress.stage(shown)
            progress.advance(len(event["rows"]))

    return on_event
