"""An Android device through the adb client."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgepose.device.process import Ended, TimeLimit, run_lines
from edgepose.device.remote import RemoteShell
from edgepose.device.transport import COMMAND_SECONDS, push_seconds
from edgepose.errors import DeviceError, DeviceLostError

_PROPERTIES = {
    "model": "ro.product.model",
    "manufacturer": "ro.product.manufacturer",
    "soc": "ro.soc.model",
    "platform": "ro.board.platform",
    "system": "ro.build.fingerprint",
    "android": "ro.build.version.release",
}
# What helps against a state that is not "device".
STATE_HINTS = {
    "unauthorized": "unlock the device and allow USB debugging for this computer",
    "offline": "reconnect the cable, or: adb reconnect",
    "no permissions": "udev does not let this user use the device: see adb's page on USB permissions",
    "recovery": "start the device into Android",
    "bootloader": "start the device into Android",
    "sideload": "start the device into Android",
}


@dataclass(frozen=True, slots=True)
class AdbDevice:
    """A line of `adb devices -l`."""

    serial: str
    state: str
    model: str


def adb_devices() -> list[AdbDevice]:
    """List the devices that adb sees. Errors: DeviceError."""
    lines: list[str] = []
    try:
        ended = run_lines(["adb", "devices", "-l"], timeout_s=COMMAND_SECONDS, on_line=lines.append)
    except TimeLimit:
        raise DeviceError("adb does not answer", hint="restart its server: adb kill-server") from None
    if ended.exit_code != 0:
        raise DeviceError(
            f"adb devices failed: {' '.join(ended.stderr.split())}", hint="adb kill-server, then again"
        )
    found = []
    for line in lines:
        serial, _, rest = line.strip().partition(" ")
        rest = rest.strip()
        if not serial or not rest or line.startswith(("List of devices", "*")):
            continue
        words = rest.split()
        state = "no permissions" if rest.startswith("no permissions") else words[0]
        model = next((word.removeprefix("model:") for word in words if word.startswith("model:")), "")
        found.append(AdbDevice(serial, state, model))
    return found


class AdbTransport(RemoteShell):
    """A device by its serial; None for the only one that is attached."""

    _by_hand = "adb devices"

    def __init__(self, serial: str | None = None) -> None:
        self._serial = serial
        self.address = serial or "the Android device"

    def connect(self) -> None:
        """Choose the device and check that it runs a command."""
        devices = adb_devices()
        listed = ", ".join(f"{device.serial} ({device.state})" for device in devices) or "none"
        if self._serial is None:
            if not devices:
                raise DeviceError(
                    "no Android device is attached",
                    hint="connect it and allow USB debugging; adb devices must list it",
                )
            if len(devices) > 1:
                raise DeviceError(
                    f"adb sees {len(devices)} devices: {listed}", hint="name one: --device NAME=SERIAL"
                )
            self._serial = self.address = devices[0].serial
        state = next((device.state for device in devices if device.serial == self._serial), None)
        if state is None:
            raise DeviceError(f"adb does not see the device {self._serial}", hint=f"it sees: {listed}")
        if state != "device":
            raise DeviceError(f"{self._serial} is {state}", hint=STATE_HINTS.get(state, "see adb devices"))
        super().connect()

    def close(self) -> None:
        """Do nothing: adb's server keeps the connection."""

    def push(self, source: Path, target: str) -> None:
        """Copy a file to the device."""
        part = f"{target}.part"
        self._adb(["push", str(source), part], push_seconds(source), f"copying {source.name} failed")
        self.run(["mv", part, target])

    def pull(self, source: str, target: Path) -> None:
        """Copy a file from the device."""
        self._adb(["pull", source, str(target)], 600.0, f"reading {source} failed")

    def facts(self) -> dict[str, str]:
        """Return what Android's properties say."""
        script = "; ".join(f'echo "{name}=$(getprop {prop})"' for name, prop in _PROPERTIES.items())
        found = {"serial": self.address}
        for line in self.run(["sh", "-c", script]).splitlines():
            name, _, value = line.partition("=")
            if name in _PROPERTIES and value.strip():
                found[name] = value.strip()
        return found

    def _client(self, command: str) -> list[str]:
        return ["adb", "-s", str(self._serial), "shell", "-T", command]

    def _adb(self, arguments: list[str], timeout_s: float, what: str) -> None:
        lines: list[str] = []
        try:
            ended = run_lines(
                ["adb", "-s", str(self._serial), *arguments],
                timeout_s=timeout_s,
                on_line=lines.append,
                cancel=self.cancel,
            )
        except TimeLimit:
            raise DeviceLostError(f"{self.address}: {what}: no answer within {timeout_s:.0f} s") from None
        if ended.exit_code != 0:
            raise self._explain(Ended(ended.exit_code, f"{what}: {ended.stderr or ''.join(lines)}"))

    def _explain(self, ended: Ended) -> DeviceError:
        reason = " ".join(ended.stderr.split()) or f"adb ended with code {ended.exit_code}"
        reason = reason.replace("adb: error: ", "").replace("error: ", "")
        if "No space left" in reason:
            return DeviceError(f"{self.address}: {reason}", hint="free some space on the device")
        if "ermission denied" in reason or "Read-only" in reason:
            return DeviceError(f"{self.address}: {reason}", hint="choose another folder in the profile")
        hint = next((hint for state, hint in STATE_HINTS.items() if state in reason), None)
        return self._broken(reason, hint)
