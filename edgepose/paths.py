"""Where EdgePose keeps files between runs, permissions of folders, and what Git LFS has yet to fetch."""

from __future__ import annotations

import os
from pathlib import Path

from edgepose.errors import ConfigurationError, UsageError


def cache_dir(*parts: str) -> Path:
    """Return the cache folder, or a path below it; nothing is created.

    $EDGEPOSE_CACHE where it is set, else $XDG_CACHE_HOME/edgepose (a relative value is ignored, as the XDG
    base directory specification asks), else ~/.cache/edgepose. Errors: ConfigurationError for no such user.
    """
    own = os.environ.get("EDGEPOSE_CACHE")
    xdg = Path(os.environ.get("XDG_CACHE_HOME") or "")
    try:
        if own:
            return Path(own).expanduser().absolute().joinpath(*parts)
        root = xdg if xdg.is_absolute() else Path.home() / ".cache"
    except RuntimeError as error:
        raise ConfigurationError(
            f"{own or '~/.cache'}: there is no such home folder",
            hint="let EDGEPOSE_CACHE name the folder that EdgePose may keep files in",
        ) from error
    return root.joinpath("edgepose", *parts)


def real_path(path: Path) -> Path:
    """Return the absolute path with its links followed.

    A loop of links stays as it is: Path.resolve() raises RuntimeError for one, before Python 3.13.
    """
    return Path(os.path.realpath(path))


def require_writable(folder: Path) -> None:
    """Refuse a folder that no file can be made in. Errors: ConfigurationError."""
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"{folder}: this folder is not writable",
            hint="check its permissions and whether the disk is read-only, or choose another folder",
        )


def is_lfs_pointer(head: bytes) -> bool:
    """Tell by a file's first bytes whether it only says which one Git LFS would put in its place."""
    return head.startswith(b"version https://git-lfs")


def refuse_lfs_pointer(path: Path) -> None:
    """Refuse such a file; not a pipe, whose writer is gone. Errors: UsageError, OSError."""
    if not path.is_file():
        return
    with path.open("rb") as stream:
        if is_lfs_pointer(stream.read(64)):
            raise UsageError(f"{path}: a Git LFS pointer, not the file itself", hint="run: git lfs pull")


def usual_mode() -> int:
    """Return the permissions of a folder as mkdir would make it; a temporary folder has narrower ones."""
    mask = os.umask(0o022)
    os.umask(mask)
    return 0o777 & ~mask
