"""EdgePose's folder on a device: files by their checksum, a run's folder, and leaving nothing behind."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from edgepose import log
from edgepose.device.transport import Transport
from edgepose.errors import DeviceError
from edgepose.hashing import sha256_file

# Its own name inside the folder of the profile, which may hold files of the user's: only this is removed.
NAME = "edgepose-workspace"
_SUM = re.compile(r"^\\?([0-9a-f]{64}) [ *](.+)$")


class Workspace:
    """A folder of EdgePose's own, inside a given one on a device; made when it is first needed."""

    def __init__(self, transport: Transport, parent: str) -> None:
        self._transport = transport
        self._root = PurePosixPath(parent, NAME)

    def make(self, run: str) -> None:
        """Make it with a run's folder, for this user alone, and learn its full path: it may begin at home."""
        # cd says where it went if the user's CDPATH led it there.
        script = 'umask 077; mkdir -p "$1/$2" && cd "$1" >/dev/null && pwd'
        self._root = PurePosixPath(self._transport.run(["sh", "-c", script, "sh", self.root, run]).strip())

    @property
    def root(self) -> str:
        """The folder's path on the device."""
        return str(self._root)

    def path(self, *parts: str) -> str:
        """Return a path in the folder."""
        return str(self._root.joinpath(*parts))

    def exists(self, name: str) -> bool:
        """Say whether the folder holds this."""
        found = self._transport.run(
            ["sh", "-c", 'if [ -e "$1" ]; then echo yes; else echo no; fi', "sh", self.path(name)]
        )
        return found.strip() == "yes"

    def put(self, name: str, files: dict[str, Path]) -> str:
        """Make a folder on the device hold exactly these files, and return its path.

        What is there with the right checksum is not sent again; every file that was sent is read back.
        """
        folder = self.path(name)
        wanted = {file: sha256_file(path) for file, path in files.items()}
        present = self._sums(folder)
        strangers = [f"{folder}/{file}" for file in present if file not in wanted]
        if strangers:
            self._transport.run(["rm", "-rf", "--", *strangers])
        sent = [file for file, digest in wanted.items() if present.get(file) != digest]
        for file in sent:
            self._transport.push(files[file], f"{folder}/{file}")
        log.info(f"{self._transport.address}: {name}: {len(sent)} of {len(files)} files sent")
        if sent:
            present = self._sums(folder)
            for file in sent:
                if present.get(file) != wanted[file]:
                    raise DeviceError(
                        f"{self._transport.address}: {folder}/{file} arrived damaged",
                        hint="try again; if it stays, check cable, network and storage",
                    )
        return folder

    def remove(self, run: str) -> None:
        """Remove the folder of a run, and with the last of them this one; never the one that it lies in.

        Those of runs that nobody goes on with for a month go, too.
        """
        script = (
            'rm -rf -- "$1/$2" || exit; '
            'find "$1" -maxdepth 1 -name "run-*" -mtime +30 -exec rm -rf -- {} + 2>/dev/null; '
            'for run in "$1"/run-*; do [ -e "$run" ] && exit; done; rm -rf -- "$1"'
        )
        self._transport.run(["sh", "-c", script, "sh", self.root, run])

    def end_process(self, pid: int, program: str) -> None:
        """End a program that an earlier connection left running, if it is still that program."""
        script = (
            'if grep -q "$2" "/proc/$1/cmdline" 2>/dev/null; then kill "$1"; '
            'n=0; while kill -0 "$1" 2>/dev/null && [ $n -lt 50 ]; do sleep 0.1; n=$((n+1)); done; '
            'kill -9 "$1" 2>/dev/null; fi; true'
        )
        self._transport.run(["sh", "-c", script, "sh", str(pid), program])

    def _sums(self, folder: str) -> dict[str, str]:
        """Return the checksums of the files in a folder, by name; make it where there is none."""
        script = (
            "command -v sha256sum >/dev/null || { echo absent; exit; }; "
            'mkdir -p "$1" && cd "$1" && for f in * .*; do [ -f "$f" ] && sha256sum "$f"; done; true'
        )
        sums = {}
        for line in self._transport.run(["sh", "-c", script, "sh", folder], timeout_s=120).splitlines():
            match = _SUM.match(line)
            if match is None:
                what = "it has no sha256sum" if line == "absent" else f"sha256sum printed {line[:80]!r}"
                raise DeviceError(
                    f"{self._transport.address}: {what}",
                    hint="the device needs the program sha256sum (Android 8 or newer, coreutils, BusyBox)",
                )
            sums[match.group(2)] = match.group(1)
        return sums
