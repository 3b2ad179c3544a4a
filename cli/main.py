"""The stackae command: its subcommands, and the exit codes of their errors."""

from __future__ import annotations

import errno
import os
import sys
import traceback
import warnings
from typing import Annotated

import typer

from stackae import __version__
from stackae.errors import ConfigError, DiskError, SetupError, StackaeError, StoppedError, naming_options
from stackae.ranks import LostRankError, Ranks, group
from stackae.ranks.following import Follower
from stackae.ranks.launch import joined, launched
from stackae.threads import limit_threads

from . import (
    compare,
    config,
    console,
    data,
    doctor,
    encode,
    evaluate,
    export,
    finetune,
    predict,
    pretrain,
    progress,
    recipes,
    reconstruct,
    report,
    resume,
    runs,
    sample,
    score,
    screen,
    signals,
    sweep,
    verify,
)

SHARED = ("pretrain", "finetune", "resume", "encode", "reconstruct", "score", "evaluate", "predict", "sweep", "compare")
AGAIN = "the command did all else; free some space, or send its output elsewhere"
OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO)

app = typer.Typer(
    name="stackae",
    help="Pretrain deep networks layer by layer with autoencoders, then fine-tune the stack with labels.",
    epilog="Start with:  stackae pretrain --layers 784,300,150   then   stackae finetune --head classifier",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for module in (
    pretrain,
    finetune,
    resume,
    evaluate,
    predict,
    encode,
    reconstruct,
    sample,
    score,
    report,
    export,
    sweep,
    compare,
    doctor,
    verify,
):
    app.command(module.__name__.rpartition(".")[2], epilog=module.EXAMPLES)(module.command)
app.add_typer(runs.app, name="runs")
app.add_typer(recipes.app, name="recipes")
app.add_typer(data.app, name="data")
app.add_typer(config.app, name="config")


def _show_version(wanted: bool) -> None:
    if wanted:
        console.say(f"stackae {__version__}")
        raise typer.Exit


@app.callback()
def common(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_show_version)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error; allowed anywhere.")] = False,
) -> None:
    from stackae.workflows.faults import check_room

    if group().several and ctx.invoked_subcommand not in SHARED:
        raise ConfigError(
            f"{ctx.invoked_subcommand}: expected one process, got {group().count}, which share {', '.join(SHARED)} "
            "alone; start it without torchrun"
        )
    check_room()


def main() -> None:
    """Run one command.

    Exit codes: 0 done, 1 a bug or a failed check, 2 usage or settings, 3 data, 4 run folder, 5 diverged, 6 environment,
    7 disk, 130, 143, 129 interrupted.
    """
    signals.install()
    console.forget_documents()
    os.environ["MPLBACKEND"] = "agg"  # pictures go to files, whatever backend the environment names
    if len(os.environ.get("COLUMNS", "")) > 4:
        del os.environ["COLUMNS"]  # help is padded to this width, which may exceed the terminal's
    with screen.lasting() as results, progress.warnings_noted(), naming_options():
        code = _ended_with()
        if code == 0 and (failure := screen.was_lost(results)) is not None:
            code = _reported(
                DiskError(f"standard output: expected to write results to it, got '{failure.strerror}'; {AGAIN}")
            )
    if signals.received() is not None and (apart := sys.modules.get("stackae.apart")) and apart.goes_on():
        signals.leave(code)
    sys.exit(code)


def _ended_with() -> int:
    """Run the command, or follow the process that runs it, and return the exit code."""
    try:
        found = launched()
        limit_threads(processes=found.beside)
        with joined(found) as own:
            return _led(own) if own.leads else _followed(own)
    except SetupError as error:
        return _reported(error)


def _followed(own: Ranks) -> int:
    """Do what rank 0 shares with this process, which prints nothing: rank 0 reports its errors."""
    asked = signals.requests()
    asked.heard = True
    try:
        with warnings.catch_warnings(action="ignore"):
            Follower(own, asked).follow()
    except Exception as error:
        if "--debug" in sys.argv:
            console.note(*traceback.format_exc().splitlines())
        failure = _understood(error)
        own.fail(failure)
        return _reported(failure) if isinstance(error, LostRankError) and error.rank == 0 else failure.exit_code
    return 0


def _led(own: Ranks) -> int:
    """Run the command; of several processes, the others follow."""
    try:
        return _done()
    finally:
        if own.several:
            signals.ignore()  # torchrun ends all processes where one fails, and this one is about to end
        own.end()


def _done() -> int:
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        return int(app(args=arguments or ["--help"], prog_name="stackae", standalone_mode=False) or 0)
    except signals.Ended as ended:  # torchrun ends all processes where one fails
        return _reported(group().loss() or StoppedError(ended.number))
    except Exception as error:
        if "--debug" in sys.argv:
            console.note(*traceback.format_exc().splitlines())
        if (number := signals.received()) is not None:  # libraries may have replaced the Ended exception by their own
            return _reported(StoppedError(number))
        return _reported(_understood(error))


def _understood(error: Exception) -> StackaeError:
    """Translate an exception into a StackaeError with message, code and exit code."""
    if isinstance(error, StackaeError):
        return error
    from stackae.workflows.faults import explained

    if (fault := explained(error)) is not None:
        return fault
    if isinstance(error, OSError):
        name, reason = error.filename or "file", error.strerror or error
        kind = DiskError if error.errno in OF_THE_DISK else SetupError
        return kind(f"{name}: expected to read or write it, got '{reason}'; check the path, its disk and permissions")
    if hasattr(error, "format_message"):  # a usage error of the command-line library
        return ConfigError(f"{error.format_message().rstrip('.')}; see `stackae --help`")
    if type(error).__name__ == "Abort":
        return StoppedError(signals.INTERRUPT)
    return StackaeError(
        f"this is a bug in stackae: {type(error).__name__}: {error}; run again with --debug and report it"
    )


def _reported(error: StackaeError) -> int:
    """Print the error for people, with --json as a document too. Return its exit code."""
    if group().several:
        signals.ignore()
    first, *more = error.lines
    console.note(f"error: {first}", *more)
    if "--json" in sys.argv:
        console.emit_error(error)
    return error.exit_code


if __name__ == "__main__":
    main()
