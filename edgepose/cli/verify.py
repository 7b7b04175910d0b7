"""`edgepose verify`: does a bundle give here what it gave where it was made?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from edgepose.cli.options import PATH


@click.command(short_help="Check that a bundle reproduces its golden results.")
@click.argument("bundle", type=PATH)
@click.option(
    "--threads", type=click.IntRange(1, 256), default=1, show_default=True, help="Threads of the networks."
)
@click.option("--device", default="CPU", show_default=True, help="Device of the engine.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON document.")
def verify(bundle: Path, threads: int, device: str, as_json: bool) -> None:
    """Check the files of BUNDLE, run its golden picture on this machine and compare with the stored results.

    Exits with code 7 when the bundle is damaged or the results are off.
    """
    from edgepose.bundle.folder import golden_keypoints
    from edgepose.errors import VerificationError
    from edgepose.pipeline import PosePipeline

    with PosePipeline(bundle, threads=threads, device=device) as pipeline:
        report = pipeline.verify_golden()
        digest = pipeline.digest
        backend = pipeline.manifest["backend"]
        keypoints = golden_keypoints(bundle, pipeline.manifest)
    if as_json:
        click.echo(json.dumps({"bundle": str(bundle), "digest": digest, **report}, indent=1))
    else:
        click.echo(_text(bundle, report, keypoints))
    if not report["passed"]:
        # An NPU has no other way to compute it: "CPU" leaves the choice of the core to its driver.
        first = "" if backend == "rknn" else "try --threads 1 and --device CPU; if it stays, "
        raise VerificationError(
            f"{bundle}: does not reproduce its golden results on this machine",
            hint=f"{first}convert again and report the numbers above",
        )


def _text(bundle: Path, report: dict[str, Any], keypoints: str) -> str:
    lines = [
        f"{bundle}: {'passed' if report['passed'] else 'FAILED'} (tolerance {report['tolerance_px']:g} px)"
    ]
    if report["detections_expected"] or report["detections_unexpected"]:
        line = (
            f"  boxes      {report['detections_matched']} of {report['detections_expected']} found, "
            f"{report['detections_unexpected']} not expected"
        )
        if report["detections_matched"]:
            line += f"; difference mean {report['box_mean_px']:.3g} px, max {report['box_max_px']:.3g} px"
        lines.append(line)
    if report["keypoints_compared"]:
        lines.append(
            f"  {keypoints}  {report['keypoints_compared']} compared; difference mean "
            f"{report['keypoint_mean_px']:.3g} px, max {report['keypoint_max_px']:.3g} px"
        )
    return "\n".join(lines)
