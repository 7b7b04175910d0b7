"""A board or another machine through the OpenSSH client, with its keys, ports and jump hosts."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

from edgepose.device.process import Ended
from edgepose.device.remote import RemoteShell
from edgepose.device.transport import failed, quoted
from edgepose.errors import DeviceError

# Dead connections are noticed after three unanswered signs of life.
_OPTIONS = {
    "BatchMode": "yes",
    "ConnectTimeout": "10",
    "ServerAliveInterval": "5",
    "ServerAliveCountMax": "3",
    "LogLevel": "ERROR",
}
_PULL_SECONDS = 600.0
# The first that fits: a changed key is also one that was not verified.
_REFUSALS = {
    "REMOTE HOST IDENTIFICATION HAS CHANGED": "is it the same board? ssh-keygen -R removes its old key",
    "Permission denied": "log in once by hand, or give the key: identity in the profile, or ~/.ssh/config",
    "Host key verification failed": "the host is unknown: connect once by hand with ssh and check its key",
    "Could not resolve hostname": "check the name, or give the address in numbers",
    "Connection refused": "is its ssh server running, and the port right?",
    "No route to host": "is it on, and in this network?",
    "timed out": "is it on, and in this network?",
}


class SshTransport(RemoteShell):
    """A host; `config` is a configuration file for ssh in place of the user's own."""

    def __init__(
        self,
        host: str,
        *,
        port: int | None = None,
        identity: str | None = None,
        jump: str | None = None,
        config: str | None = None,
    ) -> None:
        self.address = host if port is None else f"{host}:{port}"
        self._by_hand = f"ssh {host}"
        self._ssh = ["ssh", "-T"]
        if config is not None:
            self._ssh += ["-F", str(Path(config).expanduser())]
        for name, value in _OPTIONS.items():
            self._ssh += ["-o", f"{name}={value}"]
        if port is not None:
            self._ssh += ["-p", str(port)]
        if identity is not None:
            self._ssh += ["-i", str(Path(identity).expanduser()), "-o", "IdentitiesOnly=yes"]
        if jump is not None:
            self._ssh += ["-J", jump]
        self._ssh += ["--", host]

    def pull(self, source: str, target: Path) -> None:
        """Copy a text file from the host; a last line without its end is left out."""
        with target.open("w", encoding="utf-8") as stream:
            outcome = self._run(
                f"cat {quoted([source])}", timeout_s=_PULL_SECONDS, on_line=lambda line: _write(stream, line)
            )
        if outcome.exit_code != 0:
            raise failed([f"reading {source}"], outcome, self.address)

    def facts(self) -> dict[str, str]:
        """Return the host's name and system."""
        host, _, system = self.run(["sh", "-c", "uname -n; uname -sr"]).strip().partition("\n")
        return {"host": host, "system": system}

    def _client(self, command: str) -> list[str]:
        return [*self._ssh, command]

    def _explain(self, ended: Ended) -> DeviceError:
        words = [word for word in ended.stderr.split() if word.strip("@")]  # without the frame of a warning
        reason = " ".join(words) or f"ssh ended with code {ended.exit_code}"
        hint = next((hint for text, hint in _REFUSALS.items() if text in reason), None)
        return self._broken(reason, hint)


def _write(stream: TextIO, line: str) -> None:
    stream.write(line)
