"""The transport that a profile asks for."""

from __future__ import annotations

from edgepose.device.local import LocalTransport
from edgepose.device.profile import DeviceProfile
from edgepose.device.transport import Transport
from edgepose.errors import UsageError


def open_transport(profile: DeviceProfile) -> Transport:
    """Make the transport of a profile; nothing is contacted yet."""
    if profile.transport == "local":
        if profile.address:
            raise UsageError(
                f"{profile.name} is this machine and has no address", hint=f"--device {profile.name}"
            )
        return LocalTransport()
    raise UsageError(f"{profile.name}: the transport {profile.transport} is not there yet")
