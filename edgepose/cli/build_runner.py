"""`edgepose build-runner`: the measuring program for another processor."""

from __future__ import annotations

from pathlib import Path

import click

from edgepose.cli.options import PATH


@click.command(name="build-runner", short_help="Build the measuring program for a device.")
@click.option(
    "--target",
    type=click.Choice(["aarch64-linux"]),
    default="aarch64-linux",
    show_default=True,
    help="Kind of device: 64-bit ARM, Linux and Android alike.",
)
@click.option(
    "--source",
    type=PATH,
    metavar="DIR",
    help="EdgePose's sources, unless installed editable.",
)
def build_runner_command(target: str, source: Path | None) -> None:
    """Build edgepose_bench for a device: one static program with the ncnn engine.

    It needs Debian's g++-aarch64-linux-gnu. The result is kept, checked for its fp16 and dot-product kernels,
    and found by edgepose bench.
    """
    import re

    from edgepose import log
    from edgepose.device.build import build_runner
    from edgepose.progress import Progress

    with Progress(f"building for {target}") as progress:

        def on_line(line: str) -> None:
            log.debug(line.rstrip())
            step = re.match(r"\[(\d+)/(\d+)\]", line)
            if step and int(step.group(1)) == 1:
                progress.stage("compile", total=int(step.group(2)))
            elif step:
                progress.advance()

        path, counts = build_runner(target, sources=source, on_line=on_line)
    size = path.stat().st_size / 1e6
    kernels = ", ".join(f"{count} {name} instructions" for name, count in counts.items())
    click.echo(f"{path}  ({size:.1f} MB; {kernels})")
