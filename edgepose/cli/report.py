"""`edgepose report`: bundles as one HTML page."""

from __future__ import annotations

from pathlib import Path

import click

from edgepose.cli.options import PATH, check_outputs


@click.command(short_help="Show bundles as one self-contained HTML page.")
@click.argument("bundles", type=PATH, nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=PATH,
    default=Path("report.html"),
    show_default=True,
    metavar="FILE",
    help="The page.",
)
@click.option(
    "--images",
    type=PATH,
    metavar="DIR",
    help="Compare the bundles on these pictures with the first that finds keypoints; show the worst cases.",
)
@click.option(
    "--data",
    type=PATH,
    metavar="FILE",
    help="COCO keypoint annotations of --images: adds the accuracy.",
)
@click.option(
    "--max-images",
    type=click.IntRange(1),
    default=24,
    show_default=True,
    metavar="N",
    help="Take the first N pictures of --images only.",
)
@click.option(
    "--eval",
    "evals",
    type=PATH,
    multiple=True,
    metavar="FILE",
    help="Show what edgepose eval --json wrote; any number of times.",
)
@click.option(
    "--gate",
    "gates",
    type=PATH,
    multiple=True,
    metavar="FILE",
    help="Show what edgepose gate --json wrote.",
)
@click.option(
    "--bench",
    "benches",
    type=PATH,
    multiple=True,
    metavar="FILE",
    help="Show a result of edgepose bench.",
)
@click.option("--no-run", is_flag=True, help="Run nothing: show what the bundles and files say.")
@click.pass_context
def report(
    context: click.Context,
    bundles: tuple[Path, ...],
    output: Path,
    images: Path | None,
    data: Path | None,
    max_images: int,
    evals: tuple[Path, ...],
    gates: tuple[Path, ...],
    benches: tuple[Path, ...],
    no_run: bool,
) -> None:
    """Write one HTML page about BUNDLES, up to six: how they were made and verified, what they are made of,
    how far their joints are from the reference, and what differs. The first one is the reference.

    The page loads nothing from the network. Files of --eval, --gate and --bench find their bundle by digest.
    """
    from click.core import ParameterSource

    from edgepose.errors import UsageError
    from edgepose.report.build import ReportRequest, build_report
    from edgepose.writers import write_text

    if data is not None and images is None:
        raise UsageError("--data needs --images", hint="--images names the folder of the annotated pictures")
    if no_run:
        for option, name in (("--data", "data"), ("--max-images", "max_images")):
            if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
                raise UsageError(
                    f"{option} has no effect with --no-run", hint="nothing is measured: leave one of them out"
                )
    check_outputs({"-o": output}, (*bundles, data, *evals, *gates, *benches))
    page = build_report(
        ReportRequest(
            bundles=bundles,
            images=images,
            data=data,
            max_images=max_images,
            evals=evals,
            gates=gates,
            benches=benches,
            run=not no_run,
        )
    )
    write_text(output, page)
    click.echo(f"{output}: {len(page.encode()) / 1e6:.2f} MB")
