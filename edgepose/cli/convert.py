"""edgepose convert: checkpoints to verified bundles."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from edgepose import log
from edgepose.cli.calibrate import CALIBRATION_OPTIONS, calibration_options, make_request, print_result
from edgepose.cli.options import PATH
from edgepose.errors import UsageError
from edgepose.text_table import aligned

if TYPE_CHECKING:
    from edgepose.calibration.calibrate import CalibrationRequest
    from edgepose.calibration.from_checkpoints import CalibratedConversion
    from edgepose.converters import ConvertedBundle, StageResult

CALIBRATED_PRECISIONS = ("int8", "mixed", "auto")


@click.command(short_help="Convert checkpoints into verified bundles.")
@click.argument("checkpoints", metavar="CKPT...", nargs=-1, required=True)
@click.option(
    "--to",
    "targets",
    metavar="TARGET",
    multiple=True,
    required=True,
    help="ncnn, openvino, onnx or rknn; may be repeated.",
)
@click.option("--soc", metavar="CHIP", help="The Rockchip SoC that --to rknn compiles for, such as rk3588.")
@click.option(
    "--precision",
    default="fp32",
    show_default=True,
    help="fp32; fp16: half-precision weights; bf16: computed in bfloat16 (openvino); int8, mixed or auto: "
    "see edgepose calibrate, with --calib.",
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
    help="Folder for the bundles.",
)
@click.option("--name", metavar="NAME", help="Name of the bundles (default: the networks' names).")
@click.option(
    "--input-size",
    metavar="HxW",
    help="Input size in pixels, for networks that take any; the detector's, in a pipeline.",
)
@click.option("--keypoints", metavar="NAME|FILE", help="Names, skeleton and flip pairs of the keypoints.")
@click.option(
    "--box-class",
    metavar="NAME",
    help="The detector's class whose boxes the pose network gets, such as dog (default: persons).",
)
@click.option(
    "--pictures",
    metavar="DIR",
    type=PATH,
    help="Compare on these pictures too, at most 16 taken evenly by name, beside EdgePose's own.",
)
@click.option("--no-cache", is_flag=True, help="Neither use nor keep earlier results.")
@click.option("--force", is_flag=True, help="Replace a bundle that exists.")
@click.option("--json", "as_json", is_flag=True, help="Write the report as one JSON document.")
@click.pass_context
def convert(
    context: click.Context,
    checkpoints: tuple[str, ...],
    targets: tuple[str, ...],
    soc: str | None,
    precision: str,
    source: Path | None,
    samples: int,
    seed: int,
    plan: str | None,
    budgets: tuple[str, ...],
    evaluation: Path | None,
    sensitivity: bool,
    out_dir: Path,
    name: str | None,
    input_size: str | None,
    keypoints: str | None,
    box_class: str | None,
    pictures: Path | None,
    no_cache: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Convert trained checkpoints into bundles that run, and prove that they are right.

    One checkpoint makes a bundle of that network alone; a detector's and a pose network's make one pipeline.
    Each target becomes the folder DIR/NAME.TARGET.PRECISION. Every stage is compared with the torch float32
    network; a network that is off is refused with exit code 5, and no bundle is written. int8, mixed and auto
    are made from the float32 conversion with the pictures of --calib; they are refused with exit code 6 where
    the pictures do not serve, the result is off or, with auto, int8 is not faster on this machine.
    """
    from edgepose.converters import conversion
    from edgepose.converters.base import PRECISIONS
    from edgepose.converters.parity import ParityError
    from edgepose.progress import Progress
    from edgepose.skeletons import keypoints_argument
    from edgepose.zoo import known_keypoints, resolve

    started = time.monotonic()
    choices = (*PRECISIONS, *CALIBRATED_PRECISIONS)
    if precision not in choices:
        raise UsageError(f"unknown precision {precision!r}", hint=f"choose from: {', '.join(choices)}")
    calibration: CalibrationRequest | None = None
    if precision in CALIBRATED_PRECISIONS:
        calibration = make_request(precision, source, samples, seed, plan, budgets, evaluation, sensitivity)
    else:
        _refuse_calibration_options(context, precision)
    paths = [resolve(text) for text in checkpoints]  # a download draws its own progress bar
    keypoints = keypoints or known_keypoints(checkpoints, paths)
    options: dict[str, Any] = {
        "soc": soc,
        "out_dir": out_dir,
        "name": name,
        "input_hw": parse_input_size(input_size) if input_size else None,
        "keypoints": keypoints_argument(keypoints) if keypoints else None,
        "box_class": box_class,
        "pictures": pictures,
        "use_cache": not no_cache,
        "force": force,
    }
    calibrated: list[CalibratedConversion] = []
    try:
        with Progress("convert") as progress:
            if calibration is not None:
                from edgepose.calibration.from_checkpoints import convert_calibrated

                calibrated = convert_calibrated(paths, targets, calibration, progress=progress, **options)
                bundles = [item.converted for item in calibrated]
            else:
                bundles = conversion.convert(
                    paths,
                    targets,
                    precision=precision,  # type: ignore[arg-type]  # convert() checks it
                    progress=progress,
                    **options,
                )
    except ParityError as error:
        if as_json:
            click.echo(
                json.dumps({"error": error.message, "stages": [s.to_json() for s in error.stages]}, indent=2)
            )
        elif error.stages:
            click.echo(table(error.stages), err=True)
        raise
    seconds = time.monotonic() - started
    if as_json:
        described = _calibrated(calibrated) if calibration else [conversion.describe(b) for b in bundles]
        click.echo(json.dumps({"bundles": described, "seconds": round(seconds, 2)}, indent=2))
        return
    _print(bundles, seconds if calibration is None else None)
    for item in calibrated:
        print_result(item.calibrated)


def _refuse_calibration_options(context: click.Context, precision: str) -> None:
    for parameter in context.command.params:
        name = parameter.name or ""
        if name in CALIBRATION_OPTIONS and context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise UsageError(
                f"{parameter.opts[0]} has no effect with --precision {precision}",
                hint=f"choose from: {', '.join(CALIBRATED_PRECISIONS)}; or leave {parameter.opts[0]} out",
            )


def _calibrated(made: Sequence[CalibratedConversion]) -> list[dict[str, Any]]:
    from edgepose.calibration.calibrate import describe

    return [{**describe(item.calibrated), "notes": list(item.converted.notes)} for item in made]


def parse_input_size(text: str) -> tuple[int, int]:
    """Read "HxW". Errors: UsageError."""
    match = re.fullmatch(r"([1-9][0-9]{0,4})[xX]([1-9][0-9]{0,4})", text.strip())
    if not match:
        raise UsageError(f"{text!r} is not an input size", hint="give height x width, for example 256x192")
    return int(match[1]), int(match[2])


_COLUMNS = (
    "model", "stage", "engine", "precision", "max abs", "cosine", "mean px", "p95 px", "max px", "depth px",
    "ties", "recall", "false", "limit px",
)  # fmt: skip
_OF_SOME = ("depth px", "recall", "false")


def table(stages: Sequence[StageResult]) -> str:
    """Render stage results as aligned columns; equal rows (a stage that several targets share) once.

    The columns of detectors and of depths are there where a stage has them.
    """
    found = list(dict.fromkeys(_row(stage) for stage in stages))
    shown = [
        i for i, name in enumerate(_COLUMNS) if name not in _OF_SOME or any(row[i] != "-" for row in found)
    ]
    rows = [tuple(row[i] for i in shown) for row in (_COLUMNS, *found)]
    return "\n".join(aligned(rows, texts=4))


def _row(stage: StageResult) -> tuple[str, ...]:
    return (
        stage.model,
        stage.stage,
        stage.engine.split()[0],
        stage.precision,
        f"{stage.max_abs:.1e}",
        f"{stage.cosine:.6f}",
        _number(stage.mean_px),
        _number(stage.p95_px),
        _number(stage.max_px),
        _number(stage.depth_mean_px),
        f"{stage.ambiguous:.0%}" if stage.ambiguous else "-",
        _number(stage.recall),
        _number(stage.false_boxes),
        f"{stage.limits['mean_px']:g}",
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _print(bundles: Sequence[ConvertedBundle], seconds: float | None) -> None:
    """Print the comparison; seconds: None where the bundles are only what calibrated ones were made of."""
    click.echo(table([stage for bundle in bundles for stage in bundle.stages]))
    for note in dict.fromkeys(note for bundle in bundles for note in bundle.notes):
        log.notice(f"note: {note}")
    cached = " (from the cache)" if all(bundle.cached for bundle in bundles) else ""
    took = "" if seconds is None else f"; {seconds:.1f} s"
    log.notice(f"compared with the torch network on the same inputs{took}{cached}")
    if any(bundle.backend == "rknn" for bundle in bundles):
        log.notice("rknn: compared in the toolkit's simulator, not on hardware")
    for bundle in bundles if seconds is not None else ():
        click.echo(str(bundle.path))
