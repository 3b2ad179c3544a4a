"""The stackae command: the subcommands, and how their errors end."""

from __future__ import annotations

import errno
import signal
import sys
import traceback
from typing import Annotated, Any, NoReturn

import typer

from stackae import __version__
from stackae.errors import ConfigError, SetupError, StackaeError, legible

from . import data, doctor, encode, evaluate, finetune, pretrain, reconstruct

OUT_OF_SPACE = 7
INTERRUPTED = 130
TERMINATED = 143

app = typer.Typer(
    name="stackae",
    help="Pretrain deep networks layer by layer with autoencoders, then fine-tune the stack with labels.",
    epilog="Start with:  stackae pretrain --layers 784,300,150   then   stackae finetune --head classifier",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for module in (pretrain, finetune, evaluate, encode, reconstruct, doctor):
    app.command(module.__name__.rpartition(".")[2], epilog=module.EXAMPLES)(module.command)
app.add_typer(data.app, name="data")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"stackae {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_show_version)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error; allowed anywhere.")] = False,
) -> None:
    pass


def main() -> None:
    """Runs one command. Exit codes: 0 done, 1 a bug, 2 usage or settings, 3 data, 4 run folder, 5 diverged,
    6 environment, 7 disk full, 130 and 143 interrupted."""
    signal.signal(signal.SIGTERM, _terminate)
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        sys.exit(app(args=arguments or ["--help"], prog_name="stackae", standalone_mode=False) or 0)
    except KeyboardInterrupt:
        _end("interrupted", INTERRUPTED)
    except Exception as error:
        if "--debug" in sys.argv:
            traceback.print_exc()
        _end(*_verdict(error))


def _verdict(error: Exception) -> tuple[str, int]:
    """The sentence and the exit code of an error."""
    if isinstance(error, StackaeError):
        return str(error), error.exit_code
    if isinstance(error, OSError):
        return _about_files(error), OUT_OF_SPACE if error.errno == errno.ENOSPC else SetupError.exit_code
    if hasattr(error, "format_message"):  # a usage error of the command-line library
        return f"{error.format_message().rstrip('.')}; see `stackae --help`", ConfigError.exit_code
    if type(error).__name__ == "Abort":
        return "interrupted", INTERRUPTED
    return f"this is a bug in stackae: {type(error).__name__}: {error}; run again with --debug and report it", 1


def _about_files(error: OSError) -> str:
    remedy = "free some space" if error.errno == errno.ENOSPC else "check the path and its permissions"
    return f"{error.filename or 'file'}: expected to read or write it, got '{error.strerror or error}'; {remedy}"


def _terminate(number: int, frame: Any) -> NoReturn:
    raise SystemExit(TERMINATED)


def _end(message: str, code: int) -> NoReturn:
    lines = (legible(line, len(line)) for line in message.split("\n"))  # names and cells come from files
    typer.echo("error: " + "\n".join(lines), err=True)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
