"""A board as the real ssh client sees it: an OpenSSH server on a loopback port, with keys of its own.

Programs for aarch64 run through QEMU's user mode. A relay in front of it can break the connection.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shlex
import socket
import subprocess
import threading
import time
from pathlib import Path

SSHD = Path("/usr/sbin/sshd")

_LOGIN = """\
cd {home}
run='s#[^ ]*/edgepose_bench (--facts|[^ ]+ --plan)#{qemu} &#'
command=$(printf '%s' "$SSH_ORIGINAL_COMMAND" | sed -E "$run")
exec sh -c "$command"
"""
_SERVER = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
PidFile none
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
ForceCommand {command}
"""
_CLIENT = """\
Host board
  HostName 127.0.0.1
  Port {port}
  User {user}
  IdentityFile {folder}/key
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
  StrictHostKeyChecking yes
  HostKeyAlias board
"""


class SshDouble:
    """The board. `home` is where its sessions begin."""

    def __init__(self, folder: Path, *, cpu: str = "cortex-a76") -> None:
        self._folder, self._cpu = folder, cpu
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self.config = folder / "ssh_config"

    def __enter__(self) -> SshDouble:
        folder, port = self._folder, _free_port()
        for name in ("host_key", "key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        login = folder / "login.sh"
        qemu = f"qemu-aarch64-static -cpu {self._cpu}"
        login.write_text(_LOGIN.format(home=shlex.quote(str(self.home)), qemu=qemu))
        command = shlex.join(["sh", str(login)])
        (folder / "sshd_config").write_text(_SERVER.format(port=port, folder=folder, command=command))
        public = " ".join((folder / "host_key.pub").read_text().split()[:2])
        (folder / "known_hosts").write_text(f"board {public}\n")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        log = (folder / "sshd.log").open("wb")
        self._server = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", folder / "sshd_config"], stdin=subprocess.DEVNULL, stderr=log
        )
        log.close()
        _wait_for(port)
        self.relay = Relay(port)
        self.config.write_text(_CLIENT.format(port=self.relay.port, user=getpass.getuser(), folder=folder))
        return self

    def __exit__(self, *_: object) -> None:
        self.relay.close()
        self._server.terminate()
        self._server.wait(10)


class Relay:
    """Passes bytes on to a port of this machine; breaks after a number of them that the server has sent."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._left: int | None = None
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def cut_after(self, count: int | None) -> None:
        """Break everything once so many bytes came from the server, and refuse until this is called again."""
        with self._lock:
            self._left = count

    def close(self) -> None:
        self._socket.close()
        self._cut()

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self._socket.accept()
            except OSError:
                return
            if self._left is not None and self._left < 0:
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self._target))
            self._open |= {near, far}
            threading.Thread(target=self._pass, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near, True), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if counted and self._spend(len(data)):
                    self._cut()
                    return
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
            self._open.discard(end)

    def _spend(self, count: int) -> bool:
        with self._lock:
            if self._left is None:
                return False
            self._left -= count
            return self._left < 0

    def _cut(self) -> None:
        for end in list(self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
