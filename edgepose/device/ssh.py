"""A board or another machine through the OpenSSH client, with its keys, ports and jump hosts."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from edgepose.device.process import Ended, TimeLimit, run_lines
from edgepose.device.profile import named_file
from edgepose.device.remote import RemoteShell, ignore
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
# Commands share a connection: firewalls refuse whoever opens many in a short time (`ufw limit`).
_SHARED = ("-o", "ControlMaster=auto", "-o", "ControlPersist=60")
# A socket's path has about 100 bytes, of which ssh takes some for a name while it makes it.
_SOCKET_BYTES = 80
_LOCAL_SECONDS = 10.0
_PULL_SECONDS = 600.0
# The first that fits: a changed key is also one that was not verified.
_REFUSALS = {
    "REMOTE HOST IDENTIFICATION HAS CHANGED": "is it the same board? ssh-keygen -R removes its old key",
    "Permission denied": "it wants a password or a key's passphrase, which bench cannot answer: "
    "ssh-copy-id USER@HOST, ssh-add, or another key (identity in the profile, or ~/.ssh/config)",
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
        reach: list[str] = []
        if config is not None:
            reach += ["-F", str(named_file(config))]
        if port is not None:
            reach += ["-p", str(port)]
        if identity is not None:
            reach += ["-i", str(named_file(identity)), "-o", "IdentitiesOnly=yes"]
        if jump is not None:
            reach += ["-J", jump]
        self._by_hand = quoted(["ssh", *reach, host])
        self._host = host
        self._ssh = ["ssh", "-T", *reach]
        for name, value in _OPTIONS.items():
            self._ssh += ["-o", f"{name}={value}"]
        self._socket: Path | None = None

    def connect(self) -> None:
        """Check that the host runs a command; what follows, until close(), shares its connection."""
        if self._socket is None and not self._is_shared_by_user():
            self._socket = Path(tempfile.mkdtemp(prefix="edgepose-ssh-"), "ssh")
            if len(bytes(self._socket)) > _SOCKET_BYTES:
                self.close()
        try:
            super().connect()
        except DeviceError:
            if self._socket is None:
                raise
            # Of a connection to share ssh does not say what a jump host said.
            self.close()
            super().connect()

    def close(self) -> None:
        """End the shared connection."""
        if self._socket is None:
            return
        if self._socket.exists():
            end = [*self._ssh, "-S", str(self._socket), "-O", "exit", "--", self._host]
            with suppress(TimeLimit, DeviceError):
                run_lines(end, timeout_s=_LOCAL_SECONDS, on_line=ignore)
        shutil.rmtree(self._socket.parent, ignore_errors=True)
        self._socket = None

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
        shared = [] if self._socket is None else [*_SHARED, "-S", str(self._socket)]
        return [*self._ssh, *shared, "--", self._host, command]

    def _is_shared_by_user(self) -> bool:
        """Tell whether ssh's configuration names a connection to share: one may be open, with a password."""
        lines: list[str] = []
        with suppress(TimeLimit):
            run_lines([*self._ssh, "-G", "--", self._host], timeout_s=_LOCAL_SECONDS, on_line=lines.append)
        return any(line.startswith("controlpath ") for line in lines)

    def _explain(self, ended: Ended) -> DeviceError:
        words = [word for word in ended.stderr.split() if word.strip("@")]  # without the frame of a warning
        reason = " ".join(words) or f"ssh ended with code {ended.exit_code}"
        if not words and self._socket is not None and ended.exit_code == 255:
            reason = "the host closed it, or gave no sign of life"  # the shared one ends without a word
        hint = next((hint for text, hint in _REFUSALS.items() if text in reason), None)
        return self._broken(reason, hint)


def _write(stream: TextIO, line: str) -> None:
    stream.write(line)
