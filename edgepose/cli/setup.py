"""`edgepose setup`: tools that cannot live in EdgePose's own environment."""

from __future__ import annotations

import time

import click

from edgepose import log


@click.group()
def setup() -> None:
    """Install a tool that needs an environment of its own.

    EdgePose's own environment is never touched.
    """


@setup.command(short_help="Set up rknn-toolkit2 for --to rknn.")
@click.option("--force", is_flag=True, help="Make it again, even where it is good.")
def rknn(force: bool) -> None:
    """Set up rknn-toolkit2 for --to rknn: about 400 MB to download, 600 MB on the disk.

    It lies in $EDGEPOSE_CACHE (or ~/.cache/edgepose) and is made from a list of exact versions. A run that
    fails or is interrupted leaves what was there before.
    """
    from edgepose.converters.rknn import environment
    from edgepose.progress import Progress

    before = environment.find()
    if before.state == "stale":
        log.notice(f"the environment is stale ({before.reason}) and is made again")
    started = time.monotonic()
    with Progress("setup rknn", stages=3) as progress:
        made = environment.set_up(force=force, progress=progress)
    if before.state == "ready" and not force:
        log.notice(f"{environment.TOOLKIT} {made.version} is set up already; --force makes it again")
    else:
        seconds = time.monotonic() - started
        log.notice(f"{environment.TOOLKIT} {made.version}: {made.megabytes} MB in {seconds:.0f} s")
    click.echo(str(made.folder))
