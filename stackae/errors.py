"""What can go wrong that a user can mend, each with the exit code that the command line ends with.

Messages read "what: expected X, got Y; remedy". Anything that is not one of these is a bug (exit code 1).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice

MOST_WORDS, LONGEST_WORD = 1000, 60  # that are compared: the time grows with the square of their length


class StackaeError(Exception):
    """The root of every error that stackae raises on purpose."""

    exit_code = 1


class ConfigError(StackaeError, ValueError):
    """A setting, or a combination of settings, that cannot work."""

    exit_code = 2


class DataError(StackaeError, ValueError):
    """Data that is missing, damaged, or does not fit what was asked."""

    exit_code = 3


class RunError(StackaeError):
    """A run folder that is missing, incomplete, damaged, or of another shape."""

    exit_code = 4


class DivergedError(StackaeError, ArithmeticError):
    """Training left the finite numbers."""

    exit_code = 5


class SetupError(StackaeError, RuntimeError):
    """The machine or the installation lacks what was asked for."""

    exit_code = 6


def nearest(word: str, known: Iterable[str]) -> str:
    """'; did you mean 'sigmoid'?', or nothing when no known word is near; of long words and many, the first few."""
    short = (name for name in islice(known, MOST_WORDS) if len(name) <= LONGEST_WORD)
    found = difflib.get_close_matches(word[:LONGEST_WORD], list(short), n=1)
    return f"; did you mean '{legible(found[0])}'?" if found else ""


def legible(text: str, most: int = 40) -> str:
    """The text as a message may show it: at most so many characters of it, and escapes for those that are not printed.

    What comes from a file could otherwise forge lines, or tell the terminal what to do.
    """
    shown = text if len(text) <= most else text[:most] + "..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown)
