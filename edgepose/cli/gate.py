"""`edgepose gate`: may this bundle replace that one?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgepose.cli.options import (
    PATH,
    FiniteRange,
    check_outputs,
    device_option,
    gate_boxes_option,
    images_option,
    max_images_option,
    processes_option,
)

if TYPE_CHECKING:
    from edgepose.verify.predictions import BoxSource


@click.command(name="gate", short_help="Decide whether a bundle may replace another.")
@click.argument("candidate", type=PATH)
@click.option(
    "--reference", type=PATH, required=True, metavar="BUNDLE|BASELINE",
    help="The bundle to compare with, or the baseline file of one.",
)  # fmt: skip
@images_option
@click.option(
    "--data", type=PATH, metavar="FILE",
    help="COCO keypoint annotations. Without it drift decides alone.",
)  # fmt: skip
@click.option(
    "--baseline", type=PATH, metavar="FILE",
    help="Refuse a reference bundle, data or preprocessing other than this baseline's.",
)  # fmt: skip
@click.option(
    "--video", type=PATH, metavar="FILE",
    help="Also track both on this video: jitter, lag and identity switches.",
)  # fmt: skip
@gate_boxes_option
@click.option(
    "--limits", "limits_file", type=PATH, metavar="FILE",
    help="JSON file of limits, for all precisions or one.  [default: EdgePose's for the precision]",
)  # fmt: skip
@click.option(
    "--budget", "budgets", multiple=True, metavar="[NAME=]VALUE",
    help="Change one limit; a number alone is the AP that may be lost. Can be given several times.",
)  # fmt: skip
@click.option(
    "--precision", type=click.Choice(["fp32", "fp16", "bf16", "int8", "mixed"]),
    help="Take the limits of this precision.  [default: the candidate's]",
)  # fmt: skip
@click.option(
    "--confidence", type=FiniteRange(0.5, 0.999), default=0.95, show_default=True,
    help="Of the intervals.",
)  # fmt: skip
@click.option(
    "--samples", type=click.IntRange(200, 1_000_000), default=10_000, show_default=True,
    help="Resamplings of the pictures.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the resamplings.")
@device_option
@processes_option
@max_images_option
@click.option(
    "--json", "json_file", type=PATH, metavar="FILE",
    help="Write the decision as a JSON document; - for standard output.",
)  # fmt: skip
@click.option("--junit", "junit_file", type=PATH, metavar="FILE", help="Write JUnit XML.")
@click.option(
    "--markdown", "markdown_file", type=PATH, metavar="FILE",
    help="Write a comment for a pull request.",
)  # fmt: skip
@click.pass_context
def gate_command(
    context: click.Context,
    candidate: Path,
    reference: Path,
    images: Path,
    data: Path | None,
    baseline: Path | None,
    video: Path | None,
    boxes: BoxSource | None,
    limits_file: Path | None,
    budgets: tuple[str, ...],
    precision: str | None,
    confidence: float,
    samples: int,
    seed: int,
    device: str,
    processes: int | None,
    max_images: int | None,
    json_file: Path | None,
    junit_file: Path | None,
    markdown_file: Path | None,
) -> None:
    """Compare CANDIDATE with a reference on the same pictures: AP lost, drift, and the drift of every joint.

    Each figure has an interval from resampled pictures. Exit code 0: all within their limits (PASS);
    10: one is over its limit for sure (FAIL); 11: the pictures do not decide (INCONCLUSIVE).
    """
    from edgepose.cli.eval import emit
    from edgepose.verify.ci_formats import junit, markdown
    from edgepose.verify.gate import GateRequest, gate
    from edgepose.verify.text import gate_text
    from edgepose.writers import write_text

    check_outputs(
        {"--json": json_file, "--junit": junit_file, "--markdown": markdown_file},
        (candidate, reference, data, baseline, video, limits_file),
    )
    document = gate(
        GateRequest(
            candidate=candidate,
            reference=reference,
            images=images,
            data=data,
            baseline=baseline,
            boxes=boxes,
            limits_file=limits_file,
            budgets=budgets,
            precision=precision,
            video=video,
            device=device,
            processes=processes,
            max_images=max_images,
            samples=samples,
            confidence=confidence,
            seed=seed,
        )
    )
    emit(document, json_file, gate_text)
    if junit_file:
        write_text(junit_file, junit(document))
    if markdown_file:
        write_text(markdown_file, markdown(document))
    context.exit(document["exit_code"])
