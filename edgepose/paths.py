"""Where EdgePose keeps files between runs, and the permissions of folders."""

from __future__ import annotations

import os
from pathlib import Path

from edgepose.errors import ConfigurationError


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


def usual_mode() -> int:
    """Return the permissions of a folder as mkdir would make it; a temporary folder has narrower ones."""
    mask = os.umask(0o022)
    os.umask(mask)
    return 0o777 & ~mask
