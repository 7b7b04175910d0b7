"""Results kept by the hash of everything that they depend on, so that the same work is done once.

An entry is a folder of files and a small JSON value. It is complete or absent: it is built under a temporary
name and renamed. Every read checks every checksum; a damaged entry is dropped and counts as absent. One that
cannot be read counts as absent, too, and stays.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepose import log
from edgepose.hashing import sha256_file, sha256_json
from edgepose.paths import cache_dir, usual_mode

_INDEX = "entry.json"
_STALE_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """What was stored: the files by name, and the JSON value."""

    files: Mapping[str, Path]
    data: Any


class Cache:
    """A folder of entries of one kind of work; safe for concurrent processes."""

    def __init__(self, kind: str, *, root: Path | None = None) -> None:
        self._root = (root or cache_dir()) / kind

    @property
    def root(self) -> Path:
        """The folder of this kind of work, which may not exist yet."""
        return self._root

    def get(self, key: str) -> CacheEntry | None:
        """Return the entry of a key (hex digits); None where there is none, it is damaged or unreadable."""
        folder = self._folder(key)
        try:
            text = (folder / _INDEX).read_text(encoding="ascii")
        except FileNotFoundError:
            # Its removal was broken off; what another process has just stored has an index.
            if folder.is_dir() and not (folder / _INDEX).exists():
                self._drop(folder, f"{_INDEX} is missing")
            return None
        except OSError as error:
            self._warn("read", error, "so what it may hold is made again")
            return None
        except ValueError as error:
            self._drop(folder, f"{_INDEX}: {error}")
            return None
        try:
            index = json.loads(text)
            body = {"key": index["key"], "files": index["files"], "data": index["data"]}
            if index["key"] != key or index["sha256"] != sha256_json(body):
                self._drop(folder, f"{_INDEX} was changed")
                return None
            files = {name: folder / name for name in body["files"]}
            for name, path in files.items():
                if sha256_file(path) != body["files"][name]:
                    self._drop(folder, f"{name} was changed")
                    return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._drop(folder, f"{_INDEX}: {error}")
            return None
        except FileNotFoundError as error:
            self._drop(folder, str(error))
            return None
        except OSError as error:
            self._warn("read", error, "so what it may hold is made again")
            return None
        return CacheEntry(files, body["data"])

    def put(self, key: str, files: Mapping[str, Path], data: Any) -> CacheEntry | None:
        """Store copies of files and a JSON value; None, after a warning, where the cache cannot be written.

        The returned entry names the stored copies.
        """
        folder = self._folder(key)
        temporary = None
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            remove_stale(folder.parent, _STALE_SECONDS)
            temporary = Path(tempfile.mkdtemp(prefix=".tmp-", dir=folder.parent))
            digests = {}
            for name, source in files.items():
                shutil.copyfile(source, temporary / name)
                digests[name] = sha256_file(temporary / name)
            body = {"key": key, "files": digests, "data": data}
            text = json.dumps({**body, "sha256": sha256_json(body)}, allow_nan=False)
            (temporary / _INDEX).write_text(text, encoding="ascii")
            temporary.chmod(usual_mode())  # others may share the cache
            try:
                temporary.rename(folder)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
                stored = self.get(key)
                if stored is not None:  # another process was first
                    return stored
                temporary.rename(folder)  # what was there is dropped
        except OSError as error:
            self._warn("written", error, "so results are not cached")
            return None
        finally:
            if temporary is not None:
                shutil.rmtree(temporary, ignore_errors=True)
        return CacheEntry({name: folder / name for name in files}, data)

    def _folder(self, key: str) -> Path:
        return self._root / key[:2] / key

    def _warn(self, done: str, error: OSError, so: str) -> None:
        log.warning_once(f"the cache {self._root} cannot be {done} ({error.strerror or error}), {so}")

    def _drop(self, folder: Path, reason: str) -> None:
        log.warning(f"a cached result is damaged and is made again ({reason})")
        # Renamed first: a concurrent reader sees the entry or none, never half of it.
        grave = folder.with_name(f".tmp-dropped-{os.getpid()}-{time.monotonic_ns()}")
        try:
            folder.rename(grave)
        except OSError:
            return
        shutil.rmtree(grave, ignore_errors=True)


def remove_stale(folder: Path, age_s: float) -> None:
    """Remove what killed runs left behind in a folder, but not what another run may be writing."""
    for path in folder.glob(".tmp-*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > age_s:
                shutil.rmtree(path, ignore_errors=True)
