"""`edgepose baseline`: a reference's results as a file of the repository."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgepose.cli.options import (
    PATH,
    boxes_option,
    check_outputs,
    device_option,
    images_option,
    max_images_option,
    processes_option,
)

if TYPE_CHECKING:
    from edgepose.verify.predictions import BoxSource

_data_options = [
    images_option,
    click.option("--data", type=PATH, metavar="FILE", help="COCO keypoint annotations."),
    processes_option,
    max_images_option,
]


def _with_data(command: Any) -> Any:
    for option in reversed(_data_options):
        command = option(command)
    return command


@click.group(short_help="Record a reference's results for the gate.")
def baseline() -> None:
    """Keep a reference's results in a file, so that `edgepose gate` needs no second bundle."""


@baseline.command(short_help="Run a bundle and write its results.")
@click.argument("bundle", type=PATH)
@click.option("-o", "--output", type=PATH, required=True, metavar="FILE", help="File to write.")
@boxes_option
@click.option("--force", is_flag=True, help="Replace an existing file.")
@device_option
@_with_data
def record(
    bundle: Path,
    output: Path,
    boxes: BoxSource | None,
    force: bool,
    images: Path,
    data: Path | None,
    device: str,
    processes: int | None,
    max_images: int | None,
) -> None:
    """Run BUNDLE on the pictures and write digests, constants and every person's keypoints to a JSON file.

    The file is sorted, one person a line, so that a change can be reviewed.
    """
    from edgepose.errors import UsageError
    from edgepose.verify.baseline import encode_baseline
    from edgepose.verify.baseline_job import recorded_baseline
    from edgepose.writers import write_text

    check_outputs({"-o": output}, (bundle, data))
    if output.exists() and not force:
        raise UsageError(f"{output} exists already", hint="give another -o, or --force to replace it")
    members, dataset, found = recorded_baseline(
        bundle, images, data, device=device, processes=processes, max_images=max_images,
        boxes=boxes,
    )  # fmt: skip
    write_text(output, encode_baseline(members, dataset, found))
    click.echo(f"{output}: {len(found.boxes)} persons on {len(dataset.pictures)} pictures")


@baseline.command(short_help="Does a bundle still give what was recorded?")
@click.argument("file", type=PATH)
@click.argument("bundle", type=PATH)
@click.option("--device", help="Device of the engine.  [default: the one recorded]")
@_with_data
def compare(
    file: Path,
    bundle: Path,
    images: Path,
    data: Path | None,
    device: str | None,
    processes: int | None,
    max_images: int | None,
) -> None:
    """Run BUNDLE again and compare with the baseline FILE, which it must have been recorded with.

    Refuses, with exit code 7, a bundle, data or preprocessing of another digest; exits with 7 as well when
    the results differ.
    """
    from edgepose.errors import VerificationError
    from edgepose.verify.baseline import read_baseline
    from edgepose.verify.baseline_job import compare_with_baseline, recorded_baseline

    kept = read_baseline(file)
    members, dataset, found = recorded_baseline(
        bundle, images, data, device=device, processes=processes, max_images=max_images, repeats=kept,
    )  # fmt: skip
    result = compare_with_baseline(kept, members, dataset, found)
    if not result["same"]:
        raise VerificationError(
            f"{file}: {result['changed_keypoints']} keypoints differ, by {result['max_px']} px at most, "
            f"{result['changed_scores']} of their scores, "
            + (f"{result['changed_depths']} of their depths, " if result["changed_depths"] else "")
            + f"and {result['changed_boxes']} boxes; "
            f"{result['unmatched_persons']} persons are missing, {result['added_persons']} are new",
            hint="another engine version, processor or device gives other roundings: "
            "record it again after a look",
        )
    click.echo(f"{file}: {result['persons']} persons are the same")
