"""Flags for ``os.open``, of which one that a system does not have is 0; and the first bytes of an open file."""

from __future__ import annotations

import os


def _all_of(*names: str) -> int:
    return sum(getattr(os, name, 0) for name in names)


PRIVATE = _all_of("O_CLOEXEC", "O_NOINHERIT", "O_BINARY")
"""For this process alone, and for bytes as they are."""
WITHOUT_WAITING = _all_of("O_NONBLOCK")
"""For a writer of a pipe, say."""
PLAIN = WITHOUT_WAITING | _all_of("O_NOFOLLOW")
"""Follow no link either."""
FOLDER = _all_of("O_DIRECTORY")


def begin_of(descriptor: int, most: int) -> bytes:
    """Return up to so many bytes from the begin of an open file, which is read on after them."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    return os.read(descriptor, most)
