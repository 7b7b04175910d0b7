"""What several commands' options share: numbers that are finite, and outputs that can be written."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from edgepose.errors import UsageError
from edgepose.paths import real_path, require_writable

# Whether a path may be read is told by what reads it, as exit code 3: click would call it a wrong argument.
PATH = click.Path(path_type=Path, readable=False)

images_option = click.option(
    "--images", type=PATH, required=True, metavar="DIR", help="Folder of the pictures."
)
_BOXES = click.Choice(["labelled", "detected"])
boxes_option = click.option(
    "--boxes",
    type=_BOXES,
    help="Boxes of the persons.  [default: labelled where there are labels and the bundle takes boxes]",
)
gate_boxes_option = click.option(
    "--boxes",
    type=_BOXES,
    help="Boxes of the persons.  [default: the baseline's; else labelled where there are labels and the "
    "bundle takes boxes]",
)
device_option = click.option("--device", default="CPU", show_default=True, help="Device of the engine.")
processes_option = click.option(
    "--processes", type=click.IntRange(1, 256), help="Processes, one picture each.  [default: all, up to 8]"
)
max_images_option = click.option(
    "--max-images", type=click.IntRange(1), metavar="N", help="Take the first N pictures only."
)


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
    --json alone. Nothing may be written into a bundle, which is refused from then on. Errors: UsageError,
    ConfigurationError.
    """
    from edgepose.bundle.pack import enclosing_bundle
    from edgepose.writers import is_stream

    read = {real_path(path): path for path in inputs if path is not None}
    written: dict[Path, str] = {}
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
        if real in read:
            raise UsageError(
                f"{path}: {option} would overwrite the input {read[real]}", hint="name another file"
            )
        if real in written:
            raise UsageError(f"{path}: {written[real]} and {option} name one file", hint="name another file")
        if enclosing_bundle(path):
            raise UsageError(f"{path}: {option} would write into a bundle", hint="name another folder")
        if path.exists() and not path.is_file():
            continue  # a device or a pipe may take several
        if not is_stream(path):
            require_writable(real.parent)  # also for a file that is there: another takes its place
        written[real] = option


def check_output_folder(folder: Path, option: str = "-o") -> None:
    """Refuse a folder for results that cannot be made, or that is or lies in a bundle.

    A bundle with another file or folder in it is refused from then on. Errors: UsageError,
    ConfigurationError.
    """
    from edgepose.bundle.pack import enclosing_bundle

    above = next((path for path in (folder, *folder.parents) if os.path.lexists(path)), None)
    if above is not None and not above.is_dir():
        raise UsageError(f"{above}: is no folder", hint=f"{option} names a folder to write into")
    bundle = enclosing_bundle(folder)
    if bundle:
        raise UsageError(
            f"{folder}: the results would lie in the bundle {bundle}",
            hint=f"choose another folder with {option}",
        )
    if above is not None:
        require_writable(above)
