"""Write a bundle folder: complete, checked and flushed to the disk under its name, or not at all."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from edgepose.bundle.manifest import FORMAT, MANIFEST_NAME, encode
from edgepose.errors import UsageError
from edgepose.hashing import sha256_file
from edgepose.interrupts import deferred
from edgepose.media import require_utf8
from edgepose.paths import real_path, require_writable, usual_mode

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def refuse_existing(target: Path, *, force: bool) -> None:
    """Refuse to write where something lies, unless it is a bundle and `force` is set.

    Also a place that the compiled core, which checks the bundle there, cannot take, and one where nothing can
    be made. Errors: UsageError, ConfigurationError.
    """
    require_utf8(target)
    above = next((path for path in target.parents if os.path.lexists(path)), None)
    if above is not None and not above.is_dir():
        raise UsageError(f"{above} is no folder", hint="-o names the folder for the bundles")
    inside = enclosing_bundle(real_path(target).parent)
    if inside is not None:  # with another folder in it no command would take it any more
        raise UsageError(f"{inside} is a bundle", hint="-o names the folder for the bundles: give another")
    if above is not None:
        require_writable(above)
    if not os.path.lexists(target):
        return
    if not force:
        raise UsageError(
            f"{target} exists already", hint="give another -o or --name, or --force to replace it"
        )
    if target.is_symlink() or not (target / MANIFEST_NAME).is_file():
        raise UsageError(
            f"{target} is not a bundle, so --force does not replace it", hint="move it away first"
        )


@dataclass(slots=True)
class StagedBundle:
    """A complete bundle under a temporary name; leaving the context removes what is not published.

    force: replace a bundle that has the name.
    """

    target: Path
    folder: Path | None
    made_parents: tuple[Path, ...]
    force: bool = False

    @property
    def digest(self) -> str:
        """The SHA-256 that stands for the whole bundle: its manifest_sha256."""
        manifest = json.loads(((self.folder or self.target) / MANIFEST_NAME).read_text(encoding="utf-8"))
        return str(manifest["manifest_sha256"])

    def publish(self) -> None:
        """Give the bundle its name; with force an existing bundle is replaced, in one step where that can be.

        Errors: UsageError (something that may not be replaced has the name, and keeps it), OSError.
        """
        if self.folder is None:
            raise RuntimeError("the bundle was published already")
        # Again: since the first time, minutes may have passed.
        refuse_existing(self.target, force=self.force)
        if os.path.lexists(self.target):
            if not _exchange(self.folder, self.target):
                with deferred():  # a signal between both would lose the old one
                    old = Path(tempfile.mkdtemp(prefix=f".{self.target.name}.old-", dir=self.target.parent))
                    self.target.rename(old / self.target.name)
                    try:
                        self.folder.rename(self.target)
                    except BaseException:
                        (old / self.target.name).rename(self.target)
                        old.rmdir()
                        raise
                    self.folder = old
            _remove(self.folder)
        else:
            try:
                self.folder.rename(self.target)
            except OSError:
                # What has appeared this very moment: a folder takes no name but that of an empty one.
                refuse_existing(self.target, force=False)
                raise
        self.folder = None
        self.made_parents = ()
        _flush(self.target.parent)

    def __enter__(self) -> StagedBundle:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.folder is not None:
            _remove(self.folder)
            self.folder = None
        for parent in self.made_parents:
            with suppress(OSError):
                parent.rmdir()
        self.made_parents = ()


def stage_bundle(
    target: Path,
    manifest: Mapping[str, Any],
    files: Mapping[str, Path | bytes],
    *,
    force: bool = False,
    check: Callable[[Path], None] | None = None,
) -> StagedBundle:
    """Write a bundle beside `target` under a temporary name, fill in its "files" member and check it.

    `manifest` has a member "files" (its value is replaced) and no "manifest_sha256"; `files` maps a file name
    to its content. `force` lets publish() replace a bundle. `check` gets the folder; whatever it raises
    removes the folder. Errors: OSError, and those of `check`.
    """
    made = _make_parents(target.parent)
    staged = StagedBundle(target, None, made, force)
    try:
        with _named_after(target, {str(content) for content in files.values() if isinstance(content, Path)}):
            folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.tmp-", dir=target.parent))
            staged.folder = folder
            listed = {}
            for name, content in sorted(files.items()):
                path = folder / name
                if isinstance(content, bytes):
                    path.write_bytes(content)
                else:
                    shutil.copyfile(content, path)
                listed[name] = {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
                _flush(path)
            (folder / MANIFEST_NAME).write_bytes(encode({**manifest, "files": listed}))
            _flush(folder / MANIFEST_NAME)
            folder.chmod(usual_mode())
            _flush(folder)
        if check is not None:
            check(folder)
    except BaseException:
        staged.__exit__(None, None, None)
        raise
    return staged


def enclosing_bundle(path: Path) -> Path | None:
    """Return the bundle that a path is or lies in, with links followed; None for no such."""
    real = real_path(path)
    return next((folder for folder in (real, *real.parents) if _is_bundle(folder)), None)


def _is_bundle(folder: Path) -> bool:
    """Tell whether a folder's bundle.json is a bundle's; other programs have files of that name, too."""
    try:
        manifest = json.loads((folder / MANIFEST_NAME).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and manifest.get("format") == FORMAT


@contextmanager
def _named_after(target: Path, sources: set[str]) -> Iterator[None]:
    """Let an OSError of writing name the target: copyfile names its source, others the temporary folder.

    One that names a source and no second file is about reading it, and stays.
    """
    try:
        yield
    except OSError as error:
        if error.filename2 is None and str(error.filename) in sources:
            raise
        raise OSError(error.errno, error.strerror or str(error), str(target)) from error


def _make_parents(folder: Path) -> tuple[Path, ...]:
    """Create a folder and its parents; return those that were made, deepest first."""
    missing = []
    for path in (folder, *folder.parents):
        if path.exists():
            break
        missing.append(path)
    folder.mkdir(parents=True, exist_ok=True)
    return tuple(missing)


def _exchange(a: Path, b: Path) -> bool:
    """Swap two names atomically (Linux renameat2); False where system or file system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError):
        return False
    return bool(rename(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _RENAME_EXCHANGE) == 0)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _flush(path: Path) -> None:
    """Flush a file or folder to the disk."""
    if path.is_dir() and os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Shared folders of virtual machines, Samba and sshfs cannot flush a folder.
        if error.errno not in (errno.EINVAL, errno.EBADF) or not path.is_dir():
            raise
    finally:
        os.close(descriptor)
