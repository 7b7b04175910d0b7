"""An HTTP server on loopback that answers, and fails, by script."""

from __future__ import annotations

import http.server
import random
import re
import threading
import time
from dataclasses import dataclass, field
from typing import Any

BODY = random.Random(1).randbytes(300_000)


@dataclass(frozen=True)
class Reply:
    """One answer: what to send, and how to fail at it."""

    status: int = 200
    body: bytes = BODY
    etag: str | None = '"one"'
    ranges: bool = True
    cut_after: int | None = None
    hang_after: int | None = None
    chunked: bool = False
    delay_s: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append((self.path, dict(self.headers)))
        planned = self.server.plan.pop(0) if self.server.plan else self.server.default
        if planned.delay_s:
            time.sleep(planned.delay_s)
        self.close_connection = True
        if planned.status != 200:
            self._head(planned.status, planned, 0)
            return
        start, status = 0, 200
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and planned.ranges and self.headers.get("If-Range") in (None, planned.etag):
            start, status = int(asked[1]), 206
        if status == 206 and start >= len(planned.body):
            self._head(416, planned, 0)
            return
        rest = planned.body[start:]
        self._head(status, planned, len(rest), start)
        self._send(rest, planned)

    def _head(self, status: int, planned: Reply, length: int, start: int = 0) -> None:
        self.send_response(status)
        headers = {"Content-Type": "application/octet-stream", "Connection": "close"}
        if planned.chunked:
            headers["Transfer-Encoding"] = "chunked"
        else:
            headers["Content-Length"] = str(length)
        if planned.etag:
            headers["ETag"] = planned.etag
        if status == 206:
            headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{start + length}"
        for name, value in {**headers, **planned.headers}.items():
            if value:
                self.send_header(name, value)
        self.end_headers()

    def _send(self, rest: bytes, planned: Reply) -> None:
        stop = planned.cut_after if planned.hang_after is None else planned.hang_after
        sent = rest[:stop]
        if planned.chunked:
            self.wfile.write(f"{len(sent):x}\r\n".encode() + sent + b"\r\n")
            if stop is None:
                self.wfile.write(b"0\r\n\r\n")
        else:
            self.wfile.write(sent)
        self.wfile.flush()
        if planned.hang_after is not None:
            self.server.stopping.wait(30)

    def log_message(self, format: str, *args: Any) -> None:
        return None


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.plan: list[Reply] = []
        self.default = Reply()
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.stopping = threading.Event()
        self.base = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        return None  # clients that hang up are part of the tests
