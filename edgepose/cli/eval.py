"""`edgepose eval`: how accurate a bundle is, and how far from a reference."""

from __future__ import annotations

import json
from collections.abc import Callable
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


@click.command(name="eval", short_help="Measure accuracy, and drift from a reference.")
@click.argument("bundle", type=PATH)
@images_option
@click.option(
    "--data",
    type=PATH,
    metavar="FILE",
    help="COCO keypoint annotations. Without it only --reference can be compared with.",
)
@click.option(
    "--reference",
    type=PATH,
    metavar="BUNDLE",
    help="A bundle, such as the fp32 one, to measure the drift from.",
)
@boxes_option
@click.option(
    "--flip-test",
    is_flag=True,
    help="Show each person mirrored, too, and take the mean, as most published AP does.",
)
@device_option
@processes_option
@max_images_option
@click.option(
    "--json", "json_file", type=PATH, metavar="FILE",
    help="Write the figures as a JSON document; - for standard output.",
)  # fmt: skip
def eval_command(
    bundle: Path,
    images: Path,
    data: Path | None,
    reference: Path | None,
    boxes: BoxSource | None,
    flip_test: bool,
    device: str,
    processes: int | None,
    max_images: int | None,
    json_file: Path | None,
) -> None:
    """Measure BUNDLE on labelled pictures: AP and AR by OKS, PCK, and the error of every joint in pixels.

    With --reference also, or only, how far the keypoints are from those of another bundle. Results are kept
    32 pictures at a time: a stopped run goes on with the rest.
    """
    from edgepose.verify.evaluation import EvalRequest, evaluate
    from edgepose.verify.text import eval_text

    check_outputs({"--json": json_file}, (bundle, data, reference))
    request = EvalRequest(
        bundle=bundle,
        images=images,
        data=data,
        reference=reference,
        boxes=boxes,
        flip_test=flip_test,
        device=device,
        processes=processes,
        max_images=max_images,
    )
    emit(evaluate(request), json_file, eval_text)


def emit(document: dict[str, Any], json_file: Path | None, text: Callable[[dict[str, Any]], str]) -> None:
    """Print the text, or the document where its file is "-"; write the document to any other file."""
    from edgepose.writers import write_text

    body = json.dumps(document, indent=1, allow_nan=False) + "\n"
    body = body.encode(errors="backslashreplace").decode()  # file names may be no UTF-8: see write_text
    if json_file is not None and str(json_file) == "-":
        click.echo(body, nl=False)
        return
    click.echo(text(document))  # first: a file that cannot be written loses no result
    if json_file is not None:
        write_text(json_file, body)
