"""One measurement of one bundle on one device, from the checks to the result document."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeGuard

from edgepose import log
from edgepose.bench.frames import RawPicture, raw_pictures
from edgepose.bench.journal import Journal, read_sessions
from edgepose.bench.plan import BenchOptions, Phase, Picture, Plan, plan_phases, remaining
from edgepose.bench.result import Document, make_document, mode_of, write_document
from edgepose.bundle.folder import read_manifest
from edgepose.device.profile import DeviceProfile
from edgepose.device.runner import PROGRAM, find_runner
from edgepose.device.transport import Transport
from edgepose.device.workspace import Workspace
from edgepose.errors import CORE_CODES, DeviceError, DeviceLostError, EdgePoseError, UsageError
from edgepose.hashing import sha256_file
from edgepose.paths import real_path

_REQUEST = "request.json"
_GRACE_SECONDS = 60.0

Event = Callable[[dict[str, Any]], None]


class Session:
    """A bundle on a device. run() gives the result; a broken run leaves its samples beside the results."""

    def __init__(
        self,
        bundle: Path,
        profile: DeviceProfile,
        transport: Transport,
        options: BenchOptions,
        out_dir: Path,
        *,
        label: str | None = None,
    ) -> None:
        """Check bundle and device against each other. label: tells this device from others of its profile."""
        self._manifest = read_manifest(bundle)
        self._bundle = real_path(bundle)
        self._profile, self._transport, self._options = profile, transport, options
        self.on_event: Event = lambda event: None
        self._local = profile.transport == "local"
        self._device_facts: dict[str, Any] = {"address": transport.address}
        name = f"{self._manifest['name']}.{self._manifest['backend']}.{mode_of(self._manifest)}"
        self._out_dir, self._stem = out_dir, f"{name}@{label or profile.name}"
        self._partial = out_dir / f".{self._stem}.partial"
        # A folder of its own on the device: other runs may be under way there, or wait for --resume.
        self._run = f"run-{secrets.token_hex(4)}"
        self._journal = Journal()
        self._fixed = False
        backend = self._manifest["backend"]
        if options.fixed_performance and profile.transport != "adb":
            raise UsageError(
                f"--fixed-performance is a mode of Android, {profile.name} is reached by {profile.transport}",
                hint="fix its clock with its own tools: cpupower, nvpmodel and jetson_clocks",
            )
        if backend not in profile.engines:
            raise DeviceError(
                f"{bundle}: made for the engine {backend}, which {profile.name} is not known to run",
                hint=f"convert it for one of: {', '.join(profile.engines)}",
            )

    def cancel_with(self, event: threading.Event) -> None:
        """End the measurement with Cancelled soon after the event is set, by whichever thread."""
        self._transport.cancel = event

    @property
    def is_local(self) -> bool:
        """Whether this machine is measured."""
        return self._local

    @property
    def device(self) -> tuple[str | None, ...]:
        """How the device is reached: where that is equal, it is one device. The address may be left open."""
        profile, address = self._profile, self._profile.address and self._transport.address
        return profile.transport, address, profile.jump, profile.ssh_config

    def run(self, *, resume: bool = False) -> tuple[Path, Document]:
        """Measure, write the result and return its path and content."""
        runner = find_runner(self._profile.abi)
        with tempfile.TemporaryDirectory(prefix="edgepose-bench-") as scratch, closing(self._transport):
            pictures = self._prepare(Path(scratch), resume)
            self._transport.connect()
            # Known only now where the profile names none: the one that is attached.
            self._device_facts["address"] = self._transport.address
            if resume:
                self._check_device()
            replaced = None if resume else self._keep_request()
            root = scratch if self._local else self._profile.folder
            workspace = Workspace(self._transport, root)
            try:
                if not self._local:
                    workspace.make(self._run)
                    if replaced is not None:
                        workspace.remove(replaced)
                self._device_facts |= self._transport.facts()
                if resume:
                    self._recover(workspace)
                facts = self._install(workspace, runner)
                if self._request["plan"]["fixed_performance"]:
                    self._fix_performance(True)
                self._measure(workspace, pictures)
            except DeviceLostError as error:
                raise self._lost(error) from error
            except BaseException:
                self._transport.cancel = None  # what cleans up has to run
                self._clean(workspace)
                if not self._journal.measured and not resume:
                    shutil.rmtree(self._partial, ignore_errors=True)
                raise
            self._clean(workspace)
        return self._finish(runner, facts)

    def remove_files(self) -> None:
        """Remove what keep_files left on the device."""
        if not self._local:
            with closing(self._transport):
                self._transport.connect()
                Workspace(self._transport, self._profile.folder).remove(self._run)

    def _prepare(self, scratch: Path, resume: bool) -> list[RawPicture]:
        """Decide what is measured: anew, or what an interrupted run was asked for."""
        options = self._options
        pictures = raw_pictures(options.input, scratch) if options.input else []
        if resume:
            self._request = self._read_request()
            self._run = self._request["run"]
            if [p["sha256"] for p in self._request["pictures"]] != [p.sha256 for p in pictures]:
                raise UsageError(
                    "the interrupted run used other pictures", hint="give the same --input, or start anew"
                )
            if options.given and self._request["plan"] != self._plan():
                raise UsageError(
                    f"the interrupted run had other options than {', '.join(options.given)}",
                    hint="leave them out, give all that it had, or start anew without --resume",
                )
            return pictures
        self._request = {
            "digest": self._manifest["manifest_sha256"],
            "run": self._run,
            "plan": self._plan(),
            "pictures": [{**asdict(picture), "file": picture.file.name} for picture in pictures],
        }
        return pictures

    def _keep_request(self) -> str | None:
        """Keep what is measured for --resume, and return the name of the interrupted run that it replaces."""
        before = self._kept_request()
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir(parents=True)
        self._request["address"] = self._transport.address
        (self._partial / _REQUEST).write_text(json.dumps(self._request), encoding="utf-8")
        return before["run"] if _names_run(before) else None

    def _check_device(self) -> None:
        """Refuse to go on with a run on another device of the same kind."""
        before, now = self._request["address"], self._transport.address
        if self._profile.transport == "adb" and before != now:
            raise UsageError(
                f"the interrupted run was on the device {before}, this one is {now}",
                hint="attach that one, or start anew without --resume",
            )

    def _plan(self) -> dict[str, Any]:
        """Return what the options ask for, as it is kept for a later --resume."""
        options, profile = self._options, self._profile
        plan = Plan(
            phases=plan_phases(
                self._manifest["pipeline"]["type"],
                persons=options.persons,
                frames=options.frames,
                seconds=options.seconds,
                paced_fps=options.paced_fps,
                soak_s=options.soak_s,
            ),
            threads=options.threads or profile.threads[0],
            device=options.engine_device,
            cpus=profile.big if options.cpus is None else options.cpus,
            warmup_seconds=options.warmup_seconds,
        )
        return {**plan.to_json(), "fixed_performance": options.fixed_performance}

    def _kept_request(self) -> Any:
        try:
            return json.loads((self._partial / _REQUEST).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None

    def _read_request(self) -> dict[str, Any]:
        request = self._kept_request()
        if request is None:
            raise UsageError(
                f"{self._out_dir}: no interrupted run of this bundle on {self._profile.name}",
                hint="start one without --resume",
            )
        wanted = {"digest", "run", "address", "plan", "pictures"}
        if not _names_run(request) or not wanted <= request.keys():
            raise UsageError("another version of EdgePose began the interrupted run", hint="start anew")
        if request["digest"] != self._manifest["manifest_sha256"]:
            raise UsageError("the interrupted run measured another version of this bundle", hint="start anew")
        return request

    def _install(self, workspace: Workspace, runner: Path) -> dict[str, Any]:
        """Bring the runner, ask it about the device, and bring the bundle."""
        if self._local:
            self._program, self._remote_bundle = str(runner), str(self._bundle)
        else:
            self._program = workspace.put("runner", {PROGRAM: runner}) + f"/{PROGRAM}"
            # Whatever its mode here, and also one that was there: a connection may have broken before this.
            self._transport.run(["chmod", "700", self._program])
        try:
            answer = self._transport.run([self._program, "--facts"])
        except DeviceError as error:
            if self._local or isinstance(error, DeviceLostError):
                raise
            if "ermission denied" in error.message:
                raise DeviceError(
                    f"{self._transport.address}: programs may not run in {workspace.root}",
                    hint="choose a folder that is not mounted noexec: the profile's member folder",
                ) from error
            if (
                "xec format error" in error.message
                or "code 126" in error.message
                or "not executable" in error.message
            ):
                raise DeviceError(
                    f"{self._transport.address}: its processor cannot run a program for {self._profile.abi}",
                    hint="choose the profile of this device, or make one: edgepose devices add",
                ) from error
            raise
        try:
            facts: dict[str, Any] = json.loads(answer)
            backends = facts["backends"]
        except (ValueError, KeyError, TypeError):
            raise DeviceError(
                f"{self._transport.address}: the runner answered {answer.strip()[:80]!r}",
                hint="is a login script printing?",
            ) from None
        backend = self._manifest["backend"]
        if backend not in backends:
            known = ", ".join(name for name in backends if name != "fake")
            raise DeviceError(
                f"{self._transport.address}: its runner has no engine {backend}",
                hint=f"convert the bundle for one of: {known}",
            )
        if not self._local:
            files = {path.name: path for path in self._bundle.iterdir() if path.is_file()}
            self._remote_bundle = workspace.put(f"bundle-{self._manifest['manifest_sha256'][:16]}", files)
        return facts

    def _fix_performance(self, on: bool) -> None:
        """Have Android hold its clocks at a level that it can keep up, or let them go again."""
        try:
            self._transport.run(["cmd", "power", "set-fixed-performance-mode-enabled", str(on).lower()])
        except DeviceLostError:
            raise
        except DeviceError as error:
            raise DeviceError(
                f"{self._transport.address}: this Android has no fixed-performance mode",
                hint="measure without it: not every vendor provides it",
            ) from error
        self._fixed = on

    def _measure(self, workspace: Workspace, pictures: list[RawPicture]) -> None:
        plan = self._request["plan"]
        planned = [Phase(**phase) for phase in plan["phases"]]
        phases = remaining(planned, self._journal.done())
        self._journal.finish({phase.name for phase in planned} - {phase.name for phase in phases})
        if not phases and self._journal.end.get("complete"):
            return
        folder = workspace.path(self._run)
        if pictures:
            files = {picture.file.name: picture.file for picture in pictures}
            place = workspace.put(f"{self._run}/pictures", files)
            plan = {
                **plan,
                "pictures": [
                    Picture(f"{place}/{p.file.name}", p.width_px, p.height_px).to_json() for p in pictures
                ],
            }
        seconds = sum(phase.seconds for phase in phases)
        limit_s = plan["limit_s"]
        plan = {**plan, "phases": [phase.to_json() for phase in phases]}
        session = self._journal.sessions + 1
        self._journal.error, self._journal.end = {}, {}  # those of the session before
        (self._partial / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
        workspace.put(self._run, {"plan.json": self._partial / "plan.json"})
        argv = [self._program, self._remote_bundle, "--plan", "plan.json", "--journal", "journal.jsonl"]
        log.info(f"{self._profile.name}: {len(phases)} phases, up to {seconds:.0f} s")
        with (self._partial / f"session-{session}.jsonl").open("w", encoding="utf-8") as copy:

            def on_line(line: str) -> None:
                if not line.endswith("\n"):
                    raise DeviceLostError(
                        f"{self._transport.address}: the connection broke in the middle of a line"
                    )
                event = self._journal.add(line)
                if event["event"] == "start" and event.get("digest") != self._manifest["manifest_sha256"]:
                    raise UsageError(
                        f"{self._bundle}: another bundle than when the measurement began",
                        hint="do not change a bundle while it is measured",
                    )
                copy.write(line)
                copy.flush()
                self.on_event(event)

            outcome = self._transport.stream(
                argv, folder=folder, timeout_s=limit_s + _GRACE_SECONDS, on_line=on_line
            )
        error, end = self._journal.error, self._journal.end
        if error:
            kinds = {name: kind for name, kind in CORE_CODES.values() if kind}
            raise kinds.get(error["code"], DeviceError)(
                f"{self._transport.address}: the runner failed: {error['message']}",
                hint=error["hint"] or None,
            )
        if outcome.exit_code != 0 or not end.get("complete"):
            reason = end.get("reason") or " ".join(outcome.stderr.split()) or "it was killed"
            raise DeviceError(
                f"{self._transport.address}: the runner ended with code {outcome.exit_code}: {reason}",
                hint="what was measured is kept; go on with --resume"
                if self._journal.measured
                else "nothing was measured: has it the memory, and a runner of this version (build-runner)?",
            )

    def _recover(self, workspace: Workspace) -> None:
        """Read what an interrupted run has measured: from the device if possible, else from here."""
        sessions = sorted(self._partial.glob("session-*.jsonl"), key=lambda path: int(path.stem[8:]))
        journal = f"{self._run}/journal.jsonl"
        if sessions and not self._local and workspace.exists(journal):
            before = read_sessions(sessions)
            if before.pid is not None:
                workspace.end_process(before.pid, PROGRAM)
            pulled = self._partial / "pulled.jsonl"
            self._transport.pull(workspace.path(journal), pulled)
            # The device's own file holds what the broken connection swallowed.
            if pulled.stat().st_size >= sessions[-1].stat().st_size:
                pulled.replace(sessions[-1])
            else:
                pulled.unlink()
        self._journal = read_sessions(sessions)
        log.notice(f"{self._profile.name}: going on after {self._journal.measured} samples")

    def _lost(self, error: DeviceLostError) -> DeviceLostError:
        hint = error.hint or "check the cable or the network"
        if (self._partial / _REQUEST).is_file():
            kept = f"{self._journal.measured} samples are kept, " if self._journal.measured else ""
            hint += f"; {kept}go on with --resume"
        return DeviceLostError(error.message, hint=hint)

    def _clean(self, workspace: Workspace) -> None:
        """Leave nothing on the device; a failure here must not hide the reason for being here."""
        if self._local:
            return
        try:
            if self._journal.pid is not None and not self._journal.end:
                workspace.end_process(self._journal.pid, PROGRAM)
            if self._fixed:
                self._fix_performance(False)
            if self._options.keep_files:
                self._transport.run(["rm", "-rf", "--", workspace.path(self._run)])
            else:
                workspace.remove(self._run)
        except EdgePoseError as error:
            log.warning(f"{self._transport.address}: {workspace.root} may be left there: {error.message}")

    def _finish(self, runner: Path, facts: dict[str, Any]) -> tuple[Path, Document]:
        document = make_document(
            self._journal,
            bundle=self._manifest,
            profile=self._profile,
            device=self._device_facts,
            runner={
                "sha256": sha256_file(runner),
                "bytes": runner.stat().st_size,
                "abi": facts["facts"]["abi"],
            },
            plan={**self._request["plan"], "pictures": self._request["pictures"]},
            command=self._options.command,
        )
        stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S%fZ")
        path = self._out_dir / f"{self._stem}.{stamp}.json"
        write_document(document, path)
        shutil.rmtree(self._partial, ignore_errors=True)
        return path, document


def _names_run(request: Any) -> TypeGuard[dict[str, Any]]:
    """Tell whether a kept request names its folder on the device, which may be removed there."""
    run = request.get("run") if isinstance(request, dict) else None
    return isinstance(run, str) and re.fullmatch(r"run-[0-9a-f]{8}", run) is not None
