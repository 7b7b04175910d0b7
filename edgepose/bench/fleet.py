"""Several devices at once: those that are there, and one measurement on each, none disturbing another."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from edgepose import log
from edgepose.bench.result import Document
from edgepose.bench.session import Session
from edgepose.device.adb import AdbDevice, AdbTransport, adb_devices
from edgepose.device.profile import DeviceProfile, load_profiles
from edgepose.errors import DeviceError, EdgePoseError

Outcome = tuple[Path, Document] | EdgePoseError


def attached_devices() -> dict[str, str | EdgePoseError]:
    """Return what --all means: names for --device, or why a device that is there cannot be measured on.

    These are the user's own profiles with an address, and what adb sees, by the profile of its chip. A
    profile that cannot be read may have an address.
    """
    profiles, broken = load_profiles()
    found: dict[str, str | EdgePoseError] = {**{p.name: p.name for p in profiles if p.address}, **broken}
    known = {p.address for p in profiles}
    try:
        phones = [device for device in adb_devices() if device.serial not in known]
    except DeviceError as error:
        if not found:
            return {"adb": error}
        if shutil.which("adb") is not None:  # who has no phones need not have it
            log.warning(f"Android devices are left out: {error.message}")
        return found
    return found | {phone.serial: _profile_of(phone, profiles) for phone in phones}


def fitting_profile(facts: Mapping[str, str], profiles: list[DeviceProfile]) -> str | None:
    """Return the name of the profile for a chip that Android names in its properties.

    A profile with an address is one device's, whatever its chip. Chips of one generation share a platform's
    name, which counts where Android does not name the chip, before version 12, and for a profile that names
    nothing else.
    """
    soc, platform = ((facts.get(name) or "").casefold() for name in ("soc", "platform"))
    kinds = [(p.name, {name.casefold() for name in p.socs}) for p in profiles if not p.address]
    by_chip = (name for name, socs in kinds if (soc or platform) in socs)
    by_platform = (name for name, socs in kinds if socs == {platform})
    return next(by_chip, None) or next(by_platform, None)


def _profile_of(phone: AdbDevice, profiles: list[DeviceProfile]) -> str | EdgePoseError:
    transport = AdbTransport(phone.serial)
    try:
        transport.connect()
        facts = transport.facts()
    except EdgePoseError as error:
        return error
    name = fitting_profile(facts, profiles)
    if name is None:
        chip = facts.get("soc") or facts.get("platform") or "unknown"
        return DeviceError(
            f"{phone.serial}: no profile is for its chip ({chip})",
            hint=f"edgepose devices add NAME --like sd865 --address {phone.serial}",
        )
    return f"{name}={phone.serial}"


def run_fleet(
    sessions: Mapping[str, Session], *, resume: bool, on_done: Callable[[str, Outcome], None]
) -> None:
    """Run the sessions; on_done(name, result or error) is called in this thread as each of them ends.

    Other devices work side by side; this machine comes after them, alone, since serving them is work too.
    """
    stop = threading.Event()

    def measure(session: Session) -> Outcome:
        session.cancel_with(stop)
        try:
            return session.run(resume=resume)
        except EdgePoseError as error:
            return error

    remote = {name: session for name, session in sessions.items() if not session.is_local}
    with ThreadPoolExecutor(max_workers=max(1, len(remote))) as pool:
        waiting = {pool.submit(measure, session): name for name, session in remote.items()}
        try:
            for future in as_completed(waiting):
                on_done(waiting[future], future.result())
        except BaseException:
            stop.set()
            raise
    for name, session in sessions.items():
        if session.is_local:
            on_done(name, measure(session))
