"""The errors that a user can remedy, each with the exit code of the command line.

A message reads "what: expected X, got Y; remedy". Any other exception is a bug (exit code 1).
"""

from __future__ import annotations

import difflib
import re
import shlex
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

MOST_WORDS, LONGEST_WORD = 1000, 60  # limits of ``nearest``, whose time grows with the square of a word's length
WHOLE = 10_000  # characters up to which a line is shown whole: longer than any that people read
BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef"
HIDDEN = re.compile(f"[{BLANK}]")  # characters that are printable by category, yet invisible
MOST_MARKS = 4  # combining marks per letter: no language has more, and a pile of them covers other lines


class StackaeError(Exception):
    """The base of every error that stackae raises on purpose.

    ``code`` is the error's name in ``--json`` and never changes; ``details`` are further fields there. ``lines`` are
    the sentence and the lines that follow it: a newline within one of them is foreign text and is shown as an escape.
    """

    exit_code = 1
    code = "bug"

    def __init__(self, message: str, *more: str, **details: object) -> None:
        super().__init__("\n".join((message, *more)))
        self.lines, self.details = (message, *more), details


class VerificationError(StackaeError):
    """Checks of this installation failed; the message has one sentence per check."""

    code = "verification"


class RecipeError(StackaeError):
    """A recipe did not reproduce what was published; the message has one sentence per figure."""

    code = "recipe"


class ConfigError(StackaeError, ValueError):
    """A setting, or a combination of settings, cannot work."""

    exit_code = 2
    code = "config"


class DataError(StackaeError, ValueError):
    """Data is missing, damaged, or does not fit what was requested."""

    exit_code = 3
    code = "data"


class DataWarning(UserWarning):
    """What a person should know of how given rows are read: columns left out, cells filled, units that moved."""


class RunError(StackaeError):
    """A run folder is missing, incomplete, damaged, or of another shape."""

    exit_code = 4
    code = "run"


class DivergedError(StackaeError, ArithmeticError):
    """Training diverged to NaN or Inf; ``details`` says where: stage, epoch, step, rows, learning rate."""

    exit_code = 5
    code = "diverged"


class SetupError(StackaeError, RuntimeError):
    """The machine or the installation lacks what was requested."""

    exit_code = 6
    code = "environment"


class BrokenExtensionError(SetupError, ImportError):
    """The compiled extension exists but does not load; ``cause`` is the loader's reason."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(
            f"stackae's compiled extension: expected one that loads, got one that does not ({cause}); {remedy}"
        )
        self.cause = cause


class DiskError(StackaeError):
    """A file could not be written; what was there before is unchanged."""

    exit_code = 7
    code = "disk"


class StoppedError(StackaeError):
    """Training ended between two steps because the signal of that number requested it."""

    code = "interrupted"
    exit_code = 130

    def __init__(self, signal: int) -> None:
        super().__init__("interrupted")
        self.exit_code = 128 + signal


_names_options = False


@contextmanager
def naming_options() -> Iterator[None]:
    """Within this context, ``argument`` names command line options instead of Python arguments."""
    global _names_options
    before, _names_options = _names_options, True
    try:
        yield
    finally:
        _names_options = before


def argument(name: str, *values: object) -> str:
    """Name an argument in a message, with values to give it: ``scale='minmax' or 'none'``.

    The command line says `--scale minmax or none`, each value quoted for a shell.
    """
    if _names_options:
        quoted = [shlex.quote(str(value)) for value in values]
        return " ".join(["--" + name.replace("_", "-"), *([" or ".join(quoted)] if values else [])])
    return "=".join([name, *([" or ".join(map(repr, values))] if values else [])])


def nearest(word: str, known: Iterable[str]) -> str:
    """Return '; did you mean 'sigmoid'?', or "" when no known word is near.

    Only the first ``MOST_WORDS`` words of at most ``LONGEST_WORD`` characters are compared.
    """
    short = (name for name in islice(known, MOST_WORDS) if len(name) <= LONGEST_WORD)
    found = difflib.get_close_matches(word[:LONGEST_WORD], list(short), n=1)
    return f"; did you mean '{legible(found[0])}'?" if found else ""


def suggested(*words: object) -> str:
    """Quote `stackae WORDS` for a shell, so that a path with spaces, quotes or dollars stays one word."""
    line = shlex.join(["stackae", *map(str, words)])
    return legible(line, len(line))


def shown(path: Path) -> Path:
    """Return the path relative to the working folder where it lies inside, else as it is."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def legible(text: str, most: int = 40) -> str:
    """Make foreign text safe to show in a message: cut it to ``most`` characters and escape the invisible ones.

    Text from a file could otherwise forge lines, reverse the writing direction, or control the terminal. Escaped are
    control characters, format characters (zero-width, bidirectional), line separators, blanks other than the space,
    lone surrogates (bytes of a name that are not UTF-8), invisible letters, and more than ``MOST_MARKS`` combining
    marks on one letter.
    """
    shown = text if len(text) <= most else text[:most] + "..."
    if shown.isascii() and shown.isprintable():
        return shown
    told, marks = [], 0
    for c in shown:
        marks = marks + 1 if unicodedata.category(c) in ("Mn", "Me") else 0
        seen = c.isprintable() and marks <= MOST_MARKS and not HIDDEN.match(c)
        told.append(c if seen else c.encode("unicode_escape").decode("ascii"))
    return "".join(told)
