"""The two streams that people and programs read, made to outlast their readers: work never ends because one is gone."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

GONE = (errno.EPIPE, errno.EIO, errno.EBADF)  # of a reader that has read enough, or a terminal that was closed


class Silent(io.TextIOBase):
    def write(self, text: str) -> int:
        return len(text)


class Lasting:
    """A stream that is silent from the first write on that fails; ``failure`` is what the system said of it.

    What a stream's encoding does not have is written as an escape. One that was closed from the start is silent too.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.failure: OSError | None = None
        self._stream: TextIO | Silent = Silent() if stream is None else stream
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except UnicodeEncodeError:
            kind = self._stream.encoding or "ascii"
            self._stream.write(text.encode(kind, "backslashreplace").decode(kind))
        except (OSError, ValueError) as error:
            self._give_up(error)
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._give_up(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _give_up(self, error: Exception) -> None:
        """ValueError is what a stream says that was closed in this process."""
        self.failure = self.failure or (error if isinstance(error, OSError) else OSError(errno.EBADF, str(error)))
        with suppress(OSError, ValueError):  # so that what waits in buffers, here and in libraries, fails no more
            nothing = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(nothing, self._stream.fileno())
            finally:
                os.close(nothing)
        self._stream = Silent()


def open_closed() -> None:
    """Nothing takes the place of a standard stream that was closed: else the next file would be written by `print`."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one


def flush() -> None:
    """What waits in either stream is written."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


@contextmanager
def lasting() -> Iterator[Lasting]:
    """Both streams last meanwhile; gives that of results."""
    open_closed()
    streams = sys.stdout, sys.stderr
    results = Lasting(sys.stdout)
    sys.stdout, sys.stderr = results, Lasting(sys.stderr)
    try:
        yield results
    finally:
        flush()
        sys.stdout, sys.stderr = streams


def was_lost(results: Lasting) -> OSError | None:
    """Why results were not written, where a reader would miss them: a full disk, not one who has read enough."""
    results.flush()
    return None if results.failure is None or results.failure.errno in GONE else results.failure
