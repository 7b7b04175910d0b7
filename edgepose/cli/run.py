"""`edgepose run`: a bundle on pictures, a video or a camera."""

from __future__ import annotations

from pathlib import Path

import click

from edgepose.cli.options import PATH, FiniteRange


@click.command(short_help="Run a bundle on pictures, a video or a camera.")
@click.argument("bundle", type=PATH)
@click.argument("input", metavar="INPUT")
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="DIR",
    help="Folder for the results.  [default: edgepose-run/NAME]",
)
@click.option(
    "--boxes",
    type=PATH,
    metavar="FILE",
    help="Persons' boxes, in place of a detector: COCO annotations, or lists of [x1, y1, x2, y2].",
)
@click.option(
    "--threads", type=click.IntRange(1, 256), help="Threads of the networks.  [default: all, up to 8]"
)
@click.option(
    "--device", default="CPU", show_default=True, help="Device of the engine, such as GPU.0, and no other."
)
@click.option(
    "--detect-every",
    type=click.IntRange(1, 100_000),
    default=1,
    show_default=True,
    metavar="N",
    help="Videos and cameras: run the detector on every N-th frame, and where it is needed.",
)
@click.option(
    "--detect-delay",
    type=click.IntRange(0, 100_000),
    default=0,
    show_default=True,
    metavar="N",
    help="Videos and cameras: run the detector beside the poses; what it finds counts N frames later.",
)
@click.option(
    "--track/--no-track",
    default=None,
    help="Videos and cameras: give persons ids that last.  [default: track]",
)
@click.option(
    "--smooth/--no-smooth",
    default=None,
    help="Videos and cameras: take the jitter out of the keypoints.  [default: smooth where tracked]",
)
@click.option("--max-frames", type=click.IntRange(1), metavar="N", help="Stop after N frames.")
@click.option("--no-draw", is_flag=True, help="Write the JSON only, no pictures or video.")
@click.option(
    "--color-by",
    type=click.Choice(["side", "person"]),
    default="side",
    show_default=True,
    help="Colour skeletons by body side, or each person differently.",
)
@click.option(
    "--keypoint-threshold",
    type=FiniteRange(0, 100),
    metavar="SCORE",
    help="Draw keypoints from this score on; some networks' are above 1.  [default: the bundle's]",
)
@click.option(
    "--format",
    "result_format",
    type=click.Choice(["coco", "openpose"]),
    default="coco",
    show_default=True,
    help="openpose: write OpenPose's JSON too, a file a frame.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the results as one JSON document.")
def run(
    bundle: Path,
    input: str,
    output: Path | None,
    boxes: Path | None,
    threads: int | None,
    device: str,
    detect_every: int,
    detect_delay: int,
    track: bool | None,
    smooth: bool | None,
    max_frames: int | None,
    no_draw: bool,
    color_by: str,
    keypoint_threshold: float | None,
    result_format: str,
    as_json: bool,
) -> None:
    """Run BUNDLE on INPUT: a picture, a folder of pictures, a video, or what is live: a camera's number or
    device file, or the address of a stream (rtsp://...).

    Writes annotated pictures or an annotated video, and results.json in COCO format. A bundle without a
    detector takes the whole frame as the person, or the boxes of --boxes.

    Ctrl-C and SIGTERM stop what is live in good order. With other inputs they leave the pictures that are
    complete, and neither a video nor a JSON file.
    """
    from edgepose.cli.run_job import RunOptions, run_job

    options = RunOptions(
        bundle=bundle,
        target=input,
        output=output,
        boxes=boxes,
        threads=threads,
        device=device,
        detect_every=detect_every,
        detect_delay=detect_delay,
        track=track,
        smooth=smooth,
        max_frames=max_frames,
        draw=not no_draw,
        color_by="person" if color_by == "person" else "side",
        keypoint_threshold=keypoint_threshold,
        openpose=result_format == "openpose",
        as_json=as_json,
    )
    run_job(options)
