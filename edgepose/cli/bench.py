"""`edgepose bench`: measure a bundle on a device, and compare results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from edgepose.cli.options import PATH, FiniteRange

_MEASURING = (
    *("threads", "cpus", "engine_device", "persons", "frames", "seconds", "fps", "no_paced"),
    *("soak", "warmup_seconds", "quick", "fixed_performance"),
)


# What the runner takes.
_MAX_PERSONS, _MAX_CPU, _MAX_FRAMES, _MAX_SECONDS = 256, 1023, 10**9, 1e6


class _BundleFirst(click.Group):
    """A group whose first word is a bundle unless it is a sub-command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        flags = {name for parameter in self.params for name in parameter.opts}  # -v and -q
        first = next((n for n, word in enumerate(args) if not _is_flag(word, flags)), len(args))
        if args[first:] and args[first] not in self.commands and args[first] not in ctx.help_option_names:
            args = [*args[:first], "run", *args[first:]]
        return super().parse_args(ctx, args)


def _is_flag(word: str, flags: set[str]) -> bool:
    """Tell whether a word is one of the flags, or short ones in one word: -vv."""
    return word in flags or (
        len(word) > 1 and word[0] == "-" and all(f"-{letter}" in flags for letter in word[1:])
    )


def _numbers(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Read "1,2,4" or "4-7" as numbers; the names of --cpus stay as they are."""
    if value is None or (parameter.name == "cpus" and value in ("all", "big", "little")):
        return value
    numbers: list[int] = []
    for part in str(value).split(","):
        low, dash, high = part.partition("-")
        try:
            part_numbers = range(int(low), int(high if dash else low) + 1)
        except ValueError:
            part_numbers = range(0)
        if not part_numbers:
            raise click.BadParameter(f"{value!r} is not a list such as 1,2,4 or 4-7")
        if parameter.name == "persons" and part_numbers[-1] > _MAX_PERSONS:
            raise click.BadParameter(f"more than {_MAX_PERSONS} persons cannot be measured")
        if parameter.name == "cpus" and part_numbers[-1] > _MAX_CPU:
            raise click.BadParameter(f"no processor has a number above {_MAX_CPU}")
        numbers += part_numbers
    return tuple(numbers)


def _given(context: click.Context) -> tuple[str, ...]:
    """List the options in the command line that say what is measured."""
    return tuple(
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name in _MEASURING
        and context.get_parameter_source(parameter.name) is not ParameterSource.DEFAULT
    )


@click.group(
    cls=_BundleFirst,
    no_args_is_help=True,
    subcommand_metavar="BUNDLE [OPTIONS] | COMMAND ...",
    short_help="Measure a bundle on a device.",
)
def bench() -> None:
    """Measure a bundle on a phone, a board or this machine, and compare results.

    `edgepose bench BUNDLE --device NAME` measures; see `edgepose bench run --help` for its options.
    """


@bench.command(name="run", short_help="Measure a bundle (this is what edgepose bench BUNDLE does).")
@click.argument("bundle", type=PATH)
@click.option(
    "--device",
    "devices",
    multiple=True,
    metavar="NAME[=ADDRESS]",
    help="Device profile, with a serial or [user@]host[:port]; may be repeated.  [default: host]",
)
@click.option(
    "--all", "every_device", is_flag=True, help="Every phone on a cable, and your profiles with an address."
)
@click.option(
    "-o",
    "--output",
    type=PATH,
    default=Path("edgepose-bench"),
    show_default=True,
    metavar="DIR",
    help="Folder for the results.",
)
@click.option(
    "--threads", type=click.IntRange(1, 256), help="Threads of the networks.  [default: the profile's]"
)
@click.option(
    "--cpus",
    callback=_numbers,
    metavar="LIST",
    help="Processors to run on: 4-7, big, little or all.  [default: the profile's big ones]",
)
@click.option("--engine-device", default="CPU", show_default=True, help="Device of the engine.")
@click.option(
    "--persons",
    callback=_numbers,
    default="1,2,4,8",
    show_default=True,
    metavar="LIST",
    help="Numbers of persons.",
)
@click.option(
    "--frames",
    type=click.IntRange(1, _MAX_FRAMES),
    default=1024,
    show_default=True,
    help="Frames of the burst.",
)
@click.option(
    "--seconds",
    type=FiniteRange(0.1, _MAX_SECONDS),
    default=60.0,
    show_default=True,
    help="Longest time of the burst.",
)
@click.option(
    "--fps", type=FiniteRange(0.1, 1000), default=30.0, show_default=True, help="Of the paced phase."
)
@click.option("--no-paced", is_flag=True, help="Leave the paced phase out.")
@click.option(
    "--soak",
    type=FiniteRange(1, _MAX_SECONDS),
    metavar="SECONDS",
    help="Add a soak: 600 shows throttling.",
)
@click.option(
    "--warmup-seconds",
    type=FiniteRange(0, _MAX_SECONDS),
    default=15.0,
    show_default=True,
    help="Longest warm-up.",
)
@click.option("--quick", is_flag=True, help="A few seconds only, to try a device: INVALID as a measurement.")
@click.option(
    "--input",
    metavar="INPUT",
    help="A picture, or a folder or a video, whose first 16 pictures are measured with.  "
    "[default: the bundle's golden picture]",
)
@click.option("--resume", is_flag=True, help="Go on with a run that lost its device.")
@click.option("--keep-files", is_flag=True, help="Leave runner and bundle on the device for the next run.")
@click.option("--require-valid", is_flag=True, help="Exit with code 10 where a result is INVALID.")
@click.option(
    "--fixed-performance", is_flag=True, help="Android: hold the clocks at a level that it can keep up."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
@click.pass_context
def run(
    context: click.Context,
    bundle: Path,
    devices: tuple[str, ...],
    every_device: bool,
    output: Path,
    threads: int | None,
    cpus: Any,
    engine_device: str,
    persons: tuple[int, ...],
    frames: int,
    seconds: float,
    fps: float,
    no_paced: bool,
    soak: float | None,
    warmup_seconds: float,
    quick: bool,
    input: str | None,
    resume: bool,
    keep_files: bool,
    require_valid: bool,
    fixed_performance: bool,
    as_json: bool,
) -> None:
    """Measure BUNDLE on devices and write one result document for each.

    Every sample is kept; percentiles come with intervals. A result is marked INVALID where it does not
    count: a busy or throttling device, a run that is too short, wrong keypoints, an emulator.
    """
    from edgepose.bench.plan import BenchOptions
    from edgepose.cli.bench_job import bench_job

    if quick and soak:
        raise click.UsageError("--quick takes no --soak")
    if every_device and devices:
        raise click.UsageError("--all takes no --device")
    options = BenchOptions(
        threads=threads,
        engine_device=engine_device,
        cpus=cpus,
        persons=persons[:1] if quick else persons,
        frames=min(frames, 40) if quick else frames,
        seconds=min(seconds, 5.0) if quick else seconds,
        paced_fps=None if no_paced or quick else fps,
        soak_s=soak or 0.0,
        warmup_seconds=min(warmup_seconds, 2.0) if quick else warmup_seconds,
        input=input,
        keep_files=keep_files,
        fixed_performance=fixed_performance,
        given=_given(context),
    )
    bench_job(
        bundle,
        devices or ("host",),
        options,
        output,
        every_device=every_device,
        resume=resume,
        require_valid=require_valid,
        as_json=as_json,
    )


@bench.command(short_help="Compare two results, or two bundles in turns.")
@click.argument("first", metavar="A", type=PATH)
@click.argument("second", metavar="B", type=PATH)
@click.option("--phase", default="burst", show_default=True, help="Series to compare.")
@click.option(
    "--margin",
    type=FiniteRange(0, 100),
    default=5.0,
    show_default=True,
    help="Difference that counts, in %.",
)
@click.option("--device", metavar="NAME[=ADDRESS]", help="Bundles: where to measure.  [default: host]")
@click.option(
    "--rounds", type=int, metavar="N", help="Bundles: how many turns each has, 6 or more.  [default: 10]"
)
@click.option("--threads", type=click.IntRange(1, 256), help="Bundles: threads.  [default: the profile's]")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as one JSON document.")
def compare(
    first: Path,
    second: Path,
    phase: str,
    margin: float,
    device: str | None,
    rounds: int | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Compare result B with result A: the ratio of the medians with its 95 % interval, stage by stage.

    Where A and B are bundles, they are measured in turns now: what changes with time, such as heat and other
    programs, meets both alike.
    """
    import json

    from edgepose.bench.compare import compare_results, describe_comparison
    from edgepose.bench.result import read_document
    from edgepose.bundle.folder import require_bundle
    from edgepose.bundle.manifest import MANIFEST_NAME

    if any((path / MANIFEST_NAME).is_file() for path in (first, second)):
        for path in (first, second):
            require_bundle(path)
        from edgepose.bench.interleave import compare_in_turns
        from edgepose.bench.plan import BenchOptions
        from edgepose.cli.bench_job import open_session

        if phase != "burst":
            raise click.UsageError("bundles are compared in the burst only: leave --phase out")
        comparison = compare_in_turns(
            (first, second),
            lambda bundle, options, folder: open_session(bundle, device or "host", options, folder),
            BenchOptions(threads=threads, warmup_seconds=5.0),
            rounds=10 if rounds is None else rounds,
            margin=margin / 100,
        )
    elif device or rounds is not None or threads:
        raise click.UsageError("--device, --rounds and --threads are for two bundles, not for results")
    else:
        comparison = compare_results(
            read_document(first),
            read_document(second),
            phase=phase,
            margin=margin / 100,
            names=(str(first), str(second)),
        )
    click.echo(json.dumps(comparison, indent=1) if as_json else "\n".join(describe_comparison(comparison)))


@bench.command(short_help="Show a folder's results over time.")
@click.argument("folder", metavar="[DIR]", type=PATH, default=Path("edgepose-bench"))
@click.option("--phase", default="burst", show_default=True, help="Series to look at.")
@click.option(
    "--margin",
    type=FiniteRange(0, 100),
    default=5.0,
    show_default=True,
    help="Difference that counts, in %.",
)
@click.option("--fail-slower", is_flag=True, help="Exit with code 10 where the newest result is SLOWER.")
@click.option("--json", "as_json", is_flag=True, help="Print the series as one JSON document.")
def history(folder: Path, phase: str, margin: float, fail_slower: bool, as_json: bool) -> None:
    """Show the results in DIR as series over time, and where the time of a frame changed.

    A result is compared with the first one since the last change, by the ratio of the medians with its 95 %
    interval. INVALID results are shown and not compared.
    """
    import json

    from edgepose.bench.history import describe_history, read_history, slower
    from edgepose.errors import LimitError

    series = read_history(folder, phase=phase, margin=margin / 100)
    click.echo(json.dumps(series, indent=1) if as_json else "\n".join(describe_history(series)))
    if fail_slower and (found := slower(series)):
        raise LimitError(f"{found[0]['bundle']} on {found[0]['device']} is slower than before")
