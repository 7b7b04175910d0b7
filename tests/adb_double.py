"""A device as the real adb client sees it: the ADB wire protocol over TCP, a shell and files in a folder.

Programs for aarch64 run through QEMU's user mode. It can refuse the client's key, never answer it, and
break the connection after a number of bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import struct
import threading
from pathlib import Path

_HEADER = struct.Struct("<6I")
_MAX_DATA = 64 * 1024
_VERSION = 0x01000001
_BANNER = (
    b"device::ro.product.name=double;ro.product.model=Double;ro.product.device=double;features=shell_v2,cmd"
)
_STDIN, _STDOUT, _STDERR, _EXIT, _CLOSE_STDIN = range(5)
_RUNNER = re.compile(r"(\S*/runner/edgepose_bench)(?= --facts| \S+ --plan)")


def emulated(command: str, cpu: str) -> str:
    """Put QEMU before the runner in a command line, as a kernel would that knows the emulator."""
    return _RUNNER.sub(rf"qemu-aarch64-static -cpu {cpu} \1", command)


class Channel:
    """A stream inside the connection."""

    def __init__(self, connection: Connection, local: int, remote: int) -> None:
        self._connection, self.local, self._remote = connection, local, remote
        self._incoming: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._acknowledged = asyncio.Semaphore(0)
        self._rest = b""
        self.closed = False

    def acknowledge(self) -> None:
        self._acknowledged.release()

    async def take(self, data: bytes) -> None:
        self._incoming.put_nowait(data)
        await self._connection.send(b"OKAY", self.local, self._remote)

    def end(self) -> None:
        self.closed = True
        self._incoming.put_nowait(None)
        self._acknowledged.release()

    async def read(self, count: int) -> bytes:
        """Read exactly so many bytes; fewer only where the other side closed."""
        while len(self._rest) < count:
            data = await self._incoming.get()
            if data is None:
                break
            self._rest += data
        data, self._rest = self._rest[:count], self._rest[count:]
        return data

    async def write(self, data: bytes) -> None:
        for start in range(0, len(data), _MAX_DATA):
            if self.closed:
                raise ConnectionError("closed")
            await self._connection.send(b"WRTE", self.local, self._remote, data[start : start + _MAX_DATA])
            await self._acknowledged.acquire()

    async def close(self) -> None:
        if not self.closed:
            self.closed = True
            with contextlib.suppress(ConnectionError):
                await self._connection.send(b"CLSE", self.local, self._remote)


class Connection:
    """One adb server that is connected."""

    def __init__(self, double: AdbDouble, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._double, self._reader, self._writer = double, reader, writer
        self._channels: dict[int, Channel] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def send(self, command: bytes, arg0: int, arg1: int, data: bytes = b"") -> None:
        if command == b"WRTE" and self._double.spend(len(data)):
            self._writer.transport.abort()
            raise ConnectionError("cut")
        number = int.from_bytes(command, "little")
        header = _HEADER.pack(number, arg0, arg1, len(data), sum(data) & 0xFFFFFFFF, number ^ 0xFFFFFFFF)
        self._writer.write(header + data)
        await self._writer.drain()

    async def serve(self) -> None:
        try:
            while True:
                number, arg0, arg1, size, _, _ = _HEADER.unpack(await self._reader.readexactly(_HEADER.size))
                data = await self._reader.readexactly(size)
                await self._handle(number.to_bytes(4, "little"), arg0, arg1, data)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            for channel in self._channels.values():
                channel.end()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _handle(self, command: bytes, arg0: int, arg1: int, data: bytes) -> None:
        if command == b"CNXN":
            if self._double.silent:
                return
            if self._double.authorised:
                await self.send(b"CNXN", _VERSION, _MAX_DATA, _BANNER)
            else:
                await self.send(b"AUTH", 1, 0, os.urandom(20))
        elif command == b"AUTH" and arg0 == 2:
            await self.send(b"AUTH", 1, 0, os.urandom(20))  # the signature of a key that nobody has allowed
        elif command == b"OPEN":
            channel = Channel(self, len(self._channels) + 1, arg0)
            self._channels[channel.local] = channel
            await self.send(b"OKAY", channel.local, arg0)
            task = asyncio.create_task(self._double.open(channel, data.rstrip(b"\0").decode()))
            self._tasks.add(task)
        elif (known := self._channels.get(arg1)) is not None:
            if command == b"OKAY":
                known.acknowledge()
            elif command == b"WRTE":
                await known.take(data)
            elif command == b"CLSE":
                known.end()


class AdbDouble:
    """The device. `root` holds its files; `cpu` is QEMU's name of its processor, None: it runs no runner."""

    def __init__(self, root: Path, *, cpu: str | None = "cortex-a76", authorised: bool = True) -> None:
        self.root, self.cpu, self.authorised = root, cpu, authorised
        self.full = self.silent = False
        self.commands: list[str] = []
        self._left: int | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        (root / "data/local/tmp").mkdir(parents=True, exist_ok=True)
        (root / "system/bin").mkdir(parents=True)

    def __enter__(self) -> AdbDouble:
        self._thread.start()
        self._server = self._call(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        self.serial = f"127.0.0.1:{self.port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def install(self, name: str, script: str) -> None:
        """Give the device a program, as a shell script."""
        program = self.root / "system/bin" / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def cut_after(self, count: int | None) -> None:
        """Break the connection once the device has sent so many bytes; None for never."""
        self._left = count

    def spend(self, count: int) -> bool:
        """Count bytes that are sent, and say whether the connection breaks now."""
        if self._left is None:
            return False
        self._left -= count
        return self._left < 0

    def path(self, name: str) -> Path:
        """Return where a file of the device lies."""
        return self.root / name.lstrip("/")

    async def open(self, channel: Channel, service: str) -> None:
        try:
            kind, _, argument = service.partition(":")
            if kind.split(",")[0] == "shell":
                await self._shell(channel, argument)
            elif kind == "sync":
                await self._sync(channel)
        except ConnectionError:
            pass
        finally:
            await channel.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not a coroutine: one that is cancelled before its first step would never close its connection.
        self._writers.append(writer)
        task = self._loop.create_task(Connection(self, reader, writer).serve())
        # Not close(): it would wait until what was written is read, which nobody does any more.
        task.add_done_callback(lambda _: writer.transport.abort())

    async def _stop(self) -> None:
        for listening in self._server.sockets:
            self._loop.remove_reader(listening.fileno())
        for _ in range(5):
            await asyncio.sleep(0)  # a connection that is just coming in gets to _accept
        self._server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in self._writers:
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        await self._server.wait_closed()
        for _ in range(5):
            await asyncio.sleep(0)  # what was closed says so to its protocol

    def _call(self, coroutine: object) -> object:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    async def _shell(self, channel: Channel, command: str) -> None:
        self.commands.append(command)
        command = command.replace("/data/local/tmp", str(self.path("data/local/tmp")))
        if self.cpu is not None:
            command = emulated(command, self.cpu)
        process = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", command, cwd=self.root, start_new_session=True,
            env={**os.environ, "PATH": f"{self.root}/system/bin:{os.environ['PATH']}"},
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip

        async def forward(stream: asyncio.StreamReader, kind: int) -> None:
            while data := await stream.read(_MAX_DATA // 2):
                data = data.replace(str(self.root).encode(), b"")  # pwd shows the device's own path
                await channel.write(struct.pack("<BI", kind, len(data)) + data)

        assert process.stdout is not None and process.stderr is not None
        transport = process._transport  # type: ignore[attr-defined]  # nothing public closes the pipes
        try:
            await asyncio.gather(forward(process.stdout, _STDOUT), forward(process.stderr, _STDERR))
            code = await process.wait()
            await channel.write(struct.pack("<BIB", _EXIT, 1, code & 255))
        finally:
            # As adbd does: what ran in a shell that lost its reader gets the hang-up signal.
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, 1)
                # Nobody reads the rest, and wait() would wait for the end of the pipes.
                for descriptor in (1, 2):
                    transport.get_pipe_transport(descriptor).close()
                await process.wait()
            transport.close()

    async def _sync(self, channel: Channel) -> None:
        while len(head := await channel.read(8)) == 8:
            request, size = head[:4], int.from_bytes(head[4:], "little")
            name = (await channel.read(size)).decode() if request != b"QUIT" else ""
            if request == b"STAT":
                path = self.path(name)
                found = path.stat() if path.exists() else None
                fields = (found.st_mode, found.st_size, int(found.st_mtime)) if found else (0, 0, 0)
                await channel.write(b"STAT" + struct.pack("<3I", *fields))
            elif request == b"SEND":
                await self._receive(channel, *name.rsplit(",", 1))
            elif request == b"RECV":
                await self._send(channel, self.path(name))
            else:
                return

    async def _receive(self, channel: Channel, name: str, mode: str) -> None:
        content = b""
        while True:
            head = await channel.read(8)
            if len(head) < 8 or head[:4] == b"DONE":
                break
            content += await channel.read(int.from_bytes(head[4:], "little"))
        if self.full:
            reason = b"couldn't write: No space left on device"
            await channel.write(b"FAIL" + struct.pack("<I", len(reason)) + reason)
            return
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(int(mode) & 0o777 or 0o644)
        await channel.write(b"OKAY" + bytes(4))

    async def _send(self, channel: Channel, path: Path) -> None:
        try:
            content = path.read_bytes()
        except OSError as error:
            reason = str(error.strerror).encode()
            await channel.write(b"FAIL" + struct.pack("<I", len(reason)) + reason)
            return
        for start in range(0, len(content), _MAX_DATA):
            piece = content[start : start + _MAX_DATA]
            await channel.write(b"DATA" + struct.pack("<I", len(piece)) + piece)
        await channel.write(b"DONE" + bytes(4))
