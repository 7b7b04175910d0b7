"""Checkpoints in the cache: found, pulled from the mirrors or the official address, and checked."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edgepose import log
from edgepose.errors import CheckpointError, ConfigurationError, EdgePoseError, UsageError
from edgepose.hashing import sha256_file
from edgepose.lock import locked, unusable
from edgepose.paths import cache_dir
from edgepose.zoo.catalog import ZooModel, find, lookup
from edgepose.zoo.download import Limits, TransferError, discard, download, resumable

_MB = 1_000_000


def resolve(name_or_path: str, *, offline: bool = False) -> Path:
    """Return the checkpoint file that a user names: an existing path as it is, a zoo name from the cache.

    What is not in the cache is pulled. A folder with the name of a zoo model does not hide the model. Errors:
    UsageError (neither, or a network that cannot be converted), ConfigurationError (network, disk, offline),
    CheckpointError (wrong content).
    """
    path = Path(name_or_path)
    model = lookup(name_or_path)
    if path.exists() and (model is None or not path.is_dir()):
        return path
    if model is None and (len(path.parts) > 1 or path.suffix):
        named = lookup(path.name)
        hint = f"this is {named.name} of the zoo: give that name" if named else None
        raise UsageError(
            f"{name_or_path}: no such file", hint=hint or "give a checkpoint file or a name of the zoo"
        )
    model = model or find(name_or_path)
    if not model.convertible:
        raise UsageError(f"{model.name} cannot be converted by EdgePose", hint="see edgepose zoo list")
    return pull(model, offline=offline)


def pull(model: ZooModel | str, *, offline: bool = False, limits: Limits | None = None) -> Path:
    """Return the cached file of a checkpoint, downloaded first where it is absent or damaged.

    Safe for concurrent calls and processes: one downloads, the others wait for it. Errors: as resolve().
    """
    model = find(model) if isinstance(model, str) else model
    target = cached_path(model)
    if target.is_file():
        damage = _damage(model, target)
        if not damage:
            return target
        if offline:
            raise CheckpointError(f"{target}: {damage}", hint="pull it again without --offline")
    elif offline:
        raise ConfigurationError(
            f"{model.name} is not in the cache {target.parent}",
            hint=f"run edgepose zoo pull {model.name} with a network, or copy {model.file} there",
        )
    addresses = _addresses(model)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unusable(target.parent, error) from error
    lock = target.with_name(target.name + ".lock")
    with locked(lock, waiting=f"{target.name}: another edgepose is downloading it; waiting"):
        if target.is_file():
            damage = _damage(model, target)
            if not damage:
                return target
            log.warning(f"{target}: {damage}; it is pulled again")
        return _pull(model, target, addresses, limits or Limits())


def cached_path(model: ZooModel) -> Path:
    """Return where the file of a checkpoint lies once it is pulled."""
    return cache_dir("zoo") / model.file


def receipt(model: ZooModel) -> dict[str, Any] | None:
    """Return what was noted when a checkpoint was pulled (url, bytes, sha256), or None."""
    try:
        noted = json.loads(_receipt_path(cached_path(model)).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return noted if isinstance(noted, dict) and isinstance(noted.get("sha256"), str) else None


def _pull(model: ZooModel, target: Path, addresses: list[str], limits: Limits) -> Path:
    part = target.with_name(target.name + ".part")
    failures: list[str] = []
    wrong_content = False
    try:
        for url in addresses:
            try:
                _download_checked(model, url, part, target, limits)
                return target
            except TransferError as error:
                failures.append(f"{url}: {error}")
                log.info(f"{model.name}: {failures[-1]}")
            except _WrongContent as error:
                wrong_content = True
                failures.append(f"{url}: {error}")
                log.warning(f"{model.name}: {failures[-1]}; the file was removed")
    except BaseException as error:
        if not isinstance(error, Exception | GeneratorExit) and _kept_bytes(part):
            resumes = _resumes(addresses, part)
            then = "; the next pull goes on from there" if resumes else ", but the next pull begins again"
            log.notice(f"{_kept(part)}{then}")
        raise
    kind: type[EdgePoseError] = CheckpointError if wrong_content else ConfigurationError
    raise kind(f"cannot pull {model.name}: {'; '.join(failures)}", hint=_hint(addresses, part, wrong_content))


def _download_checked(model: ZooModel, url: str, part: Path, target: Path, limits: Limits) -> None:
    resumed = download(url, part, title=model.name, limits=limits)
    digest = _digest(part)
    if resumed and not _matches(model, digest):
        # The halves may be of two different files; one whole download decides.
        discard(part)
        download(url, part, title=model.name, limits=limits)
        digest = _digest(part)
    if not _matches(model, digest):
        discard(part)
        raise _WrongContent(f"the SHA-256 is {digest[:12]}... and should begin with {model.sha256_prefix}")
    if model.sha256_prefix is None:
        log.warning(f"{model.name}: upstream gives no checksum for this file; its SHA-256 is {digest}")
    note = {"name": model.name, "bytes": part.stat().st_size, "sha256": digest, "url": url}
    try:
        # Noted first: a run killed in between leaves a note without a file, which means nothing.
        draft = target.with_name(target.name + ".note")
        draft.write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")
        draft.replace(_receipt_path(target))
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        part.replace(target)
        discard(part)
    except OSError as error:
        raise unusable(target.parent, error) from error


class _WrongContent(Exception):
    """A download is complete, and its SHA-256 is another one."""


def _matches(model: ZooModel, digest: str) -> bool:
    return digest.startswith(model.sha256_prefix or "")


def _damage(model: ZooModel, path: Path) -> str | None:
    """Say what is wrong with a cached file; None where its SHA-256 is right, or where none is known."""
    digest = _digest(path)
    noted = receipt(model)
    if not _matches(model, digest) or (noted is not None and noted["sha256"] != digest):
        return "the cached file is damaged (wrong SHA-256)"
    return None


def _digest(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        raise unusable(path, error) from error


def _addresses(model: ZooModel) -> list[str]:
    """List where to look: each mirror in upstream's folders, then flat, then the official address."""
    official = urlsplit(model.url)
    addresses = []
    for base in os.environ.get("EDGEPOSE_ZOO_MIRROR", "").split(","):
        base = base.strip().rstrip("/")
        if not base:
            continue
        if not _is_base_address(base):
            raise ConfigurationError(
                f"EDGEPOSE_ZOO_MIRROR has {base!r}, which is no address",
                hint="give base addresses like https://mirror.example/models, separated by commas",
            )
        addresses += [base + official.path, f"{base}/{model.file}"]
    return list(dict.fromkeys([*addresses, model.url]))


def _is_base_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return bool(
            parts.scheme in ("http", "https")
            and parts.hostname
            and parts.port != 0
            and "@" not in parts.netloc
            and not (parts.query or parts.fragment)
            and text.isascii()
            and text.isprintable()
            and " " not in text
        )
    except ValueError:
        return False


def _receipt_path(target: Path) -> Path:
    return target.with_name(target.name + ".json")


def _kept_bytes(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _kept(part: Path) -> str:
    return f"{_kept_bytes(part) / _MB:.1f} MB are kept in {part}"


def _resumes(addresses: list[str], part: Path) -> bool:
    return any(resumable(url, part) for url in addresses)


def _hint(addresses: list[str], part: Path, wrong_content: bool) -> str:
    if _resumes(addresses, part):
        return f"{_kept(part)}; run the command again to go on from there"
    first = "try again later" if wrong_content else "check the network and the proxy settings"
    if _kept_bytes(part):
        first = "run the command again, which begins anew"
    return f"{first}, or let EDGEPOSE_ZOO_MIRROR name a server that has the file"
