"""One file over HTTP into a .part file: resumed where that is safe, retried where that may help."""

from __future__ import annotations

import errno
import http.client
import json
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from edgepose import __version__, log
from edgepose.errors import ConfigurationError
from edgepose.progress import Progress

_MB = 1_000_000
_CHUNK_BYTES = 1 << 16
_LONGEST_WAIT_S = 60.0
_PORTS = {"http": 80, "https": 443}
_DISK_HINT = "free some space, or let EDGEPOSE_CACHE name a folder on another disk"


@dataclass(frozen=True, slots=True)
class Limits:
    """When a transfer is given up.

    timeout_s: without a byte; attempts: failures in a row, where one that brought `progress_bytes` begins a
    new row; backoff_s: the wait before the second attempt, doubled each time; max_bytes: of a whole file.
    """

    timeout_s: float = 30.0
    attempts: int = 5
    backoff_s: float = 1.0
    progress_bytes: int = 4 << 20
    max_bytes: int = 2 << 30


class TransferError(Exception):
    """An address does not give the file; `transient` says whether asking again may help."""

    def __init__(self, message: str, *, transient: bool = False, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.transient = transient
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class _State:
    """What a .part file is the beginning of; the validator is a strong ETag or a Last-Modified date."""

    url: str
    validator: str | None
    total: int | None


def state_path(part: Path) -> Path:
    """Return where the origin of a .part file is noted."""
    return part.with_name(part.name + ".json")


def discard(part: Path) -> None:
    """Remove a .part file and the note of its origin."""
    part.unlink(missing_ok=True)
    state_path(part).unlink(missing_ok=True)


def download(url: str, part: Path, *, title: str, limits: Limits) -> bool:
    """Bring the file at `url` into `part`, going on from what is there; return whether it came in pieces.

    Errors: TransferError (what arrived stays for the next run), ConfigurationError (disk).
    """
    resumed = False
    failures = 0
    with Progress(title, unit="MB") as progress:
        while True:
            bytes_before = _length(part)
            resumed |= resumable(url, part) is not None
            try:
                _attempt(url, part, limits, progress)
                return resumed
            except TransferError as error:
                if _length(part) - bytes_before >= limits.progress_bytes:
                    failures = 0
                failures += 1
                if not error.transient or failures >= limits.attempts:
                    raise
                wait_s = min(_LONGEST_WAIT_S, max(error.wait_s, limits.backoff_s * 2 ** (failures - 1)))
                log.notice(f"{title}: {error}; attempt {failures + 1} of {limits.attempts} in {wait_s:.0f} s")
                time.sleep(wait_s)


def _attempt(url: str, part: Path, limits: Limits, progress: Progress) -> None:
    state = resumable(url, part)
    have = _length(part) if state else 0
    if state and have == state.total:
        return
    headers = {"User-Agent": f"edgepose/{__version__}", "Accept-Encoding": "identity"}
    if state and state.validator:
        headers |= {"Range": f"bytes={have}-", "If-Range": state.validator}
    with _open(url, headers, limits, part) as response:
        if response.status == 206 and state:
            total: int | None = _check_continuation(response, state, have, part)
        elif response.status == 200:
            have, total = 0, _declared_bytes(response)
            state = _State(url, _validator(response), total)
        else:
            raise TransferError(f"unexpected answer: HTTP {response.status}")
        if (total or 0) > limits.max_bytes:
            raise TransferError(f"{total} bytes is larger than any checkpoint")
        _check_content(response)
        with _disk(part):
            target = part.open("ab" if have else "wb", buffering=0)
        with target:
            with _disk(part):
                state_path(part).write_text(json.dumps(asdict(state)), encoding="utf-8")
            _check_space(part, (total or 0) - have)
            name = f"go on after {have / _MB:.0f} MB" if have else "download"
            progress.stage(name, total=round((total - have) / _MB) or None if total else None)
            received = have + _copy(response, target, part, progress, (total or limits.max_bytes) - have)
    if total is not None and received < total:
        raise TransferError(f"the connection was cut after {received} of {total} bytes", transient=True)


def _open(url: str, headers: dict[str, str], limits: Limits, part: Path) -> Any:
    opener = urllib.request.build_opener(_SameHostOnly())
    try:
        return opener.open(urllib.request.Request(url, headers=headers), timeout=limits.timeout_s)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416:
                discard(part)
                raise TransferError("the file has changed on the server", transient=True) from None
            raise _http_failure(error) from None
    # A ValueError is of a host's name that cannot be looked up.
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        raise _network_failure(error) from error


def _copy(response: Any, target: Any, part: Path, progress: Progress, limit_bytes: int) -> int:
    received = reported_mb = 0
    while True:
        try:
            chunk = response.read1(_CHUNK_BYTES)
        except (http.client.HTTPException, OSError) as error:
            raise _network_failure(error) from error
        if not chunk:
            return received
        received += len(chunk)
        if received > limit_bytes:
            discard(part)
            raise TransferError("the server sends more bytes than it may")
        with _disk(part):
            view = memoryview(chunk)
            while view:
                view = view[target.write(view) :]
        progress.advance(received // _MB - reported_mb)
        reported_mb = received // _MB


def resumable(url: str, part: Path) -> _State | None:
    """Return the origin of a .part file that a request can go on from; None where it must begin again."""
    try:
        noted = json.loads(state_path(part).read_text(encoding="utf-8"))
        state = _State(noted["url"], noted["validator"], noted["total"])
        if state.validator is not None and not state.validator.isprintable():
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    have = _length(part)
    complete = have == state.total
    if state.url != url or not have or not (complete or state.validator):
        return None
    return None if isinstance(state.total, int) and have > state.total else state


def _check_continuation(response: Any, state: _State, have: int, part: Path) -> int:
    """Return the whole length after a 206, if what follows continues what is there."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", "").strip())
    total = int(match[2]) if match else None
    etag = response.headers.get("ETag")
    other_etag = etag and (state.validator or "").startswith('"') and etag != state.validator
    other_total = state.total is not None and total != state.total
    if not match or total is None or int(match[1]) != have or other_total or other_etag:
        discard(part)
        raise TransferError("the file has changed on the server", transient=True)
    return total


def _validator(response: Any) -> str | None:
    etag: str = response.headers.get("ETag", "")
    date: str | None = response.headers.get("Last-Modified")
    # RFC 9110, 13.1.5: If-Range takes no weak ETag.
    return etag if etag.startswith('"') else date


def _declared_bytes(response: Any) -> int | None:
    text = response.headers.get("Content-Length")
    if text is None:
        if not response.chunked:
            raise TransferError("the server does not say how long the file is")
        return None
    if not re.fullmatch(r"\d{1,18}", text.strip()) or int(text) == 0:
        raise TransferError(f"a file of {text} bytes is no checkpoint")
    return int(text)


def _check_content(response: Any) -> None:
    if response.headers.get_content_type() == "text/html":
        raise TransferError("the server answers with a web page instead of the file")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise TransferError("the server compresses the file, though it was asked not to")


def _check_space(part: Path, needed_bytes: int) -> None:
    free_bytes = shutil.disk_usage(part.parent).free
    if needed_bytes > free_bytes:
        figures = f"{needed_bytes / _MB:.1f} MB needed, {free_bytes / _MB:.1f} MB free"
        raise ConfigurationError(f"not enough space in {part.parent}: {figures}", hint=_DISK_HINT)


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Turn an OSError of the block, which only touches files, into a ConfigurationError."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else error.strerror or str(error)
        hint = _DISK_HINT if full else "check the permissions, or let EDGEPOSE_CACHE name another folder"
        raise ConfigurationError(f"cannot write {path}: {reason}", hint=hint) from error


class _SameHostOnly(urllib.request.HTTPRedirectHandler):
    """Follow redirects within a host only, and never from https to http."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if not _is_same_service(req.full_url, newurl):
            fp.close()
            raise TransferError(f"refused a redirect to {newurl!r}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _is_same_service(url: str, new_url: str) -> bool:
    try:
        before, after = urlsplit(url), urlsplit(new_url)
        ports = before.port or _PORTS.get(before.scheme), after.port or _PORTS.get(after.scheme)
    except ValueError:
        return False
    upgrade = (before.scheme, after.scheme) == ("http", "https") and ports[1] == _PORTS["https"]
    same = before.scheme == after.scheme and ports[0] == ports[1]
    return before.hostname == after.hostname and (same or upgrade)


def _http_failure(error: urllib.error.HTTPError) -> TransferError:
    transient = error.code in (408, 425, 429) or error.code >= 500
    retry_after = error.headers.get("Retry-After", "") if error.headers else ""
    wait_s = float(retry_after) if re.fullmatch(r"\d{1,6}", retry_after) else 0.0
    return TransferError(f"HTTP {error.code} {error.reason}".rstrip(), transient=transient, wait_s=wait_s)


def _network_failure(error: Exception) -> TransferError:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, TimeoutError):
        return TransferError("the server does not answer in time", transient=True)
    if isinstance(reason, http.client.IncompleteRead | http.client.RemoteDisconnected):
        return TransferError("the connection was cut", transient=True)
    final = ConnectionRefusedError | ssl.SSLCertVerificationError | http.client.InvalidURL | UnicodeError
    text = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
    return TransferError(text or type(reason).__name__, transient=not isinstance(reason, final))


def _length(path: Path) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116
    except OSError:
        return 0
