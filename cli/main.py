"""The stackae command: the subcommands, and how their errors end."""

from __future__ import annotations

import errno
import signal
import sys
from typing import Annotated, Any, NoReturn

import typer

from stackae import __version__
from stackae.errors import StackaeError

from . import doctor, encode, evaluate, finetune, pretrain, reconstruct

OUT_OF_SPACE = 7
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


@app.callback()
def common(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error; allowed anywhere.")] = False,
) -> None:
    if version:
        typer.echo(f"stackae {__version__}")
        raise typer.Exit


def main() -> None:
    """Runs one command. Exit codes: 0 done, 1 a bug, 2 usage or settings, 3 data, 4 run folder, 5 diverged,
    6 environment, 7 disk full, 130 and 143 interrupted."""
    debug = "--debug" in sys.argv
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app(args=[argument for argument in sys.argv[1:] if argument != "--debug"], prog_name="stackae")
    except StackaeError as error:
        if debug:
            raise
        _end(str(error), error.exit_code)
    except OSError as error:
        if debug:
            raise
        _end(_about_files(error), OUT_OF_SPACE if error.errno == errno.ENOSPC else 6)
    except Exception as error:
        if debug:
            raise
        _end(f"this is a bug in stackae: {type(error).__name__}: {error}; run again with --debug and report it", 1)


def _about_files(error: OSError) -> str:
    remedy = "free some space" if error.errno == errno.ENOSPC else "check the path and its permissions"
    return f"{error.filename or 'file'}: expected to read or write it, got '{error.strerror or error}'; {remedy}"


def _terminate(number: int, frame: Any) -> NoReturn:
    raise SystemExit(TERMINATED)


def _end(message: str, code: int) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
