"""What adb and ssh share: a shell on the far side, whose end is told apart from a broken connection."""

from __future__ import annotations

import re
import secrets
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

from edgepose.device.process import Ended, TimeLimit, run_lines
from edgepose.device.transport import COMMAND_SECONDS, Outcome, failed, push_seconds, quoted
from edgepose.errors import DeviceError, DeviceLostError

# A client's exit code may be its own or the program's, so the far shell says the program's at the end.
_MARK = "edgepose-exit:"
_END = re.compile(rf"{_MARK}(\d+)$")
# A runner prints a line a second; a large network on a slow processor may take longer to load.
SILENCE_SECONDS = 180.0


class RemoteShell(ABC):
    """A transport through a client program that runs a command line on the device."""

    address: str
    cancel: threading.Event | None = None
    _connected = False
    _by_hand: str  # a command line that shows whether the client reaches the device

    @abstractmethod
    def _client(self, command: str) -> list[str]:
        """Return the client's argv that runs a command line there."""

    @abstractmethod
    def _explain(self, ended: Ended) -> DeviceError:
        """Make the error for a client that ended without the far shell's word."""

    @abstractmethod
    def facts(self) -> dict[str, str]:
        """Return what the device says about itself."""

    def connect(self) -> None:
        """Check that the device runs a command."""
        if self.run(["echo", "edgepose"]).strip() != "edgepose":
            raise DeviceError(
                f"{self.address}: its shell prints more than a command's output",
                hint="keep its login scripts silent",
            )
        self._connected = True

    @abstractmethod
    def close(self) -> None:
        """Let go of the connection."""

    def run(self, argv: Sequence[str], *, timeout_s: float = COMMAND_SECONDS) -> str:
        """Run a program and return its output."""
        lines: list[str] = []
        outcome = self._run(quoted(argv), timeout_s=timeout_s, on_line=lines.append)
        if outcome.exit_code != 0:
            raise failed(argv, outcome, self.address)
        return "".join(lines)

    def stream(
        self, argv: Sequence[str], *, folder: str, timeout_s: float, on_line: Callable[[str], None]
    ) -> Outcome:
        """Run a program in a folder and hand over its lines as they come."""
        command = f"cd {quoted([folder])} && {quoted(argv)}"
        return self._run(command, timeout_s=timeout_s, on_line=on_line, silence_s=SILENCE_SECONDS)

    def push(self, source: Path, target: str) -> None:
        """Copy a file to the device."""
        # A shell that outlives a broken connection must not put half a file in place.
        part = f"{target}.{secrets.token_hex(4)}.part"
        whole = f'[ "$(wc -c < {quoted([part])})" -eq {source.stat().st_size} ]'
        command = f"cat > {quoted([part])} && {whole} && mv {quoted([part, target])}"
        outcome = self._run(command, timeout_s=push_seconds(source), on_line=ignore, stdin=source)
        if outcome.exit_code != 0:
            raise failed([f"copying {source.name}"], outcome, self.address)

    def _broken(self, reason: str, hint: str | None) -> DeviceError:
        """Make the error for a device that does not let us in, or that is gone after it did."""
        if self._connected:
            hint = hint or "check the cable or the network"
            return DeviceLostError(f"{self.address}: the connection broke: {reason}", hint=hint)
        return DeviceError(f"{self.address}: no connection: {reason}", hint=hint or f"try {self._by_hand}")

    def _run(
        self,
        command: str,
        *,
        timeout_s: float,
        on_line: Callable[[str], None],
        stdin: Path | None = None,
        silence_s: float | None = None,
    ) -> Outcome:
        code: int | None = None

        def take(line: str) -> None:
            nonlocal code
            # Behind a last line without its end, which was cut: what is missing is fetched by a resumed run.
            match = _END.search(line.rstrip("\n"))
            if match:
                code = int(match.group(1))
            elif line.endswith("\n"):
                on_line(line)

        # The login shell may be any, and ssh takes its user's language along, which nobody here reads.
        script = f"export LC_ALL=C; {{ {command}; }}; echo {_MARK}$?"
        argv = self._client(quoted(["sh", "-c", script]))
        try:
            ended = run_lines(
                argv,
                timeout_s=timeout_s,
                on_line=take,
                stdin=stdin,
                silence_s=silence_s,
                cancel=self.cancel,
            )
        except BaseException as error:
            self.close()  # a shared connection would keep alive what runs there
            if not isinstance(error, TimeLimit):
                raise
            raise DeviceLostError(
                f"{self.address}: no answer within {timeout_s if silence_s is None else silence_s:.0f} s",
                hint="is the device still there, awake and connected?",
            ) from None
        if code is None:
            raise self._explain(ended)
        return Outcome(code, ended.stderr)


def ignore(line: str) -> None:
    """Take no notice of a line."""
