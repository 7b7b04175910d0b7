"""Where the runner for a kind of device is: the one of this installation, or one made by build-runner."""

from __future__ import annotations

import os
from pathlib import Path

from edgepose.errors import MissingDependencyError
from edgepose.paths import cache_dir

PROGRAM = "edgepose_bench"


def built_runner(target: str) -> Path:
    """Return where build-runner puts the program for a target."""
    return cache_dir("runners", target, PROGRAM)


def find_runner(abi: str | None) -> Path:
    """Return the runner for an ABI, None for this machine.

    $EDGEPOSE_RUNNER names another one. Errors: MissingDependencyError says how to make it.
    """
    given = os.environ.get("EDGEPOSE_RUNNER")
    if given:
        if not Path(given).is_file():
            raise MissingDependencyError(f"{given} (from $EDGEPOSE_RUNNER): no such file")
        return Path(given).absolute()  # it is started in another folder
    if abi is None:
        from edgepose.core import load_core

        installed = Path(load_core().__file__).parent / "bin" / PROGRAM
        if installed.is_file():
            return installed
        raise MissingDependencyError(
            f"this installation has no {PROGRAM}", hint="install EdgePose from its folder with: pip install ."
        )
    built = built_runner(abi)
    if not built.is_file():
        from edgepose.device.build import TARGETS

        hint = f"edgepose build-runner --target {abi}"
        if abi not in TARGETS:
            hint = "build edgepose_bench there or for it, and name the file in $EDGEPOSE_RUNNER"
        raise MissingDependencyError(f"there is no runner for {abi} yet", hint=hint)
    return built
