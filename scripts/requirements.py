"""Print what pyproject.toml asks for to build, convert, test and lint, one requirement a line."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def main() -> None:
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        from pip._vendor import tomli as tomllib  # type: ignore[no-redef]
    config = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    project = config["project"]
    wanted = [*config["build-system"]["requires"], *project["dependencies"], "cmake>=3.25", "ninja"]
    for extra in ("convert", "calibrate", "eval", "test", "dev"):
        wanted += project["optional-dependencies"][extra]
    # torch first and exact: a later requirement must not pull another build of it.
    wanted.sort(key=lambda line: not re.match(r"torch\b", line))
    sys.stdout.write("\n".join(dict.fromkeys(wanted)) + "\n")


if __name__ == "__main__":
    main()
