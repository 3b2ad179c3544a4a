"""What can go wrong that a user can mend, each with the exit code that the command line ends with.

Messages read "what: expected X, got Y; remedy". Anything that is not one of these is a bug (exit code 1).
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

MOST_WORDS, LONGEST_WORD = 1000, 60  # that are compared: the time grows with the square of their length
WHOLE = 10_000  # characters of a line that is shown whole: longer than any that people read
BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef"
HIDDEN = re.compile(f"[{BLANK}]")  # printable by category, yet nothing is seen of them
MOST_MARKS = 4  # of combining ones on a letter: no language has more, and a pile of them covers other lines


class StackaeError(Exception):
    """The root of every error that stackae raises on purpose.

    ``code`` is its name in ``--json``, which never changes; ``details`` say more there, for programs. ``lines`` are the
    sentence and what follows it, a line each: a newline within one of them is foreign text, and shown as an escape.
    """

    exit_code = 1
    code = "bug"

    def __init__(self, message: str, *more: str, **details: object) -> None:
        super().__init__("\n".join((message, *more)))
        self.lines, self.details = (message, *more), details


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


class BrokenExtensionError(SetupError, ImportError):
    """The compiled extension is there and does not load; ``cause`` is why, in the loader's own words."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(
            f"stackae's compiled extension: expected one that loads, got one that does not ({cause}); {remedy}"
        )
        self.cause = cause


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


_names_options = False


@contextmanager
def naming_options() -> Iterator[None]:
    """Meanwhile messages name options, as a command line has them, where they else name arguments."""
    global _names_options
    before, _names_options = _names_options, True
    try:
        yield
    finally:
        _names_options = before


def argument(name: str, *values: object) -> str:
    """How a message names an argument, and values to give it: ``scale='minmax' or 'none'``; the command line says
    `--scale minmax or none`."""
    if _names_options:
        return " ".join(["--" + name.replace("_", "-"), *([" or ".join(map(str, values))] if values else [])])
    return "=".join([name, *([" or ".join(map(repr, values))] if values else [])])


def nearest(word: str, known: Iterable[str]) -> str:
    """'; did you mean 'sigmoid'?', or nothing when no known word is near; of long words and many, the first few."""
    short = (name for name in islice(known, MOST_WORDS) if len(name) <= LONGEST_WORD)
    found = difflib.get_close_matches(word[:LONGEST_WORD], list(short), n=1)
    return f"; did you mean '{legible(found[0])}'?" if found else ""


def suggested(*words: object) -> str:
    """`stackae WORDS` as a shell reads it: a path with spaces, quotes or dollars in it is one word."""
    line = shlex.join(["stackae", *map(str, words)])
    return legible(line, len(line))


def shown(path: Path) -> Path:
    """The path as short as it can be said from the working folder."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def legible(text: str, most: int = 40) -> str:
    """The text as a message may show it: at most so many characters of it, and escapes for those that are not seen.

    What comes from a file could otherwise forge lines, turn the direction of writing, or tell the terminal what to do.
    Escaped are controls, formats (zero-width, bidirectional), line separators, blanks other than the space, lone
    surrogates (bytes of a name that are no UTF-8), letters that show nothing, and marks beyond ``MOST_MARKS`` on one.
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
