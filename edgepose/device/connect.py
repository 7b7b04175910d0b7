"""The transport that a profile asks for."""

from __future__ import annotations

from edgepose.device.adb import AdbTransport
from edgepose.device.local import LocalTransport
from edgepose.device.profile import DeviceProfile
from edgepose.device.ssh import SshTransport
from edgepose.device.transport import Transport
from edgepose.errors import DeviceError, UsageError


def open_transport(profile: DeviceProfile) -> Transport:
    """Make the transport of a profile; nothing is contacted yet."""
    if profile.transport == "local":
        if profile.address:
            raise UsageError(
                f"{profile.name} is this machine and has no address", hint=f"--device {profile.name}"
            )
        return LocalTransport()
    if profile.transport == "adb":
        return AdbTransport(profile.address)
    if profile.address is None:
        raise UsageError(
            f"{profile.name}: where is it?",
            hint=f"--device {profile.name}=user@host, or edgepose devices add",
        )
    try:
        return SshTransport(
            profile.address,
            port=profile.port,
            identity=profile.identity,
            jump=profile.jump,
            config=profile.ssh_config,
        )
    except UsageError as error:  # a file of this one device
        raise DeviceError(f"{profile.name}: {error.message}", hint=error.hint) from error
