"""Wrap stdout and stderr so that the work goes on when their reader is gone."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

GONE = (errno.EPIPE, errno.EIO, errno.EBADF)  # the reader has ended, or the terminal is closed


class Silent(io.TextIOBase):
    def write(self, text: str) -> int:
        return len(text)


class Lasting:
    """A stream that drops all output after its first failed write; ``failure`` is the system's error.

    Characters that its encoding lacks are written as escapes. A stream that was closed from the start drops all output.
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
        """Drop all further output. A ValueError means that the stream was closed in this process."""
        self.failure = self.failure or (error if isinstance(error, OSError) else OSError(errno.EBADF, str(error)))
        with suppress(OSError, ValueError):  # so that what is left in buffers, here and in libraries, can be flushed
            nothing = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(nothing, self._stream.fileno())
            finally:
                os.close(nothing)
        self._stream = Silent()


def open_closed() -> None:
    """Reopen closed standard streams on /dev/null, else `print` would write into the next file that is opened."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free descriptor, which is this one


def flush() -> None:
    """Flush both streams."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


@contextmanager
def lasting() -> Iterator[Lasting]:
    """Make both streams outlast their readers meanwhile; yield the one of results."""
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
    """Return why results were lost if a reader would miss them: a full disk, but not a reader that stopped reading."""
    results.flush()
    return None if results.failure is None or results.failure.errno in GONE else results.failure
