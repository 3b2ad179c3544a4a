"""log.txt of a run folder: what was done when, with which versions, and what it ended with. Written, never read."""

from __future__ import annotations

import os
import platform
import shlex
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from stackae.errors import WHOLE, legible

NAME = "log.txt"
FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe in its place is not waited for
_open: list[Path] = []


@contextmanager
def logged(folder: Path) -> Iterator[None]:
    """What this command notes goes to the folder's log too, and so does the error that ends it, with its traceback."""
    _open.append(folder / NAME)
    try:
        log(f"$ stackae {shlex.join(sys.argv[1:])}")
        log(_versions())
        yield
        log("done")
    except BaseException as error:
        log("".join(traceback.format_exception(error)).rstrip())
        raise
    finally:
        _open.pop()


def log(text: str) -> None:
    """Lines with the time; a disk that cannot take them costs the log, not the work. A file of others gets none."""
    from stackae.runs.ownership import logs

    time = f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S%z}"
    lines = "".join(f"{time}  {legible(line, WHOLE)}\n" for line in text.splitlines())
    for path in _open:
        with suppress(OSError):
            descriptor = os.open(path, FLAGS, 0o644)
            try:
                if logs(descriptor):
                    os.write(descriptor, lines.encode(errors="replace"))
            finally:
                os.close(descriptor)


def _versions() -> str:
    import torch

    from stackae import __version__

    return (
        f"stackae {__version__}, torch {torch.__version__}, Python {platform.python_version()}, "
        f"{platform.node()}, {torch.get_num_threads()} threads, process {os.getpid()}"
    )
