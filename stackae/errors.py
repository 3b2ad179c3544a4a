"""What can go wrong that a user can mend, each with the exit code that the command line ends with.

Messages read "what: expected X, got Y; remedy". Anything that is not one of these is a bug (exit code 1).
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable
from itertools import islice

MOST_WORDS, LONGEST_WORD = 1000, 60  # that are compared: the time grows with the square of their length


class StackaeError(Exception):
    """The root of every error that stackae raises on purpose.

    ``code`` is its name in ``--json``, which never changes; ``details`` say more there, for programs.
    """

    exit_code = 1
    code = "bug"

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.details = details


class VerificationError(StackaeError):
    """Checks of this installation that failed, a sentence each."""

    code = "verification"


class ConfigError(StackaeError, ValueError):
    """A setting, or a combination of settings, that cannot work."""

    exit_code = 2
    code = "config"


class DataError(StackaeError, ValueError):
    """Data that is missing, damaged, or does not fit what was asked."""

    exit_code = 3
    code = "data"


class RunError(StackaeError):
    """A run folder that is missing, incomplete, damaged, or of another shape."""

    exit_code = 4
    code = "run"


class DivergedError(StackaeError, ArithmeticError):
    """Training left the finite numbers; ``details`` says where: stage, epoch, step, rows, learning rate."""

    exit_code = 5
    code = "diverged"


class SetupError(StackaeError, RuntimeError):
    """The machine or the installation lacks what was asked for."""

    exit_code = 6
    code = "environment"


class DiskError(StackaeError):
    """A file that could not be written; what was there before is there still."""

    exit_code = 7
    code = "disk"


class StoppedError(StackaeError):
    """Training ended between two steps because it was asked to, by the signal of that number."""

    code = "interrupted"
    exit_code = 130

    def __init__(self, signal: int) -> None:
        super().__init__("interrupted")
        self.exit_code = 128 + signal


def nearest(word: str, known: Iterable[str]) -> str:
    """'; did you mean 'sigmoid'?', or nothing when no known word is near; of long words and many, the first few."""
    short = (name for name in islice(known, MOST_WORDS) if len(name) <= LONGEST_WORD)
    found = difflib.get_close_matches(word[:LONGEST_WORD], list(short), n=1)
    return f"; did you mean '{legible(found[0])}'?" if found else ""


def suggested(*words: object) -> str:
    """`stackae WORDS` as a shell reads it: a path with spaces, quotes or dollars in it is one word."""
    line = shlex.join(["stackae", *map(str, words)])
    return legible(line, len(line))


def legible(text: str, most: int = 40) -> str:
    """The text as a message may show it: at most so many characters of it, and escapes for those that are not printed.

    What comes from a file could otherwise forge lines, or tell the terminal what to do.
    """
    shown = text if len(text) <= most else text[:most] + "..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown)
