"""edgepose calibrate: a float32 bundle to a verified int8 or mixed one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgepose.cli.options import PATH

if TYPE_CHECKING:
    from edgepose.calibration.calibrate import CalibratedBundle, CalibrationRequest
    from edgepose.calibration.network import CalibratedNetwork

CALIBRATION_OPTIONS = ("source", "samples", "seed", "plan", "budgets", "evaluation", "sensitivity")


def calibration_options(command: Any) -> Any:
    """Add the options that calibrate and convert share."""
    options = (
        click.option(
            "--calib",
            "source",
            metavar="FOLDER|LIST|COCO",
            type=PATH,
            help="Pictures to calibrate with: a folder, a text file with one a line, or COCO annotations.",
        ),
        click.option(
            "--samples",
            metavar="N",
            type=click.IntRange(4, 20_000),
            default=128,
            show_default=True,
            help="Samples to calibrate with; as many again are held out to measure the result.",
        ),
        click.option(
            "--seed",
            metavar="N",
            type=click.IntRange(0, 2**64 - 1),
            default=0,
            show_default=True,
            help="Order of them.",
        ),
        click.option(
            "--plan", help="accurate (the default), plain, or a plan file (.json); not for rknn."
        ),
        click.option(
            "--budget", "budgets", metavar="NAME=VALUE", multiple=True,
            help="Change a limit that auto keeps to: similarity, p95_px or mean_px; may be repeated.",
        ),
        click.option(
            "--not-in",
            "evaluation",
            metavar="FOLDER|LIST|COCO",
            type=PATH,
            help="The evaluation set: a calibration picture that is in it is refused.",
        ),
        click.option(
            "--sensitivity", is_flag=True,
            help="Measure each layer that becomes int8 alone in int8 (auto always does) and alone in float "
            "(as long again), and keep that.",
        ),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@click.command(short_help="Make an int8 bundle that keeps its accuracy.")
@click.argument("bundle", type=PATH)
@click.option(
    "--precision",
    default="auto",
    show_default=True,
    help="auto: as much of mixed as the budget allows; mixed: the layers worth it in general, not the heads; "
    "int8: every one that can be.",
)
@calibration_options
@click.option(
    "-o",
    "--output",
    "out_dir",
    metavar="DIR",
    default="bundles",
    show_default=True,
    type=PATH,
    help="Folder for the bundle.",
)
@click.option("--force", is_flag=True, help="Replace a bundle that exists.")
@click.option("--json", "as_json", is_flag=True, help="Write the report as one JSON document.")
def calibrate(
    bundle: Path,
    precision: str,
    source: Path | None,
    samples: int,
    seed: int,
    plan: str | None,
    budgets: tuple[str, ...],
    evaluation: Path | None,
    sensitivity: bool,
    out_dir: Path,
    force: bool,
    as_json: bool,
) -> None:
    """Calibrate the networks of BUNDLE (fp32; ncnn or openvino), and write DIR/NAME.TARGET.PRECISION.

    Half of the samples give the ranges; what int8 costs is measured on the others. auto leaves layers in
    float until OKS to the float network is at least 0.995 and 95 % of the keypoints move by at most 1 px
    (at 256x192), and keeps a network float where int8 is not faster on this machine.
    """
    from edgepose.calibration.calibrate import calibrate as run
    from edgepose.calibration.calibrate import describe
    from edgepose.progress import Progress

    request = make_request(precision, source, samples, seed, plan, budgets, evaluation, sensitivity)
    with Progress("calibrate") as progress:
        made = run(bundle, request, out_dir=out_dir, force=force, progress=progress)
    if as_json:
        click.echo(json.dumps(describe(made), indent=2, allow_nan=False))
    else:
        print_result(made)


def make_request(
    precision: str,
    source: Path | None,
    samples: int,
    seed: int,
    plan: str | None,
    budgets: tuple[str, ...],
    evaluation: Path | None,
    sensitivity: bool,
) -> CalibrationRequest:
    """Make the request of the shared options, and check it. Errors: UsageError."""
    from edgepose.calibration.calibrate import CalibrationRequest, check_mode, check_request
    from edgepose.errors import UsageError

    check_mode(precision)
    if source is None:
        raise UsageError(
            f"--precision {precision} needs pictures to calibrate with",
            hint="give --calib: a folder, a list of files or COCO annotations",
        )
    request = CalibrationRequest(
        source=source,
        mode=precision,  # type: ignore[arg-type]  # check_request() checks it
        samples=samples,
        seed=seed,
        plan=plan,
        budgets=budgets,
        evaluation=evaluation,
        sensitivity=sensitivity,
    )
    check_request(request)
    return request


def print_result(made: CalibratedBundle) -> None:
    """Print the sensitivity tables, one line a network, and the path."""
    for network in made.networks.values():
        if network.report is not None:
            click.echo(network.report.table() + "\n")
    for role, network in made.networks.items():
        click.echo(_line(network, len(made.samples[role].held_out.made_of)))
    click.echo(str(made.path))


def _line(network: CalibratedNetwork, held_out: int) -> str:
    name = network.artifact.spec.name
    if network.left_float or network.agreement is None:
        return f"{name}: float ({network.left_float})"
    agreement, times = network.agreement, network.median_ms
    measured = (
        f"{times['fp32'] / times['int8']:.2f} times as fast as fp32, "
        f"{times['fp16'] / times['int8']:.2f} times as fp16 here (1 thread)"
        if times
        else "compared in a simulator, not on hardware"
    )
    return (
        f"{name}: {len(network.int8_layers)} of {network.layers} layers in int8; "
        f"on {held_out} held-out samples mean {agreement.mean_px:.3f} px, p95 {agreement.p95_px:.2f} px, "
        f"similarity {agreement.similarity:.4f}; {measured}"
    )
