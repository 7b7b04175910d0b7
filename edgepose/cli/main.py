"""The `edgepose` command: its sub-commands, and what every failure looks like."""

from __future__ import annotations

import errno
import importlib
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import click

from edgepose import __version__, interrupts, log
from edgepose.errors import (
    BUG_EXIT_CODE,
    INTERRUPTED_EXIT_CODE,
    TERMINATED_EXIT_CODE,
    ConfigurationError,
    EdgePoseError,
    UsageError,
    lack_of,
)

_NO_THREADS_HINT = "too many processes and threads are running: see ulimit -u"


class LazyCommand(NamedTuple):
    """Where a command lives, and its one line in `edgepose --help`, which must not import it."""

    target: str
    summary: str


COMMANDS: dict[str, LazyCommand] = {
    "convert": LazyCommand("edgepose.cli.convert:convert", "Convert checkpoints into verified bundles."),
    "setup": LazyCommand("edgepose.cli.setup:setup", "Install a tool that needs an environment of its own."),
    "calibrate": LazyCommand(
        "edgepose.cli.calibrate:calibrate", "Make an int8 bundle that keeps its accuracy."
    ),
    "run": LazyCommand("edgepose.cli.run:run", "Run a bundle on pictures, a video or a camera."),
    "info": LazyCommand("edgepose.cli.info:info", "Describe a bundle."),
    "verify": LazyCommand("edgepose.cli.verify:verify", "Check that a bundle reproduces its golden results."),
    "eval": LazyCommand("edgepose.cli.eval:eval_command", "Measure accuracy, and drift from a reference."),
    "report": LazyCommand("edgepose.cli.report:report", "Show bundles as one self-contained HTML page."),
    "diff": LazyCommand("edgepose.cli.diff:diff", "Show what changed between two bundles."),
    "bench": LazyCommand("edgepose.cli.bench:bench", "Measure a bundle on a device."),
    "gate": LazyCommand("edgepose.cli.gate:gate_command", "Decide whether a bundle may replace another."),
    "baseline": LazyCommand("edgepose.cli.baseline:baseline", "Record a reference's results for the gate."),
    "android": LazyCommand("edgepose.cli.android:android", "Put bundles into the Android demo app."),
    "devices": LazyCommand("edgepose.cli.devices:devices", "List, show, detect and add devices."),
    "build-runner": LazyCommand(
        "edgepose.cli.build_runner:build_runner_command", "Build the measuring program for a device."
    ),
    "zoo": LazyCommand("edgepose.cli.zoo:zoo", "List and download official checkpoints."),
    "synth": LazyCommand("edgepose.cli.synth:synth", "Render people with exact COCO labels."),
    "doctor": LazyCommand("edgepose.cli.doctor:doctor", "Show what is installed and what is missing."),
}


class LazyGroup(click.Group):
    """A group that imports a command only when it runs or shows its own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module_name, _, attribute = COMMANDS[cmd_name].target.partition(":")
        command: click.Command = getattr(importlib.import_module(module_name), attribute)
        _add_verbosity(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            import difflib

            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            raise UsageError(
                f"there is no command {args[0]!r}",
                hint=f"did you mean 'edgepose {close[0]}'?" if close else "see edgepose --help",
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.summary) for name, command in COMMANDS.items()])


def _set_verbosity(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value:
        log.set_level(log.QUIET if param.name == "quiet" else log.NORMAL + int(value))


def _verbosity_options() -> list[click.Option]:
    return [
        click.Option(
            ["-v", "--verbose"],
            count=True,
            expose_value=False,
            callback=_set_verbosity,
            help="Say more; twice for details.",
        ),
        click.Option(
            ["-q", "--quiet"],
            is_flag=True,
            expose_value=False,
            callback=_set_verbosity,
            help="Say nothing but results and errors.",
        ),
    ]


def _add_verbosity(command: click.Command) -> None:
    """Give a command, and the commands of a group, -v and -q, so that they work behind its name too."""
    taken = {name for parameter in command.params for name in parameter.opts}
    command.params.extend(option for option in _verbosity_options() if taken.isdisjoint(option.opts))
    if isinstance(command, click.Group):
        for child in command.commands.values():
            _add_verbosity(child)


cli = LazyGroup(
    name="edgepose",
    help="From a trained pose checkpoint to a verified bundle that runs on a phone, a board or this machine.",
    params=_verbosity_options(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
click.version_option(__version__, "--version", prog_name="edgepose", message="%(prog)s %(version)s")(cli)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; a failure ends as one line on stderr, with a hint.

    Without argv it is the process's own, which Ctrl-C ends by KeyboardInterrupt: Python then dies of SIGINT,
    as shells expect that shall stop a loop, too.
    """
    _open_closed_streams()
    try:
        with _patient_stdout(), interrupts.answered():
            code = _invoke(list(sys.argv[1:] if argv is None else argv))
            _flush_stdout()
        return code
    except (KeyboardInterrupt, interrupts.Terminated, click.Abort) as error:
        code = _report_interrupt(error)
    except Exception as error:
        code = _report_interrupt(error) if interrupts.caught() else _report(error)
    if argv is None and code == INTERRUPTED_EXIT_CODE and interrupts.caught() == signal.SIGINT:
        sys.excepthook = lambda *_: None  # the line is out
        raise KeyboardInterrupt
    return code


def _open_closed_streams() -> None:
    """Let /dev/null stand in for standard streams that are closed: a file would take their numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115


def _report_interrupt(error: BaseException) -> int:
    if isinstance(error, interrupts.Terminated) or interrupts.caught() in (signal.SIGTERM, signal.SIGHUP):
        log.error("terminated")
        return TERMINATED_EXIT_CODE
    log.error("interrupted")
    return INTERRUPTED_EXIT_CODE


def _report(failure: Exception) -> int:
    match failure:
        case EdgePoseError():
            starved = failure.message.endswith(os.strerror(errno.EAGAIN))  # an engine that got no threads
            log.error(failure.message, failure.hint or (_NO_THREADS_HINT if starved else None))
            return failure.exit_code
        case click.ClickException():
            return _report_click(failure)
        case OSError():
            return _report_os_error(failure)
        case _ if lack_of(failure) == "memory":
            log.error("not enough memory", "close other programs, or use a smaller network or input")
            return ConfigurationError.exit_code
        case _ if lack_of(failure) == "threads":
            log.error("the system gives no more threads", _NO_THREADS_HINT)
            return ConfigurationError.exit_code
        case ModuleNotFoundError():
            return _report_missing_module(failure)
        case _:
            return _report_bug()


def _invoke(args: list[str]) -> int:
    log.set_level(log.NORMAL)
    instruction = os.environ.get("_EDGEPOSE_COMPLETE")
    if instruction:
        from click.shell_completion import shell_complete

        return shell_complete(cli, {}, "edgepose", "_EDGEPOSE_COMPLETE", instruction)
    try:
        # Not cli.main(): it turns Ctrl-C into an extra empty line and a full pipe into exit code 1.
        with cli.make_context("edgepose", args or ["--help"]) as context:
            cli.invoke(context)
    except click.exceptions.Exit as exit_request:
        return exit_request.exit_code
    return 0


def _report_click(error: click.ClickException) -> int:
    context = getattr(error, "ctx", None)
    if context and isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):  # since click 8.2
        click.echo(context.get_help(), err=True)
        return UsageError.exit_code
    path = context.command_path if context else "edgepose"
    log.error(error.format_message().rstrip("."), f"see {path} --help")
    return error.exit_code if error.exit_code != BUG_EXIT_CODE else UsageError.exit_code


def _report_os_error(error: OSError) -> int:
    if error.filename is None and _is_working_folder_gone():
        log.error("the current folder was removed", "change to another one")
        return ConfigurationError.exit_code
    where = error.filename if error.filename is not None else "a read or write failed"
    if isinstance(where, bytes):
        where = os.fsdecode(where)
    hints = {
        errno.ENOSPC: "free some space, or write to another disk",
        errno.EDQUOT: "free some space, or write to another disk",
        errno.EFBIG: "see ulimit -f, or write to another disk",
        errno.EACCES: "check the permissions, or choose another folder",
        errno.EPERM: "check the permissions, or choose another folder",
        errno.EROFS: "the disk is read-only: choose another folder",
        errno.EMFILE: "too many files are open: see ulimit -n",
        errno.ELOOP: "check the path",
        errno.ENAMETOOLONG: "check the path",
        errno.ENOTDIR: "check the path",
    }
    reason = error.strerror or str(error) or type(error).__name__
    log.error(f"{where}: {reason}", hints.get(error.errno or 0))
    return ConfigurationError.exit_code


def _is_working_folder_gone() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def _report_missing_module(error: ModuleNotFoundError) -> int:
    from edgepose.extras import PACKAGES, missing_package

    top_level = (error.name or "").partition(".")[0]
    if top_level not in PACKAGES:
        return _report_bug()
    missing = missing_package(top_level)
    log.error(missing.message, missing.hint)
    return missing.exit_code


def _report_bug() -> int:
    import traceback

    traceback.print_exc()
    log.error("this is a bug in EdgePose", "please report it with the lines above")
    return BUG_EXIT_CODE


class _Output(io.FileIO):
    """A file descriptor to write to; once its reader has left, what is written goes nowhere."""

    def write(self, data: Any, /) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while rest:  # without a buffer above nobody else would write what a full disk leaves over
                rest = rest[super().write(rest) :]
        except BrokenPipeError:
            _discard(self.fileno())
        except OSError as error:
            raise OSError(error.errno, error.strerror, "standard output") from error
        return size


@contextmanager
def _patient_stdout() -> Iterator[None]:
    """Let a command go on to its exit code when the reader of its output leaves: a gate may have failed.

    What cannot be encoded, such as a file name that is not UTF-8, is printed as on stderr.
    """
    before = sys.stdout
    if before is not sys.__stdout__ or not isinstance(before, io.TextIOWrapper):  # a stand-in, or closed
        yield
        return
    before.flush()
    raw = _Output(before.fileno(), "w", closefd=False)
    sys.stdout = io.TextIOWrapper(
        raw if before.write_through else io.BufferedWriter(raw),
        encoding=before.encoding,
        errors="backslashreplace" if before.errors == "strict" else before.errors,
        line_buffering=before.line_buffering,
        write_through=before.write_through,
    )
    try:
        yield
    finally:
        with suppress(OSError):
            sys.stdout.flush()
        sys.stdout = before


def _flush_stdout() -> None:
    """Write what stdout still holds; an OSError names it."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError as error:
        # So that no later flush fails again.
        with suppress(OSError, ValueError, AttributeError):
            _discard(sys.stdout.fileno())
        raise OSError(error.errno, error.strerror, "standard output") from error


def _discard(descriptor: int) -> None:
    """Point a file descriptor at nothing."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)
