"""`edgepose synth`: pictures and videos of rendered people, with COCO annotations."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click

from edgepose import log
from edgepose.cli.options import PATH, check_output_folder
from edgepose.errors import UsageError

_MIN_SIDE_PX, _MAX_SIDE_PX = 64, 4096
_MAX_VIDEO_S = 3600.0
# edgepose.synth.scene.SHOTS, which this file does not import for --help's sake
_SHOTS = ("group", "close", "wide", "high", "crowd", "portrait", "seated")


@click.command(short_help="Render people with exact COCO labels.")
@click.option("-o", "--output", type=PATH, required=True, metavar="DIR", help="Folder to make.")
@click.option(
    "--images", type=click.IntRange(0, 1_000_000), default=0, metavar="N", help="Number of pictures."
)
@click.option(
    "--video", "video_s", type=float, default=0.0, metavar="SECONDS", help="Length of a video, 30 frames/s."
)
@click.option(
    "--seed",
    type=click.IntRange(0, (1 << 31) - 1),
    default=0,
    show_default=True,
    help="Same seed, same pixels.",
)
@click.option(
    "--size", default="640x480", show_default=True, metavar="WxH", help="Size of pictures and video."
)
@click.option(
    "--persons", default="1-4", show_default=True, metavar="N|N-M", help="Persons in a picture, up to 40."
)
@click.option(
    "--format", "picture_format", type=click.Choice(["png", "jpg"]), show_default="png",
    help="Pictures: png is lossless; jpg is smaller, and its pixels depend on the decoder.",
)  # fmt: skip
@click.option(
    "--shot", type=click.Choice(_SHOTS), metavar="NAME",
    help=f"How all pictures show people: {', '.join(_SHOTS)}. Without it each draws one of the first "
    "four, or a crowd for more than six persons.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
def synth(
    output: Path,
    images: int,
    video_s: float,
    seed: int,
    size: str,
    persons: str,
    picture_format: str | None,
    shot: str | None,
    as_json: bool,
) -> None:
    """Render people: DIR/images with DIR/annotations.json, and a video DIR/video.mp4 with DIR/video.json.

    Keypoints, visibility, boxes and areas are exact. Results on such pictures say that the software works and
    how far two networks differ; they do not say how accurate a network is on photographs.
    """
    if not images and not video_s:
        raise UsageError("nothing to render", hint="give --images N, --video SECONDS, or both")
    if shot and not images:
        raise UsageError("--shot is for pictures, a video draws its own", hint="give --images N")
    if picture_format and not images:
        raise UsageError("--format is for pictures, a video is an MP4", hint="give --images N")
    # NaN fails both comparisons.
    if video_s and not 1 / 30 <= video_s <= _MAX_VIDEO_S:
        raise UsageError(f"--video {video_s:g}: not between 1/30 and {_MAX_VIDEO_S:g} seconds")
    size_hw = _parse_size(size)
    count = _parse_persons(persons)
    check_output_folder(output)

    from edgepose.synth.dataset import DatasetRequest, write_dataset

    request = DatasetRequest(images, video_s, seed, size_hw, count, f".{picture_format or 'png'}", shot)
    made = write_dataset(output, request)
    files = [str(path) for path in (made.annotations, made.video, made.video_annotations) if path]
    if as_json:
        result = {
            "folder": str(made.folder), "files": files, "images": made.images, "frames": made.frames,
            "persons": made.persons, "keypoints": made.keypoints, "seed": seed, "source": "synthetic",
        }  # fmt: skip
        click.echo(json.dumps(result))
        return
    log.notice(f"{made.images} pictures, {made.frames} frames, {made.persons} persons (seed {seed})")
    for path in files:
        click.echo(path)


def _parse_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,6})[xX](\d{1,6})", text)
    if not match:
        raise UsageError(f"--size {text}: not a size", hint="write WIDTHxHEIGHT, such as 640x480")
    width, height = int(match[1]), int(match[2])
    if not (_MIN_SIDE_PX <= width <= _MAX_SIDE_PX and _MIN_SIDE_PX <= height <= _MAX_SIDE_PX):
        raise UsageError(f"--size {text}: sides must be {_MIN_SIDE_PX} to {_MAX_SIDE_PX} pixels")
    return height, width


def _parse_persons(text: str) -> tuple[int, int]:
    from edgepose.synth.scene import MAX_PERSONS

    match = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", text)
    if not match:
        raise UsageError(f"--persons {text}: not a number or a range", hint="write 3 or 1-4")
    low = int(match[1])
    high = int(match[2]) if match[2] else low
    if not low <= high <= MAX_PERSONS:
        raise UsageError(f"--persons {text}: must ascend and be at most {MAX_PERSONS}")
    return low, high
