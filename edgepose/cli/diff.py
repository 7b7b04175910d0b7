"""`edgepose diff`: what changed between two bundles."""

from __future__ import annotations

import json
from pathlib import Path

import click

from edgepose.cli.options import PATH


@click.command(short_help="Show what changed between two bundles.")
@click.argument("a", type=PATH)
@click.argument("b", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="Print every change as one JSON document.")
def diff(a: Path, b: Path, as_json: bool) -> None:
    """Show what changed from bundle A to bundle B: constants, layers, precision, figures, sizes, tools.

    Both are checked against their checksums; neither is run. Exits with 0 whether they differ or not.
    """
    from edgepose.report.bundles import open_bundle
    from edgepose.report.diff import diff_bundles
    from edgepose.report.diff_text import diff_text

    document = diff_bundles(open_bundle(a), open_bundle(b))
    if as_json:
        click.echo(json.dumps(document, indent=1))
    else:
        click.echo(diff_text(document))
