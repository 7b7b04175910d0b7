"""What several commands' options share: numbers that are finite, and output files that can be written."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from edgepose.errors import UsageError
from edgepose.paths import real_path


class FiniteRange(click.FloatRange):
    """A range of numbers; click's own takes "nan" into every one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not in the range {self._describe_range()}.", param, ctx)
        return number


def check_outputs(outputs: Mapping[str, Path | None], inputs: Iterable[Path | None]) -> None:
    """Refuse output files that cannot be written, or that would replace an input or one another.

    To be called before the work whose result they hold. outputs: by option; "-" is standard output, for
    --json alone. Nothing may be written into a bundle among the inputs, since a bundle with another file is
    refused.
    Errors: UsageError.
    """
    taken = {real_path(path): path for path in inputs if path is not None}
    bundles = {real for real in taken if (real / "bundle.json").is_file()}
    for option, path in outputs.items():
        if path is None:
            continue
        if str(path) == "-":
            if option == "--json":
                continue
            raise UsageError(f"{option} - : only --json takes - for standard output", hint="name a file")
        real = real_path(path)
        if path.is_dir():
            raise UsageError(f"{path}: is a folder", hint=f"{option} names the file")
        if not real.parent.is_dir():
            raise UsageError(f"{path}: there is no folder {path.parent}", hint="make it, or name another")
        if real in taken:
            raise UsageError(
                f"{path}: {option} would overwrite the input {taken[real]}", hint="name another file"
            )
        if bundles.intersection(real.parents):
            raise UsageError(f"{path}: {option} would write into a bundle", hint="name another folder")
        if path.exists() and not path.is_file():
            continue  # a device or a pipe may take several
        taken[real] = path


def check_output_folder(folder: Path, bundle: Path) -> None:
    """Refuse a folder for results that cannot be made, or that lies in the bundle. Errors: UsageError.

    A bundle with another file or folder in it is refused from then on.
    """
    above = next((path for path in (folder, *folder.parents) if os.path.lexists(path)), None)
    if above is not None and not above.is_dir():
        raise UsageError(f"{above}: is no folder", hint="-o names the folder for the results")
    real = real_path(folder)
    if real_path(bundle) in (real, *real.parents):
        raise UsageError(
            f"{folder}: the results would lie in the bundle {bundle}", hint="choose another folder with -o"
        )
