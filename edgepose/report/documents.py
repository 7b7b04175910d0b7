"""The documents that a report shows: those of `edgepose eval`, `gate` and `bench`, matched to bundles."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepose import errors
from edgepose.errors import UsageError

Kind = str
# Kind -> format, version, which member holds the bundle that it is about.
KINDS: dict[Kind, tuple[str, int, str]] = {
    "eval": ("edgepose-eval", 1, "bundle"),
    "gate": ("edgepose-gate", 1, "candidate"),
    "bench": ("edgepose-bench-result", 1, "bundle"),
}


@dataclass(frozen=True, slots=True)
class Document:
    """A document and where it came from, as the reader shall see it."""

    source: str
    content: dict[str, Any]


def read_document(kind: Kind, path: Path) -> Document:
    """Read a document of that kind. Errors: UsageError for anything else; OSError."""
    form, version, _ = KINDS[kind]
    hint = (
        f"give a file that edgepose {kind} --json wrote"
        if kind != "bench"
        else "give a result of edgepose bench"
    )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file", hint=hint) from None
    except IsADirectoryError:
        raise UsageError(f"{path}: a folder, not a file", hint=hint) from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not JSON ({error})", hint=hint) from error
    if not isinstance(content, dict) or content.get("format") != form:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise UsageError(f"{path}: is {found!r}, not a document {form}", hint=hint)
    if content.get("format_version") != version:
        raise UsageError(
            f"{path}: has version {content.get('format_version')!r} of {form}; this EdgePose reads {version}",
            hint=f"make it again with this version's edgepose {kind}",
        )
    return Document(path.name, content)


def owner_of(kind: Kind, document: Document, digests: Sequence[str]) -> int:
    """Return the index of the bundle that a document is about. Errors: UsageError for none of them."""
    member = KINDS[kind][2]
    with reading(kind, document):
        bundle = document.content[member]
        digest, name = str(bundle["digest"]), str(bundle["name"])
    if digest not in digests:
        raise UsageError(
            f"{document.source}: is about {name} with the digest {digest[:12]}..., none of the bundles given",
            hint="give that bundle too, or leave the file out",
        )
    return list(digests).index(digest)


def reading(kind: Kind, document: Document) -> AbstractContextManager[None]:
    """Report what a document lacks as a wrong file, not as a bug."""
    return errors.reading(document.source, KINDS[kind][0], hint=f"make it again with edgepose {kind}")
