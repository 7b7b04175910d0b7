"""`edgepose android`: bundles for the demo app."""

from __future__ import annotations

import json
from pathlib import Path

import click

from edgepose import android as app
from edgepose.cli.options import PATH, check_output_folder


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def android() -> None:
    """Put bundles into the Android demo app.

    docs/android.md says how the app is built and what it needs.
    """


@android.command(short_help="Put bundles into the app's sources, or onto a phone.")
@click.argument("bundles", nargs=-1, required=True, type=PATH)
@click.option(
    "--assets",
    type=PATH,
    show_default=str(app.ASSETS),
    help="Assets folder of the app's sources.",
)
@click.option("--push", is_flag=True, help="Copy to a phone that has the app, instead of into its sources.")
@click.option("--serial", metavar="ID", help="With --push: the phone, as adb devices lists it.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON document.")
def install(
    bundles: tuple[Path, ...], assets: Path | None, push: bool, serial: str | None, as_json: bool
) -> None:
    """Put BUNDLES into the app: into its sources, where they replace those of before, or onto a phone.

    Every bundle is verified first. After a change of the sources build the app again: scripts/build-apk.sh.
    """
    from edgepose.errors import UsageError

    if serial and not push:
        raise UsageError("--serial needs --push", hint="--push copies to a phone")
    if assets and push:
        raise UsageError("--assets is for the app's sources, --push is for a phone", hint="leave out one")
    assets = assets or app.ASSETS
    if not push:
        if not assets.parent.is_dir():
            raise UsageError(
                f"{assets.parent}: no such folder",
                hint="call this in EdgePose's own folder, or name the app's assets folder with --assets",
            )
        check_output_folder(assets, "--assets")
    checked = app.check(bundles)
    if push:
        place = f"{app.push(checked, serial)}:{app.DEVICE_FOLDER}"
    else:
        place = str(app.write_assets(checked, assets))
    if as_json:
        rows = [{"name": b.name, "digest": b.digest, "bytes": b.bytes} for b in checked]
        click.echo(json.dumps({"place": place, "bundles": rows}, indent=1))
        return
    for bundle in checked:
        click.echo(f"{bundle.name}  {bundle.bytes / 1e6:.1f} MB  -> {place}/{bundle.name}")
