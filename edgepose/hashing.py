"""SHA-256 of bytes, files, JSON values and source code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_CHUNK_BYTES = 1 << 20


def sha256_bytes(data: bytes) -> str:
    """Return the SHA-256 of bytes as 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's content. Errors: OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def canonical_json(value: Any) -> bytes:
    """Return the one spelling of a JSON value that digests are taken of: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def sha256_json(value: Any) -> str:
    """Return the SHA-256 of a JSON value's canonical spelling. Errors: ValueError (NaN), TypeError."""
    return sha256_bytes(canonical_json(value))


def sha256_tree(roots: Iterable[Path]) -> str:
    """Return one SHA-256 over the names and contents of all Python files below (or at) `roots`.

    Independent of where the roots lie and of the order in which the file system lists them.
    """
    entries = []
    for root in roots:
        files = [root] if root.is_file() else root.rglob("*")
        for path in files:
            if path.suffix == ".py" and path.is_file():
                name = path.name if path == root else f"{root.name}/{path.relative_to(root).as_posix()}"
                entries.append([name, sha256_file(path)])
    return sha256_json(sorted(entries))
